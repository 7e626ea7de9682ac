"""Why a run took as long as it did: its critical path, who waited for whom, the busiest links and ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.measures.critical_path import CLOCK, COMPUTE, OTHER, UNFINISHED, CriticalPath, critical_path
from analysis.measures.delays import delays, num_members
from analysis.measures.under_way import UNDER_WAY
from analysis.measures.waits import waits
from schedules.record.dependencies import Dependencies, dependencies
from schedules.record.quantities import MISSING, percent, with_unit
from schedules.record.rows import COMPUTE as COMPUTATION
from schedules.record.rows import POINT_TO_POINT
from topologies.checks import AnyGraph

if TYPE_CHECKING:
    import pandas as pd

    from schedules.record.files import Tables
    from schedules.record.summary import Summary
    from schedules.result import Result

NUM_BUSIEST: Final = 10
NUM_WAITS: Final = 5

Record = dict[str, Any]
"""A row of an explanation: numbers and names by the words of `Explanation`."""


@dataclass(frozen=True)
class Explanation:
    """What is said of a run beside its summary. Times in seconds; shares of the makespan, between 0 and 1.

    Attributes:
        path: the critical path; None of a run without a trace.
        parts: the path by category and kind, longest first: `category`, `kind`, `seconds`, `share`, and the `rank` that
            most of it was on, with the `peer` where it was between two (-1 where neither applies), and how much of
            this part that is, `of_part`.
        waits: who waited for whom, as `analysis.measures.waits.waits`; None of a run without a trace.
        links: the busiest links: `link` (`0 -> 1`), `source`, `target`, `bandwidth`, `carried_bytes`, `utilisation`.
        ranks: the busiest ranks: `rank`, and the shares `computing`, `communicating` and `idle`.
        collectives: as the summary has them.
    """

    path: CriticalPath | None
    parts: list[Record]
    waits: pd.DataFrame | None
    links: list[Record]
    ranks: list[Record]
    collectives: list[Record]

    def longest_waits(self, number: int = NUM_WAITS) -> list[Record]:
        """The longest waits for other ranks: `rank`, `waited_for`, `seconds`, `share` of the makespan."""
        if self.path is None or self.waits is None:
            return []
        return [
            {
                "rank": int(row["rank"]),
                "waited_for": int(row["waited_for"]),
                "seconds": int(row["waited_ns"]) / 1e9,
                "share": int(row["waited_ns"]) / max(self.path.length_ns, 1),  # a run may take no time
            }
            for row in self.waits.head(number).to_dict("records")
        ]

    def record(self) -> Record:
        """All of it for JSON."""
        path = None
        if self.path is not None:
            path = {
                "length_s": self.path.length_ns / 1e9,
                "handovers": len(self.path.handovers),
                "parts": self.parts,
            }
        rest = {"links": self.links, "ranks": self.ranks, "collectives": self.collectives}
        return {"critical_path": path, "waits": self.longest_waits(), **rest}


def explain(
    scenario: Tables,
    summary: Summary,
    *,
    trace: pd.DataFrame | None = None,
    links: pd.DataFrame | None = None,
    network: AnyGraph | None = None,
    cut_ns: int | None = None,
) -> Explanation:
    """Explain a run of either world from what it left behind.

    Args:
        scenario: the tables of the resolved scenario.
        summary: flat, with `per_rank` and perhaps `collectives`.
        trace, links, network: as in `schedules.result.Result`; what is missing is left out.
        cut_ns: when the run was cut, in nanoseconds since its start; None: it was not.
    """
    path, held_up, parts = None, None, []
    if trace is not None and len(trace):
        found = dependencies(trace)
        end_ns = round(float(summary.get("makespan_s") or 0) * 1e9)  # later than the last row, of a run that was cut
        latencies = delays(scenario, summary, network, _pairs(found))
        path = critical_path(found, latencies, until_ns=end_ns, cut_ns=cut_ns)
        parts = path_parts(path)
        held_up = waits(found)
    return Explanation(
        path=path,
        parts=parts,
        waits=held_up,
        links=busiest_links(links, network) if links is not None else [],
        ranks=busiest_ranks(summary),
        collectives=[dict(each) for each in summary.get("collectives") or ()],
    )


def explain_run(run: Result) -> Explanation:
    """Explain a run, in memory or on disk."""
    return explain(run.tables, run.summary, trace=run.trace, links=run.links, network=run.network, cut_ns=run.cut_ns)


def share(value: float) -> str:
    """A share of the makespan in percent, with one decimal."""
    return "< 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def _pairs(found: Dependencies) -> list[tuple[int, int]]:
    """The ordered pairs of ranks between which messages went."""
    is_message = np.isin(found.op, POINT_TO_POINT) & (found.peer >= 0)
    both = np.stack((found.rank[is_message], found.peer[is_message]))
    ordered = np.unique(np.concatenate((both, both[::-1]), axis=1), axis=1)
    return [(source, target) for source, target in ordered.T.tolist()]


def path_parts(path: CriticalPath) -> list[Record]:
    """The path by category and kind, the longest part first; see `Explanation.parts`."""
    parts = []
    # What is not explained is one part, of whatever operation; what was under way at the cut is no operation's.
    kind_told = path.intervals["kind"].where(~path.intervals["category"].isin((OTHER, UNFINISHED)), "")
    told = replace(path, intervals=path.intervals.assign(kind=kind_told))
    places = told.by("category", "kind", "rank", "peer")
    for part in told.by("category", "kind").to_dict("records"):
        category, kind = part["category"], part["kind"]
        here = places[(places["category"] == category) & (places["kind"] == kind)].iloc[0]  # the longest, as `by` sorts
        is_somewhere = category == COMPUTE or here["peer"] >= 0  # members of a collective are in it together
        parts.append(
            {
                "category": category,
                "kind": kind,
                "seconds": int(part["length_ns"]) / 1e9,
                "share": float(part["share"]),
                "rank": int(here["rank"]) if is_somewhere else -1,
                "peer": int(here["peer"]),
                "of_part": int(here["length_ns"]) / int(part["length_ns"]) if is_somewhere else 1.0,
            }
        )
    return parts


def part_name(part: Record) -> str:
    """What a part of the path is called: `compute gradient`, `transfer of AllReduce`."""
    category: str = part["category"]
    kind: str = part["kind"]
    if category == COMPUTE:
        return f"compute {kind.removeprefix(COMPUTATION).strip()}".strip()
    return _CLOCKS.get(kind, kind) if category == CLOCK else _NAMES[category].format(kind)


_NAMES: Final = {
    "transfer": "transfer of {}",
    "sharing": "links shared in {}",
    "latency": "latency of {}",
    "queueing": "queueing for {}",
    "waiting": "waiting in {}",
    "unfinished": UNDER_WAY,
    "other": "not explained",
}
_CLOCKS: Final = {"Until": "until a clock's tick", "Await": "until a deadline"}


def part_place(part: Record) -> str:
    """Where most of a part was: `rank 5`, `ranks 3 and 4`; nothing where all members were in it together."""
    if part["rank"] < 0:
        return ""
    return f"rank {part['rank']}" if part["peer"] < 0 else f"ranks {part['rank']} and {part['peer']}"


def busiest_links(links: pd.DataFrame, network: AnyGraph | None = None) -> list[Record]:
    """The links that used most of their bandwidth; of equals the first. Links that carried nothing are left out."""
    used = links[links["carried_bytes"] > 0].sort_values("utilisation", ascending=False, kind="stable")
    return [
        {
            "link": _link_name(network, row["source"], row["target"]),
            "source": row["source"],
            "target": row["target"],
            "bandwidth": float(row["bandwidth"]),
            "carried_bytes": round(row["carried_bytes"]),  # where flows share a link, a sum of fractions
            "utilisation": float(row["utilisation"]),
        }
        for row in used.head(NUM_BUSIEST).to_dict("records")
    ]


def _link_name(network: AnyGraph | None, source: str, target: str) -> str:
    if network is None:
        return f"{source} -> {target}"
    nodes = {str(node): node for node in network}  # the table of links has texts only
    u, v = nodes.get(source), nodes.get(target)
    labels = [network.nodes[n].get("label", name) if n in network else name for n, name in ((u, source), (v, target))]
    is_half = network.has_edge(u, v) and network.edges[u, v].get("duplex") == "half"
    return f"{labels[0]} {'<->' if is_half else '->'} {labels[1]}"


def busiest_ranks(summary: Summary) -> list[Record]:
    """The ranks that computed or communicated for most of the run; of equals the lowest."""
    per_rank, makespan = summary.get("per_rank") or {}, summary.get("makespan_s")
    if not makespan or not {"compute_s", "transfer_s", "idle_s"} <= set(per_rank):
        return []
    columns = (per_rank["compute_s"], per_rank["transfer_s"], per_rank["idle_s"])
    rows = [
        {
            "rank": rank,
            "computing": compute / makespan,
            "communicating": transfer / makespan,
            "idle": max(0.0, idle / makespan),
        }
        for rank, (compute, transfer, idle) in enumerate(zip(*columns, strict=True))
    ]
    return sorted(rows, key=lambda row: row["idle"])[:NUM_BUSIEST]


def collective_cells(each: Record) -> list[str]:
    """A collective as the cells of a table with the columns `COLLECTIVE_COLUMNS`."""

    def told(key: str, unit: str) -> str:
        return MISSING if each.get(key) is None else with_unit(float(each[key]), unit)

    mean, latency = each.get("mean_s"), each.get("latency_s")
    return [
        str(each["kind"]),
        str(num_members(each["ranks"])),
        with_unit(float(each["bytes"]), "B"),
        ", ".join(str(each[key]) for key in ("algorithm", "form") if each.get(key)),
        f"{each['count']:,}",
        told("mean_s", "s"),
        MISSING if not mean or latency is None else percent(latency / mean, signed=False),
        told("algbw", "B/s"),
        told("busbw", "B/s"),
    ]


COLLECTIVE_COLUMNS: Final = ("collective", "ranks", "bytes", "how", "count", "mean", "latency", "algbw", "busbw")

"""Shared links, measured: the executor on emulated hosts, beside simulations of the same network.

Six ranks, one an emulated host (a network namespace, `benchmarks._shaped_hosts`), on one switch or in two racks of
three whose uplink is as fast as one host's link. Gradients are paced and messages carry no numbers, so what is measured
is the network and the schedule. Before the runs one pair of hosts exchanges messages on the idle network; their fit
(`executor.calibration.calibrate`) is all that the simulations know. Each run is then simulated twice: with the physical
network in [platform.network], whose links are shared max-min fairly ("shared"), and with a link of its own for every
pair of ranks ("alone").

TCP decides how well the model holds, so three kinds of it are measured:

* calm: windows of 64 KiB, queues that never drop;
* deep: windows of 256 KiB, queues that never drop;
* drops: windows as Linux has them by default (up to 16 MiB), queues of 256 kB, as a cheap switch has.

Without drops the timer of retransmission should never expire; a run in which it did is marked, and does not count.

    python -m benchmarks.shaped_links --out shaped_links.json      (root; Linux with iproute2; a quarter of an hour)
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks._shaped_hosts import BURST, MTU, Hosts, HostsError, Outcome, Wires, why_not
from executor.calibration.calibrate import TRANSPORT
from schedules.platform.link_fits import LinkEstimate, link_estimate
from schedules.platform.transports import TRANSPORTS
from schedules.record.files import read_trace
from schedules.record.origin import versions
from simulator import simulate

if TYPE_CHECKING:
    import pandas as pd

Tables = dict[str, Any]

CALIBRATION_SEED = 1000
FIGURES = {"makespan_s": 1.0, "duration_ms": 1e3, "waiting_ms": 1e3, "per_s": 1.0}
"""What is compared. Errors are relative, but those of waiting, which may be next to nothing: in milliseconds."""
MODELS = ("shared", "alone")
TCP: Mapping[str, Tables] = {
    "calm": {},
    "deep": {"window": 524_288, "queue": 16_000_000},
    "drops": {"window": 33_554_432, "queue": 256_000},
}


class Case(NamedTuple):
    """One schedule on one network.

    Attributes:
        racks: hosts in each.
        schedule, gradient: tables of the scenario.
        message: bytes.
        places: the host of each rank.
        tcp: a key of `TCP`.
    """

    name: str
    racks: tuple[int, ...]
    schedule: Tables
    message: int
    gradient: Tables
    places: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    tcp: str = "calm"


SWITCH, RACKS = (6,), (3, 3)
LONG = {"distribution": "lognormal", "mean": 0.4, "cv": 0.3}
SHORT = {"distribution": "lognormal", "mean": 0.05, "cv": 0.3}
MODERATE = {"program": "gossip", "gradients": 30, "rate": 0.8}
SATURATED = {**MODERATE, "rate": 2.0}
D_PSGD, ALL_REDUCE = ({"program": name, "gradients": 12} for name in ("d-psgd", "all-reduce"))
CASES = (
    Case("gossip, switch", SWITCH, MODERATE, 2_000_000, LONG),
    Case("d-psgd, switch", SWITCH, {**D_PSGD, "gradients": 20}, 1_000_000, SHORT),
    Case("gossip, racks", RACKS, MODERATE, 2_000_000, LONG),
    Case("gossip, racks, saturated", RACKS, SATURATED, 2_000_000, LONG),
    Case("d-psgd, racks", RACKS, D_PSGD, 1_000_000, SHORT),
    Case("all-reduce, racks", RACKS, {**ALL_REDUCE, "gradients": 24}, 2_400_000, SHORT),
    Case("all-reduce, racks in turn", RACKS, ALL_REDUCE, 2_400_000, SHORT, places=(0, 3, 1, 4, 2, 5)),
    Case("d-psgd, switch, deep", SWITCH, {**D_PSGD, "gradients": 20}, 1_000_000, SHORT, tcp="deep"),
    Case("d-psgd, switch, drops", SWITCH, {**D_PSGD, "gradients": 20}, 1_000_000, SHORT, tcp="drops"),
    Case("gossip, saturated, drops", RACKS, SATURATED, 2_000_000, LONG, tcp="drops"),
)


@dataclass(frozen=True)
class Calibration:
    """The idle network: what a pair of hosts in a rack, and one across the uplink, has to itself."""

    inside: LinkEstimate
    across: LinkEstimate | None

    def platform(self, case: Case, model: str) -> Tables:
        """The table [platform] of a case: links as they were fitted, shared or not."""
        table: Tables = {"gradient": case.gradient, "transport": TRANSPORT, "overhead": self.inside.overhead}
        if model == "alone":
            return {**table, "link": {"bandwidth": self.inside.bandwidth, "latency": self.inside.latency}}
        network: Tables = {"kind": "fabric", "bandwidth": self.inside.bandwidth, "latency": self.inside.latency / 2}
        if self.across is not None:
            more = max(self.across.latency - self.inside.latency, 0.0) / 2
            network |= {"kind": "racks", "hosts_per_rack": case.racks[0]}
            network |= {"uplink_bandwidth": self.across.bandwidth, "uplink_latency": more}
        return {**table, "network": {**network, "placement": list(case.places)}}

    def told(self) -> Tables:
        return {"inside": self.inside._asdict(), "across": self.across and self.across._asdict()}


def calibrate(hosts: Hosts) -> Calibration:
    """Exchanges of one pair on the idle network, in a rack and across."""
    inside = fit_link(probe(hosts, (0, 1)))
    return Calibration(inside, fit_link(probe(hosts, (0, hosts.racks[0]))) if len(hosts.racks) > 1 else None)


def fit_link(trace: pd.DataFrame) -> LinkEstimate:
    """The link that the exchanges of a trace tell."""
    link = link_estimate(trace, TRANSPORTS[TRANSPORT])
    assert link is not None  # the probe exchanges
    return link


def probe(hosts: Hosts, places: Sequence[int]) -> pd.DataFrame:
    """The trace of exchanges between two hosts (`executor.calibration.probes`)."""
    sizes = [1_000_000, 2_000_000, 4_000_000]
    tables = {
        "schedule": {"program": "executor.calibration.probes", "gradients": 2, "repeats": 6, "sizes": sizes},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {"gradient": {"mean": 0.005}},
        "workload": {"parameters": 1},
        "run": {"seed": CALIBRATION_SEED},
    }
    return measure(hosts, tables, places)[0]


def scenario(case: Case, seed: int, platform: Tables) -> Tables:
    """The whole scenario of a case; a parameter has 4 bytes."""
    return {
        "schedule": case.schedule,
        "topology": {"graph": "complete", "workers": len(case.places)},
        "platform": platform,
        "workload": {"parameters": case.message // 4},
        "run": {"seed": seed},
        "execution": {"compute": "paced", "timeout": 30.0, "device": "cpu"},
    }


def measure(hosts: Hosts, tables: Tables, places: Sequence[int]) -> tuple[pd.DataFrame, Outcome]:
    """Run a scenario on the hosts: its trace, and how TCP and the machine fared."""
    with tempfile.TemporaryDirectory(prefix="twinclock-shaped-") as directory:
        path, out = Path(directory, "scenario.toml"), Path(directory, "run")
        path.write_text(toml(tables))
        outcome = hosts.run(path, out, places=places)
        return read_trace(out)[0], outcome


def toml(tables: Mapping[str, Tables]) -> str:
    """Tables of plain values as TOML; a table in a table is written on one line."""
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {_inline(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def figures(trace: pd.DataFrame) -> dict[str, float]:
    """Of a run's exchanges or all-reduces: mean time from ready to end, from start to ready, and how many a second."""
    rows = trace[trace["op"].isin(("Exchange", "AllReduce"))]
    makespan = float(trace["end_ns"].max()) / 1e9
    num_ends = 2 if (rows["op"] == "Exchange").all() else rows["rank"].nunique()
    return {
        "makespan_s": makespan,
        "duration_ms": float((rows["end_ns"] - rows["ready_ns"]).mean()) / 1e6,
        "waiting_ms": float((rows["ready_ns"] - rows["start_ns"]).mean()) / 1e6,
        "per_s": len(rows) / num_ends / makespan,
    }


def error(figure: str, predicted: float, measured: float) -> float:
    return predicted - measured if figure == "waiting_ms" else predicted / measured - 1


def run_case(hosts: Hosts, case: Case, seed: int, calibration: Calibration) -> Tables:
    """One run and its two simulations."""
    row: Tables = {"seed": seed}
    for model in MODELS:
        simulated = simulate(scenario(case, seed, calibration.platform(case, model))).trace
        assert simulated is not None
        row[model] = figures(simulated)
    trace, outcome = measure(hosts, scenario(case, seed, calibration.platform(case, "shared")), case.places)
    measured = row["measured"] = figures(trace)
    for model in MODELS:
        row[f"error_{model}"] = {name: error(name, row[model][name], measured[name]) for name in FIGURES}
    row |= {"tcp": outcome.tcp, "dropped": outcome.dropped, "busy_cores": outcome.busy(measured["makespan_s"])}
    row["is_counted"] = case.tcp == "drops" or outcome.tcp["TCPTimeouts"] == 0
    return row


@dataclass
class Report:
    """All that was measured."""

    runs: dict[str, list[Tables]] = field(default_factory=dict)
    calibrations: list[Tables] = field(default_factory=list)


def measure_all(cases: Sequence[Case], seeds: Sequence[int], rate: float) -> Report:
    """Every case with every seed; the seeds in turn, so that the cases of one network meet the same weather."""
    report = Report()
    for racks, tcp in dict.fromkeys((case.racks, case.tcp) for case in cases):
        with Hosts(racks, Wires(rate, rate, **TCP[tcp])) as hosts:
            calibration = calibrate(hosts)
            print_calibration(racks, tcp, calibration)
            for seed in seeds:
                for case in cases:
                    if (case.racks, case.tcp) == (racks, tcp):
                        row = run_case(hosts, case, seed, calibration)
                        report.runs.setdefault(case.name, []).append(row)
                        print_run(case, row)
            after = calibrate(hosts)
            print_calibration(racks, tcp, after)
        told = {"racks": racks, "tcp": tcp, "used": calibration.told(), "afterwards": after.told()}
        report.calibrations.append(told)
    return report


def print_calibration(racks: Sequence[int], tcp: str, found: Calibration) -> None:
    for name, link in (("in a rack", found.inside), ("across", found.across)):
        if link is not None:
            told = f"{link.bandwidth * 8e-6:.2f} Mbit/s, latency {link.latency * 1e6:.0f} us, overhead"
            told += f" {link.overhead * 1e6:.0f} us; residual {link.residual:.2%}"
            print(f"racks {racks}, {tcp}, idle, {name}: {told}", flush=True)


def print_run(case: Case, row: Tables) -> None:
    marks = "" if row["is_counted"] else "  does not count"
    tcp = f"retransmitted {row['tcp']['RetransSegs']}, RTOs {row['tcp']['TCPTimeouts']}, dropped {row['dropped']}"
    found = "  ".join(
        f"{name} {row['measured'][name]:.2f}: {told(name, row['error_shared'][name])}" for name in FIGURES
    )
    print(
        f"{case.name:<26}seed {row['seed']}, busy cores {row['busy_cores']:.2f}, {tcp}{marks}\n    {found}", flush=True
    )


def told(figure: str, error: float) -> str:
    return f"{error:+.1f} ms" if figure == "waiting_ms" else f"{error:+.1%}"


def summaries(report: Report) -> Iterator[Tables]:
    """For each case and figure: medians and ranges over the runs that count."""
    for case, rows in report.runs.items():
        counted = [row for row in rows if row["is_counted"]]
        for name in FIGURES if counted else ():
            summary: Tables = {"case": case, "figure": name, "runs": len(counted), "of": len(rows)}
            for key in ("measured", *MODELS, *(f"error_{model}" for model in MODELS)):
                values = [row[key][name] for row in counted]
                summary[key] = {"median": median(values), "min": min(values), "max": max(values)}
            yield summary


def print_table(rows: Sequence[Tables]) -> None:
    print(f"\n{'':<26}{'':<12}{'measured':>10}{'shared':>10}{'error':>9}   {'range':<19}{'alone':>10}{'error':>11}")
    for row in rows:
        name, shared = row["figure"], row["error_shared"]
        middle, low, high = (told(name, shared[key]) for key in ("median", "min", "max"))
        print(
            f"{row['case']:<26}{name:<12}{row['measured']['median']:>10.2f}{row['shared']['median']:>10.2f}{middle:>9}"
            f"   {low + ' .. ' + high:<19}{row['alone']['median']:>10.2f}{told(name, row['error_alone']['median']):>11}"
        )


def surroundings() -> Tables:
    cpu = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.shaped_links", *sys.argv[1:]]),
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": len(cpu),
        "system": platform.platform(),
        **versions(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each case, each of another seed (default 3)")
    parser.add_argument(
        "--case", action="append", choices=[case.name for case in CASES], help="this one only (again: and)"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="of every link, Mbit/s (default %(default)s)")
    options = parser.parse_args()
    if (lacking := why_not()) is not None:
        print(f"shaped_links: {lacking}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is removed
    about = surroundings()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    cases = [case for case in CASES if not options.case or case.name in options.case]
    try:
        report = measure_all(cases, range(options.seeds), options.rate * 1e6)
    except HostsError as failure:
        print(f"shaped_links: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("shaped_links: interrupted; its hosts are gone", file=sys.stderr)
        return 130
    rows = list(summaries(report))
    print_table(rows)
    if options.out:
        shape = {"bit_per_s": options.rate * 1e6, "mtu": MTU, "burst": BURST}
        shape["tcp"] = {name: Wires(0, 0, **table)._asdict() for name, table in TCP.items()}
        described = {"about": about, "shape": shape, "cases": [case._asdict() for case in cases]}
        described |= {"calibrations": report.calibrations, "rows": rows, "runs": report.runs}
        options.out.write_text(json.dumps(described, indent=1) + "\n")
        print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

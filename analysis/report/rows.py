"""Rows of a report's tables and the words in their cells."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final, TypedDict

from analysis.claims import EXCHANGE_RATE, LAG
from analysis.comparison import NULL, Comparison
from analysis.measures.metrics import PARTS
from schedules.record.quantities import MISSING, QUANTITIES, number, percent, quantity, with_unit
from schedules.record.rows import COMPUTE

Record = dict[Any, Any]
"""A row of one of the comparison's tables, by column."""

Cells = dict[str, str]
"""Texts to stand in a row, by the names that the template has for them."""


class OperationGroup(TypedDict):
    """The rows of one kind of operation."""

    kind: str
    rows: list[Cells]


class Compared(TypedDict):
    """A row with what both runs say, and whether that differs."""

    name: str
    simulated: str
    measured: str
    differs: bool


_QUANTITIES: Final = {
    "count": "count",
    "duration_s": "duration",
    "transfer_s": "transfer",
    "waiting_s": "waiting",
    "bytes": "bytes",
}
_QUANTITIES_OF_COMPUTE: Final = {"transfer_s": "running", "waiting_s": "queueing"}
_TILES: Final = ("gradients_per_s", "makespan_s", "utilization_compute", "staleness_mean", "loss")
_GOOD: Final = 0.02
_BAD: Final = 0.10


def _class(error: float | None) -> str:
    if error is None or not isfinite(error):
        return ""
    return "good" if abs(error) <= _GOOD else "bad" if abs(error) > _BAD else "fair"


def tiles(comparison: Comparison) -> list[Cells]:
    """The errors that people look at first."""
    rows = {row["key"]: row for row in comparison.summary.to_dict("records")}
    return [
        {"name": QUANTITIES[key].of_a_run, **_errors(rows[key])}
        for key in (*((EXCHANGE_RATE, LAG) if comparison.headline == EXCHANGE_RATE else ()), *_TILES)
        if key in rows and isfinite(rows[key]["error"])
    ]


def _errors(row: Record) -> Cells:
    """The error of a row, and where there is a null model the error without a network."""
    without = {"without": percent(row["null_error"])} if "null_error" in row else {}
    return {"error": percent(row["error"]), "class": _class(row["error"]), **without}


def summary_row(row: Record) -> Cells:
    """A number of the summary in both worlds, and its error."""
    return {
        "key": row["key"],
        "simulated": quantity(row["key"], row["simulated"]),
        "measured": quantity(row["key"], row["measured"]),
        **_errors(row),
    }


def operation_groups(comparison: Comparison) -> list[OperationGroup]:
    """One group a kind, with a row for every quantity that says something new."""
    groups: list[OperationGroup] = []
    for kind, rows in comparison.operations.groupby("kind", sort=True):
        names = _QUANTITIES | (_QUANTITIES_OF_COMPUTE if str(kind).startswith(COMPUTE) else {})
        told = _told_apart(rows.to_dict("records"))
        shown = [summary_row({**row, "key": row["quantity"]}) | {"name": names[row["quantity"]]} for row in told]
        groups.append({"kind": str(kind), "rows": shown})
    return groups


def _told_apart(rows: list[Record]) -> list[Record]:
    """Without transfer or waiting where it is the whole duration in both worlds."""
    values = {row["quantity"]: (row["simulated"], row["measured"]) for row in rows}
    whole = values.get("duration_s")
    return [
        row for row in rows if row["quantity"] in ("count", "duration_s", "bytes") or values[row["quantity"]] != whole
    ]


def distance_row(row: Record) -> Cells:
    """How far two distributions of staleness lie apart, and how far without a network."""
    return {name: each if name == "applied" else number(each, 3) for name, each in row.items()}


def repeat_row(comparison: Comparison, row: Record) -> Cells:
    """One of several measured runs: its number, and what the prediction was off by."""
    shown = " (shown)" if row["run"] == str(comparison.measured.directory) else ""
    return {"run": f"{row['run']}{shown}", "measured": quantity(comparison.headline, row["measured"]), **_errors(row)}


def shares_of_time(comparison: Comparison) -> list[Cells]:
    """Shares of the makespan, mean over ranks."""
    rows = []
    for part in PARTS:
        shares = {
            world: float(table[f"{part}_ns"].sum() / table["makespan_ns"].sum())
            for world, table in comparison.breakdowns.items()
        }
        told = {world: percent(share, signed=False) for world, share in shares.items()}
        differences = {
            name: f"{100 * (shares[world] - shares['measured']):+.1f} points"
            for name, world in (("difference", "simulated"), ("without", NULL))
            if world in shares
        }
        rows.append({"part": part, **told, **differences})
    return rows


def environment(comparison: Comparison) -> list[Compared]:
    """Rows name, simulated, measured, and whether they differ."""
    rows = [_environment_row(name, comparison) for name in ("seed", "started")]
    rows.insert(1, _row("fingerprint", *(run.fingerprint for run in comparison.runs.values())))
    rows.append(_row("gradient time", *(with_unit(run.gradient_s, "s") for run in comparison.runs.values())))
    for table in ("host", "versions"):
        tables = [run.info[table] for run in comparison.runs.values()]
        rows += [
            _row(key, *(text(each.get(key)) for each in tables)) for key in dict.fromkeys([*tables[0], *tables[1]])
        ]
    return rows


def _environment_row(name: str, comparison: Comparison) -> Compared:
    return _row(name, *(text(run.info.get(name)) for run in comparison.runs.values()))


def _row(name: str, simulated: str, measured: str) -> Compared:
    # When they were started always differs, and says nothing.
    differs = simulated != measured and name != "started"
    return {"name": name, "simulated": simulated, "measured": measured, "differs": differs}


def text(value: object) -> str:
    """A value of a run's description, for people."""
    if value is None:
        return MISSING
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)  # equal tables read the same

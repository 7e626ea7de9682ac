"""Rows of a report's tables and the words in their cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypedDict

from analysis.alone import Alone
from analysis.claims import EXCHANGE_RATE, LAG
from analysis.comparison import NULL, Comparison
from analysis.measures.metrics import IDLE, PARTS
from analysis.report.subject import Subject
from schedules.record.files import MEASURED, WORLDS
from schedules.record.quantities import (
    MISSING,
    QUANTITIES,
    WORK_PER_S,
    beside_words,
    name_of,
    number,
    percent,
    quantity,
    with_unit,
)
from schedules.record.rows import COMPUTE

if TYPE_CHECKING:
    import pandas as pd

    from schedules.result import Result

Record = dict[Any, Any]
"""A row of one of the comparison's tables, by column."""

Cells = dict[str, str]
"""Texts to stand in a row, by the names that the template has for them."""


class OperationGroup(TypedDict):
    """The rows of one kind of operation."""

    kind: str
    rows: list[Cells]


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
    first = (EXCHANGE_RATE, LAG) if comparison.headline == EXCHANGE_RATE else ()
    return [
        {"name": QUANTITIES[key].of_a_run if key in QUANTITIES else name_of(key), **_errors(rows[key])}
        for key in (*first, *_tiles(rows))
        if key in rows and isfinite(rows[key]["error"])
    ]


def run_tiles(alone: Alone) -> list[Cells]:
    """The numbers of one run that people look at first."""
    found = dict(zip(alone.summary["key"], alone.summary[alone.run.world], strict=True))
    return [
        {"name": name_of(key), "error": beside_words(key, found[key]), "class": ""}
        for key in _tiles(found)
        if key in found
    ]


def _tiles(found: Iterable[str]) -> tuple[str, ...]:
    """The keys of what people look at first: throughput, in units of the program's own, too."""
    return (*_TILES[:1], *(key for key in found if key.startswith(WORK_PER_S)), *_TILES[1:])


def _errors(row: Record) -> Cells:
    """The error of a row, and where there is a null model the error without a network."""
    without = {"without": percent(row["null_error"])} if "null_error" in row else {}
    return {"error": percent(row["error"]), "class": _class(row["error"]), **without}


def summary_row(row: Record) -> Cells:
    """A number of the summary in words, in each world, and its error where there are two."""
    key = row["key"]
    told = {world: MISSING if row[world] != row[world] else beside_words(key, row[world]) for world in _worlds(row)}
    return {"name": name_of(key), **told, **(_errors(row) if "error" in row else {})}


def _worlds(row: Record) -> list[str]:
    return [world for world in WORLDS if world in row]


def operation_groups(operations: pd.DataFrame) -> list[OperationGroup]:
    """One group a kind, with a row for every quantity that says something new."""
    groups: list[OperationGroup] = []
    for kind, rows in operations.groupby("kind", sort=True):
        names = _QUANTITIES | (_QUANTITIES_OF_COMPUTE if str(kind).startswith(COMPUTE) else {})
        told = _told_apart(rows.to_dict("records"))
        shown = [summary_row({**row, "key": row["quantity"]}) | {"name": names[row["quantity"]]} for row in told]
        groups.append({"kind": str(kind), "rows": shown})
    return groups


def _told_apart(rows: list[Record]) -> list[Record]:
    """Without transfer or waiting where it is the whole duration in all worlds."""
    values = {row["quantity"]: tuple(row[world] for world in _worlds(row)) for row in rows}
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


def shares_of_time(shown: Subject) -> list[Cells]:
    """Shares of the makespan, mean over ranks; the last row is what summaries call idle."""
    rows = []
    for part, summed in (*((part, (part,)) for part in PARTS), (f"idle: {' or '.join(IDLE)}", IDLE)):
        shares = {
            world: float(table[[f"{each}_ns" for each in summed]].to_numpy().sum() / table["makespan_ns"].sum())
            for world, table in shown.breakdowns.items()
        }
        told = {world: percent(share, signed=False) for world, share in shares.items()}
        differences = {
            name: f"{100 * (shares[world] - shares[MEASURED]):+.1f} points"
            for name, world in (("difference", "simulated"), ("without", NULL))
            if world in shares and MEASURED in shares and len(shares) > 1
        }
        rows.append({"part": part, **told, **differences})
    return rows


def environment(runs: Mapping[str, Result]) -> list[Cells]:
    """What each run was made with and on; `css` marks the rows that differ."""
    rows = [
        _row("seed", {world: text(run.info.get("seed")) for world, run in runs.items()}),
        _row("fingerprint", {world: run.fingerprint for world, run in runs.items()}),
        _row("started", {world: text(run.info.get("started")) for world, run in runs.items()}),
        _row("gradient time", {world: _gradient_time(run) for world, run in runs.items()}),
    ]
    for table in ("host", "versions"):
        tables = {world: run.info[table] for world, run in runs.items()}
        keys = dict.fromkeys(key for each in tables.values() for key in each)
        rows += [_row(key, {world: text(each.get(key)) for world, each in tables.items()}) for key in keys]
    return rows


def _gradient_time(run: Result) -> str:
    """In which clocks tick; without gradients it is no time that anything takes."""
    is_assumed = (run.tables.get("platform") or {}).get("gradient") is None
    return with_unit(run.gradient_s, "s") + (" (no platform.gradient)" if is_assumed else "")


def _row(name: str, told: Mapping[str, str]) -> Cells:
    # When they were started always differs, and says nothing.
    differs = len({*told.values()}) > 1 and name != "started"
    return {"name": name, **told, "css": "differs" if differs else ""}


def text(value: object) -> str:
    """A value of a run's description, for people."""
    if value is None:
        return MISSING
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)  # equal tables read the same

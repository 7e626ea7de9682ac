"""What each rank leaves behind, and the one run that it makes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from executor.agreement.clock import EXACT, Offset, align, describe
from executor.ends import Took
from schedules.platform.volumes import bandwidths
from schedules.record.files import MEASURED
from schedules.record.ledger import Ledger
from schedules.record.summary import collectives_of, summarise
from schedules.record.trace import read_rank_files
from schedules.result import Result, add_ages, add_end, add_graphs, add_numbers, add_own_summary
from schedules.runs.stages import add_stages
from schedules.scenario import Scenario
from schedules.setup import exchange_ticks
from schedules.training.readout import Observation, numbers, whole_model

if TYPE_CHECKING:
    import pandas as pd

# Not `exchanges`: its entries are both ends of one, of which a rank sees one only.
_ENTRIES = ("computations", "transfers", "buffers", "dues")


@dataclass
class Report:
    """What one rank has to say after a run.

    Attributes:
        end_ns: when its last stream ended, or the run was cut.
        cut_ns: when the run was cut, the same on all ranks, or None.
        collectives: when it issued and ended each collective.
        observations: `(index, time, x)`, in a numeric run; `parameters` at the end, those of each model that it holds.
        info: about its process, for people.
        t0_ns, before, after: its clock.
        evaluation: what the user's module says of itself at the end.
    """

    rank: int
    ledger: Ledger
    end_ns: int
    cut_ns: int | None = None
    collectives: Sequence[Took] = ()
    observations: Sequence[Observation] = ()
    parameters: Sequence[NDArray[np.floating]] | None = None
    info: Mapping[str, object] = field(default_factory=dict)
    t0_ns: int = 0
    before: Offset = EXACT
    after: Offset = EXACT
    is_clock_shared: bool = True
    evaluation: dict[str, float] = field(default_factory=dict)


def stem(directory: Path, rank: int) -> Path:
    """Where a rank keeps its files; the suffix is theirs."""
    return directory / f"rank{rank}"


def write(report: Report, directory: Path) -> Path:
    """Write a report into the run's working directory."""
    told: dict[str, object] = {
        "rank": report.rank,
        "end_ns": report.end_ns,
        "cut_ns": report.cut_ns,
        "info": report.info,
        "clock": [report.t0_ns, astuple(report.before), astuple(report.after), report.is_clock_shared],
        "lanes": [each.lane for each in report.collectives],
        "evaluation": report.evaluation,
        "contributions": report.ledger.contributions.told(),
        "kernels": list(report.ledger.work.kernels),
    }
    # As bytes: how entries are packed only the ledger knows.
    arrays: dict[str, Any] = {name: np.frombuffer(bytes(getattr(report.ledger, name)), np.uint8) for name in _ENTRIES}
    arrays["contributions"] = np.frombuffer(bytes(report.ledger.contributions.packed), np.uint8)
    arrays["work"] = np.frombuffer(bytes(report.ledger.work.packed), np.uint8)
    # Reshaped, as of no collectives there would be one axis only.
    arrays["collectives"] = np.array([each[1:] for each in report.collectives], dtype=np.int64).reshape(-1, 4)
    arrays["always"] = report.ledger.memory.always[report.rank]
    if report.parameters is not None:
        told["models"] = len(report.parameters)
        arrays |= {f"parameters{number}": each for number, each in enumerate(report.parameters)}
        arrays["index"] = np.array([each[0] for each in report.observations], dtype=np.int64)
        arrays["time"] = np.array([each[1] for each in report.observations], dtype=np.float64)
        arrays["x"] = np.array([each[2] for each in report.observations])
    path = stem(directory, report.rank).with_suffix(".npz")
    np.savez(path, told=np.array(json.dumps(told)), **arrays)  # one file a rank, text and all
    return path


def read(directory: Path, rank: int) -> Report:
    """Inverse of `write`."""
    # Nothing is unpickled: the files of a cluster's ranks come over its network.
    with np.load(stem(directory, rank).with_suffix(".npz"), allow_pickle=False) as found:
        arrays = dict(found)
    told = json.loads(str(arrays["told"]))
    # A ledger's arrays go by rank; the rows of those before stay empty.
    ledger = Ledger(rank + 1)
    ledger.memory.always[rank] = arrays["always"]
    for name in _ENTRIES:
        getattr(ledger, name).extend(arrays[name].tobytes())
    ledger.contributions.extend(arrays["contributions"].tobytes(), told["contributions"])
    ledger.work.extend(arrays["work"].tobytes(), told["kernels"])
    t0_ns, before, after, is_shared = told["clock"]
    took = [Took(lane, *times) for lane, times in zip(told["lanes"], arrays["collectives"].tolist(), strict=True)]
    report = Report(
        rank, ledger, told["end_ns"], told["cut_ns"], took, info=told["info"], evaluation=told["evaluation"]
    )
    report.t0_ns, report.is_clock_shared = t0_ns, is_shared
    report.before, report.after = Offset(*before), Offset(*after)
    if "models" in told:
        report.parameters = [arrays[f"parameters{number}"] for number in range(told["models"])]
        report.observations = list(zip(arrays["index"].tolist(), arrays["time"].tolist(), arrays["x"], strict=True))
    return report


def merge(scenario: Scenario, directory: Path, info: Mapping[str, object]) -> Result:
    """The run from what its ranks have left in the working directory."""
    ranks = range(scenario.topology.workers)
    reports = [read(directory, rank) for rank in ranks]
    readies = _readies(reports)
    ledger = _ledger(reports, readies, keeps_curve=scenario.run.trace)
    end_ns, cut_ns = max(report.end_ns for report in reports), reports[0].cut_ns
    if cut_ns is not None:
        ledger.stop(cut_ns)
    summary = summarise(
        ledger,
        end_ns,
        batch_size=scenario.workload.batch_size,
        cut_ns=cut_ns,
        servers=scenario.plan.servers,
        units=scenario.plan.units,
        ticks=exchange_ticks(scenario),
    )
    result = Result(scenario, MEASURED, summary, info={"cut_ns": cut_ns, **info})
    result.info |= {"ranks": [_told(report) for report in reports]}
    if scenario.run.is_recorded:
        trace = _trace(scenario, directory, reports, readies)
        add_ages(result, trace)
    if scenario.run.trace:
        result.trace = trace
        result.memory = _on_one_clock(ledger.memory_table(), reports, ("time_ns",))
        if told := collectives_of(result.trace, len(reports), bandwidths):
            result.summary["collectives"] = told
    if reports[0].parameters is not None:
        _add_numbers(result, reports)
    add_end(result)
    add_graphs(result)
    add_stages(result, ledger)
    add_own_summary(result)
    return result


def _told(report: Report) -> dict[str, object]:
    clock = describe(report.before, report.after, is_shared=report.is_clock_shared)
    return {"rank": report.rank, "clock": clock, **report.info}


def _readies(reports: Sequence[Report]) -> list[list[int]]:
    """For each rank and each of its collectives: when the last member was there, on the rank's clock."""
    # The members of a lane make the same collectives in the same order, so the number is a name for all of them.
    starts: dict[tuple[str, int], int] = {}
    numbered = [_numbered(report.collectives) for report in reports]
    for keys, report in zip(numbered, reports, strict=True):
        for key, took in zip(keys, report.collectives, strict=True):
            starts[key] = max(starts.get(key, 0), took.start_ns)
    # The last start is on another rank's clock, which may be ahead of this one: nothing is ready after its end.
    return [
        [min(starts[key], took.end_ns) for key, took in zip(keys, report.collectives, strict=True)]
        for keys, report in zip(numbered, reports, strict=True)
    ]


def _numbered(collectives: Sequence[Took]) -> list[tuple[str, int]]:
    """Lane, and the how-manieth of the lane, of each."""
    counts: dict[str, int] = defaultdict(int)
    keys = []
    for took in collectives:
        keys.append((took.lane, counts[took.lane]))
        counts[took.lane] += 1
    return keys


def _ledger(reports: Sequence[Report], readies: Sequence[Sequence[int]], *, keeps_curve: bool) -> Ledger:
    """The facts of all ranks."""
    ledger = Ledger(len(reports), keeps_curve=keeps_curve)
    for report, ready in zip(reports, readies, strict=True):
        for name in _ENTRIES:
            # Every entry says its rank: one behind the other they are merged.
            getattr(ledger, name).extend(getattr(report.ledger, name))
        theirs = report.ledger.contributions
        ledger.contributions.extend(theirs.packed, theirs.told())
        ledger.work.extend(report.ledger.work.packed, list(report.ledger.work.kernels))
        ledger.memory.always[report.rank] = report.ledger.memory.always[report.rank]
        for took, at in zip(report.collectives, ready, strict=True):
            ledger.transferred(report.rank, took.start_ns, at, took.end_ns, sent=took.sent, held=took.held)
    return ledger


def _trace(
    scenario: Scenario, directory: Path, reports: Sequence[Report], readies: Sequence[Sequence[int]]
) -> pd.DataFrame:
    """The ranks' records, with the collectives' `ready_ns`, on one clock."""
    stems = [stem(directory, report.rank) for report in reports]
    trace = read_rank_files(stems, run=scenario.fingerprint(), world=MEASURED)
    ready_ns, start_ns, end_ns = (trace[name].to_numpy(copy=True) for name in ("ready_ns", "start_ns", "end_ns"))
    # A row has no number of its lane; but of one rank no two collectives begin and end in the same nanoseconds.
    found = {
        (report.rank, took.start_ns, took.end_ns): ready
        for report, all_ready in zip(reports, readies, strict=True)
        for took, ready in zip(report.collectives, all_ready, strict=True)
    }
    ranks = trace["rank"].to_numpy()
    is_collective = (trace["group"] != "").to_numpy()
    for row in np.flatnonzero(is_collective).tolist():
        key = (int(ranks[row]), int(start_ns[row]), int(end_ns[row]))
        ready_ns[row] = found.get(key, ready_ns[row])
    return _on_one_clock(trace.assign(ready_ns=ready_ns), reports, ("start_ns", "ready_ns", "end_ns"))


def _on_one_clock(table: pd.DataFrame, reports: Sequence[Report], times: Sequence[str]) -> pd.DataFrame:
    """A table with a column `rank`, the times of each rank with another clock aligned."""
    # Copies: what pandas shows of its own memory may be read-only.
    columns = {name: table[name].to_numpy(copy=True) for name in times}
    for report in reports:
        if not report.is_clock_shared:
            rows = (table["rank"] == report.rank).to_numpy()
            for column in columns.values():
                column[rows] = align(column[rows], report.before, report.after, report.t0_ns)
    return table.assign(**columns)


def _add_numbers(result: Result, reports: Sequence[Report]) -> None:
    """Final parameters, and loss, accuracy and consensus distance against time."""
    scenario, stages = result.scenario, result.scenario.plan.stages
    final = [report.parameters or [] for report in reports]
    if scenario.problem is None:
        result.parameters = (
            whole_model(final, stages)
            if stages
            else np.stack([np.asarray(each, dtype=np.float64) for (each,) in final])
        )
        # Prefixed, so that no name of the user's takes the place of one of ours.
        result.summary |= {f"module_{name}": value for name, value in reports[0].evaluation.items()}
        return
    found = numbers(final, [report.observations for report in reports], stages, scenario.problem, scenario.gradient_s)
    add_numbers(result, found)

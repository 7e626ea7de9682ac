"""The numbers that are said of every run, in either world: flat, SI units in the names.

What they are called, and in which unit they are printed, is in `schedules.record.quantities`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from schedules.record.contributions import UNKNOWN, Applied, Contributions, Done, Staleness, StalenessOf
from schedules.record.knowledge.ages import Ages
from schedules.record.ledger import Ledger
from schedules.record.memory import KINDS, Integers
from schedules.record.rates.window import Window, window
from schedules.record.rows import BoolArray

if TYPE_CHECKING:
    import pandas as pd

Summary = dict[str, Any]
"""The content of `summary.json`: numbers by name; arrays a rank under `per_rank`, what the rank that holds most holds
then under `peak_memory_by_kind`, a row a kind of collective under `collectives`."""

Collective = dict[str, Any]
"""A row of `collectives`: `kind`, `ranks`, `bytes`, `form`, `count`, `mean_s`, `algbw`, `busbw`."""

Bandwidths = Callable[[str, int, int, float], dict[str, float]]
"""`algbw` and `busbw` of a collective in bytes/s, from its kind, number of ranks, bytes and seconds."""

_WITH_BYTES = ("AllReduce", "ReduceScatter", "AllGather", "Broadcast", "AllToAll")


_PERCENTS = (5, 25, 50, 75, 95, 99, 100)
"""At which a distribution is told."""

Ticks = Callable[[int], Integers]
"""The ticks of all edges up to a time, both in nanoseconds, whether a worker came to them or not: int64 [num_ticks]."""


def summarise(
    ledger: Ledger,
    makespan_ns: int,
    *,
    batch_size: int,
    cut_ns: int | None = None,
    failed: Collection[int] = (),
    servers: Collection[int] = (),
    ticks: Ticks | None = None,
    units: Mapping[str, Mapping[str, int]] | None = None,
) -> Summary:
    """The summary of a run from its ledger.

    Args:
        ledger: the facts of all ranks.
        makespan_ns: when the last stream ended.
        batch_size: samples of one gradient.
        cut_ns: when the world ended the run before its programs did; None: it did not.
        failed: ranks that have failed for good.
        servers: ranks whose gradients alone count, where the schedule has servers.
        ticks: of the edges, for a run that is cut or has lost ranks: its workers did not come to all of them.
        units: what the schedule says that its kernels make, as `schedules.scenario.plan.Plan` has it.
    """
    makespan, totals, applied = makespan_ns / 1e9, ledger.totals(), ledger.contributions.applied()
    peaks = ledger.peak_memory()
    held = peaks.sum(axis=1)
    whole = max(makespan_ns, 1) * ledger.num_ranks  # a run of no time is idle, not an error
    tallies = ledger.contributions.all_tallies(applied)
    num_gradients = int(applied.gradients.sum())
    dropped = ledger.ended.dropped(num_gradients, is_cut=cut_ns is not None)
    counted = window(applied, ledger.num_ranks, makespan_ns, cut_ns=cut_ns, failed=failed, servers=servers)
    per_second = float(counted.per_s.sum())
    return {
        "makespan_s": makespan,
        "gradients": num_gradients,
        "gradients_dropped": dropped.number,
        "gradients_dropped_s": dropped.took_ns / 1e9,
        "gradients_per_s": per_second,
        "samples_per_s": per_second * batch_size,
        "window_s": counted.end_ns / 1e9,
        **_work(ledger, units or {}, partial(window, makespan_ns=makespan_ns, cut_ns=cut_ns, failed=failed)),
        **_averaging(ledger, counted, None if cut_ns is None and not failed else ticks),
        "utilization_compute": int(totals.compute_ns.sum()) / whole,
        "utilization_communication": int(totals.transfer_ns.sum()) / whole,
        "idle_fraction": 1 - int(totals.busy_ns.sum()) / whole,
        "bytes_sent": int(totals.bytes_sent.sum()),
        "exchanges": int(totals.num_exchanges.sum()) // 2,  # both ends count it
        **_staleness(applied.versions, applied.steps, applied.age_ns),
        **_staleness_in_exchanges(applied, len(ledger.exchange_ends())),
        **_means(tallies),
        **_ages(ledger.contributions, "change"),
        **_ages(ledger.contributions, "average"),
        "staleness_by_target": _by_target(tallies),
        "peak_memory_bytes": int(held.max()),
        "peak_memory_by_kind": _by_kind(peaks[held.argmax()]),
        "per_rank": {
            "gradients": _sums(applied.gradients, applied.rank, ledger.num_ranks),
            "gradients_per_s": counted.per_s.tolist(),
            "exchanges": totals.num_exchanges.tolist(),
            "compute_s": (totals.compute_ns / 1e9).tolist(),
            "transfer_s": (totals.transfer_ns / 1e9).tolist(),
            "idle_s": ((makespan_ns - totals.busy_ns) / 1e9).tolist(),
            "waiting_s": (totals.waiting_ns / 1e9).tolist(),
            "bytes_sent": totals.bytes_sent.tolist(),
            "peak_memory_bytes": held.tolist(),
        },
    }


def _work(ledger: Ledger, units: Mapping[str, Mapping[str, int]], counted: Callable[..., Window]) -> dict[str, float]:
    """How much was made of each unit that the schedule counts in, and how fast, by the rule of gradients' throughput.

    Where it names none, and no gradient was applied, the units are its kernels."""
    done = ledger.work.done(units) if units or not len(ledger.contributions) else {}
    if not units and not len(ledger.contributions):
        rank, _, end, number = ledger.ended.recent
        done["computed gradients"] = Done(rank, end, number)
    told: dict[str, float] = {}
    for unit, each in done.items():
        if len(each.rank) or unit in units:
            told[f"work.{unit}"] = int(each.gradients.sum())
            told[f"work_per_s.{unit}"] = float(counted(each, ledger.num_ranks).per_s.sum())
    return told


def _averaging(ledger: Ledger, counted: Window, ticks: Ticks | None) -> dict[str, float]:
    """How often workers averaged in the window, and how far they were behind the ticks of their clocks."""
    num_ends = int((ledger.exchange_ends() <= counted.end_ns).sum())  # two of each exchange
    num_gradients = int(counted.gradients.sum())
    told: dict[str, float] = {"exchange_rate": num_ends / num_gradients if num_gradients else 0.0}
    end, due, is_done = ledger.answers()
    if not len(due):
        return told
    is_answered = (is_done > 0) & (end <= counted.end_ns)
    # A replay follows the order and does not wait for ticks: it would be ahead of them.
    lag_ns = _known(np.maximum(0, (end - due)[is_answered]))
    num_due = _num_due(due, is_done > 0, counted.end_ns, None if ticks is None else ticks(counted.end_ns))
    return told | {
        "exchanges_due": num_due,
        "backlog_exchanges": max(0, num_due - int(is_answered.sum()) // 2),
        "lag_mean_s": float(lag_ns.mean() / 1e9),
        "lag_p95_s": float(np.percentile(lag_ns, 95) / 1e9),
    }


def _num_due(due: Integers, is_done: BoolArray, end_ns: int, ticks: Integers | None) -> int:
    """How many exchanges were due: from the ticks that ends have answered, or from those of the edges, if not all were
    come to."""
    is_in = due <= end_ns
    if ticks is not None and np.isin(due[is_in], ticks).all():  # else a program has ticks of its own
        return len(ticks)
    # Both ends have one that is done; one that was lost with a rank may have a single end.
    return -(-int((is_in & is_done).sum()) // 2) + len(np.unique(due[is_in & ~is_done]))


def _sums(values: Integers, rank: Integers, num_ranks: int) -> list[int]:
    """The sum of each rank's values."""
    sums = np.zeros(num_ranks, dtype=np.int64)
    np.add.at(sums, rank, values)
    return sums.tolist()


def _by_kind(peak: Integers) -> dict[str, int]:
    """What makes up the peak of a rank, in bytes."""
    return {kind: size for kind, size in zip(KINDS, peak.tolist(), strict=True) if size}


def _staleness(versions_behind: Integers, steps_behind: Integers, age_ns: Integers) -> dict[str, float]:
    """Of the gradients that were applied and whose reading is known: in versions, local steps and seconds.

    `staleness_p95` is a number of versions that was observed (`percentile`)."""
    versions_behind, steps_behind, age_ns = (_known(each) for each in (versions_behind, steps_behind, age_ns))
    return {
        "staleness_mean": float(versions_behind.mean()),
        "staleness_p95": percentile(versions_behind, 95),
        "staleness_max": int(versions_behind.max()),
        "staleness_steps_mean": float(steps_behind.mean()),
        "staleness_steps_max": int(steps_behind.max()),
        "staleness_mean_s": float(age_ns.mean() / 1e9),
        "staleness_max_s": float(age_ns.max() / 1e9),
    }


def _staleness_in_exchanges(applied: Applied, num_ends: int) -> dict[str, float]:
    """Of gradients, in a run with exchanges: how many of these were written to x between read and apply. They are the
    versions that no gradient step has written."""
    is_known = (applied.steps != UNKNOWN) & (applied.gradients > 0)
    if not num_ends or not is_known.any():
        return {}
    told = _told((applied.versions - applied.steps)[is_known])
    return {f"staleness_exchanges_{name}": value for name, value in told.items() if name != "p50"}


def percentile(values: Integers, percent: int) -> int:
    """The smallest of the values that at least so many percent of them do not exceed: one that was observed.

    It is the inverse of the empirical distribution function (numpy's method "inverted_cdf"), in whole numbers: of
    integers no percentile lies between two of them.

    Args:
        values: int64 [n], at least one.
        percent: from 1 to 100.
    """
    rank = -(-percent * len(values) // 100) - 1  # rounded up without floats
    return int(np.partition(values, rank)[rank])


def told_ages(found: Ages) -> Summary:
    """How old what workers knew of each other was: mean, percentiles and largest, in versions and in seconds, the same
    at more percents as rows `ages`, and the share of the others of whom nothing was known.

    Of those of whom nothing was known there is no age, so where that is all, the share is all that is told."""
    told: Summary = {"age_unknown_fraction": found.num_unknown / max(1, found.num_unknown + len(found.rank))}
    if not len(found.rank):
        return told
    told |= {f"age_{name}": value for name, value in _told(found.versions).items()}
    told |= {f"age_{name}_s": value / 1e9 for name, value in _told(found.age_ns).items()}
    rows = ((percent, *(percentile(each, percent) for each in (found.versions, found.age_ns))) for percent in _PERCENTS)
    return told | {"ages": [{"percent": each, "versions": behind, "age_s": ns / 1e9} for each, behind, ns in rows]}


def _told(values: Integers) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "p50": percentile(values, 50),
        "p95": percentile(values, 95),
        "max": int(values.max()),
    }


def _means(found: StalenessOf) -> dict[str, float]:
    """The mean staleness in versions of each kind of contribution that there was: `staleness_mean.average`."""
    kinds = _merged(found, lambda kind, _: (kind,))
    return {f"staleness_mean.{kind}": each.total / each.count for (kind,), each in kinds}


def _ages(found: Contributions, kind: str) -> dict[str, float]:
    """How old those of a kind that counts no gradient were, in the worker's own steps and in seconds, if any were."""
    steps, ages_ns = found.ages_of(kind)
    told = {}
    if len(steps):
        told[f"{kind}_age_steps_mean"] = float(steps.mean())
    if len(ages_ns):
        told[f"{kind}_age_mean_s"] = float(ages_ns.mean() / 1e9)
    return told


def _by_target(found: StalenessOf) -> list[dict[str, Any]]:
    """The rows of `staleness_by_target`: one a target and kind."""
    return [
        {
            "target": target,
            "kind": kind,
            "count": each.count,
            "staleness_mean": each.total / each.count,
            "staleness_max": each.largest,
        }
        for (target, kind), each in _merged(found, lambda kind, target: (target, kind))
    ]


def _merged(found: StalenessOf, key: Callable[[str, str], tuple[str, ...]]) -> list[tuple[tuple[str, ...], Staleness]]:
    """Those with one key of their kind and target together, by key."""
    merged: dict[tuple[str, ...], Staleness] = defaultdict(Staleness)
    for (kind, target, _), each in found.items():
        merged[key(kind, target)].add(each.count, each.total, each.largest)
    return sorted(merged.items(), key=lambda item: item[0])


def _known(values: Integers) -> Integers:
    known = values[values != UNKNOWN]
    # Of no gradient the mean would be NaN, which is no JSON.
    return known if len(known) else np.zeros(1, dtype=np.int64)


def collectives_of(trace: pd.DataFrame, num_ranks: int, bandwidths: Bandwidths) -> list[Collective]:
    """What collectives took, from when their last member was there: as a simulation's summary has them, one row a kind,
    number of ranks and bytes; times in seconds, `algbw` and `busbw` in bytes/s. Where members bring unequal bytes it is
    the most of any."""
    rows = trace[trace["op"].isin(_WITH_BYTES)].sort_values("start_ns", kind="stable")
    communicator = ["op", "group", "channel"]
    rows = rows.assign(number=rows.groupby(["rank", *communicator]).cumcount())  # alike on all members
    rows = rows.assign(bytes=rows.groupby([*communicator, "number"])["bytes"].transform("max"))
    members = rows["group"].map(lambda group: num_ranks if group == "all" else len(group.split(",")))
    took = rows.assign(ranks=members, took=(rows["end_ns"] - rows["ready_ns"]) / 1e9)
    found = []
    for key, each in took.groupby(["op", "ranks", "bytes"], sort=True)["took"]:
        kind, n, size = cast(tuple[str, int, int], key)
        mean = float(each.mean())
        row = {"kind": kind, "ranks": int(n), "bytes": int(size), "form": "measured", "count": len(each) // int(n)}
        found.append({**row, "mean_s": mean, **bandwidths(kind, int(n), int(size), mean)})
    return found

"""What was applied to the parameters, how stale it was then, and what was computed in vain.

Both worlds' models enter them as things happen (`schedules.training.model`); docs/vocabulary.md says who counts what.
"""

from __future__ import annotations

import struct
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from schedules.payload import AVERAGE, GRADIENT, Payload, What
from schedules.record.memory import LATEST, Integers
from schedules.record.trace import Names

_WIDTH = 8
_pack = struct.Struct(f"<{_WIDTH}q").pack  # "<": as numpy reads them below, on any machine
_pack_work = struct.Struct("<4q").pack

UNKNOWN = -(2**63)
"""How far behind a contribution was that does not say it: a payload that a program has made itself has no step. Not -1:
what comes from another rank may be ahead of the parameters that it is applied to."""


class Applied(NamedTuple):
    """Gradients, and changes that gradients are in, in the order in which they were applied: int64 [num_applied] each.

    Attributes:
        rank: who applied it.
        what: what it was, by its number in `Contributions.whats`.
        versions: versions of the target written between its read and its apply.
        steps: gradient steps of the worker between them, or `UNKNOWN`.
        age_ns: nanoseconds between them, or `UNKNOWN`.
        at_ns: when it was applied.
        gradients: how many gradients count by it; in a staged run at stage 0 alone.
        size: bytes that it took of its own until it was applied.
    """

    rank: Integers
    what: Integers
    versions: Integers
    steps: Integers
    age_ns: Integers
    at_ns: Integers
    gradients: Integers
    size: Integers


class Staleness:
    """How stale contributions of one kind to one target were, in versions of it; of none the largest is `UNKNOWN`.

    Not 0: what comes from another rank may be ahead of what it is applied to, and then all are negative."""

    __slots__ = ("count", "largest", "total")

    def __init__(self, count: int = 0, total: int = 0, largest: int = UNKNOWN) -> None:
        self.count, self.total, self.largest = count, total, largest

    def add(self, count: int, total: int, largest: int) -> None:
        """Count more."""
        self.count, self.total, self.largest = self.count + count, self.total + total, max(self.largest, largest)


class StalenessOf(dict[What, Staleness]):
    """By what they are."""

    def __missing__(self, key: What) -> Staleness:
        staleness = self[key] = Staleness()
        return staleness


Told = Mapping[str, Sequence[Sequence[Any]]]
"""What a rank tells of its contributions beside the entries, as JSON has it: `places`, `whats` and `behind`."""


class Contributions:
    """The contributions of a run.

    What counts a gradient has an entry. Of others, such as averages, asynchronous schedules make as many, and how stale
    each was is all that is kept: entries would be a third of the ledger's time.

    Attributes:
        packed: the entries, as they lie in memory and in a rank's report.
        places: where contributions are applied, each by its number: (rank, stage, bytes of a gradient).
        whats: what they are, each by its number.
        behind: of what counts no gradient, by what it is: versions of the target written between read and apply.
        ages: of these all but averages, likewise: gradient steps of the worker, and nanoseconds, between read and
            apply, in turns; or `UNKNOWN`.
    """

    def __init__(self) -> None:
        self.packed = bytearray()
        self.places: Names[tuple[int, int, int]] = Names()
        self.whats: Names[What] = Names({GRADIENT: 0})  # most are gradients: their number is not looked up
        self.behind: defaultdict[What, array[int]] = defaultdict(partial(array, "q"))
        self.ages: defaultdict[What, array[int]] = defaultdict(partial(array, "q"))
        self._hear: Callable[[int, int], None] | None = None

    def listen(self, hear: Callable[[int], None] | None) -> None:
        """Have `hear(number)` called when gradients that count are applied, by the workers that are there by now."""
        is_counted = [stage <= 0 for _, stage, _ in self.places]
        self._hear = hear and (lambda place, number: hear(number) if number and is_counted[place] else None)

    def enter(self, place: int, version: int, step: int, now: int, given: Payload) -> None:
        """Enter a contribution that is applied now, to this version of its target, at this step of the worker."""
        # As it is: how stale it was is worked out for all at once.
        what = 0 if given.what is GRADIENT else self.whats[given.what]
        self.packed += _pack(place, what, version, given.version, step, given.step, now, given.read_ns)
        if self._hear is not None:
            self._hear(place, given.what[2])

    def tally(self, versions: int, step: int, now: int, given: Payload) -> None:
        """Count one without a gradient, so many versions late, that is applied now at this step of the worker."""
        self.behind[given.what].append(versions)
        # Of parameters that are handed out as they are (`outgoing`) versions alone: gossip has as many as gradients.
        if given.what is not AVERAGE:
            steps = step - given.step if given.step >= 0 else UNKNOWN
            self.ages[given.what].extend((steps, now - given.read_ns if given.read_ns >= 0 else UNKNOWN))

    def ages_of(self, kind: str) -> tuple[Integers, Integers]:
        """Of one kind that counts no gradient, where it is known: steps and nanoseconds between read and apply."""
        found = [np.array(each, dtype=np.int64).reshape(-1, 2) for what, each in self.ages.items() if what[0] == kind]
        steps, ages_ns = np.concatenate(found or [np.empty((0, 2), dtype=np.int64)]).T
        return steps[steps != UNKNOWN], ages_ns[ages_ns != UNKNOWN]

    def __len__(self) -> int:
        return len(self.packed) // (8 * _WIDTH)

    def all_tallies(self, applied: Applied | None = None) -> StalenessOf:
        """How stale all were, those that have entries too; `applied`: these, where they are decoded already."""
        found = StalenessOf(
            {key: Staleness(len(each), sum(each), max(each)) for key, each in self.behind.items() if each}
        )
        applied = self.applied() if applied is None else applied
        for number, what in enumerate(self.whats):
            versions = applied.versions[applied.what == number]
            if len(versions):
                found[what].add(len(versions), int(versions.sum()), int(versions.max()))
        return found

    @property
    def num_gradients(self) -> int:
        """How many gradients count by them."""
        return int(self.applied().gradients.sum())

    def applied(self, since: int = 0) -> Applied:
        """All that have entries, or those from a number on."""
        columns = np.frombuffer(bytes(self.packed[8 * _WIDTH * since :]), dtype="<i8").reshape(-1, _WIDTH).T
        place, what, version, read, step, step_read, now, read_ns = columns
        rank, stage, size = _table(self.places, 3)[:, place]
        sorts = ((kind == "gradient", count) for kind, _, count in self.whats)
        is_gradient, gradients = _table(sorts, 2)[:, what]
        behind = (version - read, _since(step, step_read), _since(now, read_ns))
        return Applied(
            rank, what, *behind, at_ns=now, gradients=np.where(stage <= 0, gradients, 0), size=is_gradient * size
        )

    # ------------------------------------------------------------------ from rank to rank

    def told(self) -> Told:
        """All but the entries, as JSON has it."""
        behind = [(*key, each.tolist(), self.ages[key].tolist()) for key, each in self.behind.items() if each]
        return {"places": list(self.places), "whats": list(self.whats), "behind": behind}

    def extend(self, packed: bytes | bytearray, told: Told) -> None:
        """Enter those of another rank; `told` is what it has told of them."""
        entries = np.frombuffer(packed, dtype="<i8").reshape(-1, _WIDTH).copy()
        places = np.array([self.places[rank, stage, size] for rank, stage, size in told["places"]], dtype=np.int64)
        whats = np.array([self.whats[kind, target, count] for kind, target, count in told["whats"]], dtype=np.int64)
        entries[:, 0], entries[:, 1] = places[entries[:, 0]], whats[entries[:, 1]]
        self.packed += entries.tobytes()
        for kind, target, gradients, behind, ages in told["behind"]:
            self.behind[kind, target, gradients].extend(behind)
            self.ages[kind, target, gradients].extend(ages)


def _since(now: Integers, then: Integers) -> Integers:
    """How far each has come, where it is known from what."""
    return np.where(then < 0, UNKNOWN, now - then)


def _table(rows: Iterable[tuple[int, ...]], width: int) -> Integers:
    """Rows as columns: int64 [width, num_rows]."""
    return np.array(list(rows), dtype=np.int64).reshape(-1, width).T


class Done(NamedTuple):
    """What was done, in a unit that is none of gradients: int64 [num_done] each, as in `Applied`."""

    rank: Integers
    at_ns: Integers
    gradients: Integers


class KernelEnds:
    """Kernels that ended, so that programs without gradients have a throughput, too: rank, start, end, kernel's number.

    Attributes:
        is_declared: whether the schedule says what its kernels make. Then all are kept, those of gradients too.
        until_ns: when the run was cut: what ends later has not.
    """

    def __init__(self) -> None:
        self.packed = bytearray()
        self.kernels: Names[str] = Names()
        self.is_declared = False
        self.until_ns: int | None = None

    def enter(self, rank: int, start: int, end: int, kernel: str) -> None:
        """Enter one."""
        self.packed += _pack_work(rank, start, end, self.kernels[kernel])

    def take_back(self, rank: int, start: int, end: int) -> None:
        """One that was entered to its end is abandoned."""
        at = self.packed.rfind(_pack_work(rank, start, end, 0)[:24])  # from the end: it was entered not long ago
        if at >= 0:
            del self.packed[at : at + 32]

    def extend(self, packed: bytes | bytearray, kernels: Sequence[str]) -> None:
        """Enter those of another rank, and the names by their numbers there."""
        entries = np.frombuffer(packed, dtype="<i8").reshape(-1, 4).copy()
        entries[:, 3] = np.array([self.kernels[name] for name in kernels], dtype=np.int64)[entries[:, 3]]
        self.packed += entries.tobytes()

    def done(self, units: Mapping[str, Mapping[str, int]]) -> dict[str, Done]:
        """What they made, by unit; without any units each kernel is one."""
        rank, _, end, kernel = np.frombuffer(bytes(self.packed), dtype="<i8").reshape(-1, 4).T
        found = {}
        for unit, made in (units or {name: {name: 1} for name in self.kernels}).items():
            number = np.array([made.get(name, 0) for name in self.kernels], dtype=np.int64)[kernel]
            is_made = (number > 0) & (end <= (LATEST if self.until_ns is None else self.until_ns))
            found[unit] = Done(rank[is_made], end[is_made], number[is_made])
        return found


class Dropped(NamedTuple):
    """Gradients that were computed and never applied, and the nanoseconds that they took."""

    number: int
    took_ns: int


class Ended:
    """Computed gradients by rank.

    Those that ended after the rank's last apply are kept one by one (`recent`: rank, start, end, number): in a run that
    is cut they are under way.
    """

    def __init__(self, num_ranks: int) -> None:
        self._counts, self._took = (np.zeros(num_ranks, dtype=np.int64) for _ in range(2))
        self._last_applied = np.full(num_ranks, -1, dtype=np.int64)
        self.recent = np.empty((4, 0), dtype=np.int64)

    def enter(self, computations: Integers) -> None:
        """Enter computations that are over: rows rank, start, end, and how many gradients each has computed."""
        self.recent = np.concatenate((self.recent, computations[:, computations[3] > 0]), axis=1)

    def applied(self, rank: Integers, at_ns: Integers) -> None:
        """Gradients were applied: what had ended by then is under way no more."""
        np.maximum.at(self._last_applied, rank, at_ns)
        is_old = self.recent[2] < self._last_applied[self.recent[0]]
        self._add(self.recent[:, is_old])
        self.recent = self.recent[:, ~is_old]

    def dropped(self, num_applied: int, *, is_cut: bool) -> Dropped:
        """What was computed and not applied; in a run that was cut, without what was under way."""
        counts, took = int(self._counts.sum()), int(self._took.sum())
        rank, start, end, gradients = self.recent
        is_counted = (end == self._last_applied[rank]) | (not is_cut)
        counts, took = counts + int(gradients[is_counted].sum()), took + int((end - start)[is_counted].sum())
        number = max(0, counts - num_applied)
        return Dropped(number, round(took * number / counts) if counts else 0)

    def _add(self, computations: Integers) -> None:
        rank, start, end, gradients = computations
        np.add.at(self._counts, rank, gradients)
        np.add.at(self._took, rank, end - start)

"""Where the ranks' time and memory go, and how stale what they apply is: the facts behind every summary.

A `Ledger` holds one entry a computation, a transfer and an applied gradient, and one a buffer that none of these tells
of; everything else is worked out from these. Both worlds enter them as things happen, so one definition of busy,
transferring, idle and held serves both, and runs whose trace is not kept.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schedules.errors import MisuseError
from schedules.misuse.values import WHOLE, short
from schedules.record.contributions import UNKNOWN, Contributions, Ended, KernelEnds
from schedules.record.memory import KIND, KINDS, LATEST, Integers, Intervals, Memory, lengths, union

if TYPE_CHECKING:
    import pandas as pd

    from schedules.operations import Compute
    from schedules.record.trace import Contribution

_pack_computation = struct.Struct("<4q").pack  # "<": as numpy reads them below, on any machine
_pack_transfer = struct.Struct("<7q").pack
_pack_message = struct.Struct("<14q").pack  # two transfers
_pack_exchange, _pack_due = struct.Struct("<8q").pack, struct.Struct("<3q").pack
_pack_buffer = struct.Struct("<5q").pack


class Totals(NamedTuple):
    """Where the ranks' time went, in nanoseconds, and what they sent: int64 [num_ranks] each.

    Attributes:
        compute_ns: time in which at least one engine computes.
        transfer_ns: time in which at least one transfer of the rank is under way, waiting left out.
        busy_ns: time in which the rank computes or transfers; the rest of the makespan is idle.
        waiting_ns: time between issue and the last participant's arrival, summed over operations.
        bytes_sent: bytes handed to the network.
        num_exchanges: exchanges that the rank took part in.
    """

    compute_ns: Integers
    transfer_ns: Integers
    busy_ns: Integers
    waiting_ns: Integers
    bytes_sent: Integers
    num_exchanges: Integers


class Ledger:
    """The facts of a run: integer nanoseconds, versions, bytes.

    Worlds enter them by the methods `computed`, `transferred`, `exchanged` and `held`, models by those of its
    `contributions`.

    Args:
        keeps_curve: whether all buffers are kept, for what is held over time; else only what the peaks need.
    Attributes:
        now: time of the segment under way.
        computations: entries (rank, start, end, gradients that it has computed).
        transfers: entries (rank, issued, ready, end, bytes sent, 1: exchange, -1 - r: message to r, bytes held).
        exchanges: both ends of one at once, which are two transfers: entries (rank that came last, its peer, when the
            peer issued it, when the other did, end, end of the peer's, bytes of one direction, tick answered or -1).
        dues: of ends of exchanges that answer a tick: entries (end, tick, 1 where it is done).
        contributions: what was applied.
        buffers: entries (rank, number of `schedules.record.memory.KINDS`, since, until, bytes).
        memory: what is made of them, and what the ranks hold throughout.
        activations: bytes that kernels hold, by their name; those that hold none are not in it.
        ended: the gradients that were computed.
        work: the kernels that ended and computed none.
        num_transfers, messages, computing: folded: how many; bytes one way by sender and receiver; disjoint intervals.
    """

    def __init__(self, num_ranks: int = 1, *, keeps_curve: bool = False) -> None:
        self.num_ranks = num_ranks
        self.now = 0
        # Packed rather than lists of tuples: a sixth of the memory, and one buffer that numpy reads as it is.
        self.computations, self.transfers, self.exchanges = bytearray(), bytearray(), bytearray()
        self.dues, self.buffers = bytearray(), bytearray()
        self.contributions = Contributions()
        self.memory = Memory(num_ranks, keeps_curve=keeps_curve)
        self.activations: dict[str, int] = {}
        self.ended, self.work = Ended(num_ranks), KernelEnds()
        nothing = np.empty(0, dtype=np.int64)
        self.computing: Intervals = (nothing, nothing, nothing)
        self._transferring = self.computing
        self._waited, self._sent, self._exchanges = (np.zeros(num_ranks, dtype=np.int64) for _ in range(3))
        self._exchange_ends, self._num_folded, self.num_transfers = [nothing], 0, 0
        self.messages = Counter[tuple[int, int]]()
        self._passes: dict[int, tuple[int, int]] = {}

    # ------------------------------------------------------------------ entries

    def computed(
        self, rank: int, start: int, end: int, operation: Compute, gradients: int = 0, *, is_done: bool = True
    ) -> None:
        """Enter a computation, how many gradients it has computed, and the activations that it needs."""
        self.computations += _pack_computation(rank, start, end, gradients)
        if is_done and (not gradients or self.work.is_declared):
            self.work.enter(rank, start, end, operation.kernel)
        if self.activations:
            self._hold_activations(rank, operation, start, end)

    def transferred(
        self, rank: int, issued: int, ready: int, end: int, *,
        sent: int = 0, to: int = -1, is_exchange: bool = False, held: int = 0, due: int = -1,
    ) -> None:  # fmt: skip
        """Enter a transfer: bytes `sent`, of a message `to` another; `held` from issue to end; the tick it answers."""
        self.transfers += _pack_transfer(rank, issued, ready, end, sent, is_exchange or -1 - to, held)
        if due >= 0:
            self.dues += _pack_due(end, due, is_exchange)

    def passed(self, source: int, sent_ns: int, target: int, asked_ns: int, ready: int, end: int, size: int) -> None:
        """Enter both ends of a message."""
        self.transfers += _pack_message(
            source, sent_ns, ready, end, size, -1 - target, size, target, asked_ns, ready, end, 0, 0, size
        )

    def exchanged(
        self, rank: int, peer: int, issued: int, ready: int, end: int, peer_end: int, size: int, due: int = -1
    ) -> None:
        """Enter both ends of an exchange; `rank` came last, at `ready`, its peer at `issued`."""
        self.exchanges += _pack_exchange(rank, peer, issued, ready, end, peer_end, size, due)

    def held(self, rank: int, kind: str, size: int, since_ns: int, until_ns: int) -> None:
        """Enter a buffer when it is let go, not before now; `kind` is one of `KINDS`."""
        self.buffers += _pack_buffer(rank, KIND[kind], since_ns, until_ns, size)

    def shorten(self, rank: int, start: int, end: int, now: int) -> None:
        """A computation that was entered to its end is abandoned now, and its activations with it."""
        entry = _pack_computation(rank, start, end, 0)[:24]
        at = self.computations.rfind(entry)  # from the end: it was entered not long ago
        if at >= 0:
            self.computations[at : at + 32] = _pack_computation(rank, start, now, 0)
        self.work.take_back(rank, start, end)
        self._passes.pop(rank, None)
        owner, kind, since, until, size = _entries(bytes(self.buffers), 5)  # a copy, as entries are replaced below
        found = np.flatnonzero((owner == rank) & (kind == KIND["activations"]) & (since <= start) & (until == end))
        for at in found[-1:].tolist():
            self.buffers[at * 40 : at * 40 + 40] = _pack_buffer(rank, kind[at], since[at], now, size[at])

    def _hold_activations(self, rank: int, operation: Compute, start: int, end: int) -> None:
        """Enter the activations that a computation needs: since its first input was computed, or since what had that
        input before it; without inputs, while it runs."""
        size = self.activations.get(operation.kernel, 0)
        if not size:
            return
        first = operation.inputs[0] if isinstance(operation.inputs, tuple) and operation.inputs else None
        read = getattr(first, "read_ns", -1)
        if read >= 0:
            before, until = self._passes.get(rank, (-1, -1))
            start = until if before == read else read
            self._passes[rank] = read, end
        self.held(rank, "activations", size, start, end)

    # ------------------------------------------------------------------ folding

    def fold(self, until: int | None = None) -> None:
        """Turn what is over by a time, or by now, into unions, totals and peaks: a ledger stays small in long runs.

        What worlds enter afterwards ends then or later. The totals below fold everything: ask for them after the run.
        """
        until = self.now if until is None else until
        is_new = self.exchanges or self.computations or self.transfers or self.buffers
        if not is_new and len(self.contributions) == self._num_folded:
            return  # whoever asks for totals asks for several
        self.transfers += _transfers_of(self.exchanges)
        self.dues += _dues_of(self.exchanges)
        self.exchanges = bytearray()
        computations, self.computations = _split(self.computations, 4, 2, until)
        transfers, self.transfers = _split(self.transfers, 7, 3, until)
        held, self.buffers = _split(self.buffers, 5, 3, until)
        self.computing = union(self.computing, computations[:3])
        self.ended.enter(computations)
        if len(self.contributions) and not self.work.is_declared:
            self.work.packed.clear()  # the gradients say how fast the run is
        self._transferring = union(self._transferring, transfers[[0, 2, 3]])
        rank, issued, ready, end, size, partner, _ = transfers
        self.num_transfers += len(end)
        self._exchange_ends.append(end[partner > 0])
        np.add.at(self._waited, rank, ready - issued)  # `+=` would count a rank once, however often it is in it
        np.add.at(self._sent, rank, size)
        np.add.at(self._exchanges, rank, partner > 0)
        _add_messages(self.messages, rank[partner < 0], -1 - partner[partner < 0], size[partner < 0])
        self._fold_memory(transfers, held)

    def stop(self, now: int) -> None:
        """The run ends now, in the middle of things. The time of what is under way counts up to now; it is not done."""
        self.fold(now)
        self.work.until_ns = now
        dues = np.frombuffer(self.dues, dtype="<i8").reshape(-1, 3)
        dues[dues[:, 0] > now, 2] = 0
        for packed, width, times, undone in (
            (self.computations, 4, [2], [3]),  # it has computed nothing
            (self.transfers, 7, [2, 3], [4, 5]),  # neither bytes nor an exchange
            (self.buffers, 5, [3], []),
        ):
            entries = np.frombuffer(packed, dtype="<i8").reshape(-1, width)
            entries[:, times] = np.minimum(entries[:, times], now)  # this writes into the bytearray
            entries[:, undone] = 0

    def _fold_memory(self, transfers: Integers, held: Integers) -> None:
        memory = self.memory
        applied = self.contributions.applied(self._num_folded)
        self._num_folded += len(applied.rank)
        self.ended.applied(applied.rank, applied.at_ns)
        read_at = applied.at_ns - np.where(applied.age_ns == UNKNOWN, 0, applied.age_ns)
        memory.enter(applied.rank, read_at, applied.at_ns, KIND["gradients"], applied.size)
        rank, issued, _, end, _, _, size = transfers
        memory.enter(rank, issued, end, KIND["in-flight"], size)
        rank, kind, since, end, size = held
        memory.enter(rank, since, end, kind, size)
        memory.fold()

    # ------------------------------------------------------------------ what it comes to

    def totals(self) -> Totals:
        """Of everything that was entered."""
        self.fold(LATEST)
        return Totals(
            compute_ns=lengths(self.computing, self.num_ranks),
            transfer_ns=lengths(self._transferring, self.num_ranks),
            busy_ns=lengths(union(self.computing, self._transferring), self.num_ranks),
            waiting_ns=self._waited,
            bytes_sent=self._sent,
            num_exchanges=self._exchanges,
        )

    def exchange_ends(self) -> Integers:
        """When exchanges were over, both ends of each, in no order: int64 [num_ends]."""
        self.fold(LATEST)
        return np.concatenate(self._exchange_ends)

    def answers(self) -> Integers:
        """End, tick, and 1 where it was done, of each end of an exchange that answers a tick: int64 [3, num_ends]."""
        self.fold(LATEST)
        return _entries(bytes(self.dues), 3)

    def peak_memory(self) -> Integers:
        """What each rank holds when it holds most, by kind (`memory.KINDS`): int64 [num_ranks, len(KINDS)]."""
        self.fold(LATEST)
        return self.memory.peak()

    def memory_table(self) -> pd.DataFrame:
        """What every rank holds over time: columns rank, time_ns, kind, bytes; needs `keeps_curve`."""
        assert self.memory.keeps_curve, "the curve was folded away"
        self.fold(LATEST)
        return self.memory.table()


class Account:
    """One rank's page of a ledger: where a program says what it keeps.

    Attributes:
        log: contributions applied since the driver last looked; None where no trace is kept.
    """

    __slots__ = ("ledger", "log", "rank")

    def __init__(self, rank: int = 0, ledger: Ledger | None = None, *, is_recorded: bool = False) -> None:
        self.rank = rank
        self.ledger = ledger or Ledger(rank + 1)
        self.log: list[Contribution] | None = [] if is_recorded else None

    def held(self, kind: str, size: int, since_ns: int, until_ns: int | None = None) -> None:
        """Enter a buffer when it is let go.

        Args:
            kind: one of `schedules.record.memory.KINDS`, such as "stashes".
            size: bytes.
            since_ns: when it was made, such as the `read_ns` of the payload that it belongs to.
            until_ns: when it is let go, not before now; None: now.
        """
        ledger, until_ns = self.ledger, self.ledger.now if until_ns is None else until_ns
        if kind not in KINDS:
            raise MisuseError(f"account.held: expected one of the kinds {', '.join(KINDS)}, found {short(kind)}")
        for name, value in {"size": size, "since_ns": since_ns, "until_ns": until_ns}.items():
            if value.__class__ is not int:
                WHOLE.of(value, f"account.held: {name}")
        ledger.held(self.rank, kind, size, since_ns, until_ns)


def _entries(packed: bytes | bytearray, width: int) -> Integers:
    """The entries, one a column; a bytearray cannot grow while they are in use."""
    return np.frombuffer(packed, dtype="<i8").reshape(-1, width).T


def _transfers_of(exchanges: bytearray) -> bytes:
    """The two transfers of each exchange."""
    rank, peer, issued, ready, end, peer_end, size, _ = _entries(exchanges, 8)
    last = (rank, ready, ready, end, size, np.ones_like(size), 2 * size)  # held: what is sent, and room for theirs
    first = (peer, issued, ready, peer_end, size, np.ones_like(size), 2 * size)
    return np.stack((np.stack(last), np.stack(first))).transpose(2, 0, 1).astype("<i8").tobytes()


def _dues_of(exchanges: bytearray) -> bytes:
    """The entries of both ends of those exchanges that answer a tick."""
    *_, end, peer_end, _, due = _entries(exchanges, 8)
    both = np.stack((np.append(end, peer_end), np.append(due, due), np.ones(2 * len(due), dtype=np.int64)))
    return both[:, both[1] >= 0].T.astype("<i8").tobytes()


def _split(packed: bytearray, width: int, end: int, until: int) -> tuple[Integers, bytearray]:
    """The entries that are over by `until`, and the others as they were."""
    rows = _entries(packed, width).T
    is_over = rows[:, end] <= until
    if is_over.all():
        return rows.T, bytearray()
    return rows[is_over].T, bytearray(rows[~is_over].tobytes())


def _add_messages(found: Counter[tuple[int, int]], sender: Integers, receiver: Integers, size: Integers) -> None:
    if not len(size):
        return
    pairs, number = np.unique(np.stack((sender, receiver)), axis=1, return_inverse=True)
    sizes = np.zeros(pairs.shape[1], dtype=np.int64)
    np.add.at(sizes, number, size)
    found.update(dict(zip(map(tuple, pairs.T.tolist()), sizes.tolist(), strict=True)))

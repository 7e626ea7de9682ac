"""Collectives of a run: who has come, by which algorithm, and when each member has its answer.

Two forms. By formula: all begin when the last member is there, and end together, as on an idle network. By flows: each
member goes through the algorithm's rounds as its messages arrive over the network (`simulator.collectives.lowered`), so
that it feels late members, slow links and other traffic. In both, the collectives of one group go one behind the other,
as on one communicator; by flows those of one stream and group, as every stream may have a communicator of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from schedules.driving.driver import Running
from schedules.errors import DeadRankError, ProgramError
from schedules.operations import AllToAll, Barrier, Broadcast, Group, ReduceScatter
from schedules.platform.tables import CollectivesTable
from schedules.platform.volumes import bandwidths, bytes_sent, latency_rounds
from schedules.record.ledger import Ledger
from schedules.scenario import ScenarioError
from simulator.collectives import formulas as collectives
from simulator.collectives.choice import choose
from simulator.collectives.lowered import Lowered
from simulator.collectives.patterns import Pattern, pattern
from simulator.messages.fabric import Fabric, Levels
from simulator.messages.formulas import Ideal


class World(Protocol):
    """What collectives need of the world."""

    ledger: Ledger
    transport: Ideal
    fabric: Fabric | None

    def transfer_began(self, at: int, *ranks: int) -> None:
        """Bytes from or to these ranks are under way from `at` on."""

    def transfer_ended(self, at: int, *ranks: int) -> None:
        """They are no longer."""

    def schedule(self, at: int, call: Callable[[], object]) -> None:
        """Call `call(event)` at a tick."""

    def end_collective(self, running: Running, ready: int, end: int, sent: int) -> None:
        """A member has its answer: all were there at `ready`, it is over at `end`, it has sent so many bytes."""


class Gathering:
    """One collective: its members, and how it is carried out.

    Attributes:
        members: ranks, ascending.
        operations: what has been issued, by rank.
        arrived: the same under way, until it ends.
        last_ns: when the last member so far took part.
        gone: members that have failed for good, and that nobody waits for.
        done: members that have their answers.
    """

    __slots__ = (
        "algorithm",
        "answers",
        "arrived",
        "done",
        "gone",
        "last_ns",
        "levels",
        "lowered",
        "members",
        "operations",
    )

    def __init__(self, members: Sequence[int], levels: Levels, algorithm: str) -> None:
        self.members = members
        self.levels = levels
        self.algorithm = algorithm
        self.operations: dict[int, Any] = {}
        self.arrived: dict[int, Running] = {}
        self.lowered: Lowered | None = None
        self.answers: list[Any] | None = None
        self.gone: set[int] = set()
        self.last_ns = 0
        self.done = 0

    @property
    def is_full(self) -> bool:
        """Whether everybody has come who still may."""
        return len(self.operations) == len(self.members) - len(self.gone)


class Gatherings:
    """The collectives of a run.

    Args:
        world: they are a part of.
        table: which algorithms, in which form.
    Attributes:
        away: ranks that have failed, and the tick at which each is back: until then a formula does not begin.
    """

    def __init__(self, world: World, table: CollectivesTable) -> None:
        self.world = world
        self.table = table
        rest = {"all_reduce": "auto"} if table.all_reduce == "hierarchical" else {}
        self._table_of_rest = table.model_copy(update=rest)  # whoever is left of a node may be fewer than on others
        self.num_ranks = world.ledger.num_ranks
        self.transport = world.transport
        self.fabric = world.fabric
        self.is_lowered = world.fabric is not None and table.form != "closed"
        self.away: Mapping[int, float] = {}
        self._gone: set[int] = set()
        self._open: dict[Any, list[Gathering]] = {}
        self._free_ns: dict[Group, int] = {}
        self._turns: dict[tuple[Group, int, str], deque[tuple[Gathering, Running]]] = {}
        self._connected: set[Any] = set()
        self._chosen: dict[Any, tuple[Levels, str]] = {}
        self._told: dict[tuple[str, int, int, str], list[float]] = {}

    def arrive(self, running: Running) -> bool:
        """A member has issued its part."""
        operation, rank = running.operation, running.worker.rank
        group = operation.group
        if group is not None and rank not in group:
            raise ProgramError(f"rank {rank}: expected to be a member of {operation}")
        gatherings = self._open.setdefault((operation.__class__, group, operation.tag), [])
        gathering = next((each for each in gatherings if rank not in each.operations), None)
        if gathering is None:
            gathering = self._begin(operation)
            gatherings.append(gathering)
        gathering.arrived[rank] = running
        gathering.operations[rank] = operation
        _check(gathering, rank)
        if gathering.is_full:
            gatherings.remove(gathering)
        if self.is_lowered:
            self._take_turn(gathering, running)
        elif gathering.is_full:
            self._run_by_formula(gathering, running.start_ns)
        return False

    def leave(self, rank: int, now: int) -> None:
        """A rank has failed for good: the others go on without it, by formula."""
        self._gone.add(rank)
        for gatherings in self._open.values():
            for gathering in [each for each in gatherings if rank in each.members]:
                gathering.gone.add(rank)
                gathering.operations.pop(rank, None)  # it may have come: nothing has left it yet
                gathering.arrived.pop(rank, None)
                if gathering.is_full:
                    gatherings.remove(gathering)
                    if gathering.operations:
                        self._run_by_formula(gathering, now)

    def _begin(self, operation: Any) -> Gathering:
        """The first member is there: choose how."""
        members = range(self.num_ranks) if operation.group is None else operation.group
        gathering = Gathering(members, *self._choose(operation, members, self.table))
        gathering.gone = self._gone.intersection(members)
        return gathering

    def _choose(self, operation: Any, members: Sequence[int], table: CollectivesTable) -> tuple[Levels, str]:
        """What lies between the members, and which algorithm they take."""
        key = (type(operation), members, operation.size)
        if key not in self._chosen:
            levels = self.transport.levels(self.fabric, members)
            outside = levels.outside
            try:
                algorithm = choose(
                    type(operation),
                    len(members),
                    operation.size,
                    outside.bandwidth,
                    outside.latency,
                    transport=self.transport.name,
                    table=table,
                    nodes=levels.nodes,
                    inside=levels.inside,
                )
            except ValueError as error:
                raise ScenarioError(f"scenario: {error}") from None
            self._chosen[key] = levels, algorithm
        return self._chosen[key]

    # ------------------------------------------------------------------ by formula

    def _run_by_formula(self, gathering: Gathering, now: int) -> None:
        present = sorted(gathering.operations)
        first = gathering.operations[present[0]]
        if gathering.gone:
            _check_gone(first, gathering.gone, present)
            gathering.levels, gathering.algorithm = self._choose(first, tuple(present), self._table_of_rest)
        seconds = self.transport.collective(
            type(first), len(present), first.size, gathering.levels, gathering.algorithm
        )
        away = max((int(self.away[rank]) for rank in present if rank in self.away), default=0)
        begin = max(now, self._free_ns.get(first.group, 0), away)
        end = self._free_ns[first.group] = begin + round(seconds * 1e9)
        gathering.last_ns = begin
        self.world.transfer_began(begin, *present)
        self.world.transfer_ended(end, *present)
        for rank in present:
            self._end(gathering, rank, end)

    # ------------------------------------------------------------------ by flows

    def _take_turn(self, gathering: Gathering, running: Running) -> None:
        """Take part when this rank has the answers of this stream's earlier collectives in this group."""
        key = (running.operation.group, running.worker.rank, running.stream.name)
        turns = self._turns.setdefault(key, deque())
        turns.append((gathering, running))
        if len(turns) == 1:
            self._take_part(gathering, running, running.start_ns)

    def _take_part(self, gathering: Gathering, running: Running, now: int) -> None:
        if gathering.lowered is None:
            gathering.lowered = self._lower(gathering, running.operation)
        gathering.last_ns = now
        gathering.lowered.arrive(gathering.members.index(running.worker.rank), now)

    def _lower(self, gathering: Gathering, operation: Any) -> Lowered:
        members, levels = gathering.members, gathering.levels
        root = members.index(operation.root) if isinstance(operation, Broadcast) else 0
        rounds = pattern(
            type(operation), gathering.algorithm, len(members), operation.size, root=root, nodes=levels.nodes
        )
        self._connect(gathering, type(operation), rounds)
        return Lowered(rounds, partial(self._send, gathering, type(operation)), partial(self._member_done, gathering))

    def _connect(self, gathering: Gathering, kind: Any, rounds: Pattern) -> None:
        """Find the routes of all its messages together, once for the collectives of a group that have the same."""
        members = gathering.members
        key = (kind, gathering.algorithm, members)
        if key not in self._connected:
            self._connected.add(key)
            assert self.fabric is not None
            self.fabric.connect((members[source], members[target]) for source, target in rounds.pairs())

    def _send(self, gathering: Gathering, kind: Any, source: int, target: int, size: int, now: int, done: Any) -> None:
        assert self.fabric is not None
        sender, receiver = gathering.members[source], gathering.members[target]
        route = self.fabric.route(sender, receiver)
        leaves, lag = self.transport.hop(kind, gathering.algorithm, now, route.latency, size * route.ticks_per_byte)
        self.world.transfer_began(max(now, leaves), sender, receiver)

        def arrived(at: int) -> None:
            self.world.transfer_ended(at, sender, receiver)
            if lag:
                self.world.schedule(at + lag, lambda: done(at + lag))
            else:
                done(at)

        self.fabric.send(sender, receiver, size, leaves, now, arrived)

    def _member_done(self, gathering: Gathering, member: int, now: int) -> None:
        rank = gathering.members[member]
        running = gathering.arrived[rank]
        turns = self._turns[running.operation.group, rank, running.stream.name]
        turns.popleft()
        self._end(gathering, rank, now)
        if turns:
            following, running = turns[0]
            self._take_part(following, running, now)

    # ------------------------------------------------------------------ the end

    def _end(self, gathering: Gathering, rank: int, end: int) -> None:
        running, n = gathering.arrived.pop(rank), len(gathering.members) - len(gathering.gone)
        operation = running.operation
        running.result = self._answer(gathering, rank)
        kind = type(operation).__name__
        sent = bytes_sent(kind, n, operation.size, gathering.algorithm)
        self.world.end_collective(running, min(gathering.last_ns, end), end, sent)
        gathering.done += 1
        if gathering.done == n and not isinstance(operation, Barrier):
            told = self._told.setdefault((kind, n, operation.size, gathering.algorithm), [0, 0.0, 0.0])
            told[0] += 1
            told[1] += (end - gathering.last_ns) / 1e9
            told[2] = self._latency(gathering, kind, operation.size)

    def _answer(self, gathering: Gathering, rank: int) -> Any:
        """A member's answer; whoever has one early has it from those that have come."""
        operations = gathering.operations
        members = gathering.members if not gathering.gone else sorted(operations)
        if gathering.answers is None:
            operation = operations[rank]
            if isinstance(operation, Broadcast):
                gathering.answers = [operations[operation.root].payload] * len(members)
            else:
                gathering.answers = collectives.combine([operations[each] for each in members])
        return gathering.answers[members.index(rank)]

    def _latency(self, gathering: Gathering, kind: str, size: int) -> float:
        """Seconds of latency that follow on one another; of a hierarchical one, those inside a node at their own."""
        levels, n = gathering.levels, len(gathering.members) - len(gathering.gone)
        num_nodes = levels.num_nodes or n
        outside = levels.outside.latency
        if gathering.algorithm != "hierarchical" or levels.inside is None:
            return outside * latency_rounds(kind, gathering.algorithm, n, size, num_nodes=1)
        across = latency_rounds(kind, "ring", num_nodes, size)
        return outside * across + levels.inside.latency * latency_rounds(kind, "ring", n // num_nodes, size)

    def summary(self) -> list[dict[str, Any]]:
        """One row a kind, number of ranks, bytes and algorithm: how many, their mean time, and their bandwidths.

        `latency_s` is the part of the time that is latency, `algbw` and `busbw` are in bytes/s as in nccl-tests.
        """
        rows = []
        for (kind, n, size, algorithm), (count, seconds, latency) in sorted(self._told.items()):
            mean = seconds / count
            row = {"kind": kind, "ranks": n, "bytes": size, "algorithm": algorithm}
            row |= {"form": "flows" if self.is_lowered else "closed", "count": int(count), "mean_s": mean}
            row["latency_s"] = min(mean, latency)
            rows.append(row | bandwidths(kind, n, size, mean))
        return rows


def _check(gathering: Gathering, rank: int) -> None:
    """Whoever comes must have issued the same as those before it."""
    members, operations = gathering.members, gathering.operations
    found = operations[rank]
    other, first = next(iter(operations.items()))
    if found != first:
        low, high = sorted((other, rank))
        raise ProgramError(
            f"rank {low} {operations[low]} and rank {high} {operations[high]}: "
            "expected the same collective with equal sizes, found two"
        )
    if isinstance(first, Broadcast) and first.root not in members:
        raise ProgramError(f"rank {members[0]} {first}: expected a root among {list(members)}, found {first.root}")
    _check_parts(first, members)


def _check_parts(operation: Any, members: Sequence[int]) -> None:
    if isinstance(operation, ReduceScatter | AllToAll) and operation.size % len(members):
        raise ProgramError(f"rank {members[0]} {operation}: expected bytes that {len(members)} ranks can divide")


def _check_gone(operation: Any, gone: set[int], present: Sequence[int]) -> None:
    """What cannot be done without a member that has failed for good."""
    if isinstance(operation, Broadcast) and operation.root in gone:
        raise DeadRankError(f"rank {operation.root} has failed: {operation} cannot go on without its root")
    _check_parts(operation, present)

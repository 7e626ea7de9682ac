"""Collectives of a run: who has come, by which algorithm, and when each member has its answer.

Two forms. By formula: all begin when the last member is there, and end together, as on an idle network. By flows: each
member goes through the algorithm's rounds as its messages arrive over the network (`simulator.collectives.flows`), so
that it feels late members, slow links and other traffic. In both, the collectives of one communicator, which is a group
and a channel, go one behind the other in the order of issue, and the k-th of one member belongs to the k-th of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schedules.driving.checks import check_collective
from schedules.driving.driver import Handler, Running
from schedules.errors import ScenarioError
from schedules.operations import COLLECTIVES, Barrier, Operation
from schedules.platform.tables import CollectivesTable
from schedules.record.memory import received
from simulator.collectives.choice import choose
from simulator.collectives.flows import Flows
from simulator.collectives.gathering import Communicator, Gathering, check_gone
from simulator.collectives.tally import Tally
from simulator.messages.levels import Levels
from simulator.messages.traffic import Traffic


class Collectives:
    """The collectives of a run.

    Args:
        traffic: the transport, and what it goes over.
        table: which algorithms, in which form.
        away: ranks that have failed, and the tick at which each is back: until then a formula does not begin.
    """

    def __init__(self, traffic: Traffic, table: CollectivesTable, away: Mapping[int, float]) -> None:
        self._traffic, self._table, self._away = traffic, table, away
        rest = {"all_reduce": "auto"} if table.all_reduce == "hierarchical" else {}
        self._table_of_rest = table.model_copy(update=rest)  # whoever is left of a node may be fewer than on others
        self._num_ranks = traffic.ledger.num_ranks
        # Where nothing takes time, nothing but a formula has all members wait for the last of them.
        is_flown = traffic.fabric is not None and table.form != "closed" and traffic.transport.row.takes_time
        self._flows = Flows(traffic, self._end) if is_flown else None
        self._gone: set[int] = set()
        self._open: dict[Communicator, list[Gathering]] = {}
        self._free_ns: dict[Communicator, int] = {}
        self._chosen: dict[Any, tuple[Levels, str]] = {}
        self._known: dict[tuple[type[Operation], int, int, int, str], float] = {}
        self._tally = Tally(traffic.transport)

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return dict.fromkeys(COLLECTIVES, self.post)

    def post(self, running: Running) -> bool:
        """A member has issued its part."""
        operation, rank = running.operation, running.worker.rank
        members = check_collective(running, self._num_ranks)
        # Several may be open: whoever is ahead begins the next while others have yet to come to this one.
        communicator = self._communicator(operation)
        gatherings = self._open.setdefault(communicator, [])
        for gathering in gatherings:
            if rank not in gathering.operations:
                break
        else:
            gathering = self._begin(operation, members, communicator)
            gatherings.append(gathering)
        gathering.join(running)
        is_full = gathering.is_full
        if is_full:
            gatherings.remove(gathering)
        if self._flows is not None:
            self._flows.take_turn(gathering, running)
        elif is_full:
            self._run_by_formula(gathering, running.start_ns)
        return False

    def withdraw(self, running: Running, now: int) -> None:
        """A part is cancelled: what it has handed over stays, as the others count on it, and nobody is answered."""

    def leave(self, rank: int, now: int) -> None:
        """A rank has failed for good: the others go on without it, by formula."""
        self._gone.add(rank)
        for gatherings in self._open.values():
            # A list of its own, since those that are full now are taken out.
            for gathering in [each for each in gatherings if rank in each.members]:
                gathering.lose(rank)
                if gathering.is_full:
                    gatherings.remove(gathering)
                    if gathering.operations:  # a group whose members are all gone is full, too
                        self._run_by_formula(gathering, now)

    def summary(self) -> list[dict[str, Any]]:
        """What they took: see `Tally.rows`."""
        return self._tally.rows("closed" if self._flows is None else "flows")

    def _communicator(self, operation: Any) -> Communicator:
        """A group of all ranks is everybody, however it is written."""
        group = operation.group
        return (None if group is None or len(group) == self._num_ranks else group), operation.channel

    def _begin(self, operation: Any, members: Sequence[int], communicator: Communicator) -> Gathering:
        """The first member is there: choose how."""
        gathering = Gathering(members, communicator, *self._choose(operation, members, self._table))
        gathering.gone = self._gone.intersection(members)
        return gathering

    def _choose(self, operation: Any, members: Sequence[int], table: CollectivesTable) -> tuple[Levels, str]:
        """What lies between the members, and which algorithm they take."""
        key = (type(operation), members, operation.size, table is self._table)
        # Asked for every collective, and routes take a search through the network.
        if key not in self._chosen:
            transport = self._traffic.transport
            levels = transport.levels(self._traffic.fabric, members)
            part = transport.efficiency(type(operation), len(members), operation.size, levels)
            outside, inside = levels.at_most(part)[:2]
            try:
                algorithm = choose(
                    type(operation),
                    len(members),
                    operation.size,
                    outside.bandwidth,
                    outside.latency,
                    transport=transport.row,
                    overhead=transport.collective_overhead,
                    table=table,
                    nodes=levels.nodes,
                    inside=inside,
                    leaving=levels.leaving,
                    windows=transport.windows(levels),
                    abreast=levels.abreast,
                )
            except ValueError as error:
                raise ScenarioError(f"scenario: {error}") from None
            self._chosen[key] = levels, algorithm
        return self._chosen[key]

    def _run_by_formula(self, gathering: Gathering, now: int) -> None:
        present = sorted(gathering.operations)  # they stand there as they came
        first = gathering.operations[present[0]]
        if gathering.gone:
            check_gone(first, gathering.gone)
            gathering.levels, gathering.algorithm = self._choose(first, tuple(present), self._table_of_rest)
        seconds = self._seconds(type(first), len(present), gathering)
        back = max((int(self._away[rank]) for rank in present if rank in self._away), default=0)
        # Nobody of a group begins before all are there, so whoever is away holds it up until its return.
        begin = max(now, self._free_ns.get(gathering.communicator, 0), back)
        end = self._free_ns[gathering.communicator] = begin + round(seconds * 1e9)
        gathering.last_ns = begin  # to wait for the one before, or for a rank, is no transfer
        self._traffic.began(begin, *present)
        self._traffic.ended(end, *present)
        for rank in present:
            self._end(gathering, rank, end)

    def _seconds(self, kind: type[Operation], n: int, gathering: Gathering) -> float:
        """How long one by formula takes; most of a run are alike."""
        size, levels, algorithm = gathering.size, gathering.levels, gathering.algorithm
        key = kind, n, size, id(levels), algorithm  # by identity: they stay as long as their choice does
        if key not in self._known:
            self._known[key] = self._traffic.transport.collective(kind, n, size, levels, algorithm)
        return self._known[key]

    def _end(self, gathering: Gathering, rank: int, end: int) -> None:
        """A member has its answer."""
        running, n = gathering.arrived.pop(rank), gathering.num_members
        operation = running.operation
        running.result = gathering.answer(rank)
        running.ready_ns = min(gathering.last_ns, end)  # by flows it may be through before the last member comes
        sent, held = gathering.sent(rank), received(operation, running.result)
        self._traffic.ledger.transferred(rank, running.start_ns, running.ready_ns, end, sent=sent, held=held)
        self._traffic.end(running, end)
        gathering.num_done += 1
        # The tally is of bandwidths, and a barrier carries no bytes.
        if gathering.num_done == n and not isinstance(operation, Barrier):
            self._tally.enter(gathering, type(operation), gathering.size, (end - gathering.last_ns) / 1e9)

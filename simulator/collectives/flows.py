"""Collectives message by message: each member goes through the algorithm's rounds, or through its loop over segments,
as its messages arrive."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from schedules.driving.driver import Running
from schedules.operations import AllGather, AllReduce, AllToAll, Broadcast, Operation
from schedules.platform.protocols.nccl import tree_load
from schedules.platform.protocols.segments import all_reduce_ring
from schedules.platform.protocols.trees import most_sent
from schedules.platform.volumes import AT_ONCE
from simulator.collectives.gathering import Communicator, Gathering, MessageByMessage
from simulator.collectives.lowered import Abreast, Lowered
from simulator.collectives.patterns import members_by_node, pattern, rings_abreast
from simulator.collectives.relays.courses import (
    Chains,
    Handed,
    Handover,
    Trees,
    gathered_ring,
    reduced_ring,
    trees_over_nodes,
)
from simulator.collectives.relays.relay import At, Relay
from simulator.collectives.rounds import Pattern
from simulator.collectives.segments import SegmentRing
from simulator.messages.fabric import MACHINE
from simulator.messages.orders import Order, num_rings, ring_orders, share
from simulator.messages.traffic import Traffic


class MembersNetwork:
    """The network as the members of a group see it (`simulator.collectives.segments.RingNetwork`)."""

    def __init__(self, traffic: Traffic, members: Sequence[int]) -> None:
        self._traffic, self._members = traffic, members
        self.call_at = traffic.events.call_at
        n = len(members)
        assert traffic.fabric is not None
        self._fabric = traffic.fabric
        self._fabric.connect((members[i], members[(i + way) % n]) for i in range(n) for way in (-1, 1) if n > 1)

    def send(self, source: int, target: int, size: int, now: int, done: Callable[[int], None]) -> None:
        """Send bytes that leave now."""
        self._fabric.send(self._members[source], self._members[target], size, now, now, done)

    def began(self, member: int, now: int) -> None:
        """A member and the one that it receives from are there: it counts as transferring until it is through."""
        self._traffic.began(now, self._members[member])

    def ended(self, member: int, now: int) -> None:
        """A member is through."""
        self._traffic.ended(now, self._members[member])

    def latency(self, source: int, target: int) -> int:
        """Of the way between two members."""
        return self._fabric.route(self._members[source], self._members[target]).latency

    def shares_interface(self, source: int, one: int, other: int) -> bool:
        """Whether the ways to two members have a link in common."""
        sender, *receivers = (self._members[each] for each in (source, one, other))
        ways = [self._fabric.route(sender, each) for each in receivers]
        # What a machine's cores copy goes by a socket for each pair, none behind the other. And a connection whose
        # window is its limit has its bytes wait at home, and not before the interface.
        shared = set(ways[0].ids) - {MACHINE}
        return not ways[0].is_limited and not shared.isdisjoint(ways[1].ids)


class RelayMembers:
    """The network as a relay sees it (`simulator.collectives.relays.relay`).

    Args:
        takes: how many times as long as its bytes alone a message takes.
    """

    def __init__(self, traffic: Traffic, members: Sequence[int], takes: Callable[[Handed], float]) -> None:
        self._traffic, self._members, self._takes = traffic, members, takes
        assert traffic.fabric is not None
        self._fabric = traffic.fabric
        self.call_at = traffic.events.call_at

    def send(self, message: Handed, size: int, now: int, *, comes: At, done: At) -> None:
        """Send bytes that leave now."""
        sender, receiver = self._members[message.source], self._members[message.target]
        self._traffic.began(now, sender, receiver)

        def begins(at: int) -> None:
            self.call_at(at, partial(comes, at))

        def arrived(at: int) -> None:
            self._traffic.ended(at, sender, receiver)
            done(at)

        self._fabric.hand(
            (sender, receiver), size, now, arrived, takes=self._takes(message), lane=message.lane, comes=begins
        )

    def latency(self, source: int, target: int) -> int:
        """Of the way between two members."""
        return self._fabric.route(self._members[source], self._members[target]).latency


class Flows:
    """The collectives that go message by message over a network (`simulator.collectives.lowered`).

    Args:
        traffic: whose fabric carries the messages.
        end: `end(gathering, rank, tick)` gives a member its answer.
    """

    def __init__(self, traffic: Traffic, end: Callable[[Gathering, int, int], None]) -> None:
        self._traffic, self._end = traffic, end
        self._turns: dict[tuple[Communicator, int], deque[tuple[Gathering, Running]]] = {}
        self._connected: set[Any] = set()
        self._num_rings: Counter[Communicator] = Counter()

    def take_turn(self, gathering: Gathering, running: Running) -> None:
        """Take part when this rank has the answers of its earlier collectives on this communicator."""
        turns = self._turns.setdefault((gathering.communicator, running.worker.rank), deque())
        turns.append((gathering, running))
        if len(turns) == 1:
            self._take_part(gathering, running, running.start_ns)

    def _take_part(self, gathering: Gathering, running: Running, now: int) -> None:
        if gathering.lowered is None:
            gathering.lowered = self._lower(gathering, running.operation)
        gathering.last_ns = now
        gathering.lowered.arrive(gathering.members.index(running.worker.rank), now)

    def _lower(self, gathering: Gathering, operation: Any) -> MessageByMessage:
        row, kind = self._traffic.transport.row, type(operation)
        algorithm = gathering.algorithm
        if row.rings.get(kind.__name__) == algorithm:
            return self._ring(gathering, operation.size)
        if algorithm in row.relays.get(kind.__name__, ()):
            return self._relay(gathering, operation)
        members, levels = gathering.members, gathering.levels
        orders = ring_orders(len(members), levels.nodes, levels.nics)
        if len(orders) > 1 and algorithm == "ring" and algorithm in row.abreast:
            return self._rings(gathering, operation, orders)
        root = members.index(operation.root) if isinstance(operation, Broadcast) else 0
        rounds = pattern(kind, algorithm, len(members), operation.size, root=root, nodes=levels.nodes)
        self._connect(gathering, kind, rounds.pairs())
        send = partial(self._send, gathering, operation)
        return Lowered(self._with_sizes(gathering, operation, rounds), send, partial(self._member_done, gathering))

    def _rings(self, gathering: Gathering, operation: Any, orders: Sequence[Order]) -> Abreast:
        """As many rings as a node has NICs, round by round."""
        patterns = rings_abreast(type(operation), orders, operation.size)
        if isinstance(operation, AllGather):
            patterns = [
                replace(each, size_of=partial(self._part_of_member, gathering, order, j, len(orders)))
                for j, (each, order) in enumerate(zip(patterns, orders, strict=True))
            ]
        self._connect(gathering, type(operation), (pair for each in patterns for pair in each.pairs()))
        done = partial(self._member_done, gathering)
        send = partial(self._send, gathering, operation)
        return Abreast([partial(Lowered, each, send) for each in patterns], done)

    def _part_of_member(self, gathering: Gathering, order: Order, j: int, k: int, place: int) -> int:
        return share(gathering.operations[gathering.members[order[place]]].size, j, k)

    def _relay(self, gathering: Gathering, operation: Any) -> Relay:
        """Bytes that are handed on while they come."""
        course, members = self._course(gathering, operation), gathering.members
        self._connect(gathering, type(operation), course.pairs())
        network = RelayMembers(self._traffic, members, self._times(gathering, operation))
        return Relay(course, len(members), network, partial(self._member_done, gathering))

    def _course(self, gathering: Gathering, operation: Any) -> Handover:
        members, levels, size = gathering.members, gathering.levels, operation.size
        n = len(members)
        if gathering.algorithm == "tree":
            groups = members_by_node(range(n) if levels.nodes is None else levels.nodes)
            return Trees(trees_over_nodes(groups, num_rings(levels.nodes, levels.nics)), size)
        orders = ring_orders(n, levels.nodes, levels.nics)
        if isinstance(operation, Broadcast):
            return Chains(orders, members.index(operation.root), size)
        if isinstance(operation, AllGather):
            return gathered_ring(orders, lambda member: int(gathering.operations[members[member]].size))
        return reduced_ring(orders, (2 if isinstance(operation, AllReduce) else 1) * (n - 1), size)

    def _takes(self, gathering: Gathering, operation: Any) -> float:
        """How many times as long as its bytes alone a message takes."""
        transport, n = self._traffic.transport, len(gathering.members)
        return 1 / transport.efficiency(type(operation), n, operation.size, gathering.levels)

    def _times(self, gathering: Gathering, operation: Any) -> Callable[[Handed], float]:
        """The same of a relay's messages: in trees those between nodes take more (`tree_load`)."""
        takes, nodes, n = self._takes(gathering, operation), gathering.levels.nodes, len(gathering.members)
        num_nodes = gathering.levels.num_nodes or n
        if nodes is None or gathering.algorithm != "tree" or not 1 < num_nodes < n:
            return lambda message: takes
        between = takes * tree_load(n, num_nodes) / most_sent(num_nodes)
        return lambda message: takes if nodes[message.source] == nodes[message.target] else between

    def _ring(self, gathering: Gathering, size: int) -> SegmentRing:
        """A ring of segments; those of one communicator take the draws of lateness in turn."""
        draw = self._num_rings[gathering.communicator]
        self._num_rings[gathering.communicator] += 1
        return SegmentRing(
            all_reduce_ring(len(gathering.members), size),
            MembersNetwork(self._traffic, gathering.members),
            partial(self._member_done, gathering),
            overhead_ns=round(self._traffic.transport.collective_overhead * 1e9),
            draw=draw,
        )

    def _with_sizes(self, gathering: Gathering, operation: Any, rounds: Pattern) -> Pattern:
        """With the bytes that each member says of its own part. They are asked for when the part is sent on: whoever
        has it has it from a member that has come."""
        members, operations, n = gathering.members, gathering.operations, len(gathering.members)
        if isinstance(operation, AllGather):
            return replace(rounds, size_of=lambda place: operations[members[place]].size)
        if isinstance(operation, AllToAll) and operation.parts is not None:
            # Part i n + j is what member i has for member j.
            return replace(rounds, size_of=lambda place: operations[members[place // n]].parts[place % n])
        return rounds

    def _connect(self, gathering: Gathering, kind: type[Operation], pairs: Iterable[tuple[int, int]]) -> None:
        """Find the routes of all its messages together, once for the collectives of a group that have the same."""
        members = gathering.members
        key = (kind, gathering.algorithm, members)
        if key not in self._connected:
            self._connected.add(key)
            assert self._traffic.fabric is not None
            self._traffic.fabric.connect((members[source], members[target]) for source, target in pairs)

    def _send(
        self,
        gathering: Gathering,
        operation: Any,
        source: int,
        target: int,
        size: int,
        now: int,
        done: Callable[[int], None],
    ) -> None:
        traffic = self._traffic
        assert traffic.fabric is not None
        sender, receiver = gathering.members[source], gathering.members[target]
        route = traffic.fabric.route(sender, receiver)
        bytes_ns = size * route.ticks_per_byte
        kind = type(operation)
        leaves, lag = traffic.transport.hop(kind, gathering.algorithm, now, route.latency, bytes_ns)
        if gathering.algorithm == AT_ONCE and traffic.transport.row.is_announced:
            # Whoever waits for its parent has announced itself when it came, and not when its parent was ready.
            assert isinstance(gathering.lowered, Lowered)
            leaves = max(now, gathering.lowered.entered(target) + route.latency)
        traffic.began(leaves, sender, receiver)

        def arrived(at: int) -> None:
            traffic.ended(at, sender, receiver)
            # What a message costs after its last byte is software's: its links are free meanwhile.
            if lag:
                traffic.events.call_at(at + lag, partial(done, at + lag))
            else:
                done(at)

        if traffic.transport.row.has_efficiency:
            takes = self._takes(gathering, operation)
            traffic.fabric.hand((sender, receiver), size, leaves, arrived, takes=takes)
        else:
            traffic.fabric.send(sender, receiver, size, leaves, now, arrived)

    def _member_done(self, gathering: Gathering, member: int, now: int) -> None:
        """A member has all that it is to have; where a collective costs something once, that comes now."""
        transport = self._traffic.transport
        if transport.row.pays_once and transport.overhead_ns and len(gathering.members) > 1:
            end = now + transport.overhead_ns
            self._traffic.events.call_at(end, partial(self._answered, gathering, member, end))
        else:
            self._answered(gathering, member, now)

    def _answered(self, gathering: Gathering, member: int, now: int) -> None:
        rank = gathering.members[member]
        turns = self._turns[gathering.communicator, rank]
        turns.popleft()
        self._end(gathering, rank, now)
        if turns:
            following, running = turns[0]
            self._take_part(following, running, now)

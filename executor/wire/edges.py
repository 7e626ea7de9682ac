"""The edges of a rank: one gloo group a pair of ranks, so that what happens on one edge stops no other.

* A receive is posted when it is issued, before a send that is issued with it: gloo's data leaves only after the
  receiver's announcement, and an announcement behind a long message waits for it (real-hardware.md, section 1).
* A thread waits for each operation under way, so an early receive holds nothing up. (gloo cannot be polled: a send or
  receive is not completed, whatever has arrived, until somebody waits for it.)
* gloo matches by the tag and, within one tag, by the order of posting: that of issue, at both ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

import torch

from executor.agreement.store import SharedStore
from executor.ends import Ends
from executor.running.waiting import Lane, Waiters
from executor.wire import frames, rehearsal
from executor.wire.frames import HEADER, BufferShelves
from executor.wire.groups import Group, Groups, Work
from schedules.driving.checks import check_peer
from schedules.driving.driver import Running
from schedules.errors import ProgramError
from schedules.operations import Payload

INLINE = 1 << 16
"""Bytes up to which a message is posted on the loop itself: copying 64 KiB takes less than waking a thread."""


class Edge:
    """The connection with one peer, made at the first use or by `connect`."""

    def __init__(self, groups: Groups, rank: int, peer: int) -> None:
        self._groups = groups
        self._name = f"edge/{min(rank, peer)}-{max(rank, peer)}"
        self._index = int(rank > peer)  # in the group of two, the lower rank first
        # Its two lanes may connect at once, each on a thread of its own: the second waits for the first one's group.
        self._lock = threading.Lock()
        self._group: Group | None = None
        self.peer = peer
        self.receiving = Lane(f"receive-{peer}")
        self.sending = Lane(f"send-{peer}")

    @property
    def is_connected(self) -> bool:
        """Whether the connection is there."""
        return self._group is not None

    def connect(self, store: SharedStore | None = None) -> Group:
        """Connect; waits for the peer to do so, too, with this client of the store, or one of the edge's own."""
        if self._group is not None:
            return self._group
        with self._lock:
            if self._group is None:
                client = store or self._groups.connect()
                self._group = self._groups.gloo(self._name, self._index, 2, client)
            return self._group

    def receive(self, buffer: torch.Tensor, tag: int) -> Work:
        """Announce that a buffer is ready; `wait()` on what is returned."""
        return self.connect().recv([buffer], 1 - self._index, tag)

    def send(self, buffer: torch.Tensor, tag: int) -> Work:
        """Offer a buffer; `wait()` on what is returned before it is used again."""
        return self.connect().send([buffer], 1 - self._index, tag)


class Posted:
    """A send or receive that may yet have to be posted."""

    __slots__ = ("_error", "_is_posted", "_work")

    def __init__(self, lane: Lane, post: Callable[[], Work], *, is_long: bool) -> None:
        self._work: Work | None = None
        self._error: BaseException | None = None
        self._is_posted = threading.Event()
        lane.post(lambda: self._post(post), is_long=is_long)

    def _post(self, post: Callable[[], Work]) -> None:
        try:
            self._work = post()
        except Exception as error:  # raised again where it is waited for: the lane's thread lives on for the others
            self._error = error
        self._is_posted.set()

    def wait(self) -> None:
        """Wait until it is done."""
        self._is_posted.wait()
        if self._error is not None:
            raise self._error
        assert self._work is not None
        self._work.wait()


class Edges:
    """The edges of one rank, the buffers of its messages, and the threads that wait for them.

    Attributes:
        shelves: where the buffers of messages come from and go back to.
    """

    def __init__(self, groups: Groups, rank: int, num_workers: int, ends: Ends) -> None:
        self.shelves = BufferShelves(is_pinned=groups.placement.is_staged)
        self._groups = groups
        self._rank, self._num_workers = rank, num_workers
        self._ends = ends
        self._device = groups.placement.device
        self._edges: dict[int, Edge] = {}
        self._waiters = Waiters()

    def warm_up(self, edges: Iterable[tuple[int, int]], largest: int) -> None:
        """Connect with the neighbours, and pass a message of the largest size to and from each.

        Args:
            edges: of the graph: of all ranks, which go through them in one order. Connecting waits for the peer; in
                any other order the ranks of a ring could wait for each other in a circle.
        """
        in_rounds, store = rehearsal.rounds(edges), self._groups.connect()
        peers = [sum(edge) - self._rank for each in in_rounds for edge in each if self._rank in edge]
        for peer in peers:
            self.to(peer).connect(store)
            rehearsal.grow(largest, rehearsal.EDGES_S / len(in_rounds), partial(self._rehearse, self.to(peer)))
        self._touch(min(largest, rehearsal.LARGEST), len(peers))

    def _rehearse(self, edge: Edge, size: int) -> float:
        """Exchange messages of that size. Returns the seconds it took at the end where it took longer."""
        begin_ns = time.perf_counter_ns()
        self._swap(edge, size, 0)
        took_ns = time.perf_counter_ns() - begin_ns
        return max(took_ns, self._swap(edge, 0, took_ns)) / 1e9

    def _swap(self, edge: Edge, size: int, number: int) -> int:
        """Exchange a message of that size, and a number. Returns the other end's."""
        inbox, received = self.post_receive(edge, HEADER + size, 0)
        outbox = self.shelves.take(HEADER + size)
        frames.write(outbox, Payload(size), number, 0)
        sent = Posted(edge.sending, lambda: edge.send(outbox, 0), is_long=size > INLINE)
        received.wait()
        sent.wait()
        theirs = frames.read(inbox, None)[0].issue_ns
        self.shelves.give_back(inbox)
        self.shelves.give_back(outbox)
        return theirs

    def _touch(self, size: int, num_peers: int) -> None:
        """Lay buffers ready for a message to and from every neighbour at once, as far as they are no great part of the
        memory."""
        number = min(2 * num_peers, max(2, rehearsal.LARGEST // (HEADER + size)))
        buffers = [self.shelves.take(HEADER + size).fill_(0) for _ in range(number)]  # zeros alone touch no page
        for buffer in buffers:
            self.shelves.give_back(buffer)

    def to(self, peer: int) -> Edge:
        """The edge with a peer.

        Raises:
            MisuseError: if there is no such peer.
        """
        edge = self._edges.get(peer)
        if edge is None:
            check_peer(self._rank, peer, self._num_workers)
            edge = self._edges[peer] = Edge(self._groups, self._rank, peer)
        return edge

    def post_receive(self, edge: Edge, size: int, tag: int) -> tuple[torch.Tensor, Posted]:
        """Announce a buffer for a message of that many bytes, header included."""
        inbox = self.shelves.take(size)
        # To announce a buffer takes no time whatever its size; to connect waits for the peer.
        return inbox, Posted(edge.receiving, lambda: edge.receive(inbox, tag), is_long=not edge.is_connected)

    def post_send(self, edge: Edge, running: Running, tag: int) -> tuple[torch.Tensor, Posted]:
        """Offer the operation's payload, in a buffer that is written when it is posted."""
        # What is read of `running` is read here, on the loop: its times change when it is over.
        payload, start_ns, name = running.operation.payload, running.start_ns, running.operation.tag
        frames.check(payload)  # on the loop: what fails while it is posted is told only when the other end has come
        outbox = self.shelves.take(HEADER + payload.size)

        def post() -> Work:
            # Perhaps later and on another thread: arrays are replaced, never written in place, so it is what was handed
            # over.
            frames.write(outbox, payload, start_ns, name)
            return edge.send(outbox, tag)

        is_long = payload.size > INLINE or not edge.is_connected
        return outbox, Posted(edge.sending, post, is_long=is_long)

    def wait(self, running: Running, wait: Callable[[], None]) -> None:
        """Have a thread wait for what an operation has posted; if that fails, so has the operation."""

        def guarded() -> None:
            try:
                wait()
            except Exception as error:
                self._ends.failed(running, error)

        self._waiters.submit(guarded)

    def deliver(self, running: Running, inbox: torch.Tensor) -> None:
        """The message becomes the operation's result."""
        header, payload = frames.read(inbox, self._device)
        if header.tag != running.operation.tag:
            raise ProgramError(f"{running.operation}: expected the tag {running.operation.tag}, found {header.tag}")
        running.result = payload
        # The sender's clock told when it asked: the two agree only to the residual of their alignment.
        running.ready_ns = min(max(running.start_ns, header.issue_ns), running.end_ns)
        self.shelves.give_back(inbox)

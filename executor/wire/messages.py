"""Point to point over gloo: one group a pair of ranks, so that what happens on one edge stops no other.

* A receive is posted when it is issued, before a send that is issued with it: gloo's data leaves only after the
  receiver's announcement, and an announcement behind a long message waits for it (real-hardware.md, section 1).
* A thread waits for each operation under way, so an early receive holds nothing up.
* `Send` is over when the receiver has the message: the receiver answers with a receipt of 64 bytes that says when.
* gloo matches by the tag and, within one tag, by the order of posting: that of issue, at both ends.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import torch

from executor.running.waiting import Lane, Waiters
from executor.wire import frames as messages
from executor.wire.frames import EXCHANGE, HEADER, MESSAGE, RECEIPT, Buffers
from executor.wire.groups import Groups
from schedules.driving.driver import Running
from schedules.errors import ProgramError
from schedules.operations import Payload, Receive, Send

INLINE = 1 << 16
"""Bytes up to which a message is posted on the loop itself: copying 64 KiB takes less than waking a thread."""


class Ends(Protocol):
    """Where the end of an operation is told, from any thread."""

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""

    def done(self, running: Running) -> None:
        """The operation is over: its result and times are set."""

    def failed(self, running: Running, error: BaseException) -> None:
        """The operation has failed."""


class Edge:
    """The connection with one peer, made at the first use or by `connect`."""

    def __init__(self, groups: Groups, rank: int, peer: int) -> None:
        self._groups = groups
        self._name = f"edge/{min(rank, peer)}-{max(rank, peer)}"
        self._index = int(rank > peer)
        self._lock = threading.Lock()
        self._group: Any = None
        self.peer = peer
        self.receiving = Lane(f"receive-{peer}")
        self.sending = Lane(f"send-{peer}")

    @property
    def is_connected(self) -> bool:
        """Whether the connection is there."""
        return self._group is not None

    def connect(self) -> None:
        """Connect; waits for the peer to do so, too."""
        with self._lock:
            if self._group is None:
                self._group = self._groups.gloo(self._name, self._index, 2)

    def receive(self, buffer: torch.Tensor, tag: int) -> Any:
        """Announce that a buffer is ready; `wait()` on what is returned."""
        self.connect()
        return self._group.recv([buffer], 1 - self._index, tag)

    def send(self, buffer: torch.Tensor, tag: int) -> Any:
        """Offer a buffer; `wait()` on what is returned before it is used again."""
        self.connect()
        return self._group.send([buffer], 1 - self._index, tag)


class Posted:
    """A send or receive that may yet have to be posted."""

    __slots__ = ("_error", "_is_posted", "_work")

    def __init__(self, lane: Lane, post: Callable[[], Any], *, is_long: bool) -> None:
        self._work: Any = None
        self._error: BaseException | None = None
        self._is_posted = threading.Event()
        lane.post(lambda: self._post(post), is_long=is_long)

    def _post(self, post: Callable[[], Any]) -> None:
        try:
            self._work = post()
        except Exception as error:
            self._error = error
        self._is_posted.set()

    def wait(self) -> None:
        """Wait until it is done."""
        self._is_posted.wait()
        if self._error is not None:
            raise self._error
        self._work.wait()


class PointToPoint:
    """Send, receive and exchange of one rank."""

    def __init__(self, groups: Groups, rank: int, num_workers: int, ends: Ends) -> None:
        self._groups = groups
        self._rank = rank
        self._num_workers = num_workers
        self._ends = ends
        self._device = groups.placement.device
        self._edges: dict[int, Edge] = {}
        self._numbers: Counter[tuple[type, int, int, int]] = Counter()
        self._waiters = Waiters()
        self._buffers = Buffers(is_pinned=groups.placement.is_staged)

    def warm_up(self, peers: list[int]) -> None:
        """Connect with the peers, in an order that all ranks share, and pass an empty message to each."""
        for peer in sorted(peers, key=lambda peer: (min(self._rank, peer), max(self._rank, peer))):
            edge = self._edge(peer)
            edge.connect()
            mine, theirs = torch.zeros(HEADER, dtype=torch.uint8), torch.zeros(HEADER, dtype=torch.uint8)
            received, sent = edge.receive(theirs, 0), edge.send(mine, 0)
            received.wait()
            sent.wait()

    def exchange(self, running: Running) -> bool:
        """Handler of `Exchange`."""
        operation, edge = running.operation, self._edge(running.operation.peer)
        tag = messages.wire_tag(EXCHANGE, operation.tag, operation.size)
        inbox, received = self._receive(edge, HEADER + operation.size, tag)
        outbox, sent = self._send(edge, running, tag)

        def wait() -> None:
            received.wait()
            sent.wait()
            running.end_ns = self._ends.now
            self._buffers.give_back(outbox)
            self._take(running, inbox)
            self._ends.done(running)

        self._wait(running, wait)
        return False

    def send(self, running: Running) -> bool:
        """Handler of `Send`."""
        operation, edge = running.operation, self._edge(running.operation.peer)
        receipt_tag = self._receipt_tag(operation)
        receipt, received = self._receive(edge, HEADER, receipt_tag)
        outbox, sent = self._send(edge, running, messages.wire_tag(MESSAGE, operation.tag, operation.size))

        def wait() -> None:
            received.wait()
            header, _ = messages.read(receipt, None)
            running.ready_ns = max(running.start_ns, header.issue_ns)
            running.end_ns = max(running.ready_ns, min(header.read_ns, self._ends.now))
            running.result = None
            self._ends.done(running)
            sent.wait()
            self._buffers.give_back(outbox)
            self._buffers.give_back(receipt)

        self._wait(running, wait)
        return False

    def receive(self, running: Running) -> bool:
        """Handler of `Receive`."""
        operation, edge = running.operation, self._edge(running.operation.peer)
        tag = messages.wire_tag(MESSAGE, operation.tag, operation.size)
        inbox, received = self._receive(edge, HEADER + operation.size, tag)
        start_ns, receipt_tag = running.start_ns, self._receipt_tag(operation)

        def wait() -> None:
            received.wait()
            end_ns = running.end_ns = self._ends.now
            self._take(running, inbox)
            self._ends.done(running)
            receipt = self._buffers.take(HEADER)
            messages.write(receipt, Payload(0, read_ns=end_ns), start_ns, operation.tag)
            edge.send(receipt, receipt_tag).wait()
            self._buffers.give_back(receipt)

        self._wait(running, wait)
        return False

    def _receipt_tag(self, operation: Send | Receive) -> int:
        """Of the receipt for this message: the messages of a tag are counted, alike at both ends."""
        key = (type(operation), operation.peer, operation.tag, operation.size)
        self._numbers[key] += 1
        return messages.wire_tag(RECEIPT, operation.tag, operation.size, self._numbers[key])

    def _edge(self, peer: int) -> Edge:
        edge = self._edges.get(peer)
        if edge is None:
            if not 0 <= peer < self._num_workers or peer == self._rank:
                raise ProgramError(
                    f"rank {self._rank}: expected a peer among the {self._num_workers} workers, found {peer}"
                )
            edge = self._edges[peer] = Edge(self._groups, self._rank, peer)
        return edge

    def _receive(self, edge: Edge, size: int, tag: int) -> tuple[torch.Tensor, Posted]:
        inbox = self._buffers.take(size)
        return inbox, Posted(edge.receiving, lambda: edge.receive(inbox, tag), is_long=not edge.is_connected)

    def _send(self, edge: Edge, running: Running, tag: int) -> tuple[torch.Tensor, Posted]:
        payload, start_ns, name = running.operation.payload, running.start_ns, running.operation.tag
        outbox = self._buffers.take(HEADER + payload.size)

        def post() -> Any:
            messages.write(outbox, payload, start_ns, name)
            return edge.send(outbox, tag)

        is_long = payload.size > INLINE or not edge.is_connected
        return outbox, Posted(edge.sending, post, is_long=is_long)

    def _wait(self, running: Running, wait: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                wait()
            except Exception as error:
                self._ends.failed(running, error)

        self._waiters.submit(guarded)

    def _take(self, running: Running, inbox: torch.Tensor) -> None:
        """The message becomes the operation's result."""
        header, payload = messages.read(inbox, self._device)
        if header.tag != running.operation.tag:
            raise ProgramError(f"{running.operation}: expected the tag {running.operation.tag}, found {header.tag}")
        running.result = payload
        running.ready_ns = min(max(running.start_ns, header.issue_ns), running.end_ns)
        self._buffers.give_back(inbox)

"""Sends: a message one way, and the receiver's receipt.

A send that is done in gloo means that its bytes are in a buffer of some megabytes. Ours is over when the receiver has
the message: the receiver answers with a receipt, a header alone, that says when it asked for the message and had it.
"""

from __future__ import annotations

from collections import Counter

from executor.ends import Ends, enter_transfer
from executor.wire import frames
from executor.wire.edges import Edges
from executor.wire.frames import HEADER, MESSAGE, RECEIPT, wire_tag
from schedules.driving.checks import check_send
from schedules.driving.driver import Handler, Running
from schedules.operations import Operation, Payload, Receive, Send


class Sends:
    """`Send` and `Receive` of one rank."""

    def __init__(self, edges: Edges, ends: Ends) -> None:
        self._edges, self._ends = edges, ends
        self._numbers: Counter[tuple[type[Operation], int, int, str, int]] = Counter()

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""
        return {Send: self._send, Receive: self._receive}

    def withdraw(self, running: Running, now: int) -> None:
        """Nothing is freed: gloo takes back nothing that is posted, so what is on the wire arrives and is dropped."""

    def _send(self, running: Running) -> bool:
        self._ends.issued(running)
        check_send(running)
        running.hook = _enter_sent
        operation, edges = running.operation, self._edges
        edge = edges.to(operation.peer)
        receipt, received = edges.post_receive(edge, HEADER, self._receipt_tag(operation))
        tag = wire_tag(MESSAGE, operation.tag, _size(operation), channel=operation.channel)
        outbox, sent = edges.post_send(edge, running, tag)

        def wait() -> None:
            received.wait()
            header, had = frames.read(receipt, None)
            running.ready_ns = max(running.start_ns, header.issue_ns)
            # The receiver's clock says when it had the message, and may be ahead of this one.
            running.end_ns = max(running.ready_ns, min(had.read_ns, self._ends.now))
            running.result = None
            self._ends.done(running)
            sent.wait()  # long over, as the message has arrived; but before its wait gloo may still hold the buffer
            edges.shelves.give_back(outbox)
            edges.shelves.give_back(receipt)

        edges.wait(running, wait)
        return False

    def _receive(self, running: Running) -> bool:
        self._ends.issued(running)
        running.hook = enter_transfer
        operation, edges = running.operation, self._edges
        edge = edges.to(operation.peer)
        tag = wire_tag(MESSAGE, operation.tag, operation.size, channel=operation.channel)
        inbox, received = edges.post_receive(edge, HEADER + operation.size, tag)
        start_ns, receipt_tag = running.start_ns, self._receipt_tag(operation)

        def wait() -> None:
            received.wait()
            end_ns = running.end_ns = self._ends.now
            edges.deliver(running, inbox)
            self._ends.done(running)  # first: the program need not wait until its receipt is written
            receipt = edges.shelves.take(HEADER)
            frames.write(receipt, Payload(0, read_ns=end_ns), start_ns, operation.tag)
            edge.send(receipt, receipt_tag).wait()
            edges.shelves.give_back(receipt)

        edges.wait(running, wait)
        return False

    def _receipt_tag(self, operation: Send | Receive) -> int:
        """Of the receipt for this message: the messages of a tag are counted, alike at both ends.

        Receipts are sent by the threads that wait, in whatever order these wake; gloo would match equal tags in that
        order, and a sender could take another message's receipt for its own.
        """
        size = _size(operation)
        key = (type(operation), operation.peer, operation.tag, operation.channel, size)
        self._numbers[key] += 1
        return wire_tag(RECEIPT, operation.tag, size, self._numbers[key], operation.channel)


def _size(operation: Send | Receive) -> int:
    """The bytes that both ends mean."""
    limit = operation.limit if isinstance(operation, Send) else None
    return operation.size if limit is None else limit


def _enter_sent(running: Running) -> None:
    operation = running.operation
    enter_transfer(running, sent=operation.size, to=operation.peer)

"""Exchanges: both ends hand over at once, and each is done when it has received and its own bytes have left."""

from __future__ import annotations

from executor.ends import Ends, enter_transfer
from executor.wire.edges import Edges
from executor.wire.frames import EXCHANGE, HEADER, wire_tag
from schedules.driving.driver import Handler, Running
from schedules.operations import Exchange, Operation


class Exchanges:
    """`Exchange` of one rank."""

    def __init__(self, edges: Edges, ends: Ends) -> None:
        self._edges, self._ends = edges, ends

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""
        return {Exchange: self._exchange}

    def withdraw(self, running: Running, now: int) -> None:
        """Nothing is freed: gloo takes back nothing that is posted, so what is on the wire arrives and is dropped."""

    def _exchange(self, running: Running) -> bool:
        self._ends.issued(running)
        running.hook = _enter
        operation, edges = running.operation, self._edges
        edge, tag = edges.to(operation.peer), wire_tag(EXCHANGE, operation.tag, operation.size)
        inbox, received = edges.post_receive(edge, HEADER + operation.size, tag)
        outbox, sent = edges.post_send(edge, running, tag)

        def wait() -> None:
            received.wait()
            sent.wait()
            running.end_ns = self._ends.now
            edges.shelves.give_back(outbox)
            edges.deliver(running, inbox)  # after the end is set, which bounds `ready_ns`
            self._ends.done(running)

        edges.wait(running, wait)
        return False


def _enter(running: Running) -> None:
    enter_transfer(running, sent=running.operation.size, is_exchange=True)

"""How operations begin and end on a rank: what the services tell the loop, and what is entered and kept of an end.

The loop stands above the services and is handed to them as `Ends`, so no service knows the loop.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from schedules.driving.driver import Running
from schedules.operations import Receive
from schedules.record.memory import in_flight
from schedules.record.trace import due_ns


class Ends(Protocol):
    """Where the begin and the end of an operation are told."""

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run. From any thread."""

    def issued(self, running: Running) -> None:
        """The operation is under way from now on: it begins at the present time. From the loop only."""

    def done(self, running: Running) -> None:
        """The operation is over: its result and times are set. From any thread."""

    def failed(self, running: Running, error: BaseException) -> None:
        """The operation has failed. From any thread."""


class Took(NamedTuple):
    """One collective of a rank: its lane, when it was issued and over there, the bytes that the rank sent, and those
    that it held meanwhile."""

    lane: str
    start_ns: int
    end_ns: int
    sent: int
    held: int


def enter_transfer(running: Running, *, sent: int = 0, to: int = -1, is_exchange: bool = False) -> None:
    """Enter an operation between two ranks that is over, with the bytes that this rank has sent,
    of a message `to` another."""
    account, operation = running.worker.account, running.operation
    came = running.result if isinstance(operation, Receive) else operation  # which may have asked for more
    account.ledger.transferred(
        account.rank,
        running.start_ns,
        running.ready_ns,
        running.end_ns,
        sent=sent,
        to=to,
        is_exchange=is_exchange,
        held=in_flight(type(operation).__name__, 2, came.size),
        due=due_ns(running),
    )

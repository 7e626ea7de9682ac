"""The five services of a rank: they run its operations, each some of them, and have the same names in both worlds."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from executor.agreement.meetings import Meetings
from executor.running.computing import Computing
from executor.wire.collectives import Collectives
from executor.wire.exchanges import Exchanges
from executor.wire.sends import Sends
from schedules.driving.driver import Handler, Running
from schedules.operations import Operation


class Service(Protocol):
    """What runs some of the operations."""

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""

    def withdraw(self, running: Running, now: int) -> None:
        """The program has cancelled this operation: free what it holds."""


class Services(NamedTuple):
    """All of them."""

    computing: Computing
    exchanges: Exchanges
    sends: Sends
    collectives: Collectives
    meetings: Meetings

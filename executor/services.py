"""The five services of a rank: they run its operations, each some of them, and have the same names in both worlds."""

from __future__ import annotations

from typing import NamedTuple

from executor.agreement.meetings import Meetings
from executor.running.computing import Computing
from executor.wire.collectives import Collectives
from executor.wire.exchanges import Exchanges
from executor.wire.sends import Sends


class Services(NamedTuple):
    """All of them."""

    computing: Computing
    exchanges: Exchanges
    sends: Sends
    collectives: Collectives
    meetings: Meetings

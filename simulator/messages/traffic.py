"""What exchanges, messages and collectives have in common: transport, network, and the book of transfers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from schedules.driving.checks import check_peer
from schedules.driving.driver import Running
from schedules.record.files import LinkRow
from schedules.record.ledger import Ledger
from schedules.record.memory import in_flight
from schedules.record.trace import due_ns
from simulator.computing.retiming import Retiming
from simulator.events import Events
from simulator.messages.fabric import Fabric
from simulator.messages.formulas import Formulas, Lanes


class Traffic:
    """The bytes under way.

    Args:
        transport: when messages are there.
        fabric: what they cross, where they share links; None: every pair has a link of its own.
        ledger: where transfers are entered.
        events: what is to come.
        end: `end(running, tick)` ends an operation.
    Attributes:
        slowed: what slows kernels down while transfers of their rank are under way; None: nothing does.
    """

    def __init__(
        self,
        transport: Formulas,
        fabric: Fabric | None,
        ledger: Ledger,
        *,
        events: Events,
        end: Callable[[Running, int], None],
    ) -> None:
        self.transport, self.fabric, self.ledger = transport, fabric, ledger
        self.events, self.end = events, end
        self.slowed: Retiming | None = None
        self.pairs: list[dict[int, Lanes]] = [{} for _ in range(ledger.num_ranks)]

    def pair(self, rank: int, peer: int) -> Lanes:
        """What two workers have between them, where each pair has a link of its own."""
        pair = self.pairs[rank].get(peer)
        if pair is None:
            check_peer(rank, peer, len(self.pairs))
            # Under both names, so that no end has to sort the two for every message.
            pair = self.pairs[rank][peer] = self.pairs[peer][rank] = Lanes()
        return pair

    def began(self, at: int, *ranks: int) -> None:
        """Bytes from or to these ranks are under way from `at` on, now or later."""
        if self.slowed is not None:
            for rank in ranks:
                self.slowed.transfer_began(rank, at)

    def ended(self, at: int, *ranks: int) -> None:
        """They are no longer."""
        if self.slowed is not None:
            for rank in ranks:
                self.slowed.transfer_ended(rank, at)

    def end_exchange(self, running: Running, ready: int, end: int) -> None:
        """A rank's end of an exchange whose ends were both there at `ready` is over at `end`: enter it, and end it."""
        rank, size = running.worker.rank, running.operation.size
        held = in_flight("Exchange", 2, size)
        self.ledger.transferred(
            rank, running.start_ns, ready, end, sent=size, is_exchange=True, held=held, due=due_ns(running)
        )
        self.ended(end, rank)
        self.end(running, end)

    def links(self, now: int) -> Iterator[LinkRow]:
        """What every direction of a link has carried up to `now`."""
        return self.fabric.links(now) if self.fabric is not None else self.transport.links(self.pairs, now)

"""The door of the desk: whoever connects shows first that it is a rank of this run.

Both sides know a key, and neither sends it. Each sends random bytes, its challenge, and proves by a keyed digest of
both challenges that it knows the key:

    desk -> rank: challenge
    rank -> desk: its rank, a challenge of its own, proof
    desk -> rank: proof

Who sends something else is a stranger (a scan of ports, a browser, a rank of another run): its connection is closed
without a word. Nobody is waited for: a stranger that stays silent keeps no rank out, and is sent away after a while.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import time
from collections.abc import Callable, Container
from functools import partial
from selectors import EVENT_READ, BaseSelector
from struct import Struct

from executor.agreement.line import Line

GREETING_S = 20.0
"""How long somebody may take to show who it is."""

MAX_STRANGERS = 64
"""How many may be at the door beside the ranks: each holds a file descriptor, of which a process has not many."""

_CHALLENGE_BYTES = 32
_SHOWN = Struct(f"<I{_CHALLENGE_BYTES}s32s")
_RANKS_PROOF, _DESKS_PROOF = b"rank", b"desk"


def _proof(key: bytes, *parts: bytes) -> bytes:
    # All parts have fixed lengths, so no two lists of them are the same bytes; the first says whose proof it is, so
    # that nobody can answer with what the other side has sent.
    return hmac.digest(key, b"".join(parts), "sha256")


def enter(host: str, port: int, key: bytes, rank: int) -> Line:
    """Connect to the desk, as this rank.

    Raises:
        OSError: if nobody is there, or who is there does not take us for a rank or does not know the key.
    """
    connection = socket.create_connection((host, port), GREETING_S)
    line = _line(connection)
    try:
        _show(line, key, rank)
    except OSError:
        line.close()
        raise
    connection.settimeout(None)
    return line


def _show(line: Line, key: bytes, rank: int) -> None:
    theirs, mine = line.receive(), secrets.token_bytes(_CHALLENGE_BYTES)
    proof = _proof(key, _RANKS_PROOF, theirs, mine, rank.to_bytes(4, "little"))
    line.send(_SHOWN.pack(rank, mine, proof))
    if not hmac.compare_digest(line.receive(), _proof(key, _DESKS_PROOF, theirs, mine)):
        raise ConnectionError("who answers at the desk's address does not know the key of this run")


def _line(connection: socket.socket) -> Line:
    # A message is short and somebody waits for it: it must not wait for more to be sent with it.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Line(connection)


class _Guest:
    """Somebody who has connected, and has yet to show that it is a rank.

    Attributes:
        late_at: when it will have taken too long, in `time.monotonic()`.
    """

    def __init__(self, line: Line, late_at: float) -> None:
        self.line, self.late_at = line, late_at
        self._challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        line.send(self._challenge)

    def rank(self, key: bytes, awaited: Container[int]) -> int | None:
        """Which rank it is, or None if it has not yet said so.

        Raises:
            OSError: if it is a stranger, or gone.
        """
        self.line.fill()
        message = self.line.taken()
        if message is None:
            return None
        if len(message) != _SHOWN.size:
            raise ConnectionError("a stranger")
        rank, theirs, proof = _SHOWN.unpack(message)
        expected = _proof(key, _RANKS_PROOF, self._challenge, theirs, rank.to_bytes(4, "little"))
        if not hmac.compare_digest(proof, expected) or rank not in awaited:
            raise ConnectionError("a stranger")
        self.line.send(_proof(key, _DESKS_PROOF, self._challenge, theirs))
        return int(rank)


class Door:
    """Lets in every rank once, and is closed when all have come.

    Args:
        interface: where it listens.
        selector: calls the `data` of what can be read: that is how the door hears of who comes.
        seat: `seat(rank, line)` is called for every rank that has come.
    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        interface: str,
        num_workers: int,
        key: bytes,
        *,
        selector: BaseSelector,
        seat: Callable[[int, Line], None],
    ) -> None:
        self._key, self._selector, self._seat = key, selector, seat
        self._awaited = set(range(num_workers))
        self._guests: list[_Guest] = []  # who came first is first
        self._most_guests = num_workers + MAX_STRANGERS
        self._listener = socket.create_server((interface, 0), backlog=self._most_guests)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        selector.register(self._listener, EVENT_READ, self._welcome)

    @property
    def is_open(self) -> bool:
        """Whether some rank has yet to come."""
        return bool(self._awaited)

    def patience_s(self) -> float | None:
        """How long until `dismiss_late` has something to do; None: for ever."""
        return max(0.0, self._guests[0].late_at - time.monotonic()) if self._guests else None

    def dismiss_late(self) -> None:
        """Send away who has taken too long."""
        while self._guests and self._guests[0].late_at <= time.monotonic():
            self._dismiss(self._guests[0])

    def _welcome(self) -> None:
        """Somebody has connected."""
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again
            return
        try:
            connection.setblocking(False)
            guest = _Guest(_line(connection), time.monotonic() + GREETING_S)
        except OSError:
            connection.close()
            return
        self._guests.append(guest)
        self._selector.register(guest.line, EVENT_READ, partial(self._greet, guest))
        if len(self._guests) > self._most_guests:
            self._dismiss(self._guests[0])

    def _greet(self, guest: _Guest) -> None:
        """A guest has said something, or is gone."""
        if guest not in self._guests:  # it was sent away since the selector saw it
            return
        try:
            rank = guest.rank(self._key, self._awaited)
        except OSError:
            self._dismiss(guest)
            return
        if rank is None:
            return
        self._forget(guest)
        self._awaited.discard(rank)
        self._seat(rank, guest.line)
        if not self._awaited:
            self._close()

    def _forget(self, guest: _Guest) -> None:
        self._guests.remove(guest)
        self._selector.unregister(guest.line)

    def _dismiss(self, guest: _Guest) -> None:
        self._forget(guest)
        guest.line.close()

    def _close(self) -> None:
        for guest in list(self._guests):
            self._dismiss(guest)
        self._selector.unregister(self._listener)
        self._listener.close()

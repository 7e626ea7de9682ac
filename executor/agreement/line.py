"""One end of a connection between a rank and the desk: messages of bytes, each behind its length.

Nothing that comes in is more than bytes here: what they mean, `executor.agreement.questions` reads field by field.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import Struct

MAX_BYTES = 1 << 16
"""A longer message is none of ours: the candidates of 16,000 ranks fit in."""

_LENGTH = Struct("<I")


class Line:
    """One end of a connection.

    A rank waits for the next message by `receive`. The desk must wait for nobody: its connections do not block, and
    `fill` takes in what has arrived, be it part of a message or several, which `taken` then hands out.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()

    def fileno(self) -> int:
        """Of its connection, for a selector."""
        return self._connection.fileno()

    def send(self, message: bytes) -> None:
        """Send a message whole.

        Raises:
            ValueError: if it is too long.
            OSError: if the connection is lost, or its other end does not read.
        """
        if len(message) > MAX_BYTES:
            raise ValueError(f"expected a message of at most {MAX_BYTES} bytes, found {len(message)}")
        self._connection.sendall(_LENGTH.pack(len(message)) + message)

    def receive(self) -> bytes:
        """The next message; waits for it.

        Raises:
            OSError: if the connection is lost, or something else than a message comes.
        """
        while (message := self.taken()) is None:
            self.fill()
        return message

    def fill(self) -> None:
        """Take in what has arrived.

        Raises:
            OSError: if the connection is lost.
        """
        try:
            found = self._connection.recv(MAX_BYTES)
        except BlockingIOError:  # a selector may be wrong
            return
        if not found:
            raise ConnectionError("the connection was closed at its other end")
        self._received += found

    def taken(self) -> bytes | None:
        """The next message of those that were taken in, if it is there whole.

        Raises:
            ConnectionError: if something else than a message has come.
        """
        if len(self._received) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._received)
        if length > MAX_BYTES:
            raise ConnectionError(f"expected a message of at most {MAX_BYTES} bytes, found one of {length}")
        end = _LENGTH.size + length
        if len(self._received) < end:
            return None
        message = bytes(self._received[_LENGTH.size : end])
        del self._received[:end]
        return message

    def close(self) -> None:
        """Close the connection, and wake who waits for it on another thread: closing alone does not."""
        with suppress(OSError):  # it is lost already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

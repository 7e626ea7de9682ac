"""Messages that a stream has begun and does not wait for yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

from schedules import Await, Handle, Operation, Payload, Program, Receive, Send, Start


class SentAhead:
    """Those that a stream hands over; it waits for the oldest before there are more than `limit` under way."""

    def __init__(self, limit: int) -> None:
        self._limit, self._handles = limit, deque[Handle]()

    def start(self, send: Send) -> Program:
        """One more."""
        if len(self._handles) == self._limit:
            yield Await((self._handles.popleft(),))
        handle, _ = yield Start(send)
        self._handles.append(handle)

    def all(self) -> Program:
        """Wait until all have arrived."""
        if self._handles:
            yield Await(tuple(self._handles))
            self._handles.clear()


class ReceivedAhead:
    """Those that a stream will take in this order, of which so many are posted ahead, beginning with `post`."""

    def __init__(self, receives: Iterable[Receive], ahead: int) -> None:
        self._to_come, self._ahead, self._handles = iter(receives), ahead, deque[Handle]()

    def post(self) -> Program:
        """Post as many as are to be ahead."""
        while len(self._handles) < self._ahead and (receive := next(self._to_come, None)) is not None:
            handle, _ = yield Start(receive)
            self._handles.append(handle)

    def take(self) -> Generator[Operation, Any, Payload]:
        """Wait for the next, and post another in its place."""
        if not self._ahead:
            now: Payload
            now, _ = yield next(self._to_come)
            return now
        arrivals, _ = yield Await((self._handles.popleft(),))
        yield from self.post()
        found: Payload = arrivals.results[0]
        return found

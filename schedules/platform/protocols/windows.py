"""What a connection may have under way: its window, and how it opens.

A sender has at most a window of bytes under way that its peer has not confirmed, so a connection of round-trip time R
carries no more than window / R, whatever its links could. A connection that has rested begins with a smaller window,
which grows by what is confirmed: it doubles every round trip until the link, or the window, is full (TCP's slow start,
RFC 5681, section 3.1; RFC 6928 for the ten segments it begins with; after a pause as long as the timer of
retransmission Linux begins anew).
"""

from __future__ import annotations

import math
from typing import NamedTuple

SEGMENT = 1460
"""Bytes of a TCP segment in an Ethernet frame of 1500: a window below it carries nothing."""

REST = 0.2
"""Seconds, over a round trip, after which a connection that carries nothing begins anew: Linux's least timer."""


def check_window(size: float) -> float:
    """A window that carries something.

    Raises:
        ValueError: if it is below a segment.
    """
    if size < SEGMENT:
        raise ValueError(f"expected a window of at least a TCP segment, {SEGMENT} B, found {size:.12g} B")
    return size


class Windows(NamedTuple):
    """The windows of a connection, in bytes.

    Attributes:
        largest: most that is ever under way.
        first: the window after a rest; infinite: it is open at once.
    """

    largest: float = math.inf
    first: float = math.inf

    def within(self, *limits: float | None) -> Windows:
        """The same over links with windows of their own; None: it has none."""
        return Windows(min([self.largest, *(each for each in limits if each is not None)]), self.first)

    def rate(self, bandwidth: float, round_trip: float) -> float:
        """Bytes/s that a connection carries over links of `bandwidth`, on a round trip in seconds."""
        # Compared by products: a window of infinity over a round trip of 0 is no number.
        return bandwidth if bandwidth * round_trip <= self.largest else self.largest / round_trip

    def opening(self, size: float, bandwidth: float, round_trip: float, carried: float = 0.0) -> float:
        """Seconds that a message of `size` bytes loses while its connection opens.

        In every round trip in which less than bandwidth times round trip may leave, the sender waits for the rest of
        it, unless it is done.

        Args:
            bandwidth: bytes/s that the connection carries once it is open.
            carried: bytes that it has carried since it rested.
        """
        window, lost = self.first + carried, 0.0
        while window < size and window < bandwidth * round_trip:
            lost += round_trip - window / bandwidth
            size -= window
            window *= 2
        return lost


OPEN = Windows()
"""No limit at all."""

"""The run's clock: nanoseconds since a start that all ranks agree on, whatever machine they are on.

On one machine `time.perf_counter_ns()` is CLOCK_MONOTONIC, which all processes share. Between machines, rank 0's
clock is the reference: every other rank asks it for the time, before the run and after. Of many answers the one with
the shortest round trip counts: its error is at most half that round trip. What happened in between is aligned by a
straight line between the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NUM_PINGS = 100


@dataclass(frozen=True)
class Offset:
    """Another clock against this one.

    Attributes:
        offset_ns: what to add to this clock to get the other.
        error_ns: half of the shortest round trip; the true offset is no farther off.
        at_ns: when it was found, on this clock.
    """

    offset_ns: int
    error_ns: int
    at_ns: int


EXACT = Offset(0, 0, 0)


def measure_offset(
    ask: Callable[[], int], num_pings: int = NUM_PINGS, now: Callable[[], int] = time.perf_counter_ns
) -> Offset:
    """The offset to the clock that `ask` reads, over a connection.

    offset = answer - (sent + received) / 2, of the ping with the smallest received - sent.

    Source: Cristian 1989; the filter is that of NTP (RFC 5905, section 10).
    """
    pings = []
    for _ in range(num_pings):
        sent = now()
        answer = ask()
        received = now()
        pings.append((received - sent, answer - (sent + received) // 2, received))
    # The quickest, not the mean: what delays an answer delays one way more than the other, and only ever adds.
    round_trip, offset, at = min(pings)
    return Offset(offset, (round_trip + 1) // 2, at)  # rounded up: it is a bound


def drift(before: Offset, after: Offset) -> float:
    """How much faster the other clock goes, in seconds per second."""
    elapsed = after.at_ns - before.at_ns
    return (after.offset_ns - before.offset_ns) / elapsed if elapsed > 0 else 0.0


def align(times_ns: NDArray[np.int64], before: Offset, after: Offset, t0_ns: int) -> NDArray[np.int64]:
    """Times of a run, told with the offset from before, in the reference's time with the drift taken out.

    Args:
        times_ns: int64, since the start `t0_ns`, which is on this rank's clock.
    """
    rate = drift(before, after)
    elapsed = (times_ns + t0_ns - before.at_ns).astype(np.float64)
    return times_ns + np.rint(rate * elapsed).astype(np.int64)


def machine() -> str:
    """What tells whether two processes share a clock: the boot of the machine.

    Host names do not: containers of one machine have several, and two machines may have one.
    """
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


class RunClock:
    """Nanoseconds since the common start; 0 until it has been set.

    It may be read on any thread, and before the start: what is connected and warmed up then happens at time 0.
    """

    __slots__ = ("t0_ns",)

    def __init__(self) -> None:
        self.t0_ns: int | None = None

    def start(self, t0_reference_ns: int, offset: Offset) -> None:
        """Start at a time of the reference's clock."""
        self.t0_ns = t0_reference_ns - offset.offset_ns

    @property
    def now(self) -> int:
        """Nanoseconds since the start."""
        # The start lies a little ahead when it is agreed on; until then it is 0, too.
        return 0 if self.t0_ns is None else max(0, time.perf_counter_ns() - self.t0_ns)


def describe(before: Offset, after: Offset, *, is_shared: bool) -> dict[str, object]:
    """What a run says about a rank's clock."""
    if is_shared:
        return {"is_shared": True, "residual_s": 0.0}
    residual = max(before.error_ns, after.error_ns)
    told = {"before": asdict(before), "after": asdict(after), "drift": drift(before, after)}
    return {"is_shared": False, "residual_s": residual / 1e9, **told}

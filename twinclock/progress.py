"""How far a command has come, where it takes long: on the standard error, from a thread of its own.

On a terminal one line that is written over every second, from two seconds on; elsewhere a line every ten seconds. The
thread only reads counters that the work keeps anyway: a simulation's loop does nothing for it, and ranks that are being
measured neither know of it nor print.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from schedules.record.quantities import number, with_unit
from twinclock.options import is_quiet

if TYPE_CHECKING:
    from simulator.course import Seen

FIRST_S = 2.0
ON_A_TERMINAL_S = 1.0
ELSEWHERE_S = 10.0
WIDTH = 20


class Counted(NamedTuple):
    """How far work has come that is many runs.

    Attributes:
        share: of its end.
        num_done, num_all: runs.
    """

    share: float
    num_done: int
    num_all: int


class ProgressLine:
    """A context manager around work that may take long.

    Args:
        words: what is done: "simulating".
        is_shown: whether anything is printed; None: unless the command was given `--quiet`.
    """

    def __init__(self, words: str, *, is_shown: bool | None = None) -> None:
        self._words, self._is_shown = words, not is_quiet() if is_shown is None else is_shown
        self._look: Callable[[], Seen | Counted | None] | None = None
        self._is_over = threading.Event()
        self._begin = time.monotonic()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def watch(self, look: Callable[[], Seen | Counted | None]) -> None:
        """Take how far the work has come from here: `simulator.simulate(..., watch=progress.watch)`."""
        self._look = look

    def __enter__(self) -> Self:
        if self._is_shown:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        if self._is_shown:
            self._thread.join()

    def _show(self) -> None:
        stream = sys.stderr
        is_terminal = stream.isatty()
        if self._is_over.wait(FIRST_S if is_terminal else ELSEWHERE_S):
            return
        try:
            while True:
                told = line(
                    self._words, time.monotonic() - self._begin, self._look and self._look(), is_bar=is_terminal
                )
                print(
                    f"\r{told}\x1b[K" if is_terminal else told, end="" if is_terminal else "\n", file=stream, flush=True
                )
                if self._is_over.wait(ON_A_TERMINAL_S if is_terminal else ELSEWHERE_S):
                    break
            if is_terminal:
                print("\r\x1b[K", end="", file=stream, flush=True)  # what is printed next has the line for itself
        except (OSError, ValueError):  # nobody reads it any more, and the work goes on
            return


def line(words: str, seconds: float, seen: Seen | Counted | None, *, is_bar: bool = False) -> str:
    """What is told after so many seconds.

    Args:
        seen: how far the work has come, where it says so.
        is_bar: whether a share is drawn, too.
    """
    parts = [f"{words}: {clock(seconds)}"]
    if seen is not None:
        if seen.share is not None:
            share = min(1.0, seen.share)
            whole = round(WIDTH * share)
            parts.append((f"[{'#' * whole}{'.' * (WIDTH - whole)}] " if is_bar else "") + f"{100 * share:.0f} %")
        parts += _counts(seen)
        if seen.share is not None and 0.01 <= seen.share < 1:
            parts.append(f"about {clock(seconds / seen.share - seconds)} to go")
    return ", ".join(parts)


def _counts(seen: Seen | Counted) -> list[str]:
    if isinstance(seen, Counted):
        return [f"{seen.num_done} of {seen.num_all} runs"]
    gradients = [f"{number(seen.gradients, 12)} gradients"] if seen.gradients else []
    return [*gradients, f"{with_unit(seen.now_ns / 1e9, 's', 3)} simulated"]


def clock(seconds: float) -> str:
    """`12 s`, `3 min 05 s`, `2 h 07 min`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"

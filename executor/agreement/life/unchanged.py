"""For how long something has stayed as it is, as far as one has been there to see."""

from __future__ import annotations


class Unchanged:
    """How long a value has not changed.

    Time in which nobody looked does not count: a process that was stopped and goes on, or had to wait for a core, has
    missed what others did meanwhile, and must not take them for dead.

    Args:
        longest_gap_s: between two looks that belong together.
    """

    __slots__ = ("_longest_gap_s", "_looked_s", "_since_s", "_value")

    def __init__(self, longest_gap_s: float) -> None:
        self._longest_gap_s = longest_gap_s
        self._value: object = None
        self._since_s = self._looked_s = float("-inf")

    def seconds(self, value: object, now_s: float) -> float:
        """Look: for how long the value has been this one."""
        if value != self._value or now_s - self._looked_s > self._longest_gap_s:
            self._value, self._since_s = value, now_s
        self._looked_s = now_s
        return now_s - self._since_s

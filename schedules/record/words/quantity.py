"""One number of a summary: its words and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECONDS: Final = "s"
BYTES: Final = "B"
PER_SECOND: Final = "/s"
SHARE: Final = "%"
COUNT: Final = ""


@dataclass(frozen=True)
class Quantity:
    """A number of a summary.

    Attributes:
        words: what it is called where its value stands beside it in a table.
        unit: how its value is printed: `SECONDS`, `BYTES`, `PER_SECOND`, `SHARE` (0.1 is 10 %) or `COUNT`, a plain
            number.
        line: the line of a run's printout that has it; "" where only files and `--json` do.
        behind: the words behind its value on that line.
        heading: over its column in a sweep's table, where that is not `words`.
        title: what it is called on its own, in figures, where that is not `words`.
        axis: what a figure's axis says behind the title: a unit, or a formula between dollars.
        is_final: whether a summary has the last value of a curve.
    """

    words: str
    unit: str = COUNT
    line: str = ""
    behind: str = ""
    heading: str = ""
    title: str = ""
    axis: str = ""
    is_final: bool = False

    @property
    def label(self) -> str:
        """Of an axis: `throughput (gradients/s)`."""
        title = self.title or self.words
        return f"{title} {self.axis if self.axis.startswith('$') else f'({self.axis})'}" if self.axis else title

    @property
    def alone(self) -> str:
        """Where its value stands beside it with a unit of its own, and other quantities above and below: `throughput
        (gradients/s)`, `makespan`."""
        is_told = not self.axis or self.axis.startswith("$") or self.unit not in (COUNT, PER_SECOND)
        return self.of_a_run if is_told else f"{self.of_a_run} ({self.axis})"

    @property
    def scale(self) -> int:
        """What a value is multiplied by where its axis is in percent."""
        return 100 if self.unit == SHARE else 1

    @property
    def of_a_run(self) -> str:
        """What a value of a whole run is called: `final loss`."""
        return f"final {self.title or self.words}" if self.is_final else self.title or self.words

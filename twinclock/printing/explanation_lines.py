"""Why a run took as long as it did, as lines to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from analysis.measures.explanation import (
    COLLECTIVE_COLUMNS,
    Explanation,
    collective_cells,
    part_name,
    part_place,
    share,
)
from schedules.record.quantities import with_unit
from twinclock.printing.tables import table_lines

NO_TRACE = "run.trace = true shows the critical path and who waited for whom"


def explanation_lines(explanation: Explanation) -> list[str]:
    """The critical path, the longest waits, collectives, and the busiest links beside the busiest ranks."""
    blocks = [_path(explanation), _waits(explanation), _collectives(explanation)]
    blocks.append(_beside(_links(explanation), _ranks(explanation)))
    return [line for block in blocks for line in block]


def _block(header: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int]) -> list[str]:
    """A table under its header; rows are indented as those of the summary are."""
    return table_lines([(f"  {row[0]}", *row[1:]) for row in rows], header=header, right=right) if rows else []


def _path(explanation: Explanation) -> list[str]:
    if explanation.path is None:
        return [NO_TRACE]
    rows = []
    for part in explanation.parts:
        place = part_place(part)
        if place and part["of_part"] < 1:
            place = f"{share(part['of_part'])} on {place}"
        rows.append((part_name(part), with_unit(part["seconds"], "s"), share(part["share"]), place))
    return _block(("critical path", "", "", ""), rows, (1, 2))


def _waits(explanation: Explanation) -> list[str]:
    rows = [
        (
            f"rank {each['rank']} for rank {each['waited_for']}",
            with_unit(each["seconds"], "s"),
            share(each["share"]),
        )
        for each in explanation.longest_waits()
    ]
    return _block(("longest waits", "", ""), rows, (1, 2))


def _collectives(explanation: Explanation) -> list[str]:
    header = ("collectives", *COLLECTIVE_COLUMNS[1:])
    return _block(header, [collective_cells(each) for each in explanation.collectives], (1, 2, 4, 5, 6, 7, 8))


def _links(explanation: Explanation) -> list[str]:
    rows = [
        (each["link"], share(each["utilisation"]), with_unit(each["carried_bytes"], "B")) for each in explanation.links
    ]
    return _block(("busiest links", "utilisation", "carried"), rows, (1, 2))


def _ranks(explanation: Explanation) -> list[str]:
    names = ("computing", "communicating", "idle")
    rows = [(f"rank {each['rank']}", *(share(each[name]) for name in names)) for each in explanation.ranks]
    return _block(("busiest ranks", *names), rows, (1, 2, 3))


def _beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Two blocks side by side; one alone stands at the left."""
    if not left or not right:
        return [*left, *right]
    width = max(map(len, left))
    return [f"{one:{width}}    {other}".rstrip() for one, other in zip_longest(left, right, fillvalue="")]

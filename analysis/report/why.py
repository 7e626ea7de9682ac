"""The section of a report that says why the runs took as long as they did: rows for its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.measures.explanation import (
    COLLECTIVE_COLUMNS,
    NUM_WAITS,
    Explanation,
    collective_cells,
    part_name,
    part_place,
    share,
)
from schedules.record.quantities import MISSING, with_unit

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
"""A row of a table, by the names that the template has for its cells."""


def why_tables(explanations: Mapping[str, Explanation]) -> Row:
    """What the template shows, from the explanations by world."""
    world, first = next(iter(explanations.items()))
    return {
        "world": world,
        "parts": _parts(explanations),
        "waits": _waits(explanations),
        "links": [_link(row) for row in first.links],
        "ranks": [_rank(row) for row in first.ranks],
        "collective_columns": COLLECTIVE_COLUMNS,
        "collectives": [
            dict(zip(COLLECTIVE_COLUMNS, collective_cells(each), strict=True)) for each in first.collectives
        ],
    }


def _parts(explanations: Mapping[str, Explanation]) -> list[Row]:
    """A row for each part of either path, in the order of the larger share."""
    by_name: dict[str, Row] = {}
    for world, each in explanations.items():
        for part in each.parts:
            by_name.setdefault(part_name(part), {})[world] = part
    ordered = sorted(by_name.items(), key=lambda item: -max(part["share"] for part in item[1].values()))
    return [
        {"name": name, **{key: each for world in explanations for key, each in _part(world, row.get(world)).items()}}
        for name, row in ordered
    ]


def _part(world: str, part: Row | None) -> Row:
    """The cells of one world, by its name and what they tell."""
    if part is None:
        return {world: MISSING, f"{world} share": MISSING, f"{world} place": ""}
    place = part_place(part)
    if place and part["of_part"] < 1:  # where all of it was there, the place says enough
        place = f"{share(part['of_part'])} on {place}"
    return {world: with_unit(part["seconds"], "s"), f"{world} share": share(part["share"]), f"{world} place": place}


def _waits(explanations: Mapping[str, Explanation]) -> list[Row]:
    """The longest waits of either world, with what they were in both."""
    longest = [wait for each in explanations.values() for wait in each.longest_waits()]
    longest.sort(key=lambda wait: -wait["share"])  # by share, as the two runs differ in length
    pairs = list(dict.fromkeys((wait["rank"], wait["waited_for"]) for wait in longest))[:NUM_WAITS]
    waited = {world: _by_pair(each) for world, each in explanations.items()}
    return [
        {
            "name": f"rank {rank} for rank {other}",
            **{world: with_unit(waited[world].get((rank, other), 0) / 1e9, "s") for world in explanations},
        }
        for rank, other in pairs
    ]


def _by_pair(explanation: Explanation) -> dict[tuple[int, int], int]:
    if explanation.waits is None:
        return {}
    columns = (explanation.waits[name].tolist() for name in ("rank", "waited_for", "waited_ns"))
    return {(rank, other): waited for rank, other, waited in zip(*columns, strict=True)}


def _link(row: Row) -> Row:
    return {
        "name": row["link"].replace("<->", "↔").replace("->", "→"),
        "utilisation": share(row["utilisation"]),
        "carried": with_unit(row["carried_bytes"], "B"),
    }


def _rank(row: Row) -> Row:
    shares = {name: share(row[name]) for name in ("computing", "communicating", "idle")}
    return {"name": f"rank {row['rank']}", **shares}


def path_table(explanations: Mapping[str, Explanation]) -> pd.DataFrame:
    """The critical paths: columns world, category, kind, rank, peer, seconds, share."""
    import pandas as pd

    paths = {world: each.path for world, each in explanations.items() if each.path is not None}
    tables = {world: path.by("category", "kind", "rank", "peer") for world, path in paths.items()}
    table = pd.concat(tables, names=["world"]).reset_index("world")
    table.insert(5, "seconds", table.pop("length_ns") / 1e9)
    return table

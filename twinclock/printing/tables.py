"""What commands print: tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def print_json(value: object) -> None:
    """Strict JSON: what is not finite becomes null, a path its text."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Iterable[int] = ()) -> None:
    """Print `table_lines`."""
    for line in table_lines(rows, header=header, right=right):
        click.echo(line)


def table_lines(rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Iterable[int] = ()) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart; those in `right` are aligned to the right."""
    lines = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    signs = [">" if column in set(right) else "<" for column in range(len(widths))]
    template = "  ".join(f"{{:{sign}{width}}}" for sign, width in zip(signs, widths, strict=True))
    return [template.format(*line).rstrip() for line in lines]


def print_written(paths: Iterable[Path]) -> None:
    """The paths written, a line each."""
    for path in paths:
        click.echo(f"wrote {path}")


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    # A frame's numbers are numpy's, which have `item`. What else there is, a path or a time, is its text.
    return _plain(value.item()) if hasattr(value, "item") else str(value)

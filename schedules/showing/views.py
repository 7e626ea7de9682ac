"""A run in one line, as a table for a notebook, and in the figures of whoever draws them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schedules.record.quantities import QUANTITIES, WORK_PER_S, applies, beside_words, name_of, sentence_of, units_of

if TYPE_CHECKING:
    from schedules.record.files import Tables
    from schedules.record.summary import Summary

DRAWN_BY: Final = "analysis"
"""The package whose `run_figures` draws a run. It is found by its name, as pandas finds the package that draws its
plots: the contract knows nothing of those that read it, and works where none of them is there."""

_LINE: Final = ("gradients", "makespan_s", "gradients_per_s")


def line(world: str, seed: int, tables: Tables, summary: Summary) -> str:
    """`simulated run: a2cid2 on ring, 6 workers, seed 0; gradients 360, makespan 1.26 s, ...`."""
    schedule, topology = tables.get("schedule", {}), tables.get("topology", {})
    own = [WORK_PER_S + unit for unit in units_of(summary)]
    told = [sentence_of(key, summary[key]) for key in (*_LINE, *own) if summary.get(key)]
    what = f"{schedule.get('program', '?')} on {graph_name(topology)}, {topology.get('workers', '?')} workers"
    return "; ".join([f"{world} run: {what}, seed {seed}", *([", ".join(told)] if told else [])])


def graph_name(topology: Mapping[str, Any]) -> str:
    """What a table [topology] calls its graph: the family, or the file without its place; of several, how many."""
    file, count = topology.get("file"), topology.get("count")
    names = [Path(each).name for each in (file if isinstance(file, list) else [file]) if isinstance(each, str)]
    if topology.get("graph") is not None:
        return f"{count} x {topology['graph']}" if count is not None else str(topology["graph"])
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else next(iter(names), "?")


def table(caption: str, summary: Summary) -> str:
    """An HTML table of the numbers that a print-out has: names in words, values with their units."""
    there = [key for key, each in QUANTITIES.items() if each.line and _is_number(summary.get(key))]
    shown = [key for key in there if applies(key, summary)]
    own = [key for key, value in summary.items() if key not in QUANTITIES and _is_number(value)]
    rows = "".join(
        f'<tr><td style="text-align:left">{escape(name_of(key))}</td>'
        f"<td>{escape(beside_words(key, summary[key]))}</td></tr>"
        for key in (*shown, *own)
    )
    return f'<table><caption style="text-align:left">{escape(caption)}</caption><tbody>{rows}</tbody></table>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def figures(run: object, name: str | None) -> Any:
    """What `DRAWN_BY` draws of a run.

    Raises:
        ValueError: if it draws nothing of that name.
        ImportError: if it is not there.
    """
    return import_module(DRAWN_BY).run_figures(run, name)

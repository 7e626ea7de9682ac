"""What is simulated and what is executed, by family of schedules, as the README has it: from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from schedules import catalogue
from schedules.catalogue import Schedule


def schedule_list() -> list[str]:
    """The lines of a table in Markdown, a row a family."""
    lines = ["| family | schedules | simulated | executed |", "| --- | --- | --- | --- |"]
    entries = [catalogue.find(name) for name in catalogue.names()]
    for family in catalogue.families():
        found = [entry for entry in entries if entry.family == family]
        cells = family, _names(found), _simulated(found), _executed(found)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _names(entries: Sequence[Schedule]) -> str:
    return ", ".join(f"`{entry.name}`" for entry in entries)


def _simulated(entries: Sequence[Schedule]) -> str:
    # The stages of a pipeline have kernels of a module's, or durations alone: no problem is cut so.
    told = ["all, timing alone" + " or a problem's numbers" * (not _are_pipelines(entries))]
    surviving = [entry for entry in entries if entry.survives]
    varying = [entry for entry in entries if entry.is_varying]
    told += [f"without a rank that fails: {_names(surviving)}"] * bool(surviving)
    told += [f"on graphs that change: {_names(varying)}"] * bool(varying)
    return "; ".join(told)


def _executed(entries: Sequence[Schedule]) -> str:
    if _are_pipelines(entries):
        return "all, paced; your own torch module in stages"
    told = "all, paced or a problem's numbers"
    return f"{told}; your own torch module {'in stages' if any(entry.place for entry in entries) else 'under all'}"


def _are_pipelines(entries: Sequence[Schedule]) -> bool:
    return all(entry.is_pipeline for entry in entries)

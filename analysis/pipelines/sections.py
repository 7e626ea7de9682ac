"""What a report shows of a pipeline: its stages by time, its idle time in parts, and the words for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from analysis.pipelines.drawing import readable_window, stages_figure
from analysis.pipelines.idle import IDLE_PARTS, Idle
from analysis.pipelines.idle_bars import WORDS, idle_bars
from analysis.pipelines.steps import steps_of_run
from schedules.record.quantities import with_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from schedules.result import Result

MOST_STEPS: Final = 100
"""Of a rank, beside each other on a page: of more the first."""
MOST_RANKS: Final = 16

STAGES_CAPTION: Final = (
    "From the beginning on: a box a step, with the number of its micro-batch. F is the forward pass of a stage, B "
    "and W are its backward pass for the input and for the weights, D is both in one. Where a rank has several "
    "stages, the later ones are lighter."
)
IDLE_CAPTION: Final = (
    "Until the last step of all ranks ends. The steps are timed again in the order that they had, with what each "
    "took in this run: contention is what is gone where messages take their latency only and do not wait for one "
    "another (bytes, links that are shared, software; also barriers, all-reduces and locks, which are in no "
    "order), latency what is gone where messages take nothing, and the rest is the order's own. The parts add up "
    "to the idle time exactly; one below 0 says that messages were faster than the platform's latency."
)


def stages_of(runs: Mapping[str, Result]) -> Figure | None:
    """The stages of runs by time, a lane a world; None where none is a pipeline's."""
    traces = {world: run.trace for world, run in runs.items() if run.trace is not None and len(run.trace)}
    found = {world: steps for world, trace in traces.items() if (steps := steps_of_run(trace)) is not None}
    if not found:
        return None
    num_ranks = 1 + max(int(each["rank"].max()) for each in found.values())
    shown = {world: each[each["rank"] < MOST_RANKS] for world, each in found.items()}
    title = f"ranks 0 to {MOST_RANKS - 1} of {num_ranks}" if num_ranks > MOST_RANKS else "all ranks"
    told = f"{' and '.join(found).capitalize()}, {title}"
    return stages_figure(shown, window_ns=readable_window(shown, MOST_STEPS), title=told)


def idle_figure(idle: Mapping[str, Idle]) -> Figure | None:
    """Their idle time in parts; None where there is none to tell."""
    return idle_bars(idle, max_ranks=MOST_RANKS) if idle else None


def idle_rows(idle: Mapping[str, Idle]) -> list[dict[str, str]]:
    """Of every rank and world what it computed, its idle time, and the parts; first the mean over the ranks."""
    num_ranks = max((len(each.parts) for each in idle.values()), default=0)
    means = [_row(f"mean of {num_ranks} ranks", world, each.parts.mean()) for world, each in idle.items()]
    return means + [
        _row(f"rank {rank}", world, each.parts.iloc[rank])
        for rank in range(min(num_ranks, MOST_RANKS))
        for world, each in idle.items()
        if rank < len(each.parts)
    ]


def _row(name: str, world: str, nanoseconds: pd.Series[int]) -> dict[str, str]:
    keys = ("compute", "idle", *IDLE_PARTS)
    return {"name": f"{name}, {world}"} | {key: with_unit(nanoseconds[f"{key}_ns"] / 1e9, "s", 3) for key in keys}


def idle_columns() -> list[tuple[str, str, str]]:
    """Of the table of these rows: heading, key, class."""
    parts = [(WORDS[part], part, "n") for part in IDLE_PARTS]
    return [("", "name", ""), ("computing", "compute", "n"), ("idle", "idle", "n"), *parts]


def latency_words(idle: Mapping[str, Idle]) -> str:
    """Where the latency that the parts go by comes from."""
    told = []
    for world, each in idle.items():
        if each.latency_s is None:
            told.append(f"that of its route (platform.network of the {world} run's scenario)")
            continue
        where = f"platform.transport = {each.transport!r}" if not each.takes_latency else "platform.link.latency"
        told.append(f"{with_unit(each.latency_s, 's')} ({where} of the {world} run's scenario)")
    return f"Latency of a message: {'; '.join(told)}."


def idle_table(idle: Mapping[str, Idle]) -> pd.DataFrame | None:
    """The parts of all worlds: columns world, rank, and those of `analysis.pipelines.idle.Idle.parts`."""
    import pandas as pd

    return (
        pd.concat({world: each.parts for world, each in idle.items()}, names=["world"]).reset_index() if idle else None
    )

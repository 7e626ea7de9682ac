"""The sections of a report and their figures: one table that the template loops over.

A further figure is one entry here, with the function that draws it in a file of `analysis/figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from analysis.comparison import Comparison
from analysis.figures.ages import age_panels
from analysis.figures.bars import breakdown_bars, curves, readable_window, staleness_bars, timeline
from analysis.figures.decision import decision_figure
from analysis.figures.graph import graph_figure
from analysis.figures.memory import memory_curve
from analysis.measures.under_way import under_way
from analysis.pipelines.sections import IDLE_CAPTION, STAGES_CAPTION, idle_figure, stages_of
from analysis.report.subject import Subject
from schedules.record.files import MEASURED
from schedules.record.rows import COMPUTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from schedules.result import Result

Build = Callable[[Subject], "Figure | None"]  # in quotes: only type checkers import matplotlib for it


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: of its files, `NAME.png` and `NAME.svg`.
        build: draws it; returns None where the runs have nothing to show.
        caption: below it. Neighbours with the same caption share it.
        world: whose it is, where every world has one of its own: it stands over the figure, in the world's colour.
        css: class of the element in the page, for one that is not as wide as the page.
    """

    name: str
    build: Build
    caption: str
    world: str = ""
    css: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading of its own.

    Attributes:
        name: its anchor.
        title: its heading.
        drawings: its figures.
        alone: its heading on the page of one run, where that is another.
        suits: whether what is shown has what its tables need.
        above, below: templates in `templates/tables` that stand above and below the figures; "": none.
    """

    name: str
    title: str
    drawings: tuple[Drawing, ...] = ()
    above: str = ""
    below: str = ""
    alone: str = ""
    suits: Callable[[Subject], bool] = lambda _: True

    def is_shown(self, figures: Collection[str]) -> bool:
        """Whether there is anything to show: tables below figures only explain these."""
        return bool(self.above) or any(each.name in figures for each in self.drawings)

    def drawn(self, figures: Collection[str]) -> list[tuple[str, str, list[Drawing]]]:
        """The figures that there are, those that share a caption together: caption, class, and the figures."""
        there = (each for each in self.drawings if each.name in figures)
        groups = groupby(there, key=lambda each: (each.caption, each.css))
        return [(caption, css, list(group)) for (caption, css), group in groups]


def _has_trace(shown: Subject) -> bool:
    return bool(shown.breakdowns)


def _timeline(shown: Subject) -> Figure | None:
    if not _has_trace(shown):
        return None
    traces = {world: run.kept_trace for world, run in shown.runs.items()}
    ends = {world: found for world, run in shown.runs.items() if (found := under_way(run)) is not None}
    return timeline(traces, readable_window(traces, _step_s(shown), ends), unfinished=ends)


def _step_s(shown: Subject) -> float:
    """What a timeline counts in: a gradient time; of a run without gradients the mean computation."""
    first = _first(shown)
    computed = first.kept_trace[first.kept_trace["op"] == COMPUTE]
    if first.summary.get("gradients") != 0 or not len(computed):
        return first.gradient_s
    return float((computed["end_ns"] - computed["ready_ns"]).mean()) / 1e9


def _first(shown: Subject) -> Result:
    """The simulation, or the only run."""
    return next(iter(shown.runs.values()))


def _breakdown(shown: Subject) -> Figure | None:
    return breakdown_bars({world: shown.breakdowns[world] for world in shown.runs}) if _has_trace(shown) else None


def _ages(shown: Subject) -> Figure | None:
    return age_panels({world: run.kept_trace for world, run in shown.runs.items()}) if _has_trace(shown) else None


def _network(shown: Subject) -> Figure | None:
    """The network with its links coloured by utilisation, where the run knows them and they carried anything."""
    run = _first(shown)
    if run.network is None or run.links is None or not (run.links["carried_bytes"] > 0).any():
        return None
    return graph_figure(run.network, run.links)


def _memory(shown: Subject, world: str) -> Figure | None:
    run = shown.runs.get(world)
    if run is None or run.memory is None:
        return None
    return memory_curve(run.memory, until_ns=round(1e9 * (run.summary.get("makespan_s") or 0)))


def _has_decision(shown: Subject) -> bool:
    return isinstance(shown, Comparison) and shown.decision is not None


def _decision(shown: Subject) -> Figure | None:
    if not isinstance(shown, Comparison) or shown.decision is None:
        return None
    return decision_figure(shown.decision.choice)


def _curves(shown: Subject) -> Figure | None:
    series = {world: run.series for world, run in shown.runs.items()}
    return curves({world: each for world, each in series.items() if each is not None})


_MEMORY: Final = "What a program holds over time, by kind of buffer: of the rank that holds most."

SECTIONS: Final = (
    Section(
        "decision",
        "The decision",
        (
            Drawing(
                "decision",
                _decision,
                "Every simulated case of the sweep: up is faster, left is closer together. Filled markers keep up with "
                "their clocks. The number at a marker is what varies along its line.",
            ),
        ),
        above="decision",
        suits=_has_decision,
    ),
    Section("summary", "Summary", above="summary"),
    Section(
        "timeline",
        "Timeline",
        (
            Drawing(
                "timeline",
                _timeline,
                "The beginning. In every lane, computations are above and communications "
                "below; sand is waiting for a participant, the other colours are data moving.",
            ),
        ),
    ),
    Section("stages", "Stages by time", (Drawing("stages", lambda shown: stages_of(shown.runs), STAGES_CAPTION),)),
    Section(
        "idle",
        "Why ranks were idle",
        (Drawing("idle", lambda shown: idle_figure(shown.idle), IDLE_CAPTION),),
        below="idle",
        suits=lambda shown: bool(shown.idle),
    ),
    Section("operations", "Operations", above="operations", suits=_has_trace),
    Section(
        "breakdown",
        "Where the time went",
        (
            Drawing(
                "breakdown",
                _breakdown,
                "A moment counts as compute while the rank computes, else as transfer while data moves to or from it, "
                "else as waiting while it is blocked in a communication, else as free: until a tick of its clock, for "
                "another stream of its own, or at its end. A rank that waits or is free is idle. The parts add up to "
                "the makespan exactly; transfers hidden behind computation do not show.",
            ),
        ),
        above="breakdown",
        suits=_has_trace,
    ),
    Section(
        "why",
        "Why it took that long",
        (
            Drawing(
                "network",
                _network,
                "Utilisation of the links in the simulation: bytes carried over what the bandwidth allows in the "
                "makespan. Where two lines join two nodes, traffic keeps to the right; thin grey links carried "
                "nothing. Of a graph that changes with time all edges are there, and below them its first graphs.",
                css="drawing",
            ),
        ),
        above="path",
        below="busiest",
    ),
    Section(
        "memory",
        "Memory",
        (
            Drawing("memory", lambda shown: _memory(shown, "simulated"), _MEMORY, world="simulated"),
            Drawing("memory_measured", lambda shown: _memory(shown, "measured"), _MEMORY, world="measured"),
        ),
    ),
    Section(
        "staleness",
        "Staleness",
        (
            Drawing(
                "staleness",
                lambda shown: staleness_bars(shown.staleness),
                "How many versions of its own parameters a worker wrote between reading them for a contribution and "
                "applying that contribution.",
            ),
            Drawing(
                "ages",
                _ages,
                "Exchanges that a worker took part in while it computed a gradient; and whenever it began one, how old "
                "the newest gradient of each other worker was that its parameters contained: in gradients that the "
                "other had computed since, and in the time since that one was computed.",
            ),
        ),
        below="distances",
    ),
    Section(
        "curves",
        "Learning curves",
        (
            Drawing(
                "curves",
                _curves,
                "Against the run's own clock. Consensus distance is the sum over workers of the squared distance to "
                "their mean.",
            ),
        ),
    ),
    Section(
        "calibration",
        "The calibration that would mend it",
        above="calibration",
        alone="What a simulation should assume",
        suits=lambda shown: MEASURED in shown.calibrations,
    ),
    Section("environment", "Environment", above="environment"),
    Section("reproduce", "To reproduce", above="reproduce"),
)
"""In the order of the page, after the claim and what to know before believing it."""


def drawings() -> tuple[Drawing, ...]:
    """All figures that a report may have."""
    return tuple(each for section in SECTIONS for each in section.drawings)

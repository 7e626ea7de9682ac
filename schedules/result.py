"""A run: what it was, and what it leaves behind. The same in both worlds, in memory and as a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import floor
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schedules import catalogue
from schedules.misuse.values import short
from schedules.record.files import (
    LINK_COLUMNS,
    MEASURED,
    Contents,
    Info,
    LinkRow,
    RunFiles,
    Tables,
    open_run,
    write_run,
)
from schedules.record.knowledge.ages import ages
from schedules.record.origin import host, occasion, versions
from schedules.record.quantities import OF_SCHEDULES, QUANTITIES
from schedules.record.summary import Summary, told_ages
from schedules.scenario import Scenario, counting, load, recorded_fingerprint, texts
from schedules.showing import views
from schedules.training.readout import Numbers
from topologies.checks import AnyGraph
from topologies.parts import is_varying
from topologies.varying import of_union

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """One run, in memory or on disk: what is on disk is read when it is first asked for.

    Attributes:
        world: `simulated` or `measured`.
        summary: flat, SI units in the names; arrays a rank under `per_rank`, and what the rank that holds most holds
            then under `peak_memory_by_kind`.
        directory: where it was read from; None of a run in memory.
        cut_ns: when the world cut it, in nanoseconds since its start; None: its programs ended.
        is_whole: whether all its programs came to their end, but for a cut.
        link_rows: of a simulated run in memory, the rows of `links`, of which a table is made when somebody asks.
    """

    # More methods than our classes have, because a file of the run directory is a property here, with its type, and
    # notebooks look for methods of their own by which a run shows itself.

    def __init__(self, scenario: Scenario, world: str, summary: Summary, *, info: Info | None = None) -> None:
        self.world, self.summary = world, summary
        self.directory: Path | None = None
        self.scenario = scenario
        # Now, since the moment counts; the rest of `info` only where somebody asks. A failed run has no makespan.
        took_s = summary.get("makespan_s", 0) if world == MEASURED else 0
        self._noted = {"cut_ns": None, **occasion(took_s), **(info or {})}
        self.cut_ns, self.is_whole = self._noted["cut_ns"], is_whole(self._noted)
        self._files: RunFiles | None = None
        self.link_rows: Sequence[LinkRow] | None = None

    @classmethod
    def opened(cls, files: RunFiles) -> Result:
        """A run on disk."""
        # Past `__init__`, which wants a resolved scenario: that may need a module of the user's that is not here. What
        # is assigned takes the place of the cached property of that name.
        run = cls.__new__(cls)
        run.world, run.summary = files.info["world"], files.summary
        run.info = run._about = files.info
        run.cut_ns, run.is_whole = files.info.get("cut_ns"), is_whole(files.info)
        run.directory, run._files, run.link_rows = files.directory, files, None
        return run

    def __repr__(self) -> str:
        return f"<{self._line}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the numbers of the summary in words."""
        return views.table(self._line, self.summary)

    @property
    def _line(self) -> str:
        return views.line(self.world, self.seed, self.tables, self.summary)

    def plot(self, name: str | None = None) -> Any:
        """Its figures, as matplotlib has them: one by its name (`timeline`, `breakdown`, `network`, `memory`,
        `staleness`, `ages`, `curves`; of a pipeline `stages`, `idle`), or all that it has anything for, by name; a
        notebook shows either.

        Raises:
            ValueError: if it has no such figure; those that it has are named.
        """
        return views.figures(self, name)

    @cached_property
    def scenario(self) -> Scenario:
        """As it was resolved.

        Raises:
            ScenarioError: if the scenario of a run on disk cannot be resolved here, as without its user's module.
        """
        return load(self.tables, is_forced=True)  # it has been run

    @cached_property
    def info(self) -> Info:
        """What `run.json` holds."""
        return {**self._about, "versions": versions(), "host": host(), **self._noted}

    @cached_property
    def _about(self) -> Info:
        """The part of `info` that is about the scenario: to ask the machine about itself takes much longer."""
        return {
            "scenario": self.scenario.tables(),
            "seed": self.scenario.run.seed,
            "world": self.world,
            "gradient_s": self.scenario.gradient_s,
            "fingerprint": self.scenario.fingerprint(),
            "texts": texts(self.scenario),
        }

    @property
    def tables(self) -> Tables:
        """The resolved scenario, table by table."""
        return dict(self._about["scenario"])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what must be equal between a run and its replay, by today's rule."""
        return recorded_fingerprint(self._about)

    @property
    def seed(self) -> int:
        """Of all that is random in the run."""
        return int(self._about["seed"])

    @property
    def gradient_s(self) -> float:
        """One gradient time, in seconds."""
        return float(self._about["gradient_s"])

    @cached_property
    def trace(self) -> pd.DataFrame | None:
        """One row an operation (`schedules.record.trace.COLUMNS`); None of a run in memory that kept none.

        Raises:
            ValueError: of a run on disk, if the file is missing, cut short, of another run, or not such a table.
        """
        return None if self._files is None else self._files.trace()

    @property
    def kept_trace(self) -> pd.DataFrame:
        """The trace of a run that must have one.

        Raises:
            ValueError: if it has none, or as `trace`.
        """
        if self.trace is None:
            place = "" if self.directory is None else f"{self.directory}: "
            raise ValueError(f"{place}expected a run with its trace (run.trace = true), found one without")
        return self.trace

    @cached_property
    def memory(self) -> pd.DataFrame | None:
        """What every rank holds over time (`rank`, `time_ns`, `kind` of `schedules.record.memory.KINDS`, `bytes` of
        that kind from that time on), or None without a trace.

        Raises:
            ValueError: of a run on disk, if the file is cut short or not such a table; it is named.
        """
        return None if self._files is None else self._files.table("memory")

    @cached_property
    def series(self) -> pd.DataFrame | None:
        """Loss, accuracy and consensus distance against time, or None in a timing-only run.

        Raises:
            ValueError: as `memory`.
        """
        return None if self._files is None else self._files.table("series")

    @cached_property
    def links(self) -> pd.DataFrame | None:
        """What every direction of a link carried (`source`, `target`, `bandwidth` in bytes/s, `latency` in s,
        `carried_bytes`, `busy_s`: with a transfer under way, `utilisation`: carried / (bandwidth * makespan)), or None.
        Of a job beside others (`info["job"]`) it is for all of them, until the last was over.

        Raises:
            ValueError: as `memory`.
        """
        if self.link_rows is not None:
            import pandas as pd

            return pd.DataFrame(self.link_rows, columns=list(LINK_COLUMNS))
        return None if self._files is None else self._files.table("links")

    @cached_property
    def network(self) -> AnyGraph | None:
        """The physical network, or the communication graph where every pair has a link of its own, or None.

        Raises:
            ValueError: of a run on disk, if the file is not such a graph; it is named.
        """
        return None if self._files is None else self._files.network()

    @cached_property
    def parameters(self) -> NDArray[np.float64] | None:
        """float64 [workers, parameters] at the end, or None.

        Raises:
            ValueError: of a run on disk, if the file is cut short or not such an array; it is named.
        """
        return None if self._files is None else self._files.parameters()

    def save(self, directory: str | Path) -> Path:
        """Write the run directory; one that is there already is replaced as a whole, but for what is not a run's in it.

        Raises:
            ScenarioError: if there is something at that place that is no run directory.
            OSError: if it cannot be written.
        """
        tables = {"trace": self.trace, "memory": self.memory, "series": self.series, "links": self.links}
        write_run(Contents(self.info, self.summary, tables, self.parameters, self.network), Path(directory))
        return Path(directory)


def load_run(directory: str | PathLike[str]) -> Result:
    """Open a run directory, of either world.

    Raises:
        ValueError: if the directory or one of its files is missing, unreadable, or not as expected; it is named.
    """
    return Result.opened(open_run(directory))


def is_whole(info: Info) -> bool:
    """Whether all programs of a run came to their end: it has not failed, nor lost a rank, nor followed such a run."""
    return not any(info.get(key) for key in ("failed", "lost_ranks", "ends_early"))


def add_numbers(run: Result, found: Numbers) -> None:
    """Add what came of a numeric run: parameters, series, and keys of the summary."""
    import pandas as pd

    run.parameters = found.parameters
    run.summary |= found.told
    run.series = None if found.series is None else pd.DataFrame(found.series)


def add_ages(run: Result, trace: pd.DataFrame) -> None:
    """Add how old what workers knew of each other was, if that was asked for, and if they could know anything."""
    found = ages(trace, run.scenario.topology.workers) if run.scenario.run.ages else None
    if found is not None:
        run.summary |= told_ages(found)


def add_end(run: Result) -> None:
    """Add what follows from how the run ended: by how many steps replicas that go in step are apart, if it was cut."""
    if run.cut_ns is None or not catalogue.find(run.scenario.program).is_in_step:
        return
    gradients = run.summary["per_rank"]["gradients"]
    made = [gradients[rank] for rank in counting(run.scenario.plan)]
    run.summary["steps_apart"] = max(made) - min(made)


def add_graphs(run: Result) -> None:
    """Of a graph that changes with time: how many there are in turn, for how long each, in gradient times, how often it
    changed; and in the trace the column `graph`, which was in force at the tick that an exchange answers (-1: none)."""
    graph = run.scenario.graph
    if not is_varying(graph):
        return
    gradient_ns = run.gradient_s * 1e9
    cycle, period = of_union(graph), graph.graph["period"]
    run.summary["graphs_in_turn"], run.summary["graph_period"] = len(cycle.graphs), period
    run.summary["graph_changes"] = floor(run.summary["makespan_s"] / run.gradient_s * cycle.scale)
    if run.trace is not None:
        due = run.trace["due_ns"].to_numpy()
        numbers = np.floor(due / gradient_ns * cycle.scale).astype(np.int64) % len(cycle.graphs)
        run.trace = run.trace.assign(graph=np.where(due < 0, -1, numbers))


def add_own_summary(run: Result) -> None:
    """Add what the schedule's own `summary(run)` says, if it has one.

    A mistake in it loses no run that has been made: it is told under `summary_error`, and nothing else is added.
    """
    summary = catalogue.find(run.scenario.program).told
    if summary is None:
        return
    try:
        told = summary(run)
        if not isinstance(told, Mapping):
            raise ValueError(f"expected a dict by name, found {short(told)}")
        for key, value in told.items():
            if not isinstance(key, str) or key in run.summary or (key in QUANTITIES and key not in OF_SCHEDULES):
                raise ValueError(f"expected keys that are not taken, found {key!r}")
            json.dumps(value, allow_nan=False)
    except Exception as error:
        run.summary["summary_error"] = f"summary(run): {type(error).__name__}: {error}"
    else:
        run.summary |= told

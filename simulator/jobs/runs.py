"""The jobs of a scenario's file, each alone and all together, and what each loses to the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schedules.errors import ScheduleError
from schedules.record.quantities import WORK_PER_S, units_of
from schedules.record.whole import whole_file
from schedules.result import Result
from schedules.runs.kept import keep_run, time_of_run
from simulator.course import Seen
from simulator.jobs.clock import named
from simulator.jobs.tables import NetworkJob, Source, load_jobs
from simulator.jobs.together import run_together
from simulator.run import simulate

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("jobs.json", "jobs.csv")
"""What a directory of jobs has beside theirs."""


@dataclass(frozen=True)
class JobRun:
    """A job alone on the network, and beside the others.

    Attributes:
        job: what it is.
        alone, together: both runs; times count from the job's own start.
    """

    job: NetworkJob
    alone: Result
    together: Result

    @property
    def loss_s(self) -> float:
        """Seconds that it takes longer beside the others."""
        return float(self.together.summary["makespan_s"] - self.alone.summary["makespan_s"])

    @property
    def slowdown(self) -> float:
        """How many times longer it takes beside the others; 1 of what takes no time."""
        alone = float(self.alone.summary["makespan_s"])
        return float(self.together.summary["makespan_s"]) / alone if alone else 1.0

    def row(self) -> dict[str, object]:
        """Its row in the table of jobs."""
        row: dict[str, object] = {
            "job": self.job.name,
            "ranks": list(self.job.ranks),
            "start_s": self.job.start_s,
            "makespan_alone_s": self.alone.summary["makespan_s"],
            "makespan_together_s": self.together.summary["makespan_s"],
            "loss_s": self.loss_s,
            "slowdown": self.slowdown,
        }
        for key in ("gradients_per_s", *(WORK_PER_S + unit for unit in units_of(self.alone.summary))):
            row |= {f"{key}_alone": self.alone.summary[key], f"{key}_together": self.together.summary[key]}
        return row


class JobRuns:
    """All jobs of a file, simulated: a sequence of `JobRun` in the order of the file; `runs["name"]` is one."""

    def __init__(self, runs: Sequence[JobRun]) -> None:
        self.runs = list(runs)

    def __iter__(self) -> Iterator[JobRun]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, name: str) -> JobRun:
        """A job by its name.

        Raises:
            KeyError: if there is none of that name.
        """
        return {each.job.name: each for each in self.runs}[name]

    def __repr__(self) -> str:
        told = ", ".join(f"{each.job.name} {each.loss_s:+.6g} s ({each.slowdown:.4g} times)" for each in self.runs)
        return f"<{len(self)} jobs on one network: {told}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return str(self.table().to_html(index=False))

    def table(self) -> pd.DataFrame:
        """A row a job: ranks, start, makespans and rates alone and together, and what it loses; SI units."""
        import pandas as pd

        return pd.DataFrame([each.row() for each in self.runs])

    def save(self, directory: str | Path) -> list[Path]:
        """Write `DIRECTORY/JOB/`, the run of each beside the others, and the table as `jobs.json` and `jobs.csv`.

        Raises:
            ScheduleError: if a place could not be written; the message says where the run is kept instead.
        """
        root = Path(directory)
        root.mkdir(parents=True, exist_ok=True)
        places = [root / each.job.name for each in self.runs]
        written = [
            keep_run(each.together, place, found=time_of_run(place))
            for each, place in zip(self.runs, places, strict=True)
        ]
        files = [root / name for name in TABLES]
        with whole_file(files[0]) as file:
            file.write_text(json.dumps([each.row() for each in self.runs], indent=1) + "\n", encoding="utf-8")
        with whole_file(files[1]) as file:
            self.table().to_csv(file, index=False)
        return [*written, *files]


def simulate_jobs(
    source: Source | Sequence[NetworkJob],
    *,
    overrides: Mapping[str, object] | None = None,
    watch: Callable[[Callable[[], Seen]], object] | None = None,
) -> JobRuns:
    """Simulate the jobs of a scenario's file: each alone on the network, and all together.

    Args:
        source: the file, tables of the same shape, or jobs that are loaded already (`simulator.jobs.tables.load_jobs`).
        overrides: dotted keys to change in all jobs; `job.NAME.KEY` changes one.
        watch: as of `simulator.simulate`; it is called anew for each run.
    Raises:
        ScenarioError: if a job is wrong, or they cannot be together on one network.
        ScheduleError: if a job cannot go on; it is named.
    """
    jobs = load_jobs(source, overrides) if isinstance(source, str | Path | Mapping) else list(source)
    alone = [_alone(job, watch) for job in jobs]
    together = run_together(jobs, watch)
    return JobRuns([JobRun(*each) for each in zip(jobs, alone, together, strict=True)])


def _alone(job: NetworkJob, watch: Callable[[Callable[[], Seen]], object] | None) -> Result:
    try:
        return simulate(job.scenario, watch=watch)
    except ScheduleError as error:
        raise named(error, f"{job.name} (alone)") from error

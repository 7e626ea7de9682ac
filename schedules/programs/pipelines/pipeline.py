"""What the programs of pipelines have in common: a row of a table stands for a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schedules import Program, Table, Vector, Worker
from schedules.orders import steps_of
from schedules.programs.pipelines.policies import Policy, num_versions
from schedules.programs.pipelines.rules import STATE
from schedules.programs.pipelines.settings import workers_of
from schedules.programs.pipelines.tracks import Tracks, edges_of, holders_of, order_of, tracks_of

KERNELS: Mapping[str, str] = {"F": "forward", "D": "backward", "B": "backward-input", "W": "backward-weight"}

Streams = Callable[[Worker, Tracks], Mapping[str, Program]]
"""The programs of a worker that walks an order."""


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A schedule by its order, with the names that a module of a schedule has (`schedules.catalogue.Schedule`)."""

    program: str
    summary_line: str
    SOURCE: str
    Settings: type[Table]
    walked: Streams
    check: Callable[[Any, int], None] | None = None
    policy: Callable[[Any], Policy] | None = None
    STALENESS: str = "none: an iteration's micro-batches all see the parameters of the last flush"
    streams: Callable[[Worker], Mapping[str, Program]] = field(init=False)
    STATE: Mapping[str, Vector] = field(default_factory=lambda: STATE)
    PIPELINE: bool = True
    IN_STEP: bool = True
    LENGTH: str = "iterations"

    def __post_init__(self) -> None:
        walked, program = self.walked, self.program

        def streams(worker: Worker) -> Mapping[str, Program]:
            return walked(worker, tracks_of(program, worker.settings, worker.num_workers))

        # A function and no method: what it calls is looked at, to see which operations there will be.
        object.__setattr__(self, "streams", streams)
        object.__setattr__(self, "__doc__", self.summary_line)

    def place(self, settings: Any, workers: int) -> list[tuple[int, ...]]:
        """The ranks of every stage of the model.

        Raises:
            ValueError: of settings that do not fit so many workers, with the key first.
        """
        if self.check is not None:
            self.check(settings, workers_of(settings, workers))
        return holders_of(order_of(self.program, settings, workers))

    def edges(self, settings: Any, workers: int) -> set[tuple[int, int]]:
        """Who has something for whom."""
        return set(edges_of(order_of(self.program, settings, workers)))

    def kernels(self, settings: Any, workers: int) -> set[str]:
        """Those of its steps: `overlapped` and `reconstruct` have a time without one of their own."""
        cells = order_of(self.program, settings, workers).cells
        return {KERNELS[step.kind] for cell in cells for step in steps_of(cell)}

    def summary(self, run: Any) -> dict[str, Any]:
        """What follows from the order alone: how many versions of its parameters a stage keeps, the newest included."""
        settings, workers = run.scenario.schedule, run.scenario.topology.workers
        tracks = tracks_of(self.program, settings, workers)
        if self.policy is None:
            return {"weight_versions": [1] * len(tracks.holders)}
        return {"weight_versions": num_versions(tracks, self.policy(settings), settings.replicas)}

    def constants(self, worker: Worker) -> dict[str, Any]:
        """What a step that may be taken back keeps."""
        return {"undo": None}

    def keeps(self, settings: Any) -> str:
        """What a forward pass keeps for its backward pass."""
        if self.policy is not None:
            return self.policy(settings).keeps
        return "inputs" if getattr(settings, "checkpoint", False) else "graph"

    def length(self, settings: Any, rank: int) -> int:
        """Micro-batches of the run."""
        return int(settings.replicas * settings.iterations * settings.micro_batches)

    def updates(self, settings: Any, rank: int) -> int:
        """Steps of a stage's optimizer."""
        return int(
            settings.iterations * settings.micro_batches // getattr(settings, "accumulate", settings.micro_batches)
        )

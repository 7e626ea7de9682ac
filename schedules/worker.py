"""What a program is handed: one worker of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from schedules.clocks import Clocks, StreamKey, Tick, stream
from schedules.errors import MisuseError
from schedules.listed.clocks import ListedClocks
from schedules.misuse.values import COUNT, LARGEST, NAME, WHOLE, Sort, an, between, short
from schedules.record.ledger import Account
from schedules.training.model import Model
from schedules.training.optimizers import LearningRate
from schedules.training.vectors import Tie

if TYPE_CHECKING:
    import networkx as nx


_KEY = Sort("a whole number from 0 to 2^32 - 1", between(0, 2**32 - 1))
_CAPACITY = Sort("a whole number of at least 1", between(1, LARGEST - 1))
_STREAM = Sort("a StreamKey", an(StreamKey))


class NoModel:
    """What `worker.model` is in a schedule with stages: whatever is asked of it is a mistake."""

    def __init__(self, told: str) -> None:
        self._told = told

    def __getattr__(self, name: str) -> NoReturn:
        raise MisuseError(f"expected worker.stage(number) in a schedule with stages; {self._told}")


class Worker:
    """One worker, as its programs see it.

    Attributes:
        rank, num_workers: which one, of how many.
        graph: the communication graph, with the rates of its edges; not to be changed.
        neighbours: ranks that it may talk to, ascending.
        horizon: when clocks end, in gradient times; infinite where the run is cut.
        settings: the schedule's own settings, e.g. `settings.rate`.
        model: its parameters (`schedules.training.model`); in a timing-only run only their size and versions. An error
            in a schedule with stages: see `stage`.
        stages: the stages that it holds, by number; None in a schedule without stages.
        account: its page of the ledger, for what programs keep (`schedules.record.ledger`).
        speed: how fast its kernels are beside the platform's: they take 1 / speed times as long.
        boundaries: in a schedule with stages, the bytes that go from each stage to the next.
        ties: in a pipeline, parameters that its stages share.
        activations: in a pipeline, the bytes that a micro-batch's forward pass of a stage leaves, and those of them
            that are kept from its backward pass for the input to that for the weights.
        kernels: names of those that the platform has durations of.
        mean_time: (kernel, stage) -> how long it takes on average on a rank at full speed, in gradient times, as the
            platform says; stage -1: of no stage.
        capacities: how many items its queues hold, where that is not one; see `capacity`.
        moments: how many arrays its optimizer remembers, each as large as the model; there in timing-only runs too.
        warmup_steps: steps of the learning rate's warm-up; see `learning_rate`.
        stage_sizes: bytes of every stage of the model, whoever holds it; of the whole, where there are none.
        layers: how many the model has, where the scenario says so.
        item_size: bytes of one parameter.
    """

    __slots__ = (
        "_clocks", "_rate", "account", "activations", "boundaries", "capacities", "graph", "horizon", "item_size",
        "kernels", "layers", "mean_time", "model", "moments", "neighbours", "num_workers", "rank", "settings", "speed",
        "stage_sizes", "stages", "ties",
    )  # fmt: skip

    def __init__(
        self,
        rank: int,
        model: Model | Mapping[int, Model],
        clocks: Clocks | ListedClocks,
        *,
        settings: Any = None,
        account: Account | None = None,
        rate: LearningRate | None = None,
        speed: float = 1.0,
    ) -> None:
        self.rank = rank
        self.speed = speed
        self.graph: nx.Graph[int] = clocks.graph
        self.horizon = clocks.horizon
        self.num_workers = self.graph.number_of_nodes()
        self.neighbours = tuple(sorted(self.graph.adj[rank]))  # both worlds must ask, and draw, in one order
        self.stages: Mapping[int, Model] | None = None if isinstance(model, Model) else model
        # Not by a property: every computation asks for it.
        self.model: Model = model if isinstance(model, Model) else cast(Model, NoModel(self._held()))
        self.account: Account = account or self.model.account
        self.settings = settings
        self.boundaries: tuple[int, ...] = ()
        self.activations: tuple[int, int] = (0, 0)
        self.ties: tuple[Tie, ...] = ()
        self.kernels: frozenset[str] = frozenset()
        self.mean_time: Callable[[str, int], float] = lambda *_: 0.0
        self.capacities: dict[str, int] = {}
        self.moments = 0
        self.stage_sizes: tuple[int, ...] = ()
        self.layers: int | None = None
        self.item_size = 4
        self._clocks = clocks
        self._rate = rate

    def stage(self, number: int) -> Model:
        """The model of a stage that this worker holds; in a schedule without stages, the only one.

        Raises:
            MisuseError: if it holds no such stage.
        """
        if number.__class__ is not int:
            number = WHOLE.of(number, "worker.stage")
        if self.stages is None:
            return self.model
        if number not in self.stages:
            raise MisuseError(f"expected a stage that the rank holds, found {number}; {self._held()}")
        return self.stages[number]

    def _held(self) -> str:
        return f"rank {self.rank} holds {', '.join(map(str, self.stages or ())) or 'none'}"

    def learning_rate(self, step: int) -> float:
        """The learning rate at a step of the optimizer, counted from 0."""
        step = COUNT.of(step, "worker.learning_rate")
        return 0.0 if self._rate is None else self._rate(step)

    @property
    def warmup_steps(self) -> int:
        """How many steps the learning rate's warm-up takes."""
        return 0 if self._rate is None else self._rate.num_warmup

    def coin(self, key: int) -> float:
        """A number in [0, 1) that is the same on all ranks, for what they decide together: drawn anew for each key."""
        return float(stream(self._clocks.seed, StreamKey.COIN, _KEY.of(key, "worker.coin")).random())

    def clock(self, name: str) -> Iterator[Tick]:
        """Ticks of a clock: `edges` (all edges of this worker, in the one global order) or `gradient` (its own).

        `events`: both together, in the order of time; the peer of a gradient is -1. Where the schedule has a list of
        events, clocks tick by it, and `events` has its order.

        Raises:
            MisuseError: if the platform does not say how long a gradient takes.
        """
        if not self._clocks.has_unit:
            raise MisuseError(f"clock {name!r}: expected platform.gradient, in whose times clocks tick, found none")
        if name == "edges":
            return self._clocks.edges(self.rank)
        if name == "gradient":
            return self._clocks.gradient(self.rank)
        if name == "events":
            return self._clocks.events(self.rank)
        raise MisuseError(f"worker.clock: expected the clock 'edges', 'gradient' or 'events', found {short(name)}")

    def random(self, key: StreamKey = StreamKey.PROGRAM, j: int = 0) -> np.random.Generator:
        """A random stream of this worker, keyed by what it is for."""
        key = _STREAM.of(key, "worker.random: key")
        return stream(self._clocks.seed, key, self.rank, _KEY.of(j, "worker.random: j"))

    def capacity(self, name: str, capacity: int) -> None:
        """Set how many items the queue `name` holds; 1 unless this is said."""
        name = NAME.of(name, "worker.capacity: name")
        self.capacities[name] = _CAPACITY.of(capacity, "worker.capacity: capacity")

"""The kernels of a workload: what each computes, how large its answer is, and what that is.

A kernel holds no state: it is told at which parameters, on which batch, and with which inputs it works. So a replay
computes the same, wherever and whenever it runs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from array_api_compat import array_namespace

from schedules.errors import MisuseError
from schedules.misuse.values import BYTES, NAME, Sort, an, function, one_of, or_none, short
from schedules.operations import Array, Compute, Payload
from schedules.payload import GRADIENT, KINDS, Kind, What
from schedules.platform.durations import CODING, FIRST, LAYERED, WHOLE_WORK, Cuts
from schedules.training.model import Model
from schedules.training.problems.problem import Trained
from schedules.training.state import State, sealed
from schedules.training.vectors import Tensor, Tie

Computed = Array | tuple[Array, Any]
"""What a kernel returns: its array, or that and what is kept on the rank."""

Run = Callable[..., Computed]
"""`run(at, data, inputs)`: the parameters to work at, the batch (rank, number), and what the program hands over; of a
kernel that is staged `run(at, data, inputs, stage)`."""


_SORTS = {
    "name": NAME,
    "run": or_none(Sort("a function run(at, data, inputs)", function)),
    "size": or_none(BYTES),
    "activations": BYTES,
    "is_staged": Sort("True or False", an(bool)),
    "kind": Sort(f"one of the kinds {', '.join(KINDS)}", one_of(*KINDS)),
}


@dataclass(frozen=True)
class Kernel:
    """One row of a workload.

    Attributes:
        name: as in `Compute(name)`.
        run: what it computes; None in a timing-only run.
        size: bytes of its answer, unless the operation says others; None: those of the model.
        activations: bytes that are held for it while it runs, and before, since its first input was made.
        kind: of its answer.
        is_staged: whether its `run` is told the number of the stage, too.
        what: its answer is: one gradient, or none.
    """

    name: str
    run: Run | None = None
    size: int | None = None
    activations: int = 0
    kind: Kind = "change"
    is_staged: bool = False
    what: What = field(init=False)

    def __post_init__(self) -> None:
        # Compared first: every worker of a run makes some.
        is_usual = self.name.__class__ is str and self.activations.__class__ is int and self.kind in KINDS
        if not is_usual or not (self.run is None or callable(self.run)) or self.size.__class__ not in (type(None), int):
            for name, sort in _SORTS.items():
                sort.of(getattr(self, name), f"Kernel: {name}")
        object.__setattr__(self, "what", GRADIENT if self.kind == "gradient" else (self.kind, "x", 0))


Kernels = Mapping[str, Kernel]
"""The kernels of a workload by name."""


@runtime_checkable
class Staged(Protocol):
    """A model in stages on one rank: the user's own."""

    @property
    def sizes(self) -> Sequence[int]:
        """Parameters of each stage."""

    @property
    def boundaries(self) -> Sequence[int]:
        """Bytes that go from each stage to the next."""

    @property
    def ties(self) -> Sequence[Tie]:
        """Parameters that stages share."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Where each lies in the vector of all stages, by name."""

    @property
    def num_params(self) -> int:
        """Of all stages."""

    def initial_of(self, stage: int) -> Array:
        """The parameters of a stage that the rank holds, at the start: [its size]; a new array."""

    def kernels(self, activations: int = 0) -> Kernels:
        """What the kernels of the rank's stages compute, by name."""


def data_parallel(problem: Trained | None, activations: int = 0, cuts: Cuts = WHOLE_WORK) -> Kernels:
    """The kernels of a worker: `gradient`, and `forward` and `backward` for one in parts.

    `forward` keeps the gradient, and `backward(inputs=(forward, begin, size))` hands out the part of it that is asked
    for, in bytes; so does `backward-parameter`, of a layer. Without a problem they compute nothing.

    Args:
        activations: bytes that those of one gradient take.
        cuts: of the worker.
    """

    def gradient(at: Array, data: tuple[int, int], _: Any) -> Array:
        assert problem is not None
        return problem.gradient(at, *data)

    def forward(at: Array, data: tuple[int, int], inputs: Any) -> Computed:
        return None, gradient(at, data, inputs)

    def backward(_: Array, __: tuple[int, int], inputs: Any) -> Array:
        try:
            forward, begin, size = inputs
            width = forward.kept.itemsize
            return forward.kept[begin // width : (begin + size) // width]
        except (TypeError, ValueError, AttributeError):
            told = "expected inputs=(answer of a forward, where its part begins, how long it is, in bytes)"
            raise MisuseError(f"Compute('backward'): {told}, found {short(inputs)}") from None

    rows = [
        Kernel("gradient", gradient, activations=activations, kind="gradient"),
        Kernel("forward", forward, size=0, kind="gradient"),
        Kernel("backward", backward, activations=activations),
    ]
    if cuts.first:
        rows.append(Kernel(FIRST, backward, activations=activations))
    if cuts.layers:
        rows.append(Kernel("backward-activation", lambda *_: None))
        rows.append(Kernel("backward-parameter", backward, activations=activations // cuts.layers))
    return {each.name: each if problem is not None else replace(each, run=None) for each in rows}


def staged(activations: int = 0, problem: Trained | None = None, num_shards: int = 1) -> Kernels:
    """The kernels of a worker that holds stages: what they compute their operations bring, or a problem does.

    Of a problem a stage is a part of its vector, so what goes on from stage to stage are the parameters at which the
    gradient is taken: `forward` hands on those of the stages up to its own. The `backward` of the last stage takes the
    gradient at all of them; each keeps its own part (`kept`) and hands those below it down. The k-th micro-batch of the
    run is the (k div n)-th batch of worker k mod n.

    Args:
        activations: bytes that those of one micro-batch take in one stage.
        num_shards: n, among how many workers the data of the problem are spread.
    """

    def forward(at: Array, _: tuple[int, int], inputs: Any) -> Computed:
        found = array_namespace(at).concat((inputs[0].array, at)) if inputs else at
        assert problem is not None
        return (None, found) if len(found) == problem.num_params else found

    def backward(at: Array, data: tuple[int, int], inputs: Any) -> Computed:
        assert problem is not None
        step, rank = divmod(data[1], num_shards)
        is_last = len(inputs) == 1
        found = problem.gradient(inputs[0].kept, rank, step) if is_last else inputs[1].array
        begin = len(found) - len(at)
        return found[:begin], found[begin:]

    rows = (
        Kernel("forward", forward, kind="gradient"),
        Kernel("overlapped", kind="gradient"),  # a forward with a backward of another micro-batch
        Kernel("backward", backward, activations=activations),
        *map(Kernel, ("backward-input", "backward-weight", "reconstruct", "optimizer")),
    )
    return {each.name: each if problem is not None else replace(each, run=None) for each in rows}


NAMES = {*data_parallel(None), *LAYERED, *CODING, FIRST, *staged()}
"""Of the kernels that our own programs ask for; a program of the user's own may ask for any."""


def prepared(kernel: Kernel, operation: Compute, model: Model, state: State, answer: Payload) -> Callable[[], None]:
    """What is to be done to compute an answer, with all that it reads read now.

    Raises:
        MisuseError: if the kernel has no numbers.
    """
    if operation.work is not None:
        read, rule, inputs = copy.copy(state), operation.work, operation.inputs
        if inputs is None:
            inputs = ()
        if not isinstance(inputs, tuple | list):
            raise MisuseError(f"Compute: inputs: expected a tuple, the arguments of its work, found {short(inputs)}")
        return lambda: _finish(answer, read.run(rule, inputs), operation)
    run = kernel.run
    if run is None:
        raise MisuseError(f"expected a kernel with numbers, found {kernel.name!r}, which has a duration only")
    at = state.x if operation.at is None else _read_at(operation.at, state)
    data = operation.data
    if data is None:
        data = state.rank, model.issued[kernel.name]
        model.issued[kernel.name] += 1
    elif data[0] >= state.num_workers:
        raise MisuseError(f"Compute: data: expected a batch of one of {state.num_workers} ranks, found {data}")
    inputs = operation.inputs
    if kernel.is_staged:
        return lambda: _finish(answer, run(at, data, inputs, model.stage), operation)
    return lambda: _finish(answer, run(at, data, inputs), operation)


def _read_at(at: Payload, state: State) -> Array:
    """The parameters to work at that a payload has."""
    shape = getattr(at.array, "shape", None)
    if shape != state.x.shape:
        raise MisuseError(f"Compute: at: expected an array {tuple(state.x.shape)}, found {shape or short(at.array)}")
    return at.array


def _finish(answer: Payload, computed: Computed, operation: Compute) -> None:
    if isinstance(computed, tuple):
        computed, kept = computed
        answer.kept = sealed(kept)
    if computed is None:
        return
    if not hasattr(computed, "nbytes"):
        raise MisuseError(f"{operation}: expected its work to return an array, found {short(computed)}")
    if operation.size is not None and computed.nbytes != operation.size:
        raise MisuseError(f"{operation}: expected an answer of {operation.size} bytes, found {computed.nbytes}")
    answer.array, answer.size = sealed(computed), computed.nbytes

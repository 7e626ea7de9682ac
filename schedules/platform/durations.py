"""How long kernels run: one keyed random stream a rank and kernel, the same draws in both worlds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, count, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.errors import UnknownKernelError, UnknownStageError
from schedules.platform.computing import Duration, KernelDuration
from schedules.platform.tables import PlatformTable

BLOCK = 64
WHOLE = "gradient"
"""The kernel whose durations are those of the table platform.gradient; [platform.kernels] has the others'."""

BACKWARD_PARTS = ("backward-input", "backward-weight")
"""What a backward pass of a stage consists of."""

CODING = ("encode", "decode")
"""Of what is sent: given for as many numbers as the model has, and nothing where the scenario has no durations of them.
`decode`: of what all have sent."""

FORWARD_SHARE = 1 / 3
"""Share of the forward pass in a gradient, where the scenario has no durations for `forward` and `backward`."""

Draw = Callable[[], int]
"""How long a kernel takes at full speed, in nanoseconds: the next draw."""

Key = str | tuple[str, int]
"""A kernel by its name or, where the operation has a stage, by name and stage."""


def key(kernel: str, stage: int) -> Key:
    """What a kernel of an operation goes by."""
    return kernel if stage < 0 else (kernel, stage)


LAYERED = ("forward", "backward-activation", "backward-parameter")
"""What a step of a model in layers consists of: one of each a layer, but for the first's `backward-activation`."""

FIRST = "backward-first"
"""The backward pass of a first bucket that is of another size than the others."""


class Cuts(NamedTuple):
    """Into how many parts a worker's computations are cut.

    Attributes:
        buckets: of a gradient, or of what else it sends.
        first: share of the first bucket, where it is of another size than the others; else 0.
        layers: of a step that goes through them one by one; else 0.
        stages: that the worker holds; 0 in a schedule without stages.
    """

    buckets: int = 1
    first: float = 0.0
    layers: int = 0
    stages: int = 0


WHOLE_WORK = Cuts()


class Durations(dict[Key, Draw]):
    """What draws how long each kernel of one rank takes, the same in both worlds.

    Args:
        as `durations` has them.
    Raises:
        UnknownKernelError, UnknownStageError: on asking for what the platform has no duration of.
    """

    def __init__(self, platform: PlatformTable, seed: int, rank: int, cuts: Cuts = WHOLE_WORK) -> None:
        super().__init__()
        self._platform, self._seed, self._rank, self._cuts = platform, seed, rank, cuts

    def __missing__(self, asked: Key) -> Draw:
        kernel, stage = (asked, -1) if isinstance(asked, str) else asked
        if kernel == "backward" and is_in_two(self._platform):
            parts = [self[key(name, stage)] for name in BACKWARD_PARTS]
            self[asked] = lambda: parts[0]() + parts[1]()
        elif stage >= 0 and not _goes_by_stage(self._platform, kernel, self._cuts.stages):
            self[asked] = self[kernel]  # all stages draw from the kernel's one stream
        else:
            drawn = durations(self._platform, self._seed, self._rank, kernel, stage=stage, cuts=self._cuts)
            self[asked] = drawn.__next__  # the generator's own method: no call of ours around every draw
        return self[asked]


def durations(
    platform: PlatformTable,
    seed: int,
    rank: int,
    kernel: str,
    *,
    stage: int = -1,
    cuts: Cuts = WHOLE_WORK,
) -> Iterator[int]:
    """Durations of one kernel on one rank, in nanoseconds, without end.

    `forward` takes a third of a gradient and `backward` (one bucket) its part of the rest, unless [platform.kernels]
    says otherwise; `reconstruct`, a forward pass that is made again, takes what `forward` does. What is not a list of
    one a stage is for the whole rank, whose stages share it. A rank of speed s takes 1 / s times as long.

    Args:
        platform: resolved.
        seed: of the run.
        stage: of the operation; -1: none.
        cuts: of the worker.
    Raises:
        UnknownKernelError: if the platform does not know the kernel.
        UnknownStageError: if it has durations for other stages only.
    """
    if kernel == "reconstruct" and kernel not in platform.kernels:
        # A stream of its own, and the times of the other.
        platform = platform.model_copy(update={"kernels": {**platform.kernels, **_again(platform)}})
    spec, factor = _share(platform, kernel, stage, cuts)
    speed = platform.speed_of(rank)
    name = f"{kernel}\0{stage}" if _goes_by_stage(platform, kernel, cuts.stages) else kernel
    # Not by Python's hash of the name, which is another in each process.
    nanoseconds = factor / speed * 1e9
    if spec.distribution == "constant":
        return repeat(int(np.rint(spec.mean * nanoseconds)))  # no chance, no stream
    generator = stream(seed, StreamKey.DURATION, rank, zlib.crc32(name.encode()))
    # In blocks, as one number a call would cost numpy many times more; the numbers are the same.
    blocks = (np.rint(draw(spec, generator, BLOCK) * nanoseconds).astype(np.int64).tolist() for _ in count())
    return chain.from_iterable(blocks)


def mean_s(platform: PlatformTable, kernel: str, stage: int = -1, cuts: Cuts = WHOLE_WORK) -> float:
    """What the durations of a kernel are on average, in seconds, on a rank at full speed; arguments and errors as for
    `durations`."""
    parts = BACKWARD_PARTS if kernel == "backward" and is_in_two(platform) else (kernel,)
    shares = (_share(platform, each, stage, cuts) for each in parts)
    return sum(spec.mean * factor for spec, factor in shares)


def draw(spec: Duration, generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Durations in seconds: float64 [size], with the mean and coefficient of variation of `spec`.

    Empirical ones are drawn from the samples, each as likely as the others, with replacement.
    """
    mean, cv = spec.mean, spec.cv
    if spec.samples is not None:
        samples = spec.samples
        # Not np.array(samples)[...]: to convert ten thousand samples for each block takes 15 times as long.
        return np.array([samples[index] for index in generator.integers(len(samples), size=size).tolist()])
    if spec.distribution == "exponential":
        return generator.exponential(mean, size)
    if spec.distribution == "lognormal":
        # Of exp(N(m, s^2)) the squared cv is exp(s^2) - 1 and the mean exp(m + s^2 / 2): so m = -s^2 / 2 makes it 1.
        sigma = math.sqrt(math.log1p(cv * cv))
        return mean * np.exp(generator.normal(-sigma * sigma / 2, sigma, size))
    if spec.distribution == "gamma":
        return generator.gamma(1 / (cv * cv), mean * cv * cv, size)  # shape k and scale t: mean k t, cv 1 / sqrt(k)
    return np.full(size, mean)


def is_in_two(platform: PlatformTable) -> bool:
    """Whether a backward pass takes what its two parts take together."""
    kernels = platform.kernels
    return "backward" not in kernels and all(name in kernels for name in BACKWARD_PARTS)


def _again(platform: PlatformTable) -> dict[str, KernelDuration]:
    """The durations of a forward pass, by the name that it has when it is made again."""
    given = platform.kernels.get("forward")
    if given is None and platform.gradient is None:
        return {}
    return {"reconstruct": _spec(platform, "forward", -1, WHOLE_WORK)[0] if given is None else given}


def _goes_by_stage(platform: PlatformTable, kernel: str, num_stages: int) -> bool:
    """Whether each stage has a random stream of its own; without stages the key stays what it was before there were."""
    return num_stages > 0 or isinstance(platform.kernels.get(kernel), list)


def _share(platform: PlatformTable, kernel: str, stage: int, cuts: Cuts) -> tuple[Duration, float]:
    """As `_spec`, of one of so many stages of the rank."""
    spec, factor = _spec(platform, kernel, stage, cuts)
    is_shared = cuts.stages > 0 and not isinstance(platform.kernels.get(kernel), list)
    return spec, factor / cuts.stages if is_shared else factor


def _spec(platform: PlatformTable, kernel: str, stage: int, cuts: Cuts) -> tuple[Duration, float]:
    """A kernel's durations, and what they are to be multiplied by."""
    given, gradient = platform.kernels.get(kernel), platform.gradient
    if isinstance(given, list):
        if not 0 <= stage < len(given):
            raise UnknownStageError(
                f"expected a stage from 0 to {len(given) - 1} beside the kernel {kernel!r}, of which platform.kernels "
                f"has a list, found {'none' if stage < 0 else stage}"
            )
        return given[stage], 1.0
    if kernel in CODING:
        return given or Duration(mean=0.0), 1 / cuts.buckets
    num_parts = cuts.layers - (kernel == LAYERED[1]) if kernel in LAYERED else 0
    if given is not None:
        return given, 1 / num_parts if num_parts > 0 else 1.0
    share = _shares(cuts)
    if kernel == FIRST and isinstance(backward := platform.kernels.get("backward"), Duration):
        return backward, share[FIRST] / share["backward"]
    if gradient is None:
        raise UnknownKernelError(sorted(platform.kernels))
    if kernel not in share:
        raise UnknownKernelError(sorted({*share, *platform.kernels}))
    if gradient.samples is not None or share[kernel] == 1:
        return gradient, share[kernel]
    return gradient.model_copy(update={"mean": gradient.mean * share[kernel]}), 1.0


def _shares(cuts: Cuts) -> dict[str, float]:
    """Which part of a gradient kernels take that the scenario has no durations of."""
    if cuts.layers:
        return {WHOLE: 1.0, **dict.fromkeys(LAYERED, 1 / (3 * cuts.layers - 1))}
    backward, rest = 1 - FORWARD_SHARE, cuts.buckets - (cuts.first > 0)
    others = {"backward": backward * (1 - cuts.first) / max(rest, 1)}
    first = {FIRST: backward * cuts.first} if cuts.first else {}
    return {WHOLE: 1.0, "forward": FORWARD_SHARE, **others, **first}

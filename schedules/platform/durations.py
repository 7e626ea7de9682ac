"""How long kernels run: one keyed random stream a rank and kernel, the same draws in both worlds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, count, repeat

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


class Durations(dict[Key, Draw]):
    """What draws how long each kernel of one rank takes, the same in both worlds.

    Args:
        as `durations` has them.
    Raises:
        UnknownKernelError, UnknownStageError: on asking for what the platform has no duration of.
    """

    def __init__(
        self, platform: PlatformTable, seed: int, rank: int, *, num_buckets: int = 1, num_stages: int = 0
    ) -> None:
        super().__init__()
        self._platform, self._seed, self._rank = platform, seed, rank
        self._num_buckets, self._num_stages = num_buckets, num_stages

    def __missing__(self, asked: Key) -> Draw:
        kernel, stage = (asked, -1) if isinstance(asked, str) else asked
        if kernel == "backward" and is_in_two(self._platform):
            parts = [self[key(name, stage)] for name in BACKWARD_PARTS]
            self[asked] = lambda: parts[0]() + parts[1]()
        elif stage >= 0 and not _goes_by_stage(self._platform, kernel, self._num_stages):
            self[asked] = self[kernel]  # all stages draw from the kernel's one stream
        else:
            drawn = durations(
                self._platform,
                self._seed,
                self._rank,
                kernel,
                stage=stage,
                num_buckets=self._num_buckets,
                num_stages=self._num_stages,
            )
            self[asked] = drawn.__next__  # the generator's own method: no call of ours around every draw
        return self[asked]


def durations(
    platform: PlatformTable,
    seed: int,
    rank: int,
    kernel: str,
    *,
    stage: int = -1,
    num_buckets: int = 1,
    num_stages: int = 0,
) -> Iterator[int]:
    """Durations of one kernel on one rank, in nanoseconds, without end.

    `forward` takes a third of a gradient and `backward` (one bucket) its part of the rest, unless [platform.kernels]
    says otherwise; `reconstruct`, a forward pass that is made again, takes what `forward` does. What is not a list of
    one a stage is for the whole rank, whose stages share it. A rank of speed s takes 1 / s times as long.

    Args:
        platform: resolved.
        seed: of the run.
        stage: of the operation; -1: none.
        num_buckets: how many the schedule cuts a gradient, or what else it sends, into.
        num_stages: how many stages the rank holds; 0 in a schedule without stages.
    Raises:
        UnknownKernelError: if the platform does not know the kernel.
        UnknownStageError: if it has durations for other stages only.
    """
    if kernel == "reconstruct" and kernel not in platform.kernels:
        # A stream of its own, and the times of the other.
        platform = platform.model_copy(update={"kernels": {**platform.kernels, **_again(platform)}})
    spec, factor = _share(platform, kernel, stage, num_buckets, num_stages)
    speed = platform.speed_of(rank)
    name = f"{kernel}\0{stage}" if _goes_by_stage(platform, kernel, num_stages) else kernel
    # Not by Python's hash of the name, which is another in each process.
    nanoseconds = factor / speed * 1e9
    if spec.distribution == "constant":
        return repeat(int(np.rint(spec.mean * nanoseconds)))  # no chance, no stream
    generator = stream(seed, StreamKey.DURATION, rank, zlib.crc32(name.encode()))
    # In blocks, as one number a call would cost numpy many times more; the numbers are the same.
    blocks = (np.rint(draw(spec, generator, BLOCK) * nanoseconds).astype(np.int64).tolist() for _ in count())
    return chain.from_iterable(blocks)


def mean_s(
    platform: PlatformTable, kernel: str, stage: int = -1, *, num_buckets: int = 1, num_stages: int = 0
) -> float:
    """What the durations of a kernel are on average, in seconds, on a rank at full speed; arguments and errors as for
    `durations`."""
    parts = BACKWARD_PARTS if kernel == "backward" and is_in_two(platform) else (kernel,)
    shares = (_share(platform, each, stage, num_buckets, num_stages) for each in parts)
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
    return {"reconstruct": _spec(platform, "forward", -1, 1)[0] if given is None else given}


def _goes_by_stage(platform: PlatformTable, kernel: str, num_stages: int) -> bool:
    """Whether each stage has a random stream of its own; without stages the key stays what it was before there were."""
    return num_stages > 0 or isinstance(platform.kernels.get(kernel), list)


def _share(
    platform: PlatformTable, kernel: str, stage: int, num_buckets: int, num_stages: int
) -> tuple[Duration, float]:
    """As `_spec`, of one of so many stages of the rank."""
    spec, factor = _spec(platform, kernel, stage, num_buckets)
    is_shared = num_stages > 0 and not isinstance(platform.kernels.get(kernel), list)
    return spec, factor / num_stages if is_shared else factor


def _spec(platform: PlatformTable, kernel: str, stage: int, num_buckets: int) -> tuple[Duration, float]:
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
        return given or Duration(mean=0.0), 1 / num_buckets
    if given is not None:
        return given, 1.0
    share = {WHOLE: 1.0, "forward": FORWARD_SHARE, "backward": (1 - FORWARD_SHARE) / num_buckets}
    if gradient is None:
        raise UnknownKernelError(sorted(platform.kernels))
    if kernel not in share:
        raise UnknownKernelError(sorted({*share, *platform.kernels}))
    if gradient.samples is not None or share[kernel] == 1:
        return gradient, share[kernel]
    return gradient.model_copy(update={"mean": gradient.mean * share[kernel]}), 1.0

"""What a scenario says of computing: how long kernels take, on which device, and how ranks differ in speed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from schedules.settings import NonNegative, Number, Positive, Table
from schedules.units import Bytes, BytesPerSecond, Flop, FlopPerSecond, Seconds, quantity

_FOLLOWS: Any = None
"""The mean of a duration that is not resolved yet."""


class Duration(Table):
    """How long a kernel runs: a distribution with a mean and a coefficient of variation (standard deviation / mean).

    The mean is given, or it follows from the kernel's work or from what was measured: see `resolved`.
    """

    # It stands first, since the check of `cv` asks for it; there it is None if it was refused itself.
    distribution: Literal["constant", "exponential", "lognormal", "gamma", "empirical"] = "constant"
    mean: Seconds = Field(default=_FOLLOWS, validate_default=False)
    """One of mean, flops and bytes, samples, and trace is given."""
    cv: NonNegative = 0.0
    """Standard deviation / mean, for lognormal and gamma."""
    flops: Flop | None = None
    """Work of the kernel; the roofline of platform.device gives the mean."""
    bytes: Bytes | None = None
    """That the kernel moves from and to the device's memory."""
    samples: list[Seconds] | None = None
    """For empirical: durations, drawn from with replacement."""
    trace: str | None = None
    """For empirical: a run directory whose computations of this kernel are the samples."""

    @field_validator("cv")
    @classmethod
    def _check_spread(cls, cv: float, info: ValidationInfo) -> float:
        distribution = info.data.get("distribution")
        if distribution in ("lognormal", "gamma") and cv == 0:
            raise ValueError(f"expected a number above 0 for the {distribution} distribution")
        if distribution == "constant" and cv != 0:
            raise ValueError("expected none for the constant distribution (is another distribution meant?)")
        if distribution == "exponential" and cv not in (0, 1):
            raise ValueError("expected none for the exponential distribution (it is 1)")
        if distribution == "empirical" and cv != 0:
            raise ValueError("expected none for the empirical distribution (the samples have it)")
        return cv

    @field_validator("samples")
    @classmethod
    def _check_samples(cls, samples: list[float] | None) -> list[float] | None:
        if samples is not None and not samples:
            raise ValueError("expected at least one duration")
        return samples

    @model_validator(mode="after")
    def _check_source(self) -> Duration:
        is_empirical = self.distribution == "empirical"
        for key in ("flops", "bytes") if is_empirical else ("samples", "trace"):
            if getattr(self, key) is not None:
                hint = "" if is_empirical else " (is empirical meant?)"
                refuse(f"expected none for the {self.distribution} distribution{hint}", (key,), getattr(self, key))
        if is_empirical and (self.samples is None) == (self.trace is None):
            refuse("expected one of samples and trace beside it", ("distribution",), self.distribution)
        if not is_empirical and all(each is None for each in (self.mean, self.flops, self.bytes)):
            raise ValueError("expected one of the keys mean, flops, bytes, samples and trace, found none of them")
        return self

    def resolved(self, device: Device | None, place: tuple[str | int, ...] = ()) -> Duration:
        """With its mean in seconds.

        A mean that is given as well must be the same: so what is resolved can be read again.

        Args:
            device: of the platform, if it has one.
            place: of this table in the one under validation, for errors.
        Raises:
            ValidationError: without the device, or with a trace: its samples are read before tables are checked.
        """
        if self.trace is not None:
            refuse("expected the samples of its trace", (*place, "trace"), self.trace)
        mean = self._implied_mean(device, place)
        if mean is None:
            return self
        if self.mean is not None and not math.isclose(self.mean, mean, rel_tol=1e-9):
            refuse(f"expected none beside the keys that give it ({mean:.6g} s)", (*place, "mean"), self.mean)
        found = self.model_copy(update={"mean": mean})
        if "mean" not in self.model_fields_set:  # what follows was not said, and other keys may follow later
            found.model_fields_set.discard("mean")
        return found

    def _implied_mean(self, device: Device | None, place: tuple[str | int, ...]) -> float | None:
        """The mean that other keys give, in seconds."""
        if self.samples is not None:
            return statistics.fmean(self.samples)
        if self.flops is None and self.bytes is None:
            return None
        if device is None:
            key = "bytes" if self.flops is None else "flops"
            refuse("expected a table [platform.device] for it", (*place, key), getattr(self, key))
        return device.seconds(self.flops or 0.0, self.bytes or 0.0)


def _read_kernel(value: object) -> Duration | list[Duration]:
    """How long a kernel takes: one duration, or one a stage."""
    if not isinstance(value, list):
        return Duration.model_validate(_as_table(value))
    if not value:
        raise ValueError("expected at least one duration")
    read = []
    for stage, each in enumerate(value):
        try:
            read.append(_as_table(each))
        except ValueError as error:
            refuse(str(error), (stage,), each)
    return _ONE_A_STAGE.validate_python(read)


def _as_table(value: object) -> object:
    """A duration that may be a time alone."""
    if isinstance(value, Mapping | Duration):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('expected a time such as "50 us", a table, or a list of these, one a stage')
    seconds = quantity(value, "second")
    if seconds < 0:
        raise ValueError("expected a number of at least 0")
    return {"mean": seconds}


_ONE_A_STAGE = TypeAdapter(list[Duration])

KernelDuration = Annotated[Duration | list[Duration], BeforeValidator(_read_kernel)]
"""A kernel's: one, which is that of a rank's whole part of the model, or a list of one a stage."""


class Device(Table):
    """What computes, where durations follow from work."""

    flops: FlopPerSecond
    """Peak in the kernels' number format."""
    memory_bandwidth: BytesPerSecond
    efficiency: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Share of the peak that kernels reach."""

    def seconds(self, flops: float, bytes: float) -> float:
        """How long a kernel takes: max(flops / (efficiency peak), bytes / bandwidth).

        Args:
            flops: floating-point operations of the kernel.
            bytes: that it moves from and to memory.
        Source: Williams, Waterman & Patterson, Roofline, Communications of the ACM 52(4), 2009: attainable FLOP/s =
            min(peak, bandwidth x operational intensity). Efficiency is a ceiling below the peak.
        """
        return max(flops / (self.efficiency * self.flops), bytes / self.memory_bandwidth)


class Stragglers(Table):
    """Ranks that are slow now and then: each a Markov process of two states in continuous time, of its own."""

    slowdown: Annotated[Number, Field(ge=1, le=1e6)]
    """How many times longer kernels take while the rank is slow."""
    mean_normal: Annotated[Seconds, Field(gt=0)]
    """Mean time from the end of a slow spell to the next one."""
    mean_slow: Annotated[Seconds, Field(gt=0)]
    """Mean length of a slow spell."""
    ranks: list[Annotated[int, Field(ge=0)]] | None = None
    """Which ones; left out, all."""


def _read_speeds(value: object) -> object:
    """Relative speeds by rank, as text, or those of all ranks."""
    if isinstance(value, list):
        return [_speed(rank, each) for rank, each in enumerate(value)]
    if not isinstance(value, Mapping):
        raise ValueError("expected a table of speeds by rank, or a list of one number a rank")
    speeds = {}
    for rank, each in value.items():
        name = str(rank)
        # isdigit alone lets superscripts through, which int refuses.
        if isinstance(rank, bool) or not (name.isascii() and name.isdigit()):
            raise ValueError(f"expected speeds by rank, found {name!r}")
        if str(int(name)) in speeds:  # `3` and `03`
            raise ValueError(f"expected one speed a rank, found two for rank {int(name)}")
        speeds[str(int(name))] = _speed(int(name), each)
    return speeds


def _speed(rank: int, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:  # type: ignore[operator]
        raise ValueError(f"expected a finite number above 0 for rank {rank}, found {value!r}")
    return float(value)  # type: ignore[arg-type]


Speeds = Annotated[dict[str, Positive] | list[Positive], BeforeValidator(_read_speeds)]
"""Relative speeds: by rank, the others 1; or those of all ranks."""


def refuse(expected: str, place: tuple[str | int, ...], found: object) -> NoReturn:
    """Refuse what stands at a place of the table under validation."""
    # With a place: a ValueError from a check of a whole table would be told of the table, and not of the key in it.
    error = PydanticCustomError("value_error", "{expected}", {"expected": expected})
    raise ValidationError.from_exception_data("table", [InitErrorDetails(type=error, loc=place, input=found)])

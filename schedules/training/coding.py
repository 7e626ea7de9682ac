"""The key `codec` of a schedule that averages: which codec encodes what is sent, and whether a user's own is one."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from schedules.errors import nearest
from schedules.misuse.values import raised, short
from schedules.platform.durations import CODING
from schedules.settings import Number, Table
from schedules.training.codecs import FRACTION, NONE, OURS, WITH_FRACTION, Codec

TRIED = (1, 2, 7, 64, 1001)
"""Lengths of vectors on which a user's codec is tried before a run."""


class CodecTable(Table):
    """The key `codec` of a schedule: a name alone, or this table."""

    name: str = NONE
    """One of ours, or "package.module:factory" of a codec of your own."""
    fraction: Annotated[Number, Field(gt=0, le=1)] | None = None
    """k / N of `top-k` and `random-k`; left out, 0.01."""
    error_feedback: bool = False
    """What a message lost is added to what the next one sends."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name != NONE and name not in OURS and ":" not in name:
            known = (NONE, *OURS)
            told = f'expected one of {", ".join(known)}, or a factory of your own, "package.module:factory"'
            raise ValueError(f"{told}, found {name!r}{nearest(name, known)}")
        return name

    @field_validator("fraction")
    @classmethod
    def _check_fraction(cls, fraction: float | None, info: ValidationInfo) -> float | None:
        name = info.data.get("name", WITH_FRACTION[0])
        if fraction is not None and name not in WITH_FRACTION:
            raise ValueError(f"expected none for {name!r}: it is for {' and '.join(WITH_FRACTION)}")
        return fraction

    @field_validator("error_feedback")
    @classmethod
    def _check_feedback(cls, is_fed_back: bool, info: ValidationInfo) -> bool:
        if is_fed_back and info.data.get("name") == NONE:
            raise ValueError("expected none for 'none', which loses nothing")
        return is_fed_back

    @property
    def codec(self) -> Codec | None:
        """What encodes and decodes; None: nothing does.

        Raises:
            ValueError: of a user's own, if it cannot be had, or is none.
        """
        return None if self.name == NONE else _built(self.name, self.fraction or FRACTION, self.error_feedback)


def warnings_of(schedule: Mapping[str, Any], platform: Mapping[str, Any]) -> list[str]:
    """What is to be said of the codec of a run, by its tables [schedule] and [platform]."""
    table = CodecTable.model_validate(schedule.get("codec") or {})
    codec, found = table.codec, []
    if codec is not None and codec.is_biased and not table.error_feedback:
        found.append(f"schedule.codec = {table.name!r} is biased: expected error_feedback = true beside it, found none")
    missing = [each for each in CODING if each not in (platform.get("kernels") or {})]
    if codec is not None and missing:
        told = "so it takes no time in simulation"
        found.append(f"schedule.codec: platform.kernels has no duration of {' and '.join(missing)}, {told}")
    return found


def _read(value: object) -> object:
    if not isinstance(value, str | Mapping | CodecTable):
        raise ValueError('expected a name such as "int8", or a table')
    return {"name": value} if isinstance(value, str) else value


CodecKey = Annotated[CodecTable, BeforeValidator(_read)]


@functools.cache
def _built(name: str, fraction: float, is_fed_back: bool) -> Codec:
    if name in OURS:
        return OURS[name](fraction, is_fed_back)
    where, _, factory = name.partition(":")
    try:
        make = getattr(importlib.import_module(where), factory)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"expected an importable factory, found {name!r} ({error})") from None
    try:
        codec: Codec = make()
    except Exception as error:  # whatever a user's module may raise
        raise ValueError(f"expected a factory that makes a codec, found {name!r} ({raised(error)})") from None
    missing = [each for each in ("is_biased", "is_random", "size", "encode", "decode") if not hasattr(codec, each)]
    if missing:
        raise ValueError(f"expected a codec, found one without {', '.join(missing)} ({name!r})")
    _try(codec, name)
    return codec


def _try(codec: Codec, name: str) -> None:
    """Refuse a user's codec whose size lies, or which gives other than bytes and numbers."""
    generator = np.random.default_rng(0)
    for length in TRIED:
        vector = generator.normal(size=length).astype(np.float32)
        vector.setflags(write=False)
        try:
            size, encoded = codec.size(length), codec.encode(vector, generator)
            found = (str(getattr(encoded, "dtype", short(encoded))), getattr(encoded, "shape", ()))
            if found != ("uint8", (size,)):
                told = f"expected {size} bytes (uint8) of {length} numbers, as its size says"
                raise ValueError(f"{told}, found {found[0]} {found[1]} ({name!r})")
            decoded = codec.decode(encoded, length)
            found = (str(getattr(decoded, "dtype", short(decoded))), getattr(decoded, "shape", ()))
        except ValueError as error:
            if str(error).startswith("expected"):
                raise
            raise ValueError(f"expected a codec of {length} numbers, found {name!r} ({raised(error)})") from None
        except Exception as error:
            raise ValueError(f"expected a codec of {length} numbers, found {name!r} ({raised(error)})") from None
        if found != ("float32", (length,)):
            told = f"expected {length} numbers (float32) when it decodes, found {found[0]} {found[1]} ({name!r})"
            raise ValueError(told)

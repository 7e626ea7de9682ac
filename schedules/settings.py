"""What every table of a scenario is made of: strict pydantic models, and the numbers that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

Tables: TypeAlias = dict[str, Any]
"""Tables as TOML or JSON has them: text, numbers, lists and tables, which nobody has checked yet."""


class Table(BaseModel):
    """A table of the scenario: no unknown keys, no silent conversions, no NaN."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,  # a check of one key beside another also holds where the key is left out
        use_attribute_docstrings=True,  # `twinclock schedules` shows them
    )


def _integer_as_float(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[float, BeforeValidator(_integer_as_float)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOfRank = Annotated[
    Annotated[Count, Tag("number")] | Annotated[list[Count], Tag("list")],
    # So that of a wrong number no more is said than that it is no number.
    Discriminator(lambda value: "list" if isinstance(value, list) else "number"),
]
"""The same on all ranks, or a list of one a rank."""


def of_rank(counts: int | list[int], rank: int) -> int:
    """That of a rank, of what is a number for all or a list."""
    return counts[rank] if isinstance(counts, list) else counts


def known_keys(model: object, path: Sequence[int | str]) -> list[str]:
    """The keys of the table at that place; a table of tables, such as [platform.kernels], has any names."""
    for name in path:
        if isinstance(name, int):  # of a list, whose tables are all alike
            continue
        field = getattr(model, "model_fields", {}).get(name)
        model = _unwrapped(field.annotation if field is not None else (get_args(model) or (None,))[-1])
    return list(getattr(model, "model_fields", {}))


def _unwrapped(model: object) -> object:
    """The table that may stand there beside a number, a list or nothing; without one, the first of what may."""
    while get_origin(model) is Annotated:
        model = get_args(model)[0]
    if get_origin(model) not in (Union, UnionType):
        return model
    kinds = [_unwrapped(each) for each in get_args(model)]
    return next((each for each in kinds if hasattr(each, "model_fields")), kinds[0])

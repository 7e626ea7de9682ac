"""What every table of a scenario is made of: strict pydantic models, and the numbers that they hold."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

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

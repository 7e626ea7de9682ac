"""The table of parameters that several stages share."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator

from schedules.settings import Count, Table


class TiedTable(Table):
    """Parameters that several stages share: each keeps a copy."""

    stages: list[Annotated[int, Field(ge=0)]]
    """Which, counted from 0."""
    parameters: Count
    """How many they are, of one copy."""

    @field_validator("stages")
    @classmethod
    def _check_several(cls, stages: list[int]) -> list[int]:
        if len(stages) < 2 or any(late <= early for early, late in pairwise(stages)):
            raise ValueError(f"expected several stages, ascending, found {stages}")
        return stages

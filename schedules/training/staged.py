"""A model that comes in stages: what a run asks of it, wherever its stages are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from schedules.operations import Array
from schedules.training.kernels import Kernels
from schedules.training.vectors import Tensor, Tie


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

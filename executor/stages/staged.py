"""The user's module in stages on one rank: its own stages only, and what is known of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.optim.swa_utils import update_bn

from executor.running import buffers
from executor.running.modules import moved, num_batches
from executor.stages import ties, training
from executor.stages.examination import Examined, examine
from executor.stages.kernels import Keeps, StageKernels
from executor.stages.stage import Stage
from schedules import catalogue
from schedules.scenario import Scenario, ScenarioError, boundaries
from schedules.scenario import ties as ties_said
from schedules.training.kernels import Kernels
from schedules.training.vectors import ITEM_SIZE, tensors

Agree = Callable[[list[int]], list[int]]
"""(this rank's answer) -> rank 0's."""


class StagedModule:
    """The stages that a rank holds, each as a function of its flat vector of parameters.

    All stages are made, and one batch is run through them, to know what passes between them; then the others are let
    go.

    Args:
        rank: whose.
        keeps: what a forward pass keeps (`executor.stages.kernels`).
        agree: on where the module is cut, if that is measured.
    Attributes:
        sizes: parameters of each stage.
        tensors: where each tensor lies in the vector of all stages, by its name in the module.
        boundaries: bytes of the message from each stage to the next.
        ties: parameters that stages share.
        num_buffers: of each stage, numbers (`executor.running.buffers.vector`).
        split: where the module was cut, if it was.
        fingerprint: see `training.fingerprint`.
    Raises:
        ScenarioError: if the user's object cannot be run so.
    """

    def __init__(
        self, scenario: Scenario, rank: int, device: torch.device, *, keeps: Keeps = "graph", agree: Agree = list
    ) -> None:
        self._scenario, self._keeps, self._device = scenario, keeps, device
        self._rank, self.training = rank, training.load_staged(scenario, rank)
        placed = scenario.plan.stages
        modules, self.split = training.stages_of(self.training, scenario, len(placed), device, agree)
        self.fingerprint = training.fingerprint(modules, self.training)
        found = self._examined(modules)
        self.boundaries = [each.after.num_bytes for each in found if each.after is not None]
        self.tensors = tensors(_shapes(modules, is_cut=self.split is not None))
        self.sizes = [sum(each.numel() for each in module.parameters()) for module in modules]
        self.num_buffers = [len(buffers.vector(each)) for each in modules]
        self.stages = {
            number: self._stage(number, modules[number], found[number])
            for number, ranks in enumerate(placed)
            if rank in ranks
        }
        _check_said(scenario, self)
        for name in ("module", "stages"):  # the user's object holds the other stages, too
            if hasattr(self.training, name):
                setattr(self.training, name, None)

    @property
    def num_params(self) -> int:
        """How many numbers the parameters of all stages are."""
        return sum(self.sizes)

    def initial_of(self, stage: int) -> torch.Tensor:
        """The parameters of a stage as the user's factory made them: [its size]."""
        return self.stages[stage].initial

    def kernels(self, activations: int = 0) -> Kernels:
        """What the kernels compute, by name."""
        return StageKernels(self.stages, self._keeps).rows(activations)

    def warm_up(self) -> None:
        """Compute once what the kernels compute. Buffers stay as they are."""
        for stage in self.stages.values():
            with buffers.kept(stage.module):
                _warm(stage, self.initial_of(stage.number))

    def evaluate(self, x: Mapping[int, torch.Tensor], values: Mapping[int, torch.Tensor]) -> dict[str, float]:
        """What the user's object says of the whole model, which is made anew.

        Args:
            x: the parameters of every stage.
            values: of its buffers (`executor.running.buffers.vector`).
        """
        made = training.load_staged(self._scenario, self._rank)
        agreed: Agree = lambda own: own if self.split is None else self.split  # noqa: E731
        modules, _ = training.stages_of(made, self._scenario, len(self.sizes), self._device, agreed)
        for number, module in enumerate(modules):
            buffers.load(module, values[number])
            _load(module, x[number])
        whole = torch.nn.Sequential(*modules)
        if self._scenario.workload.buffers == "recompute":
            batches = range(num_batches(made, _num_micro_batches(self._scenario)))
            with torch.no_grad():
                update_bn((moved(made.batch(k), self._device)[0] for k in batches), whole)
        return training.evaluation(made, whole)

    def _examined(self, modules: Sequence[torch.nn.Module]) -> list[Examined]:
        try:
            self.ties = ties.find(modules, getattr(self.training, "tied", ()))
            return examine(modules, self.training, self._device, inverts=self._keeps == "nothing")
        except ValueError as error:
            raise ScenarioError(f"{training.label(self._scenario)}: {error}") from None

    def _stage(self, number: int, module: torch.nn.Module, found: Examined) -> Stage:
        dtype = getattr(torch, self._scenario.workload.dtype)
        return Stage(
            number,
            module,
            self.training,
            before=found.entry if number else None,
            after=found.after,
            like=torch.empty(0, dtype=dtype, device=self._device),
            entry=found.entry,
            seed=self._scenario.run.seed if found.is_random else None,
            is_in_place=found.is_in_place,
        )


def staged_module(scenario: Scenario, rank: int, device: torch.device, agree: Agree) -> StagedModule:
    """The user's module in stages, for the scenario's schedule."""
    asked = catalogue.find(scenario.program).keeps
    keeps: Any = "graph" if asked is None else asked(scenario.schedule)
    return StagedModule(scenario, rank, device, keeps=keeps, agree=agree)


def _num_micro_batches(scenario: Scenario) -> int:
    """Of the whole run. The length of a pipeline counts all; otherwise each that shares the data has its own."""
    plan = scenario.plan
    return plan.lengths[0] * (1 if plan.is_pipeline else plan.num_shards)


def _check_said(scenario: Scenario, module: StagedModule) -> None:
    """What the scenario says of a module, for a simulation, must be so: else its messages and memory are others.

    Raises:
        ScenarioError: if it is not.
    """
    workload, sizes, boundaries_found = scenario.workload, module.sizes, tuple(module.boundaries)
    parameters = workload.parameters
    if parameters is not None and parameters not in (sizes, sum(sizes)):
        raise ScenarioError(f"scenario: workload.parameters: expected {sizes}, as the stages have, found {parameters}")
    if workload.boundary and boundaries(scenario) != boundaries_found:
        told = f"expected {list(boundaries_found)} bytes, as the stages hand on, found {workload.boundary}"
        raise ScenarioError(f"scenario: workload.boundary: {told}")
    if tuple(module.ties) != ties_said(scenario):
        width = ITEM_SIZE[workload.dtype]
        told = ", ".join(
            f"{{ stages = {list(each.stages)}, parameters = {each.size // width} }}" for each in module.ties
        )
        found = [each.model_dump() for each in workload.tied]
        raise ScenarioError(f"scenario: workload.tied: expected [{told}], as the module has, found {found}")


def _shapes(modules: Sequence[torch.nn.Module], *, is_cut: bool) -> dict[str, tuple[int, ...]]:
    """Of all parameters, stage after stage, by their names in the module that was cut, or with the stage's number."""
    return {
        name if is_cut else f"{number}.{name}": tuple(each.shape)
        for number, module in enumerate(modules)
        for name, each in module.named_parameters()
    }


def _load(module: torch.nn.Module, x: torch.Tensor) -> None:
    """Put the parameters of a flat vector into a module."""
    with torch.no_grad():
        parameters = list(module.parameters())
        for each, part in zip(parameters, torch.split(x, [each.numel() for each in parameters]), strict=True):
            each.copy_(part.view(each.shape))


def _warm(stage: Stage, x: torch.Tensor) -> None:
    """Both ways of a backward pass, with zeros for what would arrive."""
    ends = [
        None if each is None else torch.zeros(each.num_bytes, dtype=torch.uint8) for each in (stage.before, stage.after)
    ]
    arrived, gradients = (None if each is None else each.to(x.device) for each in ends)
    stage.backward(stage.graph(x, 0, arrived), gradients)
    _, rest = stage.backward_input(stage.graph(x, 0, arrived), gradients)
    stage.backward_weight(rest)

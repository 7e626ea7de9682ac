"""The user's module in stages: `workload.module = "package.module:factory"` under a schedule with stages.

`factory(rank, num_workers, seed)` returns an object like `StagedTraining`. `examples/pipeline_module.py` is an example.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from executor.running.modules import load_factory, moved
from executor.stages.boundaries import tensors_of
from executor.stages.splitting import balanced, cut, measured
from schedules.errors import ProgramError
from schedules.scenario import Scenario, ScenarioError


class StagedTraining(Protocol):
    """What the user's factory returns.

    `stages`, the modules of the stages, may be there in the place of `module`; `tied`, tuples (stage, parameter,
    stage, parameter), names those that stages share and that are not one object.

    `evaluate(module) -> dict[str, float]` may be there, too: it is called once, after the run, on rank 0, with the
    whole model (`torch.nn.Sequential` of all stages) at the final parameters.
    """

    module: torch.nn.Sequential
    """It is cut where `workload.split` says. Its parameters must be the same on every rank."""

    def batch(self, step: int) -> tuple[Any, Any]:
        """Inputs and targets of the `step`-th micro-batch of the run: the same on all ranks."""

    def loss(self, outputs: Any, targets: Any) -> torch.Tensor:
        """The loss of what the last stage returns, to be differentiated: a scalar."""


def load_staged(scenario: Scenario, rank: int) -> StagedTraining:
    """Call the user's factory.

    Raises:
        ScenarioError: if there is no such factory, or what it returns is no training in stages.
    """
    training, place = load_factory(scenario, rank)
    missing = [each for each in ("batch", "loss") if not hasattr(training, each)]
    if not hasattr(training, "stages") and not hasattr(training, "module"):
        missing.insert(0, "stages (or module)")
    if missing:
        told = f"expected an object with stages (or module), batch and loss, found one without {', '.join(missing)}"
        raise ScenarioError(f"{label(scenario)}: {told} ({place})")
    found: StagedTraining = training
    return found


def label(scenario: Scenario) -> str:
    """How errors name the module."""
    return f"scenario: workload.module = {scenario.workload.module!r}"


def stages_of(
    training: StagedTraining,
    scenario: Scenario,
    num_stages: int,
    device: torch.device,
    agree: Callable[[list[int]], list[int]],
) -> tuple[list[torch.nn.Module], list[int] | None]:
    """The stages' modules, in the run's dtype and on the device, and where a `module` was cut.

    Args:
        agree: (where this rank would cut) -> where all do, as it is measured.
    Raises:
        ScenarioError: if there are not as many stages as there must be, or one is empty.
    """
    kind = {"device": device, "dtype": getattr(torch, scenario.workload.dtype)}
    split, given = scenario.workload.split, getattr(training, "stages", None)
    if given is not None:
        modules = _given(given, scenario, num_stages)
        return list(torch.nn.ModuleList(modules).to(**kind)), None
    whole: Any = training.module
    if not isinstance(whole, torch.nn.Sequential):
        told = "expected stages, or a module that is a torch.nn.Sequential, found a module of"
        raise ScenarioError(f"{label(scenario)}: {told} {type(whole).__name__}")
    if len(whole) < num_stages:
        told = f"expected a module of at least {num_stages} layers for {num_stages} stages, found {len(whole)}"
        raise ScenarioError(f"{label(scenario)}: {told}")
    whole.to(**kind)
    if split is None:
        told = f'expected where {num_stages - 1} stages begin, or "cost", for a module that is one Sequential'
        raise ScenarioError(f"scenario: workload.split: {told}, found none")
    try:
        begins = agree(_cheapest(training, whole, num_stages, device)) if split == "cost" else list(split)
        layers = list(whole._modules.items())  # by their names in the whole, of which slices keep no subclass
        pieces = [layers[each.start : each.stop] for each in cut(len(layers), begins, num_stages)]
        return [torch.nn.Sequential(OrderedDict(each)) for each in pieces], begins
    except ValueError as error:
        raise ScenarioError(f"scenario: workload.split: {error}") from None


def _given(stages: Any, scenario: Scenario, num_stages: int) -> Sequence[torch.nn.Module]:
    if not isinstance(stages, Sequence | torch.nn.ModuleList | torch.nn.Sequential) or not all(
        isinstance(each, torch.nn.Module) for each in stages
    ):
        told = f"expected stages, a list of torch.nn.Modules, found {type(stages).__name__}"
        raise ScenarioError(f"{label(scenario)}: {told}")
    if len(stages) != num_stages:
        raise ScenarioError(f"{label(scenario)}: expected {num_stages} stages, found {len(stages)}")
    if scenario.workload.split is not None:
        told = f"expected none beside an object with stages, found {scenario.workload.split!r}"
        raise ScenarioError(f"scenario: workload.split: {told}")
    return list(stages)


def _cheapest(training: StagedTraining, whole: torch.nn.Sequential, num_stages: int, device: torch.device) -> list[int]:
    """Where a chain of layers is cut by what they cost here."""
    batch = moved(training.batch(0), device)
    return balanced(measured(list(whole), (batch[0], batch[1]), training.loss), num_stages)


def fingerprint(modules: Sequence[torch.nn.Module], training: StagedTraining) -> tuple[int, int]:
    """Of the initial parameters, and of the tensors of batch 0: both must be the same on all ranks."""
    parameters = [each for module in modules for each in module.parameters()]
    batch = [each for value in training.batch(0) for each in _some_tensors(value)]
    return _sum(parameters), _sum(batch)


def _some_tensors(value: Any) -> list[torch.Tensor]:
    """The tensors of a batch; of one that is something else, none."""
    try:
        return tensors_of(value)
    except ProgramError:
        return []


def _sum(tensors: Sequence[torch.Tensor]) -> int:
    total = 0
    for each in tensors:
        raw = each.detach().contiguous().reshape(-1).view(torch.uint8).cpu()  # as bytes: numpy has no bfloat16
        total = zlib.crc32(raw.numpy().tobytes(), total)
    return total


def evaluation(training: StagedTraining, module: torch.nn.Module) -> dict[str, float]:
    """What the user's object says of the whole model, where it says something."""
    evaluate: Callable[[Any], Mapping[str, float]] | None = getattr(training, "evaluate", None)
    with torch.no_grad():
        return {} if evaluate is None else {name: float(value) for name, value in evaluate(module).items()}

"""The optimizer of a scenario, and what it holds in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schedules.errors import ScenarioError
from schedules.scenario.resolved import Scenario
from schedules.training.optimizers import LearningRate, Optimizer, adamw, sgd, undecayed
from schedules.training.optimizers.decay import Placed
from schedules.training.optimizers.optimizer import Common
from schedules.training.vectors import ITEM_SIZE


def build_optimizer(
    scenario: Scenario,
    *,
    updates: int,
    tensors: Mapping[str, Placed] | None = None,
    part: slice | None = None,
) -> Optimizer:
    """The scenario's optimizer, of one worker and for one vector.

    Args:
        updates: how many steps it will make, which is the horizon of the learning rate.
        tensors: of the whole model, by name, for `optimizer.no_decay`.
        part: which part of the whole model's parameters the vector is (a stage, a shard); None: all of them.
    Raises:
        ScenarioError: if a pattern of `optimizer.no_decay` names no tensor.
    """
    try:
        without = undecayed(scenario.optimizer.no_decay, tensors, part)
    except ValueError as error:
        raise ScenarioError(f"scenario: optimizer.{error}") from None
    return _optimizer(scenario, updates, without, is_part=part is not None)


def check_decay(scenario: Scenario, where: str) -> None:
    """Refuse a pattern of `optimizer.no_decay` that names no tensor; those of a module are known where it is imported.

    Raises:
        ScenarioError: beginning with `where`.
    """
    if scenario.tensors is None:
        return
    try:
        undecayed(scenario.optimizer.no_decay, scenario.tensors)
    except ValueError as error:
        raise ScenarioError(f"{where}: optimizer.{error}") from None


def learning_rate(scenario: Scenario, updates: int) -> LearningRate:
    """The learning rate over so many steps of an optimizer."""
    table = scenario.optimizer
    return LearningRate(
        table.learning_rate, max(updates, 1), schedule=table.schedule, warmup=table.warmup, minimum=table.minimum
    )


def optimizer_bytes(scenario: Scenario, size: int) -> int:
    """Bytes that the optimizer holds beside parameters (or a part of them) of `size` bytes."""
    item_size = ITEM_SIZE[scenario.workload.dtype]
    without = (slice(0, 0),) if scenario.optimizer.no_decay else ()  # as if the patterns named something
    return size // item_size * _optimizer(scenario, 1, without, is_part=False).bytes_per_parameter(item_size)


def num_moments(scenario: Scenario) -> int:
    """How many arrays the optimizer remembers, each as large as the parameters."""
    return _optimizer(scenario, 1, (), is_part=False).method.num_arrays


def _optimizer(scenario: Scenario, updates: int, without: Sequence[slice], *, is_part: bool) -> Optimizer:
    table, rate = scenario.optimizer, learning_rate(scenario, updates)
    common = Common(
        weight_decay=table.weight_decay,
        undecayed=without,
        clip_norm=table.clip_norm,
        is_part=is_part,
        has_master=scenario.workload.master is not None,
    )
    if table.name == "adamw":
        return adamw(rate, beta_1=table.beta_1, beta_2=table.beta_2, eps=table.eps, **common)
    return sgd(rate, momentum=table.momentum, nesterov=table.nesterov, **common)

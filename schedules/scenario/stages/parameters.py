"""How many parameters each stage has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedules.training.parts import length, part

if TYPE_CHECKING:
    from schedules.scenario.resolved import Scenario


def stage_parameters(scenario: Scenario, num_parameters: int | None = None) -> list[int] | None:
    """Number of parameters of each stage, of all stages together where there are none; None: it is not known.

    A list says them, stage by stage; one number is spread evenly.

    Args:
        num_parameters: of the whole model, where it is known better than the scenario says.
    Raises:
        ValueError: if a list does not fit the stages, or the model.
    """
    given, stages = scenario.workload.parameters, scenario.plan.stages
    total = scenario.num_parameters if num_parameters is None else num_parameters
    if total is None:
        return None
    num_stages = max(len(stages), 1)
    if not isinstance(given, list):
        return [length(part(total, stage, num_stages)) for stage in range(num_stages)]
    if len(given) != num_stages:
        raise ValueError(f"expected a number for each of {num_stages} stages, found {len(given)}")
    if sum(given) != total:
        raise ValueError(f"expected {total} parameters in all, as the model has, found {sum(given)}")
    return given

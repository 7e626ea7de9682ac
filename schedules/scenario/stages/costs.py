"""What an order is searched for: the durations of its scenario's kernels, its link's latency and its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schedules.platform.computing import Duration
from schedules.programs.pipelines.settings import Costs, Searched

if TYPE_CHECKING:
    from schedules.scenario.resolved import Scenario

KERNELS: Final = {"F": "forward", "B": "backward-input", "W": "backward-weight"}


def with_costs(scenario: Scenario) -> Scenario:
    """With what its order is searched for in its settings, where it is of a schedule that searches.

    Raises:
        ValueError: if a list of durations does not fit the stages, with the key first.
    """
    settings, link = scenario.schedule, scenario.platform.link
    if not isinstance(settings, Searched):
        return scenario
    given = scenario.workload.activations
    pair = (given[0], given[1]) if isinstance(given, list) else (given, given)
    latency = 0 if link is None else round(link.latency * 1e9)
    costs = Costs(_durations(scenario, settings.stages_of_a_worker), latency, pair)
    return scenario.model_copy(update={"schedule": settings.with_costs(costs)})


def _durations(scenario: Scenario, chunks: int) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
    """Means by stage, in nanoseconds; None where a kernel has none, which is refused elsewhere."""
    kernels, num_stages = scenario.platform.kernels, chunks * scenario.topology.workers
    found = []
    for kind, name in KERNELS.items():
        given = kernels.get(name)
        if given is None:
            return None
        if isinstance(given, list) and len(given) != num_stages:
            told = f"expected one value, or one a stage ({num_stages}), found {len(given)}"
            raise ValueError(f"platform.kernels.{name}: {told}")
        # One value is that of a worker's whole part, which its chunks share.
        means = map(_mean_ns, given) if isinstance(given, list) else [_mean_ns(given) / chunks] * num_stages
        found.append((kind, tuple(map(round, means))))
    return tuple(found)


def _mean_ns(duration: Duration) -> float:
    return (duration.mean or 0.0) * 1e9

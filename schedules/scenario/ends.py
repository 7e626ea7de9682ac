"""How a run ends: what its schedule's length is then, and where the world cuts it.

`run.until` says it. Until the `end`, every worker makes its own gradients. Under the other ends the schedule's key of
length (`LENGTH`, which is `gradients` where a schedule names no other) follows from the end: in the scenario it is the
share of each worker, from which read-outs and learning rates go; programs are told as much as may be needed, and the
world cuts them. Where every rank makes the same steps (`IN_STEP`) a count cuts nobody: the share is the length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schedules import catalogue
from schedules.catalogue import Schedule
from schedules.platform.transports import TRANSPORTS
from schedules.scenario.plan import Plan, plan
from schedules.scenario.resolved import Scenario
from schedules.scenario.sizes import LARGEST
from schedules.units import quantity
from topologies.event_lists import EventList, check_edges, check_times

AMPLE = 1_000_000_000
"""The length of programs that a time will cut."""


@dataclass(frozen=True)
class Cut:
    """Where the world cuts a run: at a number of gradients that all workers together have applied, or at a time.

    Attributes:
        total: of gradients; None: no number cuts it.
        at_ns: nanoseconds since the start; None: no time cuts it.
    """

    total: int | None = None
    at_ns: int | None = None


def cut(scenario: Scenario) -> Cut | None:
    """Where a run of the scenario is cut; None: its programs end, or a precision ends them."""
    run = scenario.run
    if scenario.events is not None:
        return None  # its list is cut, and its programs end with that
    if run.until == "time":
        return Cut(at_ns=round(duration_s(scenario) * 1e9))
    if run.until == "gradients" and not catalogue.find(scenario.program).is_in_step:
        return Cut(total=run.total)
    return None


def with_list(scenario: Scenario, said: object = None) -> Scenario:
    """The scenario with as many gradients of each worker as its list of events has, if it has one.

    Args:
        said: how many the scenario itself says, if it does: then they must be these.
    Raises:
        ValueError: if it says others, or its end is not that of the list or a time; it begins with the key.
    """
    key = catalogue.find(scenario.program).length_key
    if key is None or not isinstance(getattr(scenario.schedule, "events", None), str):
        return scenario
    try:
        listed, _ = listed_events(scenario)
        check_times(listed, LARGEST / 4e9 / scenario.gradient_s, scenario.schedule.events)  # as of all that is counted
    except ValueError as error:
        raise ValueError(f"schedule.events: {error}") from None
    run, counts = scenario.run, listed.gradients(scenario.topology.workers)
    if run.until not in ("end", "time"):
        raise ValueError(f"run.until: expected 'end' or 'time' beside schedule.events, found {run.until!r}")
    if run.samples is not None:
        raise ValueError(f"run.samples: expected none beside schedule.events, found {run.samples}")
    if said is not None and said != counts:
        raise ValueError(f"schedule.{key}: expected none beside schedule.events, which has {counts}, found {said!r}")
    schedule = scenario.schedule.model_copy(update={key: counts})
    schedule.model_fields_set.discard(key)  # it follows from the list, and another may follow later
    return scenario.model_copy(update={"schedule": schedule})


def check_list(scenario: Scenario) -> None:
    """See that the exchanges of a list are of edges of the graph; what else it says has been looked at.

    Raises:
        ValueError: with the line of one that is not.
    """
    if scenario.events is not None:
        check_edges(scenario.events, scenario.graph.edges, scenario.schedule.events)


def listed_events(scenario: Scenario) -> tuple[EventList, float]:
    """Of a scenario with a list: its events up to the run's end, and that end in gradient times.

    Raises:
        ValueError: if the list's file is none.
    """
    events = scenario.events
    assert events is not None, "only asked of a scenario with a list"
    if scenario.run.until != "time":
        return events, float(events.times[-1])
    end = duration_s(scenario) / scenario.gradient_s
    return events.before(end), end


def duration_s(scenario: Scenario) -> float:
    """`run.duration` in seconds."""
    found = scenario.run.duration
    assert found is not None, "a table without one is refused"
    return quantity(found, "second") if isinstance(found, str) else found * scenario.gradient_s


def may_lack_length(run: object) -> bool:
    """Whether the length of a schedule follows from these keys of [run], and so need not be said."""
    return isinstance(run, Mapping) and (run.get("until", "end") != "end" or run.get("samples") is not None)


def with_share(scenario: Scenario, *, is_said: bool) -> Scenario:
    """The scenario with the length that follows from its end, if one does.

    Args:
        is_said: whether the scenario itself says how long it is, which a precision leaves as it is.
    Raises:
        ValueError: if the schedule has no length that could follow.
    """
    schedule, run = catalogue.find(scenario.program), scenario.run
    if scenario.events is not None:
        return scenario
    if run.until == "precision" and not is_said:
        wanted = run.limit
    elif not run.says_length:
        return scenario
    elif run.until == "time":
        wanted = math.ceil(duration_s(scenario) / scenario.gradient_s)
    else:
        total = run.total or -(-(run.samples or 1) // scenario.workload.batch_size)
        wanted = -(-total // len(counting(_plan(schedule, scenario, total))))
    value = _least(schedule, scenario, wanted)
    return scenario.model_copy(update={"schedule": _lengthened(schedule, scenario, value)})


def as_recorded(scenario: Scenario, tables: Mapping[str, Any]) -> Scenario:
    """The scenario of a replay, with the length that the recorded run had: that of a time follows from its platform.

    Args:
        tables: those of the recorded run.
    """
    key = catalogue.find(scenario.program).length_key
    found = tables.get("schedule", {}).get(key)
    if found is None or not scenario.run.says_length:
        return scenario
    return scenario.model_copy(update={"schedule": scenario.schedule.model_copy(update={key: found})})


def run_settings(scenario: Scenario) -> Any:
    """What programs are told of [schedule]: as long as may be needed, where the world ends the run."""
    return _posting(_run_length(scenario), scenario)


def _run_length(scenario: Scenario) -> Any:
    schedule, run = catalogue.find(scenario.program), scenario.run
    if run.until == "precision":
        return _lengthened(schedule, scenario, _least(schedule, scenario, run.limit))
    where = cut(scenario)
    if where is None:
        return scenario.schedule
    return _lengthened(schedule, scenario, AMPLE if where.total is None else _least(schedule, scenario, where.total))


def _posting(settings: Any, scenario: Scenario) -> Any:
    """A pipeline's key `ahead`, of receives, is 0 where a message waits for its receiver on arrival: to ask early
    changes nothing there, and every operation costs the simulation. A user's own key of that name is the user's."""
    platform = scenario.platform
    is_idle = TRANSPORTS[platform.transport].leaves_at_once and platform.order != "in-order"
    if not is_idle or not catalogue.find(scenario.program).is_pipeline:
        return settings
    return settings.model_copy(update={"ahead": 0})


def counting(found: Plan) -> list[int]:
    """The ranks whose gradients are counted: those that hold stage 0, or the workers."""
    ranks = found.stages[0] if found.stages else range(len(found.lengths))
    return [rank for rank in ranks if found.roles[rank] == "worker" and found.lengths[rank] > 0] or list(ranks)


def _least(schedule: Schedule, scenario: Scenario, wanted: int) -> int:
    """The least length with which every rank that counts makes so many gradients: whole rounds, flushes or updates."""

    def is_enough(value: int) -> bool:
        found = _plan(schedule, scenario, value)
        return min(found.lengths[rank] for rank in counting(found)) >= wanted

    if schedule.length is None:  # the key counts gradients itself
        return _whole_updates(schedule, scenario, wanted) if schedule.is_in_step else wanted
    found = _first(is_enough, 0)
    if found is None:
        raise ValueError(f"expected LENGTH, a key that makes runs longer, found {schedule.length_key!r}")
    return found


def _whole_updates(schedule: Schedule, scenario: Scenario, wanted: int) -> int:
    """So many gradients, or as many more as the last update has room for."""

    def updates(value: int) -> tuple[int, ...]:
        return _plan(schedule, scenario, value).updates

    enough = updates(wanted)
    following = _first(lambda value: updates(value) > enough, wanted)
    return wanted if following is None else following - 1


def _first(is_meant: Callable[[int], bool], above: int) -> int | None:
    """The least number above another of which something is true, as it is of all that are larger."""
    low, step = above, 1
    while not is_meant(above + step):
        low, step = above + step, 2 * step
        if step > AMPLE:
            return None
    high = above + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_meant(middle) else (middle, high)
    return high


def _plan(schedule: Schedule, scenario: Scenario, value: int) -> Plan:
    return plan(schedule, _lengthened(schedule, scenario, value), scenario.topology.workers)


def _lengthened(schedule: Schedule, scenario: Scenario, value: int) -> Any:
    if schedule.length_key is None:
        told = "expected 'end' for a schedule without LENGTH, the key that says how long it is"
        raise ValueError(f"{told}, found {scenario.run.until!r}")
    return scenario.schedule.model_copy(update={schedule.length_key: value})

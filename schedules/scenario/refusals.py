"""What is wrong with a scenario: pydantic's errors in our words, and what no single table can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schedules import catalogue
from schedules.errors import ScenarioError, WrongValueError, nearest
from schedules.scenario.optimizing import check_decay
from schedules.scenario.plan import check_graph, has_rate, is_keyed
from schedules.scenario.resolved import Scenario
from schedules.scenario.stages.pipeline import check_stages
from schedules.scenario.stages.shares import check_layers
from schedules.settings import known_keys
from schedules.training.coding import CodecTable
from schedules.training.problems import PROBLEMS

Model = TypeVar("Model", bound=BaseModel)

Path = tuple[int | str, ...]
"""Of a key: names of tables and keys, numbers in lists."""


def check_tables(tables: Mapping[str, object], where: str) -> None:
    """Refuse what is no table, unknown tables, and missing ones."""
    known = ("schedule", "topology", "platform", "workload", "optimizer", "run", "execution")
    if "job" in tables:
        told = (
            "expected one scenario, found [[job]] tables: `twinclock simulate` (`simulator.simulate_jobs`) takes them"
        )
        raise ScenarioError(f"{where}: job: {told}; a file without them, with the tables of one job, runs everywhere")
    for name, table in tables.items():
        if name not in known:
            raise ScenarioError(f"{where}: unknown table [{name}]{nearest(name, known)}; accepted: {', '.join(known)}")
        if not isinstance(table, Mapping):
            raise ScenarioError(f"{where}: {name}: expected a table, found {table!r}")
    for name in known[:4]:  # the others have defaults
        if name not in tables:
            raise ScenarioError(f"{where}: expected a table [{name}], found none")


def check(scenario: Scenario, where: str) -> None:
    """Refuse what its tables, each right by itself, cannot mean together: also what its builders refuse.

    What is built for this the scenario keeps.
    """
    _check_plan(scenario, where)
    _check_clocks(scenario, where)
    _check_topology(scenario, where)
    _check_network(scenario, where)
    _check_ranks(scenario, where)
    _check_problem(scenario, where)
    _check_start(scenario, where)
    _check_tensors(scenario, where)
    check_decay(scenario, where)
    _check_stages(scenario, where)
    _check_codec(scenario, where)


def _check_plan(scenario: Scenario, where: str) -> None:
    try:
        _ = scenario.plan
    except ValueError as error:
        # It begins with the key, or with the name of a function of the program.
        place = "schedule." if str(error).startswith("gradients: ") else "" if is_keyed(error) else "schedule.program: "
        raise ScenarioError(f"{where}: {place}{error}") from None
    schedule = catalogue.find(scenario.program)
    try:
        schedule.vectors_of(scenario.schedule)
    except ValueError as error:
        raise ScenarioError(f"{where}: schedule.program: {error}") from None
    if schedule.needs_decay and scenario.optimizer.schedule == "constant":
        told = f"expected 'cosine' or 'step' for {scenario.program}, which follows the learning rate, found 'constant'"
        raise ScenarioError(f"{where}: optimizer.schedule: {told}")
    key = schedule.length_key
    if scenario.run.until == "precision" and not isinstance(getattr(scenario.schedule, str(key), None), int):
        told = f"expected 'end' for a schedule whose length is not one number, schedule.{key}, found 'precision'"
        raise ScenarioError(f"{where}: run.until: {told}")
    gradient = scenario.platform.gradient
    is_paced = getattr(scenario.schedule, "gradient_clock", "") == "poisson"
    if scenario.run.until == "time" and gradient is not None and gradient.mean == 0 and not is_paced:
        told = "expected gradients that take time for run.until = 'time', which others would never come to, found 0"
        raise ScenarioError(f"{where}: platform.gradient: {told}")


def _check_clocks(scenario: Scenario, where: str) -> None:
    if has_rate(scenario.schedule) and scenario.platform.gradient is None:
        clocks = scenario.program if scenario.schedule.rate is None else f"schedule.rate = {scenario.schedule.rate}"
        told = f"expected one for {clocks}, as clocks tick in gradient times, found none"
        raise ScenarioError(f"{where}: platform.gradient: {told}")


def _check_stages(scenario: Scenario, where: str) -> None:
    try:
        check_stages(scenario, catalogue.find(scenario.program))
        check_layers(scenario)
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from None


def _check_codec(scenario: Scenario, where: str) -> None:
    try:
        _ = getattr(scenario.schedule, "codec", CodecTable()).codec
    except ValueError as error:
        raise ScenarioError(f"{where}: schedule.codec: {error}") from None


def _check_topology(scenario: Scenario, where: str) -> None:
    try:
        check_graph(catalogue.find(scenario.program), scenario.schedule, scenario.topology)
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from None
    try:
        _ = scenario.graph  # built here, so that what its builder refuses is told by the key of its table
    except ValueError as error:
        raise ScenarioError(f"{where}: topology: {error}") from None


def _check_problem(scenario: Scenario, where: str) -> None:
    if scenario.workload.problem is None:
        if scenario.workload.options:
            raise ScenarioError(f"{where}: workload.options: expected options of a problem, found no problem")
        return
    if scenario.workload.problem not in PROBLEMS:
        hint = nearest(scenario.workload.problem, PROBLEMS)
        raise ScenarioError(
            f"{where}: workload.problem: expected one of {', '.join(PROBLEMS)}; "
            f"found {scenario.workload.problem!r}{hint}"
        )
    try:
        _ = scenario.problem
    except (ValueError, TypeError) as error:  # options reach their builder as the file has them
        told = str(error).replace("num_workers", "topology.workers")  # in a scenario's words
        raise ScenarioError(f"{where}: workload.options: {told}") from None


def _check_start(scenario: Scenario, where: str) -> None:
    """Ranks that hold one model together, by stages or by shards, hold the same one: these cannot start apart. Nor can
    those that tell one another how they differ from what was common last."""
    if (start := scenario.workload.options.get("start", "common")) == "common":
        return
    schedule = catalogue.find(scenario.program)
    vectors = schedule.vectors_of(scenario.schedule)
    if "common" in vectors:
        told = f"expected 'common' where a codec encodes how parameters differ, found {start!r}"
        raise ScenarioError(f"{where}: workload.options.start: {told}")
    held_by = [*vectors.values(), *([schedule.optimizer] if schedule.optimizer else [])]
    if scenario.plan.stages or any(each.is_shard for each in held_by):
        held = "stages" if scenario.plan.stages else "shards"
        told = f"expected 'common' for a schedule whose ranks hold one model in {held}, found {start!r}"
        raise ScenarioError(f"{where}: workload.options.start: {told}")


def _check_tensors(scenario: Scenario, where: str) -> None:
    file, given = scenario.workload.tensors, scenario.workload.parameters
    if file is None:
        return
    try:
        number = scenario.num_parameters
    except ValueError as error:
        raise ScenarioError(f"{where}: workload.tensors: {error}") from None
    if isinstance(given, int) and given != number:
        raise ScenarioError(f"{where}: workload.parameters: expected {number}, as {file} has, or none; found {given}")


def _check_network(scenario: Scenario, where: str) -> None:
    if not scenario.platform.has_shared_links and scenario.platform.collectives.form == "flows":
        raise ScenarioError(f"{where}: platform.collectives.form: expected [platform.network] for flows, found none")
    try:
        _ = scenario.network
    except (ValueError, OSError) as error:
        raise ScenarioError(f"{where}: platform.network: {error}") from None


def _check_ranks(scenario: Scenario, where: str) -> None:
    """Ranks that the platform names must be there."""
    workers, platform = scenario.topology.workers, scenario.platform
    if isinstance(platform.speed, list) and len(platform.speed) != workers:
        raise ScenarioError(f"{where}: platform.speed: expected {workers} numbers, found {len(platform.speed)}")
    named = {
        "platform.speed": [] if isinstance(platform.speed, list) else map(int, platform.speed),
        "platform.faults.outages": [each.rank for each in platform.faults.outages] if platform.faults else [],
        "platform.stragglers.ranks": platform.stragglers.ranks or [] if platform.stragglers else [],
    }
    for key, ranks in named.items():
        for rank in ranks:
            if rank >= workers:
                raise ScenarioError(f"{where}: {key}: expected ranks below {workers}, found {rank}")


def validated(model: type[Model], values: Mapping[str, object], where: str, prefix: tuple[str, ...] = ()) -> Model:
    """The table of the values, with pydantic's first error in a scenario's words."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        path, told = _first(error.errors(), values, model)
        raise WrongValueError(f"{where}: {'.'.join((*prefix, *map(str, path)))}: {told}") from None


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of 64 bits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "multiple_of": "a multiple of {multiple_of:g}",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "none",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text such as the pattern {pattern}",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "mapping_type": "a table",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:.15g}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_unicode": "text",
    "ellipsis_error": "...",
}
"""What pydantic's kinds of errors mean in a scenario's words."""


def _first(errors: Sequence[ErrorDetails], values: Mapping[str, object], model: type[BaseModel]) -> tuple[Path, str]:
    """The key of the first error, and what is said of it: of several one clear sentence.

    Where a key may have values of several kinds, pydantic has an error a kind, under names of its own. What has come
    furthest into the value is what was meant; where none has, all kinds are told.
    """
    paths = [_path(each, values, model) for each in errors]
    first = len(paths[0])
    beside = [number for number, path in enumerate(paths) if path[:first] == paths[0]]
    if len(errors[0]["loc"]) == first:  # it has one kind
        beside = [0]
    furthest = max(len(paths[number]) for number in beside)
    chosen = [errors[number] for number in beside if len(paths[number]) == furthest]
    path = next(paths[number] for number in beside if len(paths[number]) == furthest)
    # Of the kinds that are left, one that the value is of, and only not as it should be, says more than the others.
    right = [each for each in chosen if not each["type"].endswith("_type")]
    return path, _message(right or chosen, values, path, model)


def _path(problem: ErrorDetails, values: Any, model: type[BaseModel]) -> Path:
    """Where an error is, in keys of the scenario alone: without pydantic's names of kinds."""
    path: Path = ()
    for name in problem["loc"]:
        is_there = _has(_written(values, path, None), name)
        if is_there or name in known_keys(model, path) or (problem["type"] == "missing" and name == problem["loc"][-1]):
            path = (*path, name)
    return path


def _has(value: object, name: int | str) -> bool:
    if isinstance(value, Mapping):
        return name in value
    return isinstance(value, list | tuple) and isinstance(name, int) and name < len(value)


def _message(problems: Sequence[ErrorDetails], values: Mapping[str, object], path: Path, model: type[BaseModel]) -> str:
    problem = problems[0]
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = known_keys(model, path[:-1])
        return f"unknown key{nearest(path[-1], known)}" + (f"; accepted: {', '.join(known)}" if known else "")
    if kind == "missing":
        return "expected a value, found none"
    first, *others = dict.fromkeys(_expected(each) for each in problems)
    expected = " or ".join((first, *(each.removeprefix("expected ") for each in others)))
    if ", found " in expected:
        return expected
    found = _written(values, path, problem["input"])
    # The accepted words are what pydantic puts in quotes.
    hint = nearest(str(found), problem["ctx"]["expected"].split("'")[1::2]) if kind == "literal_error" else ""
    return f"{expected}, found {_short(found)}{hint}"


def _expected(problem: ErrorDetails) -> str:
    """What was expected; validators of ours, and of users, say it themselves."""
    kind, said = problem["type"], str(problem["msg"])
    if kind in _EXPECTED:
        return "expected " + _EXPECTED[kind].format(**problem.get("ctx", {}))
    if kind in ("value_error", "assertion_error"):
        told = said.removeprefix("Value error, ").removeprefix("Assertion failed, ").partition("\n")[0]
        return told if "expected " in told else f"expected what its check lets through ({told})"
    _, has_should, rest = said.partition(" should be ")
    return f"expected {rest}" if has_should else f"expected another value ({said[:1].lower()}{said[1:]})"


def _written(values: Any, path: Path, default: object) -> object:
    """What stands in the scenario at that place: the user's own words, before units were read."""
    for name in path:
        try:
            values = values[name]
        except (KeyError, IndexError, TypeError):
            return default
    return values


def _short(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

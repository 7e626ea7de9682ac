"""Every key of every table with values of the wrong kind: one line, in a scenario's words alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticKnownError
from pydantic_core.core_schema import ErrorType

from schedules import Count, Table
from schedules.catalogue import MODULES, find
from schedules.scenario import Scenario, ScenarioError, load
from schedules.scenario.refusals import validated

BASE = {
    "schedule": {"program": "gossip", "gradients": 20},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": "2 ms"}},
    "workload": {"parameters": 100},
}
WRONG: list[Any] = ["?", 1.5, -1, 0, True, [], [0], ["?"], [[]], {}, {"?": 0}, {"?": []}, {"0": "?"}, None]
OF_A_LIBRARY = re.compile(
    r"constrained|function-|is-instance|[a-z]+\[[a-z]|Input|_type|greater_|less_|pydantic|nullable|literal|union|"
    r"\.(int|str|float|bool|none|list|dict|tuple)(:|\.)|valid (integer|number|string|list|dict|boolean)"
)


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """The tables in an annotation."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) in (Annotated, Union, UnionType):
        for each in get_args(kind):
            yield from models(each)


def keys(model: type[BaseModel], before: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{before}.{name}"
        for each in models(field.annotation):
            yield from keys(each, f"{before}.{name}")


TABLES = [name for name in Scenario.model_fields if name not in ("program", "schedule")]
KEYS = [key for name in TABLES for each in models(Scenario.model_fields[name].annotation) for key in keys(each, name)]
OWN_KEYS = [(name, key) for name in MODULES for key in keys(find(name).settings, "schedule")]


def check(tables: dict[str, Any], key: str, value: Any) -> None:
    """Either the value is right, or it is told in words of ours."""
    try:
        load(tables, {key: value})
    except ScenarioError as error:
        told = str(error)
        assert re.match(r"scenario: [a-z_0-9.?-]+: ", told), told
        assert "expected" in told or "unknown key" in told, told
        assert "found" in told or "unknown key" in told, told
        assert not OF_A_LIBRARY.search(told), told
        assert "\n" not in told


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_told_in_our_words(key: str) -> None:
    for value in WRONG:
        check(BASE, key, value)


@pytest.mark.parametrize(("program", "key"), OWN_KEYS)
def test_so_is_every_key_of_a_schedule(program: str, key: str) -> None:
    for value in WRONG:
        check({**BASE, "schedule": {"program": program, "gradients": 20}}, key, value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("workload.parameters", [0, 12], r"workload\.parameters\.0: expected a number of at least 1, found 0"),
        ("workload.parameters", [1.5], r"workload\.parameters\.0: expected a whole number, found 1\.5"),
        ("workload.parameters", "a", r"workload\.parameters: expected a whole number or a list, found 'a'"),
        ("workload.parameters", 0, r"workload\.parameters: expected a number of at least 1, found 0"),
        ("platform.network", {"kind": "star", "placement": [[]]}, r"platform\.network\.placement\.0: expected a whole "
         r"number or text, found \[\]"),
        ("platform.network", {"kind": "star", "routes": {"0-1": [{}]}}, r"platform\.network\.routes\.0-1\.0: expected "
         r"a whole number or text, found \{\}"),
    ],
)  # fmt: skip
def test_what_may_be_of_several_kinds_is_told_by_its_own_key(key: str, value: Any, told: str) -> None:
    with pytest.raises(ScenarioError, match=f"^scenario: {told}$"):
        load(BASE, {key: value})


class Asked(Table):
    """Keys as users may have them."""

    a_list: list[Count] | dict[str, float] = Field(default=[])
    a_pair: tuple[int, str] = (1, "a")
    a_text: Annotated[str, Field(min_length=2, pattern="^a")] = "ab"
    some: set[int] = Field(default=set())
    word: Literal["a", "b"] | int = "a"
    checked: int = 0
    asserted: int = 0
    even: Annotated[int, Field(multiple_of=2)] = 0
    few: Annotated[list[int], Field(max_length=2)] = Field(default=[])

    @field_validator("checked")
    @classmethod
    def _check(cls, value: int) -> int:
        if value:
            raise ValueError("it is odd")
        return value

    @field_validator("asserted")
    @classmethod
    def _assert(cls, value: int) -> int:
        assert not value, "it is odd"
        return value


OTHERS = [*WRONG, "a", "b", 3, [1, 2, 3], ["a", 1], {"a": "b"}]


@pytest.mark.parametrize("key", Asked.model_fields)
def test_keys_of_users_too(key: str) -> None:
    for value in OTHERS:
        try:
            validated(Asked, {key: value}, "scenario", ("schedule",))
        except ScenarioError as error:
            told = str(error)
            assert re.match(rf"scenario: schedule\.{key}[a-z0-9.?]*: expected .*, found ", told), told
            assert not OF_A_LIBRARY.search(told), told


CONTEXT = {
    **dict.fromkeys(("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "actual_length"), 1),
    **dict.fromkeys(
        ("max_digits", "decimal_places", "whole_digits", "tz_expected", "tz_actual", "expected_version"), 1
    ),
    **dict.fromkeys(("error", "class", "class_name", "pattern", "field_type", "attribute", "encoding_error"), "a"),
    **dict.fromkeys(("encoding", "discriminator", "tag", "expected_tags", "expected_schemes", "method_name"), "a"),
    **dict.fromkeys(("cls", "iterable_error", "error_type", "encoding", "multiple"), "a"),
    "expected": "'a' or 'b'",
}


@pytest.mark.parametrize("kind", get_args(ErrorType))
def test_every_kind_of_error_has_a_sentence(kind: str) -> None:
    """Whatever the library can say of a value."""

    class Wrong(Table):
        few: int = 0

        @field_validator("few", mode="before")
        @classmethod
        def _check(cls, _: object) -> object:
            raise PydanticKnownError(kind, CONTEXT)  # type: ignore[arg-type]

    if kind in ("extra_forbidden", "missing"):  # of keys
        return
    with pytest.raises(ScenarioError, match=r"^scenario: few: expected .*, found 1$") as error:
        validated(Wrong, {"few": 1}, "scenario")
    assert not OF_A_LIBRARY.search(str(error.value).replace("function", ""))


@pytest.mark.parametrize("swept", [True, "x", [], 1.0])
def test_a_sweep_is_a_table(swept: object) -> None:
    with pytest.raises(ScenarioError, match=r"^scenario: sweep: expected a table, found "):
        load({**BASE, "sweep": swept})

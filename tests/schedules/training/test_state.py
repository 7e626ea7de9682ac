"""What rules see, and what they may not do: replaced, never written in place, in both array libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schedules.catalogue import find
from schedules.errors import MisuseError
from schedules.misuse.writes import CLOSELY
from schedules.operations import Payload
from schedules.payload import GRADIENT
from schedules.training.model import Tensor
from schedules.training.optimizers import sgd
from schedules.training.state import State, descend
from schedules.training.vectors import COPY, SHARD, ZERO, ZERO_SHARD, Vector
from tests.schedules.models import ARRAYS, Convert, gradient, model, state

Numbers = Callable[[list[float]], Any]


def made(convert: Convert) -> Any:
    """x of ones, and a vector of twos."""
    found = model(convert([1.0, 1.0]), vectors={"other": ZERO}, constants={"time": 0.0})
    state(found).other = convert([2.0, 2.0])
    return found


# ---- writing in place


def subtracts(s: State, g: Any) -> None:
    s.x -= g


def multiplies_other(s: State, g: Any) -> None:
    s.other *= g


def sets_an_item(s: State, g: Any) -> None:
    s.x[0] = 1


def sets_a_slice(s: State, g: Any) -> None:
    part = s.other[1:]
    part[:] = g[1:]


def adds_into(s: State, g: Any) -> None:
    add: Any = np.add if isinstance(g, np.ndarray) else torch.add
    add(s.x, g, out=s.x)


def writes_to_the_argument(s: State, g: Any) -> None:
    g += s.x


def replaces_and_then_writes(s: State, g: Any) -> None:
    s.x = s.x + g
    s.x += g


def writes_and_then_replaces(s: State, g: Any) -> None:
    old = s.x
    old -= g
    s.x = old


@ARRAYS
@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (subtracts, "s.x"),
        (multiplies_other, "s.other"),
        (sets_an_item, "s.x"),
        (sets_a_slice, "s.other"),
        (adds_into, "s.x"),
        (writes_to_the_argument, "argument 1"),
        (replaces_and_then_writes, "s.x"),
        (writes_and_then_replaces, "s.x"),
    ],
)
def test_a_write_in_place_is_named_with_its_rule(rule: Any, name: str, convert: Convert) -> None:
    found = made(convert)
    given = Payload(16, convert([5.0, 6.0]), 0)
    expected = f"rule {rule.__name__}: expected {name} to be replaced, found it written in place"
    with pytest.raises(MisuseError, match=f"^{expected}$"):
        found.change(rule, given)


def holding(held: Any) -> Any:
    """A rule that writes to what it holds; it has been handed nothing."""

    def rule(s: State) -> None:
        array = held.array if isinstance(held, Payload) else held
        array[:] = array + 1

    return rule


@pytest.mark.parametrize("is_payload", [False, True])
def test_a_tensor_that_a_rule_holds_is_watched(is_payload: bool) -> None:
    """An array of numpy's is read-only from when it was handed out."""
    tensor = torch.ones(2, dtype=torch.float64)
    told = "^rule rule: expected its variable held to be replaced, found it written in place$"
    found = made(torch.tensor)
    for _ in range(CLOSELY + 2):
        with pytest.raises(MisuseError, match=told):
            found.change(holding(Payload(16, tensor) if is_payload else tensor))


def test_a_default_is_watched_too() -> None:
    tensor = torch.ones(2)

    def rule(s: State, held: Any = tensor) -> None:
        held += 1

    with pytest.raises(MisuseError, match="rule rule: expected its default to be replaced"):
        made(torch.tensor).change(rule)


def through_numpy(s: State, g: Any) -> None:
    np.asarray(s.other)[0] += 1


def through_numpy_of_the_argument(s: State, g: Any) -> None:
    g.numpy()[-1] = 7


@pytest.mark.parametrize(("rule", "name"), [(through_numpy, "s.other"), (through_numpy_of_the_argument, "argument 1")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_writes_through_numpy_are_seen_at_the_first_calls(rule: Any, name: str, dtype: torch.dtype) -> None:
    def convert(numbers: list[float]) -> Any:
        return torch.tensor(numbers, dtype=dtype)

    given = Payload(2 * dtype.itemsize, convert([5.0, 6.0]), 0)
    with pytest.raises(MisuseError, match=f"expected {name} to be replaced, found it written in place"):
        made(convert).change(rule, given)


def test_later_calls_look_at_the_counts_alone() -> None:
    """As docs/vocabulary.md says: else every rule would read all of its arrays."""
    found, given = made(torch.tensor), Payload(16, torch.tensor([5.0, 6.0], dtype=torch.float64), 0)

    def rule(s: State, g: Any, is_to_write: bool) -> None:
        if is_to_write:
            np.asarray(s.other)[0] += 1

    for _ in range(CLOSELY):
        found.change(rule, given, False)
    found.change(rule, given, True)


def test_large_tensors_are_compared_at_both_ends() -> None:
    found = model(torch.zeros(100_000, dtype=torch.float64))

    def rule(s: State, index: int) -> None:
        np.asarray(s.x)[index] += 1

    for index in (0, -1):
        with pytest.raises(MisuseError, match=r"expected s\.x to be replaced"):
            found.change(rule, index)


@ARRAYS
def test_an_element_of_a_tuple_is_not_written_to_either(convert: Convert) -> None:
    def sums(s: State, parts: Any) -> None:
        first, second = parts
        second += first

    parts = (Payload(8, convert([1.0]), 0), Payload(8, convert([2.0]), 0))
    with pytest.raises(MisuseError, match="rule sums: expected argument 1 to be replaced"):
        made(convert).change(sums, parts)


@ARRAYS
def test_what_was_made_or_handed_out_is_not_written_to_later(convert: Convert) -> None:
    """The array of a payload that a rule has made, and x as it was when it was sent."""

    def double(s: State) -> Any:
        return 2 * s.x

    def add_into(s: State, sent: Any) -> None:
        sent += s.x

    found = made(convert)
    for payload in (found.payload(double), found.outgoing()):
        found.apply(descend, gradient(convert([1.0, 1.0]), found))
        with pytest.raises(MisuseError, match="rule add_into: expected argument 1 to be replaced"):
            found.change(add_into, payload)


def test_numpy_s_arrays_cannot_be_written_to_by_programs_either() -> None:
    found = made(np.array)
    sent = found.outgoing()
    found.apply(descend, gradient(np.array([1.0, 1.0]), found))
    for array in (sent.array, state(found).x, state(found).other):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 3
    assert sent.array.tolist() == [1, 1]


@ARRAYS
def test_one_array_under_two_names_is_told_of_at_the_first_write(convert: Convert) -> None:
    """A copy of x is x itself until one of them is replaced."""

    def write(s: State) -> None:
        s.x_tilde += 1

    found = model(convert([1.0]), vectors={"x_tilde": COPY})
    with pytest.raises(MisuseError, match=r"rule write: expected (s\.x or )?s\.x_tilde to be replaced"):
        found.change(write)


@ARRAYS
def test_a_rule_may_write_to_what_it_has_made_itself(convert: Convert) -> None:
    def rule(s: State) -> None:
        mine = s.x + 1
        mine *= 3
        s.x = mine

    found = made(convert)
    found.change(rule)
    assert state(found).x.tolist() == [6, 6]


@ARRAYS
def test_errors_of_a_rule_s_own_stay_what_they_are(convert: Convert) -> None:
    def rule(s: State) -> None:
        raise ValueError("this rule's own")

    with pytest.raises(ValueError, match=r"^this rule's own$"):
        made(convert).change(rule)


# ---- what a rule is handed, and hands back


@ARRAYS
def test_payloads_arrive_as_arrays_and_tuples_as_tuples(convert: Convert) -> None:
    seen: list[Any] = []
    one, none = Payload(16, convert([3.0, 4.0]), 0), Payload(16, None, 0)
    made(convert).change(
        lambda s, *arguments: seen.extend(arguments), one, none, (one, none), [one], 0.5, slice(1), "a"
    )
    assert seen[0] is one.array
    assert seen[1] is None
    assert seen[2][0] is one.array
    assert seen[2][1] is None
    assert isinstance(seen[3], tuple)
    assert seen[4:] == [0.5, slice(1), "a"]


@pytest.mark.parametrize("kind", ["worker", "model"])
def test_workers_and_models_are_no_arguments(kind: str) -> None:
    found = made(np.array)
    worker = type("Worker", (), {"account": found.account})()

    def rule(s: State, it: Any) -> None:
        raise AssertionError("it is not called")

    expected = f"rule rule: expected numbers, payloads and slices as arguments, found a {kind}"
    for argument in (worker if kind == "worker" else found,):
        for arguments in ((argument,), ((argument,),)):
            with pytest.raises(MisuseError, match=expected):
                found.change(rule, *arguments)


def test_a_rule_is_no_program() -> None:
    def rule(s: State) -> Any:
        yield s.x

    with pytest.raises(MisuseError, match="rule rule: expected a plain function, found one that yields"):
        made(np.array).change(rule)


def test_a_payload_has_an_array_of_the_size_that_it_says() -> None:
    found = made(np.array)
    with pytest.raises(MisuseError, match="expected an array of 8 bytes, as its payload says, found 16"):
        found.payload(lambda s: s.x, size=8)
    with pytest.raises(MisuseError, match="rule nothing: expected it to return an array, found None"):
        found.payload(nothing)


def nothing(s: State) -> None:
    """A rule that returns nothing."""


# ---- names


def test_a_name_that_there_is_not_is_told_with_those_that_there_are() -> None:
    found = made(np.array)
    told = r"s\.{0}: expected one of x, other, .*time, found '{0}'"
    with pytest.raises(MisuseError, match=told.format("othr") + r" \(did you mean other"):
        found.change(lambda s: s.othr)

    def write(s: State) -> None:
        s.momentum = s.x

    with pytest.raises(MisuseError, match=told.format("momentum")):
        found.change(write)


@pytest.mark.parametrize("name", ["optimizer", "rank", "num_workers", "tensors", "xp"])
def test_what_is_the_worker_s_is_not_replaced(name: str) -> None:
    with pytest.raises(MisuseError, match=rf"s\.{name}: expected one of x, other, time, found '{name}'"):
        made(np.array).change(lambda s: setattr(s, name, 1))


@ARRAYS
def test_a_vector_stays_what_it_is(convert: Convert) -> None:
    found = made(convert)
    single = np.float32 if convert is np.array else torch.float32
    wrong: list[tuple[Any, str]] = [
        (convert([1.0]), r"\(1,\) of (torch\.)?float64"),
        (convert([[1.0, 1.0]]), r"\(1, 2\) of (torch\.)?float64"),
        (convert(np.ones(2, dtype=np.float32)), r"\(2,\) of (torch\.)?float32"),
        (1.0, "1.0"),
        (None, "None"),
        ([1.0, 1.0], r"\[1.0, 1.0\]"),
    ]
    assert state(found).x.dtype != single
    for value, told in wrong:
        expected = rf"s\.x: expected an array \(2,\) of (torch\.)?float64, found {told}"
        with pytest.raises(MisuseError, match=expected):
            found.change(lambda s, value=value: setattr(s, "x", value))


def test_constants_have_values_of_their_own_that_rules_may_replace() -> None:
    found = made(np.array)

    def rule(s: State, time: float) -> None:
        s.time = time

    found.change(rule, 3.5)
    assert state(found).time == 3.5


@pytest.mark.parametrize(
    "name", ["x", "other", "optimizer", "rank", "num_workers", "tensors", "xp", "run", "view", "vectors", "_watched"]
)
def test_constants_have_names_that_are_not_taken(name: str) -> None:
    with pytest.raises(MisuseError, match=f"constants: expected names that are not taken, found '{name}'"):
        model(np.ones(1), vectors={"other": ZERO}, constants={name: 1})


# ---- vectors


@ARRAYS
@pytest.mark.parametrize(
    ("vector", "expected"),
    [(COPY, [0, 1, 2, 3, 4, 5, 6]), (ZERO, [0] * 7), (SHARD, [2, 3]), (ZERO_SHARD, [0, 0])],
)
def test_vectors_begin_as_they_are_declared(vector: Vector, expected: list[float], convert: Convert) -> None:
    """Part 1 of 3 of seven numbers is [7 // 3, 14 // 3)."""
    x = convert([float(each) for each in range(7)])
    assert vector.initial(x, 1, 3).tolist() == expected
    assert vector.num_bytes(7, 8, 1, 3) == 8 * len(expected)


@ARRAYS
def test_a_vector_may_have_numbers_of_another_kind(convert: Convert) -> None:
    vector = Vector("zero", dtype="float32")
    found = model(convert([1.0, 2.0]), vectors={"master": vector})
    assert str(state(found).master.dtype).endswith("float32")
    assert vector.num_bytes(2, 8, 0, 1) == 8


@given(st.integers(1, 50), st.integers(1, 9))
def test_parts_are_the_whole(length: int, num_parts: int) -> None:
    x = np.arange(float(length))
    parts = [SHARD.initial(x, rank, num_parts) for rank in range(num_parts)]
    assert np.array_equal(np.concatenate(parts), x)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


MODULE = '''"""A schedule."""

from schedules import COPY, Count, Table

SOURCE = "a test"


class Settings(Table):
    gradients: Count


def streams(worker):
    return {{}}


STATE = {0}
'''


@pytest.mark.parametrize(
    ("state_of_it", "told"),
    [
        ('{"x": COPY}', r"'x': Vector\(start='copy'"),
        ('{"rank": COPY}', "'rank': Vector"),
        ('{"not a name": COPY}', "'not a name': Vector"),
        ('{"momentum": "zero"}', "'momentum': 'zero'"),
    ],
)
def test_a_state_that_is_none(state_of_it: str, told: str, tmp_path: Any) -> None:
    path = tmp_path / "own.py"
    path.write_text(MODULE.format(state_of_it))
    with pytest.raises(
        ValueError, match=rf"expected STATE with COPY, ZERO, SHARD, ZERO_SHARD or .*own\.py' with {told}"
    ):
        find(str(path))


# ---- copies and views


def test_a_copy_has_the_same_vectors_and_what_is_replaced_there_stays_here() -> None:
    mine = state(made(np.array))
    theirs = copy.copy(mine)
    assert theirs.x is mine.x
    theirs.x, theirs.time = theirs.x + 1, 7.0
    assert (mine.x.tolist(), mine.time, theirs.x.tolist()) == ([1, 1], 0.0, [2, 2])
    assert mine.vectors()["x"].tolist() == [1, 1]
    assert theirs.vectors()["x"].tolist() == [2, 2]


@ARRAYS
def test_tensors_are_views_by_name(convert: Convert) -> None:
    x = convert([float(each) for each in range(6)])
    xp: ModuleType = state(model(x)).xp
    tensors = {"weight": Tensor((2, 2), 0, 4), "bias": Tensor((2,), 4, 2)}
    own: Any = {"optimizer": sgd(1.0), "rank": 0, "num_workers": 1, "tensors": tensors, "xp": xp}
    found = State(x, {"momentum": ZERO}, constants={}, **own)
    assert found.view("weight").tolist() == [[0, 1], [2, 3]]
    assert found.view("bias").tolist() == [4, 5]
    assert found.view("bias", of="momentum").tolist() == [0, 0]
    with pytest.raises(MisuseError, match=r"expected a tensor's name, found 'biass' \(did you mean bias\?\)"):
        found.view("biass")


def test_descending_is_a_step_of_the_optimizer() -> None:
    found = model(np.array([1.0, 2.0]), sgd(0.5))
    found.apply(descend, Payload(16, np.array([2.0, 4.0]), 0, 0, 0, GRADIENT))
    assert state(found).x.tolist() == [0, 0]

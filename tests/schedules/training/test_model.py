"""The verbs: what they count, enter and log, with arrays or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedules.errors import MisuseError
from schedules.operations import Payload
from schedules.payload import AVERAGE, GRADIENT
from schedules.programs.gossip import a2cid2
from schedules.record.ledger import Account
from schedules.training.model import Model
from schedules.training.state import State
from tests.schedules.models import ARRAYS, Convert, accelerated, model, state


def timing(size: int = 8, **options: Any) -> Model:
    """A model without arrays, whose contributions are logged."""
    return Model(size, Account(is_recorded=True), **options)


def entries(page: Account) -> list[tuple[int, int, int]]:
    """What was entered: versions, steps, and when the gradient was read (at time 0, so minus the age)."""
    applied = page.ledger.contributions.applied()
    return [*zip(applied.versions.tolist(), applied.steps.tolist(), (-applied.age_ns).tolist(), strict=True)]


def rule(s: State, *arguments: Any) -> Any:
    """Nothing is changed; x is returned."""
    return s.x


def drive(found: Model, page: Account, payload: Callable[[], Any]) -> tuple[Any, ...]:
    """Steps and averages; what was counted, logged and entered."""
    mine, read = found.outgoing(), Payload(found.size, payload(), 0, 0, 4, GRADIENT)
    found.apply(a2cid2.average, mine, Payload(found.size, payload()))
    found.change(a2cid2.mix, 0.5)
    found.apply(a2cid2.descend, read)
    found.apply(a2cid2.descend, Payload(found.size, payload(), 1, 0, 20, GRADIENT))
    return found.version, found.steps, page.log, entries(page), (mine.size, mine.version, mine.step)


@ARRAYS
def test_versions_and_staleness_are_those_of_the_timing_model(convert: Convert) -> None:
    """Size, version, steps, log and account: with arrays or without, the trace is the same."""
    pages = Account(is_recorded=True), Account(is_recorded=True)
    expected = drive(Model(16, pages[0]), pages[0], lambda: None)
    numeric = accelerated(convert([1.0, 2.0]), eta=0.5, account=pages[1])
    assert drive(numeric, pages[1], lambda: convert([0.5, 0.5])) == expected
    assert expected[:2] == (3, 2)
    assert expected[2] == [
        ("average", "x", 0, 1, 0, 0, 0, -1),
        ("gradient", "x", 0, 2, 0, 4, 1, -1),
        ("gradient", "x", 1, 3, 1, 20, 1, -1),
    ]
    assert expected[3] == [(1, 0, 4), (1, 1, 20)]


@ARRAYS
def test_the_size_on_the_wire_is_that_of_x(convert: Convert) -> None:
    assert model(convert([1.0, 2.0])).size == 16
    assert model(convert(np.ones(2, dtype=np.float32))).size == 8
    assert model(convert([1.0])).outgoing().size == 8


@ARRAYS
def test_what_was_handed_out_does_not_change(convert: Convert) -> None:
    found = accelerated(convert([4.0]), eta=1.0)
    read, sent = state(found).x, found.outgoing()
    found.apply(a2cid2.descend, Payload(8, convert([1.0]), 0, 0, 0, GRADIENT))
    found.apply(a2cid2.average, found.outgoing(), Payload(8, convert([100.0])))
    found.change(a2cid2.mix, 1.0)
    assert (read.tolist(), sent.array.tolist()) == ([4.0], [4.0])
    assert state(found).x.tolist() != [4.0]


# ---- payloads


def facts(payload: Payload) -> tuple[Any, ...]:
    return payload.what, payload.version, payload.step, payload.read_ns, payload.size, payload.number


def aged() -> Model:
    """Version 3 of x, 2 of theta; one gradient step; it is 50 ns."""
    found = timing()
    found.apply(rule, Payload(8, None, 0, 0, 0, GRADIENT))
    for _ in range(2):
        found.apply(rule, found.payload(rule, to="theta"))
    found.account.ledger.now = 50
    return found


def test_what_a_payload_says_at_its_birth() -> None:
    found = aged()
    assert (found.version, found.version_of("x"), found.version_of("theta"), found.steps) == (3, 3, 2, 1)
    assert facts(found.outgoing()) == (AVERAGE, 3, 1, 50, 8, 0)
    assert facts(found.payload(rule)) == (("change", "x", 0), 3, 1, 50, 8, 0)
    made = found.payload(rule, size=4, to="theta", kind="gradient", gradients=7, number=5)
    assert facts(made) == (("gradient", "theta", 7), 2, 1, 50, 4, 5)


def test_a_payload_of_another_hands_on_what_that_says() -> None:
    found = aged()
    other = Payload(8, None, 1, 0, 20, ("gradient", "theta", 3))
    other.number = 9
    assert facts(found.payload(rule, of=other)) == (("gradient", "theta", 3), 1, 0, 20, 8, 0)
    made = found.payload(rule, of=other, kind="change", gradients=0, size=2, number=4)
    assert facts(made) == (("change", "theta", 0), 1, 0, 20, 2, 4)


def test_the_rest_of_a_payload_is_all_but_its_array() -> None:
    given = Payload(8, np.ones(1), 1, 2, 3, GRADIENT)
    given.number = 6
    rest = given.rest()
    assert facts(rest) == facts(given)
    assert rest.array is None
    assert given.kept is None


# ---- what applies, and what does not


def test_a_change_counts_nothing_and_may_say_which_version_x_is_now() -> None:
    found = timing()
    found.change(rule)
    assert (found.version, found.steps, found.account.log) == (0, 0, [])
    found.change(rule, version=5)
    assert (found.version, found.steps, found.account.log) == (5, 0, [])
    assert found.account.ledger.contributions.all_tallies() == {}


def test_an_apply_advances_its_target_and_x() -> None:
    found = timing()
    found.apply(rule, found.payload(rule, to="theta"))
    found.apply(rule, found.payload(rule, to="theta"))
    found.apply(rule, found.payload(rule, to="other"))
    found.apply(rule, found.payload(rule))
    versions = found.version, found.version_of("theta"), found.version_of("other"), found.version_of("never")
    assert versions == (4, 2, 1, 0)
    assert found.steps == 0


def test_several_at_once_are_one_update_with_an_entry_each() -> None:
    found = timing()
    given = [Payload(8, None, 0, 0, 7, GRADIENT) for _ in range(3)]
    found.apply(rule, tuple(given))
    assert (found.version, found.steps) == (1, 1)
    assert found.account.log == [("gradient", "x", 0, 1, 0, 7, 1, -1)] * 3
    assert found.account.ledger.contributions.num_gradients == 3


def test_the_gradients_in_a_change_count() -> None:
    found = timing()
    found.apply(rule, found.payload(rule, gradients=12))
    assert found.account.ledger.contributions.num_gradients == 12
    assert (found.version, found.steps) == (1, 0)
    assert {
        what: (each.count, each.total) for what, each in found.account.ledger.contributions.all_tallies().items()
    } == {("change", "x", 12): (1, 0)}


@pytest.mark.parametrize(("stage", "counted"), [(-1, 2), (0, 2), (1, 0)])
def test_in_a_staged_run_a_gradient_counts_at_stage_0(stage: int, counted: int) -> None:
    found = timing(stage=stage)
    found.apply(rule, tuple(Payload(8, None, 0, 0, 0, GRADIENT) for _ in range(2)))
    assert found.account.ledger.contributions.num_gradients == counted
    assert len(found.account.ledger.contributions) == 2
    assert [entry[-1] for entry in found.account.log or ()] == [stage] * 2


# ---- misuse


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Payload(8), "expected a contribution that says which version it was read from, found Payload"),
        ((Payload(8, version=0, what=GRADIENT), Payload(8, what=GRADIENT)), "expected a contribution that says which"),
        (
            (Payload(8, version=0, what=GRADIENT), Payload(8, version=0)),
            "expected contributions of one kind to one target, found change to x, gradient to x",
        ),
        (
            (Payload(8, version=0), Payload(8, version=0, what=("change", "theta", 0))),
            "expected contributions of one kind to one target, found change to theta, change to x",
        ),
        ((), "expected contributions of one kind to one target, found none"),
        (None, "expected a payload, or a tuple of them, to be applied, found None"),
        (3.0, "expected a payload, or a tuple of them, to be applied, found 3.0"),
        ((1, 2), r"expected a payload, or a tuple of them, to be applied, found \(1, 2\)"),
    ],
)
@pytest.mark.parametrize("is_numeric", [True, False])
def test_what_cannot_be_applied(given: Any, told: str, is_numeric: bool) -> None:
    found = model(np.ones(1)) if is_numeric else timing()
    with pytest.raises(MisuseError, match=told):
        found.apply(rule, given)


@pytest.mark.parametrize(
    ("verb", "now"),
    [
        ("step", r"model\.apply\(descend, gradient\), with `from schedules import descend`"),
        ("average", r"model\.apply\(average, mine, theirs\)"),
        ("mix", r"model\.change\(mix, time\)"),
        ("mix_neighbours", r"model\.apply\(mix, gradient, mine, theirs, weights\)"),
        ("like", "the answer of the collective"),
        ("buckets", "sizes that the program cuts itself"),
        ("joined", r"model\.apply\(rule, forward\.rest\(\), buckets\)"),
        ("observe_end", "nothing: when all programs have ended, the parameters are read out"),
        ("snapshot", r"a rule, which has them as s\.x"),
    ],
)
def test_a_verb_that_has_left_says_what_has_taken_its_place(verb: str, now: str) -> None:
    with pytest.raises(MisuseError, match=rf"^model\.{verb} has left: expected {now}"):
        getattr(timing(), verb)


def test_a_model_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="'Model' object has no attribute 'stpe'"):
        _ = timing().stpe


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"kind": "foo"}, "expected one of the kinds gradient, average, change, found 'foo'"),
        ({"to": "t" * 49}, "expected a target with a name of at most 48 bytes"),
        ({"gradients": -1}, "expected how many gradients are in it, a whole number, found -1"),
        ({"gradients": 1.5}, "expected how many gradients are in it, a whole number, found 1.5"),
        ({"number": 2**70}, "expected a whole number of 64 bits as its number"),
        ({"number": 1.5}, "expected a whole number of 64 bits as its number, found 1.5"),
    ],
)
def test_facts_that_no_payload_can_have_are_refused(facts: Any, told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        timing().payload(lambda s: s.x, **facts)

"""Pairwise averaging as gossip's rule has it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schedules.programs.gossip.pairwise import average
from schedules.training.optimizers import sgd
from tests.schedules.models import ARRAYS, Convert, exchange, model, state, step, tensor


def test_the_learning_rate_follows_the_worker_s_own_steps() -> None:
    found = model(np.zeros(1), sgd(lambda step: 10.0**step))
    for _ in range(3):
        step(found, np.array([-1.0]))
        exchange(found, model(state(found).x))
    assert state(found).x.tolist() == [111.0]


@ARRAYS
def test_a_gradient_that_lands_during_an_exchange_is_kept_whole(convert: Convert) -> None:
    first, second = model(convert([4.0])), model(convert([0.0]))
    one, two = first.outgoing(), second.outgoing()
    step(first, convert([-1.0]))
    first.apply(average, one, two)
    second.apply(average, two, one)
    assert (state(first).x.tolist(), state(second).x.tolist()) == ([3.0], [2.0])


FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(FLOATS, FLOATS)
def test_the_two_ends_form_the_same_difference_bit_for_bit(a: float, b: float) -> None:
    """So neither needs to know who is first, in either precision and array kind."""
    for convert in (np.array, tensor):
        one, two = convert([a]), convert([b])
        assert (one - two).tolist() == (-(two - one)).tolist()
    small = np.array([a % 1e30, b % 1e30], dtype=np.float32)
    assert small[:1] - small[1:] == -(small[1:] - small[:1])

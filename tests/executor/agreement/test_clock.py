"""Clocks of several machines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.agreement.clock import Offset, align, drift, measure_offset


def test_the_offset_of_the_shortest_ping_counts() -> None:
    times = iter([0, 100, 1000, 1010, 2000, 2500])
    answers = iter([5090, 6004, 7400])
    assert measure_offset(lambda: next(answers), 3, lambda: next(times)) == Offset(4999, 5, 1010)


@given(st.integers(-(10**12), 10**12), st.floats(-1e-4, 1e-4))
def test_alignment_takes_offset_and_drift_out(offset: int, rate: float) -> None:
    """A clock that is off by `offset` and goes faster by `rate` is put right between the two measurements."""
    before = Offset(offset, 0, 0)
    after = Offset(offset + round(rate * 10**10), 0, 10**10)
    assert drift(before, after) == pytest.approx(rate, abs=1e-9)
    times = np.array([0, 10**9, 9 * 10**9])
    expected = times + np.rint(rate * (times + 10**9)).astype(int)
    assert np.abs(align(times, before, after, 10**9) - expected).max() <= 2

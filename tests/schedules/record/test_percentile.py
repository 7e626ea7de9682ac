"""The percentile of whole numbers is one of them."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schedules.record.summary import percentile


@given(st.lists(st.integers(-3, 40), min_size=1, max_size=200), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[int], percent: int) -> None:
    enough = [v for v in sorted(values) if Fraction(sum(each <= v for each in values), len(values)) * 100 >= percent]
    found = percentile(np.array(values), percent)
    assert (found, type(found)) == (enough[0], int)


def test_between_two_values_there_is_no_third() -> None:
    """numpy's default would say 2.85 of the second."""
    assert [percentile(np.array(each), 95) for each in ([7], [0, 1, 2, 3], [0] * 95 + [9] * 5)] == [7, 3, 0]

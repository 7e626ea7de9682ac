"""Parts of any length: one formula, and what follows from it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.training.parts import length, part, size_of_part


def test_the_formula() -> None:
    assert [part(10, i, 4) for i in range(4)] == [slice(0, 2), slice(2, 5), slice(5, 7), slice(7, 10)]
    assert [part(2, i, 3) for i in range(3)] == [slice(0, 0), slice(0, 1), slice(1, 2)]


@given(st.integers(0, 10**12), st.integers(1, 300))
def test_parts_follow_one_another_and_differ_by_one_at_most(num_elements: int, num_parts: int) -> None:
    parts = [part(num_elements, i, num_parts) for i in range(num_parts)]
    assert parts[0].start == 0
    assert parts[-1].stop == num_elements
    assert all(one.stop == other.start for one, other in pairwise(parts))
    lengths = [length(each) for each in parts]
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(0, 10**6), st.integers(1, 50), st.sampled_from([1, 2, 4, 8]))
def test_sizes_are_of_whole_elements_and_sum_to_the_whole(elements: int, num_parts: int, itemsize: int) -> None:
    sizes = [size_of_part(elements * itemsize, i, num_parts, itemsize) for i in range(num_parts)]
    in_bytes = [size_of_part(elements * itemsize, i, num_parts) for i in range(num_parts)]
    assert sum(sizes) == sum(in_bytes) == elements * itemsize
    assert all(size % itemsize == 0 for size in sizes)
    # Cut by bytes, a bound is less than an element off.
    assert all(abs(sum(sizes[:i]) - sum(in_bytes[:i])) < itemsize for i in range(num_parts))


@pytest.mark.parametrize("index", [-1, 4])
def test_there_are_no_other_parts(index: int) -> None:
    with pytest.raises(ValueError, match=f"expected a part from 0 to 3, found {index}"):
        part(10, index, 4)

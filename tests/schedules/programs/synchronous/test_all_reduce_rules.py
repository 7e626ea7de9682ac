"""A gradient that comes in buckets is one gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.operations import Payload
from schedules.payload import GRADIENT
from schedules.programs.synchronous.all_reduce import buckets, descend_by_buckets
from schedules.record.ledger import Account
from tests.schedules.models import ARRAYS, Convert, model, state


@ARRAYS
def test_a_gradient_is_joined_from_its_buckets(convert: Convert) -> None:
    page = Account(is_recorded=True)
    found = model(convert([0.0] * 5), account=page)
    parts = (Payload(16, convert([1.0, 2.0])), Payload(24, convert([3.0, 4.0, 5.0])))
    forward = Payload(0, None, version=0, step=0, read_ns=0, what=GRADIENT)
    found.apply(descend_by_buckets, forward.rest(), parts)
    assert state(found).x.tolist() == [-1, -2, -3, -4, -5]
    assert page.log == [("gradient", "x", 0, 1, 0, 0, 1, -1)]


@pytest.mark.parametrize(
    ("size", "bucket", "expected"),
    [
        (40, 16, [16, 16, 8]),
        (40, 40, [40]),
        (40, 1000, [40]),
        (32, 16, [16, 16]),
        (20, 12, [8, 8, 4]),
        (24, 1, [8] * 3),
    ],
)
def test_buckets_are_as_large_as_asked_for_and_whole_numbers(size: int, bucket: int, expected: list[int]) -> None:
    assert buckets(size, bucket) == expected


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_buckets_cover_the_gradient(num_params: int, bucket: int) -> None:
    sizes = buckets(4 * num_params, bucket)
    assert sum(sizes) == 4 * num_params
    assert all(size % 4 == 0 for size in sizes)
    assert max(sizes) <= max(bucket, 8)
    assert np.ptp(sizes[:-1] or [0]) == 0

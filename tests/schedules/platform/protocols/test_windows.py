"""Windows of connections, worked out by hand."""

from __future__ import annotations

import math

import pytest

from schedules.platform.protocols.windows import OPEN, Windows


@pytest.mark.parametrize(
    ("window", "round_trip", "rate"),
    [(4e6, 0.1, 40e6), (4e6, 0.02, 125e6), (4e6, 0.032, 125e6), (math.inf, 0.1, 125e6), (4e6, 0.0, 125e6)],
)
def test_a_connection_carries_its_window_a_round_trip(window: float, round_trip: float, rate: float) -> None:
    assert Windows(largest=window).rate(125e6, round_trip) == pytest.approx(rate)


def test_without_a_limit_the_link_decides() -> None:
    assert OPEN.rate(1e9, 1.0) == 1e9
    assert OPEN.opening(1e9, 1e9, 1.0) == 0.0


def test_a_connection_opens_by_doubling() -> None:
    """100 bytes a round trip of 1 s at 1000 bytes/s: 100, 200, 400, 800 leave in the first four, and 0.9, 0.8, 0.6 and
    0.2 s of them pass in vain. Then it is open."""
    assert Windows(first=100).opening(10_000, 1000, 1.0) == pytest.approx(0.9 + 0.8 + 0.6 + 0.2)


def test_a_message_that_is_over_before_loses_less() -> None:
    """350 bytes: after 100 and 200 the 50 that are left leave without another wait."""
    assert Windows(first=100).opening(350, 1000, 1.0) == pytest.approx(0.9 + 0.8)
    assert Windows(first=100).opening(100, 1000, 1.0) == 0.0


def test_what_has_been_carried_has_opened_it() -> None:
    assert Windows(first=100).opening(10_000, 1000, 1.0, carried=300) == pytest.approx(0.6 + 0.2)

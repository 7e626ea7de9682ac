"""When ranks are away: given and random outages."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from schedules.platform.outages import NEVER, Faults, outages


def given(*intervals: tuple[float, float | None], rank: int = 0) -> Faults:
    rows = [{"rank": rank, "at": at, "back": back} for at, back in intervals]
    return Faults.model_validate({"outages": rows})


def test_given_outages_are_sorted_and_joined() -> None:
    table = given((5.0, 7.0), (1.0, 3.0), (2.0, 4.0), (9.0, None), (11.0, 12.0))
    assert list(outages(table, 0, 0)) == [(1.0, 4.0), (5.0, 7.0), (9.0, NEVER)]


def test_an_outage_is_of_one_rank() -> None:
    assert list(outages(given((1.0, 2.0)), 0, 1)) == []


def test_without_repair_the_first_failure_is_the_last() -> None:
    table = Faults(mean_time_to_failure=10.0)
    ((begin, end),) = outages(table, 3, 2)
    assert begin > 0
    assert end == NEVER


def test_random_outages_have_the_asked_means() -> None:
    """Exponential times up and away: over 4,000 each the means are within 4 standard errors."""
    table = Faults(mean_time_to_failure=60.0, mean_time_to_repair=5.0)
    found = np.array(list(islice(outages(table, 1, 0), 4000)))
    up = found[:, 0] - np.concatenate(([0.0], found[:-1, 1]))
    away = found[:, 1] - found[:, 0]
    for times, mean in ((up, 60.0), (away, 5.0)):
        assert times.mean() == pytest.approx(mean, abs=4 * mean / np.sqrt(len(times)))
        assert times.std() == pytest.approx(mean, rel=0.1)


def test_outages_are_drawn_a_rank_and_a_seed() -> None:
    table = Faults(mean_time_to_failure=60.0, mean_time_to_repair=5.0)
    one, other, again = (list(islice(outages(table, seed, rank), 3)) for seed, rank in ((0, 0), (0, 1), (0, 0)))
    assert one == again != other


def test_given_and_random_outages_are_disjoint_together() -> None:
    table = Faults.model_validate(
        {
            "outages": [{"rank": 0, "at": 10.0, "back": 500.0}, {"rank": 0, "at": 700.0, "back": 701.0}],
            "mean_time_to_failure": 20.0,
            "mean_time_to_repair": 5.0,
        }
    )
    found = list(islice(outages(table, 0, 0), 40))
    edges = [edge for interval in found for edge in interval]
    assert edges == sorted(edges)
    assert any(begin <= 10.0 and end >= 500.0 for begin, end in found)

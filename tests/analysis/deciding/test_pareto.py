"""The cases of a sweep that no other beats, beside comparing each with each; and the fastest within a memory."""

import numpy as np
import pandas as pd
import pytest

from analysis.deciding.pareto import compared, fastest_within, goals, smallest, unbeaten

KEYS = ("gradients_per_s", "peak_memory_bytes", "staleness_mean")


def cases(*rows, error=""):
    """Of (throughput, memory, staleness)."""
    return pd.DataFrame([dict(zip(KEYS, row, strict=True)) for row in rows]).assign(error=error)


def beats(one, other):
    gains = (one[0] - other[0], other[1] - one[1], other[2] - one[2])
    return min(gains) >= 0 and max(gains) > 0


@pytest.mark.parametrize("seed", range(5))
def test_as_when_each_is_compared_with_each(seed):
    """Few values, so that many are equal in something."""
    rows = np.random.default_rng(seed).integers(0, 4, (40, 3)).astype(float)
    rows[:, 0] += 1
    expected = {at for at, row in enumerate(rows) if not any(beats(other, row) for other in rows)}
    found = unbeaten(cases(*rows))
    assert set(found.index) == expected
    assert found["gradients_per_s"].is_monotonic_decreasing


def test_equal_cases_do_not_beat_each_other():
    assert unbeaten(cases((1, 1, 0), (1, 1, 0), (1, 2, 0))).index.tolist() == [0, 1]


def test_cases_that_failed_or_lack_a_number_are_not_compared():
    table = pd.concat([cases((9, 1, 0), error="DeadlockError"), cases((1, 1, 0), (5, 1, np.nan))], ignore_index=True)
    assert compared(table).index.tolist() == [1] == unbeaten(table).index.tolist()


def test_what_no_case_has_is_left_out():
    table = cases((1, 1, np.nan), (2, 3, np.nan))
    assert goals(table) == ("gradients_per_s", "peak_memory_bytes")
    assert unbeaten(table).index.tolist() == [1, 0]
    assert goals(cases((0, 1, 2)).assign(**{"work_per_s.tokens": 5.0}))[0] == "work_per_s.tokens"
    assert goals(cases((1, 1, 2)).assign(samples_per_s=5.0, **{"workload.batch_size": 5}))[0] == "samples_per_s"


def test_the_fastest_that_fits_of_equals_the_least_stale():
    table = cases((9, 100, 0), (5, 40, 2), (5, 40, 1), (4, 30, 0))
    assert fastest_within(table, 100).index.tolist() == [0]
    assert fastest_within(table, 99).index.tolist() == [2]
    assert fastest_within(table, 29).empty
    assert smallest(table).index.tolist() == [3]
    assert smallest(table.drop(columns="peak_memory_bytes")).empty


def equal_samples(*rows, bandwidths):
    """Of (loss, seconds, bytes, staleness of gradients, of changes, memory), over as many samples."""
    keys = ("loss", "makespan_s", "bytes_sent", "staleness_mean.gradient", "staleness_mean.change", "peak_memory_bytes")
    table = pd.DataFrame([dict(zip(keys, row, strict=True)) for row in rows]).assign(error="", gradients_per_s=1.0)
    table = table.assign(**{"platform.link.bandwidth": bandwidths})
    table.attrs["equal_samples"] = True
    return table


def test_of_as_many_samples_loss_seconds_and_bytes_are_compared_within_a_platform():
    one, stale, beaten, other = (1, 5, 9, 0, 0, 3), (1, 4, 9, 0, 1, 3), (2, 5, 9, 0, 0, 3), (3, 9, 9, 0, 0, 3)
    table = equal_samples(one, stale, beaten, other, bandwidths=["10", "10", "10", "1"])
    assert goals(table) == ("loss", "makespan_s", "bytes_sent", "staleness_mean.stalest", "peak_memory_bytes")
    assert sorted(unbeaten(table).index) == [0, 1, 3]
    assert unbeaten(table)["staleness_mean.stalest"].loc[1] == 1
    assert unbeaten(table.assign(**{"platform.link.bandwidth": "10"})).index.tolist() == [1, 0]
    assert fastest_within(table, 3).index.tolist() == [1]


def test_without_samples_asked_for_throughput_is_compared():
    table = equal_samples((1, 5, 9, 0, 0, 3), bandwidths=["10"])
    table.attrs.clear()
    assert goals(table) == ("gradients_per_s", "peak_memory_bytes")

"""Numbers as people read them."""

from math import inf, nan

import pytest

from schedules.record.quantities import number, percent, quantity, relative_error, resolved, with_unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (312.4567, "312.5"),
        (0.0123456, "0.01235"),
        (1234567, "1,234,567"),
        (0, "0"),
        (-2.5, "-2.5"),
        (nan, "–"),
        (1e20, "1.000e+20"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.01234, "s", "12.34 ms"),
        (0, "s", "0 s"),
        (44695848, "B", "44.7 MB"),
        (0.5, "B", "0.5 B"),
        (5e-5, "s", "50 µs"),
        (3e-12, "s", "0.003 ns"),
        (1.25e12, "B/s", "1,250 GB/s"),
        (inf, "s", "–"),
    ],
)
def test_with_unit(value, unit, text):
    assert with_unit(value, unit) == text


@pytest.mark.parametrize(
    ("error", "text"), [(0.0472, "+4.7 %"), (-0.1, "-10.0 %"), (0.0003, "+0.03 %"), (0, "0 %"), (None, "–"), (nan, "–")]
)
def test_percent(error, text):
    assert percent(error) == text


def test_an_interval_decides_the_decimals():
    assert resolved((312.44, 298.12, 291.3, 305.2), 6.9) == ("312.4", "298.1", "291.3", "305.2")
    assert resolved((312.44, 298.12), 14) == ("312", "298")
    assert resolved((312.44,), 0.0123) == ("312.440",)
    assert resolved((312.44,), 0) == ("312.4",)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("makespan_s", 0.4026, "402.6 ms"),
        ("gradients_per_s", 397.45, "397.4 /s"),
        ("utilization_compute", 0.982, "98.2 %"),
        ("bytes_sent", 94e6, "94 MB"),
        ("exchanges", 1234.0, "1,234"),
        ("staleness_mean", 1.16875, "1.169"),
        ("loss", None, "–"),
    ],
)
def test_quantity_reads_the_unit_off_the_key(key, value, text):
    assert quantity(key, value) == text


@pytest.mark.parametrize(
    ("simulated", "measured", "error"),
    [(105, 100, 0.05), (0, 0, 0), (1, 0, None), (None, 1, None), (nan, 1, None), (1, nan, None)],
)
def test_relative_error(simulated, measured, error):
    assert relative_error(simulated, measured) == (error if error is None else pytest.approx(error))

"""Numbers as people read them."""

from math import inf, nan

import pytest

from schedules.record.quantities import (
    DETAILS,
    QUANTITIES,
    beside_words,
    name_of,
    number,
    percent,
    quantity,
    relative_error,
    resolved,
    sentence_of,
    unit_of,
    with_unit,
)
from simulator import simulate


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
        (119.4, "s", "119.4 s"),
        (125.3, "s", "2.088 min"),
        (7140, "s", "119 min"),
        (12_345, "s", "3.429 h"),
        (1e6, "s", "277.8 h"),
        (-1e6, "s", "-277.8 h"),
        (12_345, "B", "12.35 kB"),
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


RUNS = {
    "numeric": {"workload.problem": "quadratic"},
    "faults": {
        "workload.parameters": 100,
        "platform.faults": {"outages": [{"rank": 1, "at": "20 ms", "back": "40 ms"}]},
    },
    "precision": {"workload.parameters": 100, "run.until": "precision", "run.precision": 0.5},
    "collectives": {"workload.parameters": 100, "schedule.program": "all-reduce"},
}
"""What each adds to a summary; measured runs are looked at in `tests/worlds/test_summaries.py`."""


@pytest.mark.parametrize("overrides", RUNS.values(), ids=RUNS)
def test_whatever_a_summary_says_has_words_and_a_unit(overrides):
    tables = {
        "schedule": {"program": "gossip", "gradients": 8},
        "topology": {"graph": "ring", "workers": 3},
        "platform": {"gradient": {"mean": "10 ms", "cv": 0.1, "distribution": "lognormal"}},
    }
    summary = simulate(tables, overrides=overrides).summary
    assert set(summary) <= {*QUANTITIES, *DETAILS}
    assert {key for key, value in summary.items() if not isinstance(value, int | float | None)} <= set(DETAILS)


def test_the_units_of_the_table_are_those_that_the_keys_name(monkeypatch):
    told = {key: unit_of(key) for key in QUANTITIES}
    monkeypatch.setattr("schedules.record.quantities.QUANTITIES", {})
    assert {key: unit_of(key) for key in told} == told


def test_names_in_words_are_told_apart():
    names = {key: name_of(key) for key in QUANTITIES}
    assert len(set(names.values())) == len(names)
    assert names["gradients_per_s"] == "throughput (gradients/s)"
    assert names["staleness_mean"] == "mean staleness (versions)"
    assert names["consensus_distance"] == "final consensus distance"
    assert name_of("module_warm_up_s") == "module warm up"
    assert (name_of("work.tokens"), name_of("work_per_s.tokens")) == ("tokens", "throughput (tokens/s)")
    assert sentence_of("work_per_s.tokens", 7830.0) == "throughput 7,830 tokens/s"


def test_what_no_table_knows_is_read_off_its_name():
    assert quantity("module_warm_up_s", 0.5) == "500 ms"
    assert quantity("module_accuracy", 0.5) == "50.0 %"


def test_beside_words_that_say_a_second_the_unit_is_left_out():
    assert beside_words("gradients_per_s", 397.45) == "397.4"
    assert beside_words("makespan_s", 0.4026) == "402.6 ms"


@pytest.mark.parametrize(
    ("key", "label", "of_a_run"),
    [
        ("gradients_per_s", "throughput (gradients/s)", "throughput"),
        ("utilization_compute", "compute utilization (%)", "compute utilization"),
        ("loss", "loss", "final loss"),
        ("consensus_distance", "consensus distance $\\Vert \\pi X \\Vert_F^2$", "final consensus distance"),
    ],
)
def test_what_figures_and_reports_call_a_number(key, label, of_a_run):
    assert (QUANTITIES[key].label, QUANTITIES[key].of_a_run) == (label, of_a_run)

"""The null model in a report: its error beside every claim, row and distance, and nothing of it where there is none."""

import pandas as pd
import pytest

from analysis import compare
from tests.analysis.fake_runs import gossip_trace, info_of, write_pair, write_run

BESIDE = ["key", "simulated", "measured", "error", "null", "null_error"]


def without_network():
    scenario = info_of()["scenario"]
    return {"scenario": {**scenario, "platform": {**scenario["platform"], "transport": "none"}}}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("null")
    write_pair(place)
    write_run(place / "null", gossip_trace(transfer_ms=0.001), **without_network())
    return place


@pytest.fixture(scope="module")
def comparison(place):
    return compare(place / "sim", place / "real", place / "out", null=place / "null")


def test_every_row_has_the_error_without_a_network(comparison, place):
    summary = pd.read_csv(place / "out" / "summary.csv")
    assert summary.columns.tolist() == BESIDE
    assert (summary["null_error"] == summary["null"] / summary["measured"] - 1)[summary["measured"] != 0].all()
    row = summary.set_index("key").loc["gradients_per_s"]
    assert row["null"] == comparison.null.summary["gradients_per_s"]
    assert row["null_error"] == comparison.null_error
    operations = pd.read_csv(place / "out" / "operations.csv")
    assert operations.columns.tolist() == ["kind", "quantity", *BESIDE[1:]]
    transfer = operations.set_index(["kind", "quantity"]).loc[("Exchange", "transfer_s")]
    assert transfer["null"] == pytest.approx(1e-6, rel=0.1)
    assert transfer["null_error"] == pytest.approx(-1, abs=1e-3)


def test_distances_of_staleness_stand_beside_those_without_a_network(comparison):
    assert comparison.distances.columns.tolist()[-3:] == ["null_mean", "null_wasserstein_1", "null_kolmogorov_smirnov"]
    assert (comparison.distances["null_wasserstein_1"] > comparison.distances["wasserstein_1"]).any()


def test_the_claim_and_the_page_say_it(comparison):
    assert "; error without a network +" in comparison.claim
    page = comparison.files[0].read_text()
    assert page.count("error without a network") >= 4  # head, claim, and two tables
    assert page.count(">without a network") >= 4  # tiles, parts of the time and two distances


def test_breakdowns_are_of_the_null_model_too(comparison):
    assert list(comparison.breakdowns) == ["simulated", "measured", "null"]


def test_without_a_null_model_nothing_is_said_of_one(place, tmp_path):
    comparison = compare(place / "sim", place / "real", tmp_path / "out")
    assert (comparison.null, comparison.null_error) == (None, None)
    assert comparison.summary.columns.tolist() == BESIDE[:4]
    assert "without a network" not in comparison.files[0].read_text()


def test_a_null_model_with_a_network_is_refused(place, tmp_path):
    with pytest.raises(ValueError, match=r"sim/run.json: expected platform.transport 'none', found None"):
        compare(place / "sim", place / "real", tmp_path / "out", null=place / "sim")
    assert not (tmp_path / "out").exists()

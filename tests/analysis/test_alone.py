"""One run alone: its page, simulated and measured, with and without a trace."""

import re

import pandas as pd
import pytest

from analysis import compare, load_run, report_run
from analysis.alone import alone
from analysis.report.rows import run_tiles, tiles
from simulator import simulate
from tests.analysis.fake_runs import gossip_trace, series_of, trace_of, write_run
from tests.analysis.report.test_report import Page

SCENARIO = {
    "schedule": {"program": "d-psgd", "gradients": 8},
    "topology": {"graph": "ring", "workers": 3},
    "platform": {"gradient": {"mean": "10 ms"}, "link": {"bandwidth": "1 Gbit/s", "latency": "50 us"}},
    "workload": {"problem": "quadratic"},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    place = tmp_path_factory.mktemp("alone")
    trace = gossip_trace(world="measured")
    run = write_run(place / "run", trace, world="measured", series=series_of(trace))
    return report_run(run, place / "out")


def test_the_page_of_a_measured_run(measured):
    names = {path.name for path in measured.files}
    assert measured.files[0].name == "report.html"
    figures = ("timeline", "breakdown", "staleness", "ages", "curves")
    tables = {"summary.csv", "operations.csv", "breakdown.csv", "critical_path.csv", "waits.csv"}
    assert names == {"report.html", *tables, *(f"{each}{end}" for each in figures for end in (".png", ".svg"))}
    page = Page(measured.files[0].read_text())
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    for text in ("Learning curves", "What a simulation should assume", "twinclock report ", "critical path", "seed 0"):
        assert text in page.text
    assert "error" not in page.text
    body = page.text.partition("One run, measured")[2]
    assert body
    assert "simulated" not in body.partition("use it to predict")[0]


def test_the_claim_has_an_interval(measured):
    pattern = r"Throughput [\d.]+ gradients/s \(95 % interval ±[\d.]+ % from batch means\); makespan [\d.]+ ms\."
    assert re.fullmatch(pattern, measured.claim)


def test_words_in_the_page_and_keys_in_the_table(measured):
    summary = pd.read_csv(measured.files[0].with_name("summary.csv"))
    assert summary.columns.tolist() == ["key", "measured"]
    assert dict(zip(summary["key"], summary["measured"], strict=True))["makespan_s"] == pytest.approx(
        measured.run.summary["makespan_s"]
    )
    page = Page(measured.files[0].read_text())
    assert "makespan_s" not in page.text
    assert "throughput (samples/s)" in page.text


def test_idle_is_what_the_summary_calls_so(tmp_path):
    """Waiting and free together, on the page and in the table: neither computing nor transferring."""
    run = simulate(SCENARIO)
    table = alone(run).breakdowns["simulated"]
    idle = (table["waiting_ns"] + table["free_ns"]).sum() / table["makespan_ns"].sum()
    assert idle == pytest.approx(run.summary["idle_fraction"], abs=1e-12)
    page = Page(report_run(run, tmp_path / "out").files[0].read_text())
    told = re.findall(r"idle(?:: waiting or free)?\s*([\d.]+ %)", page.text)
    assert len(told) == 2
    assert len(set(told)) == 1


def test_a_run_without_a_trace_has_a_page(tmp_path):
    run = simulate(SCENARIO, overrides={"run.trace": False})
    found = report_run(run.save(tmp_path / "run"), tmp_path / "out")
    assert "kept no trace" in found.caveats[0]
    page = Page(found.files[0].read_text())
    assert not page.open
    for heading, is_there in (("Summary", True), ("busiest ranks", True), ("Operations", False), ("Timeline", False)):
        assert (heading in page.text) is is_there, heading


def test_a_failed_run_says_so_first(tmp_path):
    run = write_run(tmp_path / "run", world="measured", summary={"failed": "rank 2 died"})
    assert alone(load_run(run)).caveats[0] == "The run failed: rank 2 died"


def test_a_trace_that_is_longer_than_told(tmp_path):
    run = write_run(tmp_path / "run", summary={"makespan_s": 9000.0})
    assert "the summary says 2.5 h" in alone(load_run(run)).caveats[0]


OWN_UNITS = {
    "gradients": 0, "gradients_dropped": 0, "gradients_per_s": 0.0, "samples_per_s": 0.0, "window_s": 0.2,
    "exchange_rate": 0.0, "staleness_mean": 0.0, "staleness_p95": 0, "staleness_mean_s": 0.0, "makespan_s": 2e-7,
    "work.tokens": 10, "work_per_s.tokens": 50_000_000.0, "work.requests": 2, "work_per_s.requests": 10_000_000.0,
}  # fmt: skip
"""The summary of two kernels in 200 ns."""


def kernels(place, **options):
    rows = [{"rank": 0, "op": "Compute", "kernel": "decode", "at": (at, at, at + 100)} for at in (0, 100)]
    left_out = {"utilization_communication": None, "staleness_max": None, "exchanges": 0, "bytes_sent": 0}
    return write_run(place, trace_of(*rows), summary=OWN_UNITS | left_out, **options)


def test_a_program_with_kernels_of_its_own_is_told_in_its_own_units(tmp_path):
    """Ten tokens and two requests in 200 ns; no word of gradients, nor of their staleness."""
    found = report_run(kernels(tmp_path / "run"), tmp_path / "out")
    claim = "Throughput 50,000,000 tokens/s; throughput 10,000,000 requests/s; makespan 200 ns."
    assert found.claim == claim
    told = ["makespan_s", "bytes_sent", "exchanges", "utilization_compute"]
    told += ["work.tokens", "work_per_s.tokens", "work.requests", "work_per_s.requests"]
    assert sorted(found.summary["key"]) == sorted(told)
    page = Page(found.files[0].read_text())
    assert "throughput (tokens/s)" in page.text
    body = page.text.partition(claim)[2].partition("Environment")[0]
    assert body
    for word in ("gradients", "samples", "exchange rate", "taleness"):
        assert word not in body, word
    assert [(each["name"], each["error"]) for each in run_tiles(found)] == [
        ("throughput (tokens/s)", "50,000,000"),
        ("throughput (requests/s)", "10,000,000"),
        ("makespan", "200 ns"),
        ("compute utilization", "0 %"),
    ]


def test_predictions_of_own_units_are_judged_by_the_first(tmp_path):
    ours, theirs = kernels(tmp_path / "sim"), kernels(tmp_path / "real", world="measured")
    found = compare(ours, theirs, tmp_path / "out")
    assert found.headline == "work_per_s.tokens"
    assert found.claim == "Simulated throughput 50,000,000 tokens/s, measured 50,000,000 (error 0 %)."
    assert found.verdict.startswith("One run has no interval for this")
    assert not any("ten gradients" in each for each in found.caveats)
    names = [each["name"] for each in tiles(found)]
    assert names[:3] == ["throughput (tokens/s)", "throughput (requests/s)", "makespan"]
    text = Page(found.files[0].read_text()).text.partition("Environment")[0]
    assert "gradients" not in text

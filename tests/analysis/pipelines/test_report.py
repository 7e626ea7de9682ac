"""The report of a pipeline: its stages by time, simulated above measured, and its idle time in parts."""

import pandas as pd
import pytest

from analysis import compare, report_run
from analysis.pipelines.idle import IDLE_PARTS, idle_of, latency_of
from schedules.orders import build
from schedules.result import load_run
from tests.analysis.fake_runs import info_of, write_pair, write_run
from tests.analysis.pipelines.traces import UNIT, trace_of_order

PLATFORM = {"link": {"bandwidth": 1e9, "latency": 5e-7}, "transport": "latency"}


def scenario(**platform):
    return {**info_of()["scenario"], "platform": {**PLATFORM, **platform}}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = tmp_path_factory.mktemp("pipeline")
    order = build("1f1b", 4, 8)
    slower = {kind: round(1.1 * length) for kind, length in UNIT.items()}
    sim = write_run(place / "sim", trace_of_order(order, latency=500), scenario=scenario())
    real = trace_of_order(order, slower, latency=700)
    return compare(sim, write_run(place / "real", real, world="measured", scenario=scenario()), place / "out")


def test_the_page_has_both_figures_and_the_table(page):
    assert {"stages.png", "stages.svg", "idle.png", "idle.svg", "idle.csv"} <= {file.name for file in page.files}
    text = page.files[0].read_text()
    assert text.index('<section id="stages">') < text.index('<section id="idle">')
    assert "mean of 4 ranks, simulated" in text
    assert "rank 3, measured" in text
    assert "Latency of a message: 500 ns (platform.link.latency of the simulated run" in text


def test_the_csv_has_the_parts_of_both_worlds(page):
    table = pd.read_csv(page.files[0].parent / "idle.csv")
    assert table[["world", "rank"]].to_numpy().tolist() == [[w, r] for w in ("simulated", "measured") for r in range(4)]
    assert (table[[f"{part}_ns" for part in IDLE_PARTS]].sum(axis=1) == table["idle_ns"]).all()
    simulated, measured = (table[table["world"] == world] for world in ("simulated", "measured"))
    assert (simulated["contention_ns"] == 0).all()
    assert (simulated["latency_ns"] == 16 * 500).all()
    assert (measured["contention_ns"] == 16 * 200).all()  # what messages took more than the platform says
    assert (measured["between_ns"] == [9900, 6600, 3300, 0]).all()


def test_other_runs_have_neither(tmp_path):
    written = report_run(write_pair(tmp_path)[0], tmp_path / "out")
    assert written.idle == {}
    assert {"stages.png", "idle.png", "idle.csv"}.isdisjoint(file.name for file in written.files)
    assert '<section id="idle">' not in written.files[0].read_text()


def test_a_network_that_cannot_be_built_tells_of_no_latency(tmp_path):
    trace = trace_of_order(build("1f1b", 2, 2))
    racks = load_run(write_run(tmp_path / "racks", trace, scenario=scenario(network={"file": "gone.json"})))
    none = load_run(write_run(tmp_path / "none", trace, scenario=scenario(transport="none")))
    assert (latency_of(racks), idle_of(racks)) == (None, None)
    assert latency_of(none) == 0
    assert (idle_of(none).parts["latency_ns"] == 0).all()

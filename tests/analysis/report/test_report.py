"""Two run directories in, a report out: what it says, that it stands alone, and that failures leave nothing."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

import analysis.report.page
import topologies.files
from analysis import compare, load_run
from analysis.comparison import contrast
from analysis.report.caveats import caveats
from analysis.report.page import render
from analysis.tables import staleness_distances
from tests.analysis.fake_runs import gossip_trace, info_of, write_pair, write_run

VOID = {"meta", "br", "link", "img", "hr", "input"}
TABLES = (
    "breakdown.csv",
    "critical_path.csv",
    "operations.csv",
    "settings.csv",
    "staleness.csv",
    "summary.csv",
    "waits.csv",
)
FIGURES = ("timeline", "breakdown", "staleness", "ages", "curves")


class Page(HTMLParser):
    """Checks that tags close in order; collects text, ids and whatever a page may load."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.loads, self.ids, self.tags = [], "", [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for key, value in attributes if key in ("src", "href", "xlink:href", "data", "action")]
        self.ids += [value for key, value in attributes if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("pair")
    write_pair(place)
    return place


@pytest.fixture(scope="module")
def comparison(place):
    return compare(place / "sim", place / "real", place / "out")


@pytest.fixture(scope="module")
def html(comparison):
    return comparison.files[0].read_text()


@pytest.fixture(scope="module")
def page(html):
    page = Page(html)
    assert not page.open
    return page


def test_the_claim_says_error_and_interval(comparison):
    pattern = (
        r"Simulated throughput ([\d.]+) gradients/s, measured ([\d.]+) \(error \+([\d.]+) %, "
        r"95 % interval of the error \+([\d.]+) % to \+([\d.]+) % from batch means\)\."
    )
    simulated, measured, error, low, high = map(float, re.fullmatch(pattern, comparison.claim).groups())
    assert 0 < low < error < high
    assert error == pytest.approx(100 * (simulated / measured - 1), abs=0.5)
    assert comparison.error == pytest.approx(error / 100, abs=0.001)
    assert comparison.verdict.startswith("The prediction lies outside the interval")


def test_the_report_says_claim_verdict_and_caveats(comparison, page):
    assert comparison.caveats
    for sentence in (comparison.claim, comparison.verdict, *comparison.caveats):
        assert sentence in page.text


def test_the_report_says_settings_versions_seed_and_commands(page):
    for text in ("gossip on ring, 4 workers", "AMD EPYC", "3.11.7", "seed 0", "2026-11-21", "platform.link.bandwidth"):
        assert text in page.text
    for command in ("twinclock simulate ring.toml", "twinclock execute ring.toml", "twinclock compare "):
        assert command in page.text


def test_the_report_needs_nothing_else(html, page):
    assert "http" not in html
    assert "@import" not in html
    assert "script" not in page.tags
    assert all(each.startswith("#") for each in page.loads)
    assert page.tags.count("svg") == len(FIGURES)


def test_ids_are_unique_and_references_lead_somewhere(html, page):
    assert len(page.ids) == len(set(page.ids))
    references = {each[1:] for each in page.loads} | set(re.findall(r"url\(#([^)]*)\)", html))
    assert references <= set(page.ids)


def test_figures_in_the_page_take_its_colours_and_keep_their_texts(html):
    assert "var(--ink)" in html
    assert "DejaVu" not in html
    assert "mean 1.17" in html
    assert "prefers-color-scheme: dark" in html


def test_everything_is_written(comparison, place):
    names = {path.name for path in comparison.files}
    assert comparison.files[0] == place / "out" / "report.html"
    assert names == {"report.html", *TABLES, *(f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".svg"))}
    assert {path.name for path in (place / "out").iterdir()} == names
    assert all(path.stat().st_size > 0 for path in comparison.files)


def test_tables_say_what_the_report_says(comparison, place):
    summary = pd.read_csv(place / "out" / "summary.csv").set_index("key")
    row = summary.loc["gradients_per_s"]
    assert row["error"] == pytest.approx(row["simulated"] / row["measured"] - 1)
    operations = pd.read_csv(place / "out" / "operations.csv").set_index(["kind", "quantity"])
    assert operations.loc[("Compute gradient", "count"), ["simulated", "measured"]].tolist() == [160, 160]
    assert ("Exchange", "transfer_s") in operations.index
    parts = pd.read_csv(place / "out" / "breakdown.csv")
    assert parts["world"].unique().tolist() == ["simulated", "measured"]
    assert (parts[["compute_ns", "transfer_ns", "waiting_ns", "free_ns"]].sum(axis=1) == parts["makespan_ns"]).all()


def test_the_report_says_why(comparison, page, place):
    paths = pd.read_csv(place / "out" / "critical_path.csv")
    for world, run in comparison.runs.items():
        told = paths[paths["world"] == world]
        assert told["seconds"].sum() == pytest.approx(run.summary["makespan_s"])
        assert told["share"].sum() == pytest.approx(1)
    waited = pd.read_csv(place / "out" / "waits.csv")
    first = waited.iloc[0]
    why = page.text.partition("Why it took that long")[2].partition("Staleness")[0]
    for text in ("compute gradient", f"rank {first['rank']} for rank {first['waited_for']}"):
        assert text in why
    assert "busiest links" not in why


def add_network(directory):
    """What a simulation knows of its links, its collectives and its ranks."""
    topologies.files.save(topologies.build("ring", 4), directory / "network.json")
    columns = ("source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation")
    ways = [(str(i), str((i + step) % 4)) for i in range(4) for step in (1, 3)]
    rows = [(*way, 1e9, 5e-5, 1000 * i, 0.1, i / 10) for i, way in enumerate(ways)]
    pd.DataFrame(rows, columns=columns).to_parquet(directory / "links.parquet")
    summary = json.loads((directory / "summary.json").read_text())
    told = {"kind": "AllReduce", "ranks": 4, "bytes": 8_000_000, "algorithm": "ring", "form": "flows", "count": 7}
    summary["collectives"] = [{**told, "mean_s": 0.02, "latency_s": 1e-4, "algbw": 4e8, "busbw": 6e8}]
    summary["per_rank"] |= {"compute_s": [0.3] * 4, "transfer_s": [0.1] * 4, "idle_s": [0.2, 0.1, 0.0, 0.3]}
    (directory / "summary.json").write_text(json.dumps(summary))


def add_memory(directory):
    rows = [(0, 0, "parameters", 10**9), (0, 5000, "gradients", 10**9), (0, 9000, "gradients", 0)]
    table = pd.DataFrame(rows, columns=("rank", "time_ns", "kind", "bytes"))
    table.astype({"kind": "category"}).to_parquet(directory / "memory.parquet")


@pytest.mark.slow
def test_links_network_collectives_and_memory_are_shown_where_they_are_known(tmp_path):
    sim, real, out = pair(tmp_path)
    add_network(sim)
    add_memory(sim)
    add_memory(real)
    comparison = compare(sim, real, out)
    names = {path.name for path in comparison.files}
    more = {"network", "memory", "memory_measured"}
    assert names >= {"links.csv", *(f"{name}{suffix}" for name in more for suffix in (".png", ".svg"))}
    page = Page(comparison.files[0].read_text())
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert all(each.startswith("#") for each in page.loads)
    assert page.tags.count("svg") == 4 + len(more)
    why = page.text.partition("Why it took that long")[2].partition("Staleness")[0]
    for text in ("3 → 2", "70.0 %", "busiest ranks", "AllReduce", "400 MB/s", "600 MB/s", "keeps to the right"):
        assert text in why
    assert why.index("rank 2") < why.index("busiest ranks") < why.rindex("rank 2") < why.rindex("rank 3")
    assert "Memory of rank 0: 2 GB at the peak" in page.text
    for name in ("links.parquet", "network.json", "memory.parquet"):
        (sim / name).unlink()
    compare(sim, real, out)
    assert {path.name for path in out.iterdir()} & {"links.csv", "network.svg", "memory.svg"} == set()


@pytest.mark.slow
def test_equal_runs_give_equal_bytes(comparison, place):
    again = compare(place / "sim", place / "real", place / "again")
    for first, second in zip(comparison.files, again.files, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_caveats_name_what_is_off(comparison):
    told = "\n".join(comparison.caveats)
    assert re.search(r"Compute gradient: mean computing time .* calibrate the platform", told)
    assert re.search(r"Exchange: mean transfer time .*\(-1\d\.\d %, more than 10 %\)", told)
    assert "seeds differ" not in told


def pair(place, trace=None, *, simulated=None, measured=None):
    """A simulation and a measurement with the same trace, unless said otherwise."""
    ours, theirs = gossip_trace() if trace is None else trace, gossip_trace() if trace is None else trace
    if measured and "trace" in measured:
        theirs = measured.pop("trace")
    write_run(place / "sim", ours, **(simulated or {}))
    write_run(place / "real", theirs, world="measured", **(measured or {}))
    return place / "sim", place / "real", place / "out"


def contrasted(place, *arguments, **options):
    """The comparison with its caveats, unwritten."""
    sim, real, _ = pair(place, *arguments, **options)
    comparison = contrast(load_run(sim), load_run(real))
    return replace(comparison, caveats=caveats(comparison))


DRAWN = {"timeline": "", "breakdown": ""}


def test_a_perfect_prediction_has_no_caveat(tmp_path):
    comparison = contrasted(tmp_path)
    assert comparison.caveats == ()
    assert comparison.error == 0
    assert "error 0 %" in comparison.claim
    assert comparison.verdict.startswith("The difference is exactly 0")
    assert "error 0 %: the difference is exactly 0)" in comparison.claim
    assert (comparison.distances[["wasserstein_1", "kolmogorov_smirnov"]] == 0).all(axis=None)
    assert "Before you believe it" not in render(comparison, DRAWN)


@pytest.mark.parametrize(("cores", "is_told"), [(2, True), (3, True), (4, False), (None, False)])
def test_ranks_that_share_cores_are_told(tmp_path, cores, is_told):
    ranks = [{"rank": rank, "host": "one"} for rank in range(4)]
    told = contrasted(tmp_path, measured={"ranks": ranks, "host": {"cores": cores}}).caveats
    assert any(each.startswith(f"4 ranks shared {cores} cores: ") for each in told) == is_told


@pytest.mark.parametrize(("share", "is_told"), [(0.59, False), (0.61, True)])
def test_ranks_that_took_most_of_the_cores_time_are_told(tmp_path, share, is_told):
    makespan = contrasted(tmp_path / "first").measured.summary["makespan_s"]
    ranks = [{"rank": rank, "host": "one", "cpu_s": share * makespan * 8 / 4} for rank in range(4)]
    told = contrasted(tmp_path / "second", measured={"ranks": ranks, "host": {"cores": 8}}).caveats
    assert any("it cannot stand for a cluster" in each for each in told) == is_told


def test_ranks_of_several_hosts_have_no_count_of_cores(tmp_path):
    ranks = [{"rank": rank, "host": f"node{rank // 2}"} for rank in range(4)]
    assert contrasted(tmp_path, measured={"ranks": ranks, "host": {"cores": 2}}).caveats == ()


@pytest.mark.slow
def test_different_scenarios_are_refused_and_the_difference_is_named(tmp_path):
    scenario = info_of()["scenario"]
    scenario["schedule"] = {"program": "gossip", "rate": 2.0}
    runs = pair(tmp_path, measured={"scenario": scenario, "fingerprint": "77aa"})
    with pytest.raises(
        ValueError, match=r"fingerprints 5f2c and 77aa \(schedule.rate: 1.0 and 2.0; schedule.gradients: 40 and absent"
    ):
        compare(*runs)
    assert not runs[2].exists()
    comparison = compare(*runs, force=True)
    assert "different scenarios" in comparison.caveats[0]
    assert comparison.settings["setting"].tolist() == ["schedule.rate", "schedule.gradients"]
    assert "Settings that differ" in comparison.files[0].read_text()


def test_swapped_runs_are_refused(tmp_path):
    sim, real, out = pair(tmp_path)
    with pytest.raises(ValueError, match=r"real/run.json: expected a simulated run, found a measured one"):
        compare(real, sim, out)
    assert not out.exists()
    told = caveats(contrast(load_run(real), load_run(sim)))
    assert "The run shown as simulated was measured; this comparison was forced." in told


def test_differing_clocks_seeds_and_work_are_told(tmp_path):
    measured = {"gradient_s": 0.011, "seed": 3, "trace": gossip_trace(gradients=36)}
    told = "\n".join(contrasted(tmp_path, measured=measured).caveats)
    assert "one gradient time is 10 ms in the simulation and 11 ms in the measurement" in told
    assert "The seeds differ (0 simulated, 3 measured)" in told
    assert "Compute gradient: 160 simulated, 144 measured" in told


def test_differing_scatter_and_staleness_are_told(tmp_path):
    told = "\n".join(contrasted(tmp_path, measured={"trace": gossip_trace(cv=0.5, transfer_ms=30)}).caveats)
    assert re.search(r"Compute gradient: durations scatter by 1\d\.\d % simulated, [45]\d\.\d % measured", told)
    assert re.search(r"Staleness of \w+ contributions differs: mean .* \(Kolmogorov-Smirnov distance 0\.", told)


def test_summaries_that_contradict_their_traces_are_told(tmp_path):
    told = "\n".join(contrasted(tmp_path, measured={"summary": {"makespan_s": 9.0, "gradients_per_s": 17.0}}).caveats)
    assert "its summary says 9 s" in told
    assert "its summary says 17: the interval is that of the trace" in told


def test_a_short_run_has_no_interval_and_says_so(tmp_path):
    comparison = contrasted(tmp_path, gossip_trace(gradients=3))
    assert comparison.interval is None
    assert "too short or too uneven for an interval" in comparison.claim
    assert any("too short" in caveat for caveat in comparison.caveats)
    assert "One run of either world was compared." in render(comparison, DRAWN)


def test_without_gradients_the_claim_is_about_the_makespan(tmp_path):
    trace = gossip_trace()
    trace = trace[trace["op"] == "Exchange"].assign(applied="")
    comparison = contrasted(tmp_path, trace, measured={"summary": {"makespan_s": 0.5}})
    assert comparison.claim.startswith("Simulated makespan ")
    assert "measured 500 ms (error -" in comparison.claim
    assert comparison.distances.empty
    assert "Staleness" not in render(comparison, DRAWN)


def test_a_failure_leaves_nothing_half_written(place, tmp_path, monkeypatch):
    def fail(figure, stem):
        stem.with_suffix(".png").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(analysis.report.page, "save", fail)
    out = tmp_path / "below" / "out"
    with pytest.raises(OSError, match="disk full"):
        compare(place / "sim", place / "real", out)
    assert not out.exists()
    assert list(out.parent.iterdir()) == []


@pytest.mark.slow
def test_a_new_report_takes_the_place_of_the_old_one(tmp_path):
    sim, real, out = pair(tmp_path)
    out.mkdir()
    for name in ("notes.txt", "curves.svg"):
        (out / name).write_text("old")
    (out / "report.html").write_text('<meta name="generator" content="twinclock">old')
    compare(sim, real, out)
    assert not (out / "curves.svg").exists()  # runs without series have no curves
    assert (out / "notes.txt").read_text() == "old"
    assert not (out / "report.html").read_text().endswith("old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "real", "sim"]


def test_a_file_where_the_report_should_go(place, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="expected a directory to write to, found a file"):
        compare(place / "sim", place / "real", tmp_path / "out")


def test_names_in_a_scenario_cannot_inject_markup(tmp_path):
    scenario = info_of()["scenario"] | {"schedule": {"program": "<script>alert(1)</script>"}}
    info = {"scenario": scenario, "command": "twinclock simulate '<b>'"}
    html = render(contrasted(tmp_path, simulated=info, measured=dict(info)), DRAWN)
    assert "<script" not in html
    assert "&lt;b&gt;" in html


def test_staleness_distances_by_hand():
    ours = pd.DataFrame({"applied": ["gradient"] * 4 + ["only"], "versions": [0, 0, 1, 1, 5]})
    theirs = pd.DataFrame({"applied": ["gradient"] * 4, "versions": [1, 1, 2, 2]})
    row = staleness_distances(ours, theirs).to_dict("records")
    assert row == [
        {
            "applied": "gradient",
            "simulated_mean": 0.5,
            "measured_mean": 1.5,
            "wasserstein_1": 1.0,
            "kolmogorov_smirnov": 0.5,
        }
    ]

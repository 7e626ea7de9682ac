"""The report's table [platform], laid over the scenario of the compared runs, predicts the measured one again."""

import tomllib

import pytest
from click.testing import CliRunner

from analysis import load_run
from analysis.comparison import contrast
from analysis.report.calibration import calibration_rows, calibration_toml
from schedules.scenario import load
from simulator import simulate
from tests.analysis.fake_runs import MS, exchange, gradient, trace_of, write_run
from twinclock.main import main

GRADIENT = {"distribution": "constant", "mean": 0.01}
CASES = {
    "gossip": {},
    "busy gossip": {"schedule.rate": 3.0},
    "ideal": {"platform.transport": "ideal"},
    "d-psgd": {"schedule.program": "d-psgd", "platform.gradient.mean": 0.004},
    "first-come": {"schedule.pairing": "first-come", "platform.gradient.mean": 0.004},
    "all-reduce": {"schedule.program": "all-reduce"},
    "a slow rank": {"platform.speed": {"1": 0.5}},
    "racks": {"platform.network": {"kind": "racks", "hosts_per_rack": 2, "bandwidth": 1e9, "latency": 1e-3}},
}


def scenario(**changes):
    tables = {
        "schedule": {"program": "gossip", "gradients": 200},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {
            "gradient": GRADIENT,
            "link": {"bandwidth": 1e9, "latency": 1e-3},
            "transport": "gloo",
            "overhead": 2e-3,
        },
        "workload": {"parameters": 1_000_000},
    }
    return load(tables, changes)


def compared(place, resolved, **assumed):
    """A simulation that assumes something else, beside one that stands for a measurement."""
    measured = simulate(resolved)
    measured.world = "measured"
    measured.save(place / "real")
    simulate(load(resolved.tables(), assumed)).save(place / "sim")
    return measured, contrast(load_run(place / "sim"), load_run(place / "real"))


# The run ends with a barrier, and nothing tells what its messages cost where all exchanges have one size and ends that
# ask together: so long a run that these few milliseconds are no percent.
@pytest.mark.parametrize("case", CASES)
def test_the_table_predicts_the_measured_run_again(tmp_path, case):
    resolved = scenario(**CASES[case])
    measured, comparison = compared(tmp_path, resolved)
    platform = tomllib.loads(calibration_toml(comparison))["platform"]
    assert platform["transport"] == resolved.platform.transport
    again = simulate(load(resolved.tables(), {f"platform.{key}": value for key, value in platform.items()}))
    assert again.summary["gradients_per_s"] == pytest.approx(measured.summary["gradients_per_s"], rel=0.01)


def test_what_was_assumed_wrongly_does_not_matter(tmp_path):
    """The link of the simulated run is ten times faster, and its gradients take half as long."""
    resolved = scenario()
    wrong = {"platform.link": {"bandwidth": 1e10, "latency": 1e-6}, "platform.gradient.mean": 0.005}
    measured, comparison = compared(tmp_path, resolved, **wrong)
    platform = tomllib.loads(calibration_toml(comparison))["platform"]
    overrides = {**wrong, **{f"platform.{key}": value for key, value in platform.items()}}
    again = simulate(load(resolved.tables(), overrides))
    assert again.summary["gradients_per_s"] == pytest.approx(measured.summary["gradients_per_s"], rel=0.01)


def test_the_command_line_takes_the_table_from_a_file(tmp_path):
    resolved = scenario()
    measured, comparison = compared(tmp_path, resolved)
    (tmp_path / "platform.toml").write_text(calibration_toml(comparison))
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    options = ["--platform", str(tmp_path / "platform.toml"), "--out", str(tmp_path / "again")]
    result = CliRunner().invoke(main, ["simulate", str(tmp_path / "scenario.toml"), *options])
    assert result.exit_code == 0, result.output
    again = load_run(tmp_path / "again")
    assert again.summary["gradients_per_s"] == pytest.approx(measured.summary["gradients_per_s"], rel=0.01)
    assert again.tables["platform"]["transport"] == "gloo"


SCENARIO = """\
schedule = { program = "gossip", gradients = 200 }
topology = { graph = "ring", workers = 4 }
platform = { gradient = { mean = "50 ms" } }
workload = { parameters = 1_000_000 }
"""


def fake(place, *rows, **platform):
    """The comparison of a run of these rows with itself."""
    tables = {"schedule": {"program": "gossip"}, "platform": {"gradient": {"distribution": "gamma"}, **platform}}
    for world, name in (("simulated", "sim"), ("measured", "real")):
        write_run(place / name, trace_of(*rows), world=world, scenario=tables)
    return contrast(load_run(place / "sim"), load_run(place / "real"))


def names(comparison):
    return [row["name"] for row in calibration_rows(comparison)]


def test_the_platform_table_says_what_was_fitted(tmp_path):
    rows = [exchange(0, 1, 0, 0, int(MS + 8 * size), tag=size, size=size) for size in (10_000, 100_000, 1_000_000)]
    computed = [gradient(0, 0, 10 * MS), gradient(0, 10 * MS, 22 * MS)]
    comparison = fake(tmp_path, *computed, *rows)
    text = calibration_toml(comparison)
    table = tomllib.loads(text)["platform"]
    assert table["gradient"] == {"distribution": "gamma", "mean": 0.011, "cv": pytest.approx(0.1286, rel=1e-3)}
    assert table["link"] == {"bandwidth": pytest.approx(1.25e8), "latency": pytest.approx(1e-3)}
    assert (table["transport"], table["overhead"]) == ("ideal", 0)
    assert "# ideal: messages cost latency and bytes only." in text
    assert "speed" not in table
    assert names(comparison)[3:] == ["link latency", "link bandwidth", "scatter about this fit"]


def test_the_platform_table_says_where_latency_is_unknown(tmp_path):
    rows = [{"op": "Compute", "kernel": "F", "at": (0, 0, MS)}, exchange(0, 1, 0, 0, MS, size=1000)]
    comparison = fake(tmp_path, *rows)
    text = calibration_toml(comparison)
    assert "contained in this bandwidth" in text
    table = tomllib.loads(text)["platform"]
    assert table["kernels"] == {"F": {"distribution": "constant", "mean": 0.001}}
    assert "gradient" not in table
    assert table["link"] == {"bandwidth": pytest.approx(1e6), "latency": 0}
    assert names(comparison)[3:] == ["effective link bandwidth", "scatter about this fit"]


def test_a_transport_with_overhead_has_a_row_for_it(tmp_path):
    comparison = fake(tmp_path, gradient(0, 0, 5), exchange(0, 1, 0, 0, MS), transport="gloo", overhead=1e-3)
    assert names(comparison)[3:] == ["effective link bandwidth", "message overhead", "scatter about this fit"]
    text = calibration_toml(comparison)
    assert "# gloo: data leaves only when" in text
    assert tomllib.loads(text)["platform"]["overhead"] == 0


def test_links_of_a_network_stay_as_they_are(tmp_path):
    table = {"kind": "racks", "bandwidth": 1e9}
    comparison = fake(tmp_path, gradient(0, 0, 5), exchange(0, 1, 0, 0, MS), network=table, overhead=1e-3)
    platform = tomllib.loads(calibration_toml(comparison))["platform"]
    assert {"link", "overhead", "network"}.isdisjoint(platform)
    assert platform["transport"] == "ideal"

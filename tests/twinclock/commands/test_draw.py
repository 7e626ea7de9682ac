"""`twinclock draw`: a picture of a scenario or of a run."""

import json

import pytest

PIPELINE = {
    "schedule.program": '"1f1b"', "schedule.gradients": None, "schedule.micro_batches": "4", "topology.graph": None,
    "platform.gradient.mean": None, "platform.kernels.forward": '"1 ms"', "platform.kernels.backward": '"2 ms"',
    "platform.transport": '"latency"', "platform.link.latency": "0", "platform.link.bandwidth": '"1 GB/s"',
}  # fmt: skip


def test_a_pipeline_is_simulated_and_drawn(here, scenario, run):
    """(m + p - 1) (F + D), with m = p = 4."""
    result = run("draw", scenario(PIPELINE), "--out", "order.svg")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "1f1b, 4 workers, 4 micro-batches, simulated: 21 ms\nwrote order.svg\n"
    assert "F: forward" in (here / "order.svg").read_text()


def test_changes_of_the_scenario_are_drawn(scenario, run):
    result = run("draw", scenario(PIPELINE), "--out", "order.png", "--set", "schedule.micro_batches=6", "--json")
    told = {"title": "1f1b, 4 workers, 6 micro-batches, simulated: 27 ms", "files": ["order.png"]}
    assert json.loads(result.stdout) == told


def test_a_run_is_drawn_as_its_scenario_is(here, scenario, run):
    file = scenario(PIPELINE)
    run("simulate", file, "--out", "run")
    assert run("draw", "run", "--out", "a.svg").stdout.splitlines()[1] == "wrote a.svg"
    run("draw", file, "--out", "b.svg")
    assert (here / "a.svg").read_bytes() == (here / "b.svg").read_bytes()


def test_other_schedules_have_their_timeline(here, scenario, run):
    result = run("draw", scenario(), "--out", "gossip.svg")
    assert result.stdout == "gossip, 4 workers, simulated\nwrote gossip.svg\n"
    text = (here / "gossip.svg").read_text()
    assert "Compute gradient" in text
    assert "Exchange" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["scenario.toml", "--out", "order.pdf"], "--out: expected a file that ends in .svg or .png, found order.pdf"),
        (["scenario.toml", "--out", "nowhere.txt/order.svg"], "nowhere.txt"),
        (["none.toml", "--out", "order.svg"], "none.toml: expected a scenario file, found none"),
        (["empty", "--out", "order.svg"], "empty/run.json: expected a JSON file, found nothing"),
        (["traceless", "--out", "order.svg"], "traceless"),
        (["traceless", "--out", "order.svg", "--seed", "1"], "traceless: expected a scenario beside --set"),
        (["scenario.toml"], "Missing option '--out'"),
    ],
)
def test_wrong_input_is_one_line(here, scenario, run, arguments, told):
    file = scenario(PIPELINE)
    run("simulate", file, "--set", "run.trace=false", "--out", "traceless")
    (here / "empty").mkdir()
    (here / "nowhere.txt").write_text("a file")
    before = {path.name for path in here.iterdir()}
    result = run("draw", *arguments)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert result.stderr.startswith(f"twinclock: {told}")
    assert {path.name for path in here.iterdir()} == before

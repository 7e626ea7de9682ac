"""The null model: the same run, seed, schedule and draws, in a world without a network."""

from simulator import simulate
from twinclock.null_model import null_model

NUMERIC = {
    "schedule": {"program": "all-reduce", "gradients": 3},
    "topology": {"graph": "ring", "workers": 4},
    "workload": {"problem": "quadratic"},
    "platform": {
        "gradient": {"distribution": "lognormal", "mean": "10 ms", "cv": 0.5},
        "link": {"bandwidth": "1 Mbit/s", "latency": "5 ms"},
    },
    "run": {"seed": 5, "trace": False},
}


def test_it_is_the_run_without_a_network_and_without_numbers():
    run = simulate(NUMERIC)
    null, why_not = null_model(run)
    assert why_not == ""
    assert (null.seed, null.tables["schedule"]) == (5, run.tables["schedule"])
    assert null.parameters is None
    assert null.trace is not None
    rows = null.trace[null.trace["op"] == "Compute"].sort_values(["rank", "start_ns"])
    took = (rows["end_ns"] - rows["start_ns"]).to_numpy().reshape(4, 3)
    # A step ends with its slowest gradient, and nothing else takes time.
    assert null.summary["makespan_s"] == took.max(axis=0).sum() / 1e9
    theirs = run.summary["makespan_s"] - null.summary["makespan_s"]
    assert theirs > 3 * 4 * 5e-3  # three steps of four latencies or more


def test_what_cannot_be_simulated_here_is_told(tmp_path):
    """A run of somebody else's, whose schedule is a file that is not here."""
    run = simulate(NUMERIC)
    run.tables["schedule"]["program"] = str(tmp_path / "gone.py")
    null, why_not = null_model(run)
    assert null is None
    assert why_not.startswith("No error without a network is told, as that could not be simulated: scenario: ")

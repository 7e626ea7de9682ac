"""Which runs drew the same clocks and durations, and that the interval of their difference covers the truth."""

import math

import pytest

from analysis.measures.intervals import throughput_difference
from analysis.measures.progress import progress
from analysis.pairing import drew_alike
from simulator import simulate

FIRST_COME = {
    "schedule": {"program": "gossip", "gradients": 100, "pairing": "first-come"},
    "topology": {"graph": "ring", "workers": 4},
    "workload": {"parameters": 250_000},  # messages of 1 MB
    "platform": {
        "gradient": {"distribution": "lognormal", "mean": "30 ms", "cv": 0.1},
        "link": {"bandwidth": "1 Gbit/s", "latency": "0.1 ms"},
    },
}
SLOWER = {"platform.link.bandwidth": "0.9 Gbit/s", "platform.link.latency": "0.3 ms"}
SHORT = {"schedule.gradients": 2}


def run(**overrides):
    return simulate(FIRST_COME, overrides=SHORT | overrides)


def measured(**overrides):
    """A simulation in the place of an execution."""
    found = run(**overrides)
    found.world = "measured"
    return found


def test_links_and_transports_draw_nothing():
    assert drew_alike(run(), run(**SLOWER))
    assert drew_alike(run(), run(**{"platform.transport": "none"}))


@pytest.mark.parametrize(
    "change",
    [
        {"run.seed": 1},
        {"platform.gradient.mean": "31 ms"},
        {"platform.gradient.cv": 0.2},
        {"platform.speed": {"2": 0.5}},
        {"schedule.rate": 2},
        {"topology.graph": "complete"},
    ],
)
def test_what_changes_the_draws(change):
    assert not drew_alike(run(), run(**change))


def test_an_execution_drew_the_same_where_its_kernels_are_paced():
    numeric = {"workload": {"problem": "quadratic"}}
    assert drew_alike(run(), measured())
    assert drew_alike(run(), measured(**{"execution.compute": "paced"}))
    predicted = simulate(FIRST_COME | numeric, overrides=SHORT)
    real = simulate(FIRST_COME | numeric, overrides=SHORT)
    real.world = "measured"
    assert not drew_alike(predicted, real)  # "auto" means real kernels where there are numbers
    paced = simulate(FIRST_COME | numeric, overrides=SHORT | {"execution.compute": "paced"})
    paced.world = "measured"
    assert drew_alike(predicted, paced)
    replay = measured()
    replay.info["is_replay"] = True
    assert not drew_alike(run(), replay)


@pytest.mark.slow
@pytest.mark.timeout(600)  # half a minute on a machine that is idle
def test_paired_intervals_cover_the_truth_and_are_narrow():
    """Over 200 seeds: the truth is the mean of the difference over all of them."""
    found = []
    for seed in range(200):
        pair = [simulate(FIRST_COME, overrides={"run.seed": seed} | change) for change in ({}, SLOWER)]
        runs = [progress(each.kept_trace, each.summary) for each in pair]
        told = [throughput_difference(*runs, is_paired=is_paired) for is_paired in (True, False)]
        found.append((runs[0].throughput - runs[1].throughput, *told))
    truth = math.fsum(difference for difference, _, _ in found) / len(found)
    covered = sum(paired.low <= truth <= paired.high for _, paired, _ in found)
    assert covered >= 0.92 * len(found)
    narrow = sum(paired.half_width < unpaired.half_width / 2 for _, paired, unpaired in found)
    assert narrow >= 0.95 * len(found)
    mean_share = math.fsum(paired.half_width / unpaired.half_width for _, paired, unpaired in found) / len(found)
    assert mean_share < 0.2

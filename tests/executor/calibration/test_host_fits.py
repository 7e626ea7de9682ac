"""What a calibration tells of a machine's software: the simulator's own numbers, found again in its traces, and small
tables made by hand."""

from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest

from executor.calibration.calibrate import probe
from executor.calibration.host_fits import host_fits
from executor.calibration.message_fits import collective_bandwidth, collective_overhead, shared_bandwidth
from executor.calibration.told import Told, mean_of
from schedules.platform.durations import WHOLE, durations
from schedules.platform.link_fits import LinkEstimate
from schedules.platform.protocols.segments import RingWay, all_reduce_ring, ring_seconds
from schedules.scenario import load
from simulator import simulate

HOST = {
    "start": 2e-4,
    "waking": 1e-4,
    "busy": {"start": 1e-3, "waking": 2e-3},
    "cores": 2,
    "bandwidth": 1e9,
}


def simulated(program: str, **platform: Any) -> tuple[pd.DataFrame, dict[int, list[int]]]:
    """The trace of a simulated probe, and what its kernels were to take."""
    asked = probe(
        load(
            {
                "schedule": {"program": program, "gradients": 1},
                "topology": {"graph": "ring", "workers": 4},
                "platform": {"gradient": {"mean": 0.02}, "transport": "gloo", "host": HOST, **platform},
                "workload": {"parameters": 1_000_000},
            }
        )
    )
    trace = simulate(asked, overrides={"schedule.beside": 200}).trace
    assert trace is not None
    works = {
        rank: list(islice(durations(asked.platform, asked.run.seed, rank, WHOLE), len(trace))) for rank in range(4)
    }
    return trace, works


@pytest.mark.slow
@pytest.mark.parametrize("program", ["gossip", "d-psgd"])
def test_what_was_assumed_is_found_again(program: str) -> None:
    trace, works = simulated(program)
    found = host_fits(trace, 2, works)
    for key, value in {"start": 2e-4, "waking": 1e-4, "busy.waking": 2e-3}.items():
        assert found[key].low * 0.85 <= value <= found[key].high * 1.15, key
    assert found["handing"].value == 0
    assert not any(told.doubt for key, told in found.items() if not key.endswith("handing"))


@pytest.mark.slow
def test_what_messages_share_is_found_again() -> None:
    trace, _ = simulated("gossip", link={"bandwidth": 8e8, "latency": 1e-5})
    link = LinkEstimate(1e-5, 5e8, 0.0, 0.0, 1.0, True, 1, 1)
    told = shared_bandwidth(trace, link, 1 << 22)
    assert told is not None
    assert told.value == pytest.approx(1e9, rel=0.02)
    assert shared_bandwidth(trace, link._replace(bandwidth=2e8), 1 << 22) is None  # no slower than alone


def test_a_mean_that_few_samples_tell_is_in_doubt() -> None:
    assert mean_of("waking", np.full(3, 1e-4)) == Told(0, 0, 0, "waking: 3 samples tell no mean: 0 s is assumed")
    wide = np.array([1e-5] * 19 + [4e-2])
    assert "is known to" in mean_of("waking", wide).doubt
    told = mean_of("waking", np.tile([9e-5, 11e-5], 50))
    assert told.value == pytest.approx(1e-4)
    assert told.interval == pytest.approx([1e-4 - 2e-6, 1e-4 + 2e-6], rel=1e-2)
    assert not told.doubt


def reductions(seconds: float, scatter: float = 0.0) -> pd.DataFrame:
    """Forty all-reduces of two members, of which one is through half as late."""
    took = np.tile([seconds - scatter, seconds + scatter], 20).repeat(2)
    ready = np.arange(40).repeat(2) * 200 * 10**9
    end = ready + np.rint(took * 1e9 * np.tile([1, 0.5], 40)).astype(int)
    return pd.DataFrame({"op": "AllReduce", "tag": -1, "bytes": 10_000_000, "ready_ns": ready, "end_ns": end})


WAY = RingWay(5e8, 1e-5, has_one_interface=False)


def test_the_overhead_of_a_collective_is_the_one_that_its_formula_has() -> None:
    seconds = ring_seconds(all_reduce_ring(4, 10_000_000), WAY._replace(overhead=4e-4))
    told = collective_overhead(reductions(seconds, 1e-3), 4, 10_000_000, WAY)
    assert told is not None
    assert told.value == pytest.approx(4e-4, rel=0.05)  # a median of two clusters lies between them
    assert told.low < told.value < told.high
    assert not told.doubt


def test_the_bandwidth_of_a_collective_is_the_one_that_its_formula_has() -> None:
    way = WAY._replace(overhead=2e-4)
    seconds = ring_seconds(all_reduce_ring(4, 10_000_000), way._replace(bandwidth=2e8))
    told = collective_bandwidth(reductions(seconds), 4, 10_000_000, way)
    assert told is not None
    assert told.value == pytest.approx(4 * 2e8, rel=1e-3)
    assert collective_bandwidth(reductions(seconds / 10), 4, 10_000_000, way) is None  # its links are the limit


@pytest.mark.parametrize(("seconds", "value"), [(1e-3, 0.0), (100.0, 0.05)])
def test_a_fit_that_ends_at_its_bound_is_told(seconds: float, value: float) -> None:
    told = collective_overhead(reductions(seconds), 4, 10_000_000, WAY)
    assert told is not None
    assert told.value == value
    assert "the fit ends at its bound" in told.doubt

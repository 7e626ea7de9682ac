"""What gradients and averagings take of processors, from runs made by hand."""

from typing import Any

import pytest

from executor.calibration.processors import ProcessorTimes, processor_times
from schedules.result import Result
from schedules.scenario import load


def run(gradients: int, exchanges: int, *taken_s: float) -> Result:
    """Of as many ranks as have taken some seconds."""
    tables: dict[str, Any] = {
        "schedule": {"program": "gossip", "gradients": 1},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {"gradient": {"mean": "1 ms"}},
        "workload": {"parameters": 1},
    }
    ranks = [{"rank": rank, "cpu_s": each} for rank, each in enumerate(taken_s)]
    return Result(load(tables), "measured", {"gradients": gradients, "exchanges": exchanges}, info={"ranks": ranks})


def test_two_runs_that_differ_in_their_rate_tell_both() -> None:
    """A gradient takes 4 ms and each of the two ends of an exchange 2 ms: 80 x 4 + 80 x 2 = 480, 80 x 4 + 320 x 2."""
    times = processor_times([run(80, 40, 0.2, 0.28), run(80, 160, 0.5, 0.46)])
    assert times == pytest.approx((0.004, 0.002))
    assert times.of(4.0) == pytest.approx(0.012)


def test_noise_makes_nothing_less_than_no_time() -> None:
    assert processor_times([run(80, 40, 0.5), run(80, 160, 0.4)]).averaging_s == 0
    assert ProcessorTimes(0.004, 0.0).of(20.0) == 0.004


def test_one_run_tells_nothing() -> None:
    with pytest.raises(ValueError, match="expected at least 2 runs, found 1"):
        processor_times([run(80, 40, 0.5)])

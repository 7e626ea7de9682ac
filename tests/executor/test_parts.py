"""What calibration makes of a trace, without processes: fits, and the table that is written."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from executor.calibration.calibrate import exchange_duration, fit_gradient, fit_link, kept, write_toml
from schedules.platform.tables import PlatformTable


def _exchanges(latency: float, bandwidth: float, overhead: float) -> pd.DataFrame:
    """Both ends of exchanges whose issues are apart by up to 300 us, 1 % of noise."""
    generator = np.random.default_rng(0)
    rows = []
    for tag, size in enumerate(np.repeat([4096, 65_536, 1_048_576, 4_194_304], 20).tolist()):
        starts = tag + generator.uniform(0, 3e-4, 2)
        for rank in range(2):
            own = np.array([starts[rank]]), np.array([starts[1 - rank]]), np.array([float(size)])
            taken = exchange_duration(*own, (latency, 1 / bandwidth, overhead))[0] * generator.normal(1, 0.01)
            ends = {"start_ns": round(starts[rank] * 1e9), "end_ns": round((starts[rank] + taken) * 1e9)}
            rows.append({"op": "Exchange", "rank": rank, "peer": 1 - rank, "tag": tag, "bytes": size, **ends})
    return pd.DataFrame(rows)


def test_the_fit_finds_latency_bandwidth_and_overhead() -> None:
    link = fit_link(_exchanges(1e-4, 1e9, 5e-5))
    assert (link.latency, link.bandwidth, link.overhead) == pytest.approx((1e-4, 1e9, 5e-5), rel=0.05)
    assert link.residual < 0.02
    assert link.is_told
    assert link.factor < 1.1


def test_exchanges_that_do_not_depend_on_size_tell_no_bandwidth() -> None:
    """What a busy machine shows: every exchange takes a scheduler's tick or two, whatever its size."""
    exchanges = _exchanges(1e-4, 1e13, 1e-3)
    noise = np.random.default_rng(1).exponential(2e6, len(exchanges)).astype(int)
    link = fit_link(exchanges.assign(end_ns=exchanges["end_ns"] + noise))
    assert not link.is_told


def test_the_gradients_of_the_warm_up_do_not_count() -> None:
    taken = [9, 9, 9, 1, 1, 1, 1, 9, 9, 9, 3, 3, 3, 3]
    kernels = pd.DataFrame({"rank": [0] * 7 + [1] * 7, "ready_ns": 0, "end_ns": np.array(taken) * 10**9})
    assert fit_gradient(kernels) == {"distribution": "lognormal", "mean": 2.0, "cv": 0.5}
    assert fit_gradient(kernels[:7]) == {"distribution": "constant", "mean": 1.0}


def test_a_platform_is_written_as_a_table_of_a_scenario(tmp_path) -> None:
    import tomllib

    platform = {
        "gradient": {"distribution": "lognormal", "mean": 0.001, "cv": 0.1},
        "transport": "gloo",
        "link": {"bandwidth": 1e9, "latency": 5e-05},
        "overhead": 0.0001,
    }
    found = tomllib.loads(write_toml(platform, tmp_path / "platform.toml").read_text())["platform"]
    assert found == platform
    assert PlatformTable.model_validate(found).overhead == 1e-4


@pytest.mark.parametrize("way", [{"flops": 1e12, "cv": 0.2, "distribution": "gamma"}, {"samples": [0.1, 0.3]}])
def test_a_gradient_that_is_not_measured_is_written_in_seconds(tmp_path: Path, way: dict[str, Any]) -> None:
    """Without the device, and what is left out is not written."""
    gradient = {"distribution": "empirical", **way}
    device = {"flops": 1e13, "memory_bandwidth": 1e12}
    platform = PlatformTable.model_validate({"gradient": gradient, "device": device})
    file = write_toml({"gradient": kept(platform.gradient)}, tmp_path / "platform.toml")
    again = PlatformTable.model_validate(tomllib.loads(file.read_text())["platform"]).gradient
    told = ("distribution", "mean", "cv", "samples")
    assert [getattr(again, key) for key in told] == [getattr(platform.gradient, key) for key in told]

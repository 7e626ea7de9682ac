"""What cyclic data parallelism cannot have is one clear line."""

from __future__ import annotations

from typing import Any

import pytest

from schedules.scenario import ScenarioError, load
from tests.schedules.programs.cyclic.cases import tables


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"schedule.offset": -1}, r"schedule\.offset: expected a number of at least 0, found -1"),
        ({"schedule.engines": 2}, r"schedule\.engines: unknown key; accepted: gradients, offset"),
        ({"schedule.parameters": "all"}, r"schedule\.parameters: expected 'direct' or 'ring', found 'all'"),
        (
            {"schedule.placement": "stages"},
            r"scenario: topology\.workers: expected N \(N \+ 1\) / 2 devices for N stages, such as 3 or 6, found 4",
        ),
        (
            {"workload.parameters": [1, 2, 3]},
            r"workload\.parameters: expected a number for each of 4 stages, found 3",
        ),
        (
            {"platform.kernels.forward": [1.0, 1.0]},
            r"platform\.kernels\.forward: expected one value, or one a stage \(4\), found 2",
        ),
        ({"platform.kernels": {}}, r"platform\.kernels: expected a duration of backward for cdp-v2, found none"),
        (
            {"workload.module": "examples.pipeline_module:factory", "optimizer.clip_norm": 1.0},
            r"optimizer\.clip_norm: expected none for cdp-v2, whose stages step without the whole gradient's norm",
        ),
        (
            {"workload.tied": [{"stages": [0, 3], "parameters": 4}]},
            r"workload\.tied: expected none for cdp-v2, which has no flush at which gradients are summed, found one",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_it_is_refused(overrides: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load(tables("v2", 4), overrides)

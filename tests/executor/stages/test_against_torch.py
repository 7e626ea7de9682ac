"""torch's own pipeline runtime, on gloo processes of its own, comes to the same parameters."""

import numpy as np
import pytest

from benchmarks.against_torch import CASES, EQUAL, TorchRanks, ours
from executor.launching.launch import Ranks


@pytest.mark.slow
def test_two_steps_of_zb_v_are_those_of_torch(tmp_path, monkeypatch):
    for name, value in {"LAYERS": "4", "WIDTH": "6", "SAMPLES": "3"}.items():  # processes that begin now read them
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("benchmarks.against_torch.LAYERS", 4)
    with Ranks() as ranks, TorchRanks(2, tmp_path) as rivals:
        found = ours(ranks, CASES["zb-v"], 2, 2, has_trace=True).parameters
        expected = rivals.run(CASES["zb-v"], 2).parameters
    assert len(found) == 4 * (6 * 6 + 6)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EQUAL * abs(expected).max())

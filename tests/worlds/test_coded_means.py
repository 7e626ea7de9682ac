"""Codecs in both worlds: the rules of schedules that average, with a mean of what is decoded; and the bytes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.clocks import StreamKey, stream
from schedules.scenario import load
from schedules.training.codecs import OURS
from tests.worlds import test_local_steps as local
from tests.worlds.conftest import World
from tests.worlds.test_local_steps import RULES, N, Vectors, digits, measured, scenario, simulated
from tests.worlds.test_replay_parity import difference

__all__ = ["measured", "simulated"]  # fixtures

CODED = {
    "diloco": {"name": "sign", "error_feedback": True},
    "streaming-diloco": {"name": "top-k", "fraction": 0.3, "error_feedback": True},
    "streaming-diloco, overlapped": {"name": "sign", "error_feedback": True},
    "streaming-diloco, sequential": "fp4",
    "lookahead": "ternary",
    "eager-diloco": "int8",
    "eager-diloco, delayed": {"name": "random-k", "fraction": 0.4, "error_feedback": True},
    "co2, penalized": "fp16",
    "slowmo": {"name": "random-k", "fraction": 0.4},
    "local-sgd": {"name": "top-k", "fraction": 0.3, "error_feedback": True},
    "qsr": "fp4",
    "proxskip": {"name": "sign", "error_feedback": True},
}
"""Each codec, with and without what it loses."""

OF_PARAMETERS = ("local-sgd", "qsr", "proxskip")


class CodedMean:
    """(1/n) sum_j decode(encode(v_j + e_j)) of what workers send, or of what has changed since the last."""

    def __init__(self, codec: Any, num_params: int, common: Vectors | None) -> None:
        table = {"name": codec} if isinstance(codec, str) else codec
        self.is_fed_back = table.get("error_feedback", False)
        self.codec = OURS[table["name"]](table.get("fraction", 0.01), self.is_fed_back)
        self.layers: list[list[int]] = []
        self.lost, self.common, self.calls = np.zeros((N, num_params)), common, 0

    def __call__(self, x: Vectors, places: Sequence[int] | None = None) -> Vectors:
        if self.layers and places is not None:  # each of its layers is encoded on its own
            found = [self.of(x[:, [*map(places.index, each)]], each) for each in self.layers if each[0] in places]
            return np.concatenate(found, axis=1)
        return self.of(x, places)

    def of(self, x: Vectors, places: Sequence[int] | None) -> Vectors:
        mine = slice(None) if places is None else places
        sent = (x if self.common is None else x - self.common) + self.lost[:, mine]
        arrived = []
        for rank, each in enumerate(sent):
            draws = stream(0, StreamKey.CODEC, rank, self.calls)
            encoded = self.codec.encode(each.astype(np.float32), draws)
            arrived.append(self.codec.decode(encoded, len(each)).astype(np.float64))
        self.calls += 1
        if self.is_fed_back:
            self.lost[:, mine] = sent - np.stack(arrived)
        mean = np.broadcast_to(np.stack(arrived).mean(axis=0), x.shape)
        if self.common is None:
            return mean
        self.common = self.common + mean
        return self.common


@pytest.mark.parametrize("name", CODED)
def test_it_is_the_rule_with_a_mean_of_what_is_decoded(
    name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, rule = RULES[name]
    case = scenario(name, {**settings, "codec": CODED[name]})
    result, problem = world(case), load(case).problem
    assert problem is not None
    assert result.parameters is not None
    x = np.stack([problem.initial(0, rank) for rank in range(N)])
    coded = CodedMean(CODED[name], problem.num_params, x if name in OF_PARAMETERS else None)
    if "layers" in case["workload"]:
        coded.layers = [[0], [1], [2], [3], [4], [5, 6]]
    monkeypatch.setattr(local, "mean", coded)

    def gradient(at: Vectors, step: int) -> Vectors:
        return np.stack([problem.gradient(at[rank], rank, step) for rank in range(N)])

    wanted = rule(x, gradient)
    assert coded.calls >= 2
    # What is sent is rounded to float32 (6e-8): a last digit of a gradient may be another there.
    assert np.abs(result.parameters - wanted).max() <= 1e-12 * np.abs(wanted).max()


@pytest.mark.parametrize("codec", OURS)
def test_gradients_in_buckets_are_coded_each(codec: str, world: World) -> None:
    """Two of 24 bytes and one of 8; and what is counted is what the codec says."""
    is_fed_back = codec in ("sign", "top-k")
    table = {"name": codec, "error_feedback": is_fed_back}
    settings = {"gradients": 6, "overlap": True, "bucket_size": 24, "codec": table}
    case = scenario("all-reduce", settings)
    result, problem = world(case), load(case).problem
    assert problem is not None
    assert result.parameters is not None
    coded, x = CodedMean(table, 7, None), np.stack([problem.initial(0, rank) for rank in range(N)])
    for step in range(6):
        found = np.stack([problem.gradient(x[rank], rank, step) for rank in range(N)])
        means = [coded(found[:, places], places) for places in ([0, 1, 2], [3, 4, 5], [6])]
        x = x - local.RATE * np.concatenate(means, axis=1)
    assert np.abs(result.parameters - x).max() <= 1e-12 * np.abs(x).max()
    sent = sum(coded.codec.size(number) for number in (3, 3, 1))
    assert result.summary["bytes_sent"] == 6 * N * (N - 1) * sent
    assert len(set(result.summary["per_rank"]["bytes_sent"])) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CODED, "des-loc", "local-sgd, all"])
def test_each_world_follows_the_other(name: str, simulated: World, measured: World, tmp_path: Path) -> None:
    """Also where a message is encoded, and as many bytes pass each link."""
    case = digits(name)
    case["schedule"] = {**case["schedule"], "codec": CODED.get(name, "fp4")}
    bound = 1e-9 if local.OPTIMIZERS.get(name) == local.ADAMW else 1e-12
    original = simulated(case)
    assert difference(original, measured(case, replay=original.save(tmp_path / "simulated"))) <= bound
    free = measured(case)
    assert difference(free, simulated(case, replay=free.save(tmp_path / "measured"))) <= bound
    assert difference(original, free) <= bound
    assert original.summary["bytes_sent"] == free.summary["bytes_sent"]
    assert original.summary["per_rank"]["bytes_sent"] == free.summary["per_rank"]["bytes_sent"]

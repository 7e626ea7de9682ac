"""A codec of one's own, and what is said of one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from schedules.scenario import ScenarioError, load
from schedules.training.coding import warnings_of
from simulator import simulate

DILOCO = {
    "schedule": {"program": "diloco", "rounds": 2, "local_steps": 2},
    "topology": {"graph": "ring", "workers": 3},
    "platform": {"gradient": {"mean": "1 ms"}, "link": {"bandwidth": "1 Gbit/s", "latency": "10 us"}},
    "workload": {"problem": "quadratic", "options": {"dimension": 5}},
}


class Halves:
    """Every second number."""

    is_biased, is_random = True, False

    def __init__(self, extra: int = 0, spoilt: str = "") -> None:
        self.extra, self.spoilt = extra, spoilt

    def size(self, num_params: int) -> int:
        return 4 * -(-num_params // 2) + self.extra

    def encode(self, vector: Any, generator: Any) -> Any:
        return vector[::2].copy().view(np.float64 if self.spoilt == "numbers" else np.uint8)

    def decode(self, encoded: Any, num_params: int) -> Any:
        found = np.zeros(num_params, np.float64 if self.spoilt == "decoded" else np.float32)
        found[::2] = encoded.view(np.float32)
        return found


class OfOne(Halves):
    """It lies of vectors longer than any that it is tried on."""

    def size(self, num_params: int) -> int:
        return super().size(num_params) + (num_params > 2000)


@pytest.fixture
def own() -> Iterator[None]:
    module: Any = ModuleType("own_codecs")
    module.halves, module.liar, module.late = Halves, lambda: Halves(1), OfOne
    module.decoded, module.nothing = lambda: Halves(spoilt="decoded"), object
    sys.modules["own_codecs"] = module
    yield
    del sys.modules["own_codecs"]


def coded(name: str, dimension: int = 5) -> dict[str, Any]:
    workload = {"problem": "quadratic", "options": {"dimension": dimension}}
    return {**DILOCO, "schedule": {**DILOCO["schedule"], "codec": name}, "workload": workload}


@pytest.mark.usefixtures("own")
def test_a_codec_of_ones_own_is_used_and_its_bytes_are_counted() -> None:
    result = simulate(coded("own_codecs:halves"))
    assert result.summary["bytes_sent"] == 2 * 3 * 2 * 12
    assert result.parameters is not None
    start = load(coded("none")).problem
    assert start is not None
    moved = result.parameters[0] != start.initial(0, 0).astype(np.float32)
    assert moved.tolist() == [True, False, True, False, True]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("liar", "expected 5 bytes (uint8) of 1 numbers, as its size says, found uint8 (4,) ('own_codecs:liar')"),
        ("decoded", "expected 1 numbers (float32) when it decodes, found float64 (1,) ('own_codecs:decoded')"),
        ("nothing", "expected a codec, found one without is_biased, is_random, size, encode, decode"),
        ("missing", "expected an importable factory, found 'own_codecs:missing'"),
    ],
)
def test_what_is_no_codec_is_refused_before_the_run(name: str, told: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load(coded(f"own_codecs:{name}"))
    assert str(error.value).startswith("scenario: schedule.codec: ")
    assert told in str(error.value)


@pytest.mark.usefixtures("own")
def test_a_size_that_lies_of_the_model_alone_ends_the_run() -> None:
    with pytest.raises(Exception, match=r"expected an answer of 6001 bytes, found 6000"):
        simulate(coded("own_codecs:late", dimension=3000))


@pytest.mark.parametrize(
    ("codec", "told"),
    [
        ("none", []),
        ("fp4", []),
        ({"name": "sign", "error_feedback": True}, []),
        ("top-k", ["schedule.codec = 'top-k' is biased: expected error_feedback = true beside it, found none"]),
    ],
)
def test_a_biased_codec_without_error_feedback_is_told(codec: Any, told: list[str]) -> None:
    table = {"name": codec} if isinstance(codec, str) else codec
    assert warnings_of({"codec": table}, {"kernels": {"encode": 1, "decode": 1}}) == told


def test_coding_that_takes_no_time_is_told() -> None:
    (told,) = warnings_of({"codec": {"name": "fp16"}}, {"kernels": {"encode": 1}})
    assert "no duration of decode" in told


def test_a_part_takes_its_share_of_the_platforms_duration() -> None:
    """Three rounds in two fragments: so many times half of 4 ms and half of 6 ms."""
    schedule = {"program": "streaming-diloco", "steps": 6, "local_steps": 2, "fragments": 2, "codec": "int8"}
    kernels = {"encode": "4 ms", "decode": "6 ms"}
    trace = simulate({**DILOCO, "schedule": schedule, "platform": {**DILOCO["platform"], "kernels": kernels}}).trace
    assert trace is not None
    computed = trace[trace["op"] == "Compute"]
    took = {
        name: sorted(set(rows["end_ns"] - rows["start_ns"])) for name, rows in computed.groupby("kernel", observed=True)
    }
    assert took["encode"] == [2_000_000]
    assert took["decode"] == [3_000_000]


def test_workers_that_start_apart_have_nothing_that_their_changes_are_from() -> None:
    schedule = {"program": "local-sgd", "steps": 2, "local_steps": 2, "codec": "int8"}
    workload = {"problem": "quadratic", "options": {"start": "spread"}}
    with pytest.raises(ScenarioError, match=r"workload.options.start: expected 'common' where a codec"):
        load({**DILOCO, "schedule": schedule, "workload": workload})

"""How long the stages wait for each other to step (`optimizer_sync`), under a pure latency.

ZB-H2, p = 4, m = 8, F = B = W = 1 s: a rank is busy for 24 s an iteration, without a bubble, and begins i s after the
first. So without waiting K iterations take 24 K + 3 s. With a barrier each takes 27 s and the all-reduce of the norm.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from executor.launching.launch import Ranks, execute
from simulator import simulate
from tests.worlds.pipelines import modules
from tests.worlds.pipelines.test_modules import MODULES, pipeline, sizes, whole


def makespan(sync: str, iterations: int, c: float = 0.0, program: str = "zb-h2") -> float:
    tables: dict[str, Any] = {
        "schedule": {"program": program, "micro_batches": 8, "iterations": iterations, "optimizer_sync": sync},
        "topology": {"workers": 4},
        "platform": {
            "transport": "latency", "link": {"latency": c, "bandwidth": "1 TB/s"},
            "kernels": {"forward": 1.0, "backward-input": 1.0, "backward-weight": 1.0},
        },
        "workload": {},
    }  # fmt: skip
    return float(simulate(tables).summary["makespan_s"])


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_without_latency(iterations: int) -> None:
    assert makespan("none", iterations) == 24 * iterations + 3
    assert makespan("post-validation", iterations) == 24 * iterations + 3
    assert makespan("barrier", iterations) == 27 * iterations


@pytest.mark.parametrize("c", [0.01, 0.1])
def test_validation_later_hides_the_latency_of_the_norm(c: float) -> None:
    """All but the way back to the first rank, after the last iteration."""
    each = makespan("post-validation", 5, c) - makespan("post-validation", 4, c)
    assert each == pytest.approx(makespan("none", 5, c) - makespan("none", 4, c), abs=1e-9)
    assert makespan("post-validation", 5, c) <= makespan("none", 5, c) + 3 * c + 1e-9
    assert makespan("barrier", 5, c) - makespan("barrier", 4, c) >= 27 + 6 * c


@pytest.mark.parametrize("program", ["gpipe", "1f1b", "interleaved-1f1b", "zb-h1", "zb-v", "dualpipe"])
def test_every_pipeline_with_a_flush_ends(program: str) -> None:
    waits = {sync: makespan(sync, 3, 0.01, program) for sync in ("none", "post-validation", "barrier")}
    assert waits["none"] <= min(waits["post-validation"], waits["barrier"]) + 1e-9


CLIP = 3.0


def clipped(
    iterations: int, micro_batches: int, kind: str = "Chain", clip: float = CLIP
) -> tuple[Any, list[float], list[float]]:
    """One process, with torch's clipping; the norms before it, of all and of the first layer alone. An overflow skips
    the step."""
    training = getattr(modules, kind)(0, 1, 0)
    optimizer = torch.optim.SGD(training.module.parameters(), lr=0.05, momentum=0.9)
    norms, first = [], []
    for number in range(iterations):
        optimizer.zero_grad()
        for k in range(number * micro_batches, (number + 1) * micro_batches):
            inputs, targets = training.batch(k)
            (training.loss(training.module(inputs), targets) / micro_batches).backward()
        gradients = [each.grad.reshape(-1) for each in training.module[0].parameters() if each.grad is not None]
        first.append(float(torch.linalg.vector_norm(torch.cat(gradients))))
        norms.append(float(torch.nn.utils.clip_grad_norm_(training.module.parameters(), clip)))
        if math.isfinite(norms[-1]):
            optimizer.step()
    return modules.vector(training.module), norms, first


@pytest.mark.parametrize(
    ("program", "workers", "iterations", "sync", "replicas"),
    [
        ("zb-h1", 2, 3, "barrier", 1),
        ("zb-v", 2, 3, "barrier", 1),
        ("zb-h1", 4, 3, "barrier", 2),
        ("zb-h1", 2, 3, "post-validation", 1),
        ("zb-v", 2, 3, "post-validation", 1),
        ("zb-h1", 4, 3, "post-validation", 2),
    ],
)
def test_a_step_is_clipped_by_the_norm_of_the_whole(
    program: str, workers: int, iterations: int, sync: str, replicas: int, ranks: Ranks
) -> None:
    """Validated later it is taken back where the ranks so far had a smaller norm; the first layer alone has."""
    wanted, norms, first = clipped(iterations, 4)
    assert max(first) < CLIP < min(norms)
    tables = pipeline(program, workers, 4 // replicas, iterations=iterations, optimizer_sync=sync, replicas=replicas)
    tables["optimizer"] = {"learning_rate": 0.05, "momentum": 0.9, "clip_norm": CLIP}
    tables["workload"]["split"] = [2] if program == "zb-h1" else [2, 4, 6]
    found = execute(tables, ranks=ranks).parameters
    assert found is not None
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-12)


TAKEN_BACK: dict[str, tuple[int, dict[str, Any], list[int]]] = {
    "gpipe": (2, {}, [4]),
    "1f1b": (4, {"ahead": 3}, [2, 4, 6]),
    "interleaved-1f1b": (2, {"chunks": 2}, [2, 4, 6]),
    "looped-bfs": (2, {"chunks": 2}, [2, 4, 6]),
    "zb-h2": (4, {"checkpoint": True}, [2, 4, 6]),
    "zb-v": (2, {"ahead": 0}, [2, 4, 6]),
    "v-half": (2, {}, [2, 4, 6]),
    "dualpipe": (2, {}, [4]),
    "dualpipe-v": (2, {}, [2, 4, 6]),
}


@pytest.mark.parametrize("program", TAKEN_BACK)
def test_a_step_taken_back_in_the_middle_of_a_run_leaves_nothing_behind(
    program: str, ranks: Ranks, tmp_path: Path
) -> None:
    """Of five steps two overflow, and some of the others are clipped by the whole norm: the forward passes of the next
    warm-up are done again. Both replays go the same way, without numbers too."""
    clip = 8.0
    wanted, norms, _ = clipped(5, 4, "Overflowing", clip)
    is_scaled = [not norm <= clip for norm in norms]
    assert is_scaled.count(True) == 4
    assert [math.isfinite(norm) for norm in norms] == [False, True, False, True, True]
    workers, keys, split = TAKEN_BACK[program]
    tables = pipeline(program, workers, 4, **{**keys, "iterations": 5, "optimizer_sync": "post-validation"})
    tables["optimizer"] = {"learning_rate": 0.05, "momentum": 0.9, "clip_norm": clip}
    layers = list(modules.Chain(0, 1, 0).module)
    stages = [torch.nn.Sequential(*layers[begin:end]) for begin, end in pairwise([0, *split, len(layers)])]
    tables["workload"] |= {
        "module": f"{MODULES}:Overflowing", "split": split, "parameters": sizes(stages), "boundary": "240 B",
    }  # fmt: skip
    found = execute(tables, ranks=ranks)
    assert found.parameters is not None
    assert found.trace is not None
    np.testing.assert_allclose(found.parameters[0], wanted, rtol=0, atol=1e-12)
    again = found.trace[(found.trace["op"] == "Take") & (found.trace["rank"] == 0)]["answer"].tolist()
    assert [answer == "1" for answer in again] == is_scaled
    saved = found.save(tmp_path / "measured")
    followed = execute(tables, ranks=ranks, replay=saved)
    np.testing.assert_allclose(followed.parameters, found.parameters, rtol=0, atol=1e-12)
    simulated = simulate(tables, replay=saved)
    assert simulated.summary["gradients"] == found.summary["gradients"]
    assert simulated.summary["gradients_dropped"] == found.summary["gradients_dropped"]


@pytest.mark.parametrize("sync", ["barrier", "post-validation"])
def test_steps_that_are_right_stay(sync: str, ranks: Ranks) -> None:
    tables = pipeline("zb-h1", 4, 4, optimizer_sync=sync)
    tables["workload"]["split"] = [2, 4, 6]
    tables["optimizer"]["clip_norm"] = 1e6
    found = execute(tables, ranks=ranks).parameters
    assert found is not None
    np.testing.assert_allclose(found[0], modules.vector(whole(tables)), rtol=0, atol=1e-10)

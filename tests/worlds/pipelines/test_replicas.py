"""Copies of a pipeline beside each other (`replicas`), simulated: what they take beside one, and what passes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from schedules import orders
from schedules.orders import steps_of
from tests.worlds.pipelines.cases import run

KERNELS = {"forward": 1.0, "backward-input": 1.0, "backward-weight": 1.0}
PROGRAMS: dict[str, dict[str, Any]] = {
    "gpipe": {},
    "1f1b": {"iterations": 3},
    "interleaved-1f1b": {"chunks": 2},
    "zb-v": {},
    "dualpipe": {},
    "zb-1p": {},
    "pipedream": {},
    "pipedream-2bw": {"accumulate": 4},
    "petra": {"engines": 2, "accumulate": 2},
}


@pytest.mark.parametrize(("program", "replicas"), [*product(PROGRAMS, (2, 3))])
def test_replicas_take_what_one_takes_where_messages_take_nothing(program: str, replicas: int) -> None:
    keys, tables = PROGRAMS[program], {"workload": {"boundary": "1 kB", "activations": ["3 MB", "1 MB"]}}
    one = run(program, 4, 8, 0.0, KERNELS, keys, **tables).summary
    many = run(program, 4 * replicas, 8, 0.0, KERNELS, {**keys, "replicas": replicas}, **tables).summary
    for key in ("makespan_s", "bubble_rate", "stage_staleness", "weight_versions"):
        assert many[key] == one[key], key
    assert many["gradients"] == replicas * one["gradients"]
    assert many["samples_per_s"] == pytest.approx(replicas * one["samples_per_s"])
    assert many["peak_activations"] == replicas * one["peak_activations"]
    links = {tuple(map(int, link.split("-"))): size for link, size in one["bytes_per_link"].items()}
    assert many["bytes_per_link"] == {
        f"{a + 4 * q}-{b + 4 * q}": size for q in range(replicas) for (a, b), size in links.items()
    }


@pytest.mark.parametrize("replicas", [2, 4])
def test_a_flush_costs_the_all_reduce_of_a_stage(replicas: int) -> None:
    """A ring's: 2 (d - 1) messages of S / d bytes one after the other. All stages but the first end before it does, as
    it has the last backward pass: its own is what is left."""
    size, bandwidth, latency = 4 * 10**6, 1e9, 0.001
    tables: dict[str, Any] = {
        "platform": {"transport": "ideal", "link": {"bandwidth": bandwidth, "latency": latency}},
        "workload": {"parameters": [1, 1, 1, size // 4], "boundary": 0.0},
    }
    alone = run("1f1b", 4, 8, 0.0, KERNELS, **tables).summary["makespan_s"]
    tables["workload"]["parameters"].reverse()  # the first stage is the large one
    many = run("1f1b", 4 * replicas, 8, 0.0, KERNELS, {"replicas": replicas}, **tables).summary["makespan_s"]
    ring = 2 * (replicas - 1) * (latency + size / replicas / bandwidth)
    assert many - alone == pytest.approx(ring, rel=1e-6)


def test_the_tensors_of_a_boundary_go_in_one_message() -> None:
    tables = {"platform": {"transport": "ideal", "link": {"bandwidth": 1e6, "latency": 0.0}}}
    apart = run("1f1b", 4, 8, 0.0, KERNELS, **tables, workload={"boundary": ["1 MB", ["1 MB", "0.5 MB"], ["2 MB"]]})
    assert apart.trace is not None
    sums = run("1f1b", 4, 8, 0.0, KERNELS, **tables, workload={"boundary": ["1 MB", "1.5 MB", "2 MB"]})
    assert sums.trace is not None
    assert apart.trace.equals(sums.trace)
    assert apart.summary["bytes_per_link"]["1-2"] == 8 * 1_500_000


def test_micro_batches_go_round() -> None:
    order = orders.replicated(orders.build("1f1b", 2, 3), 2)
    assert [sorted({step.micro_batch for cell in cells for step in steps_of(cell)}) for cells in order.ranks] == [
        [0, 2, 4],
        [0, 2, 4],
        [1, 3, 5],
        [1, 3, 5],
    ]
    assert order.place == (0, 1, 2, 3)
    assert order.chains == ((0, 1), (2, 3))
    assert len(order.sequence()) == 24

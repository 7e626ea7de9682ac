"""All pipelines with a flush at uneven times, against the longest path that is worked out here, from what must be over
before what, and not from an order."""

from __future__ import annotations

import pytest

from tests.worlds.pipelines.cases import run

Key = tuple[str, int, int]
"""Kernel, stage, micro-batch."""

UNEVEN = {
    name: {"mean": mean, "distribution": "lognormal", "cv": 0.4}
    for name, mean in (("forward", 1.0), ("backward-input", 1.3), ("backward-weight", 0.7))
}

CASES = {
    "gpipe": {}, "1f1b": {}, "zb-h1": {}, "zb-h2": {}, "zb-v": {},
    "interleaved-1f1b": {"chunks": 3}, "looped-bfs": {"chunks": 2}, "interleaved-zb": {"chunks": 2},
}  # fmt: skip


@pytest.mark.parametrize("program", CASES)
def test_every_step_begins_when_it_can(program: str) -> None:
    latency = 0.137
    trace = run(program, 4, 8, latency, UNEVEN, CASES[program]).trace
    assert trace is not None
    rows = trace[trace["op"] == "Compute"].sort_values("start_ns", kind="stable")
    found: dict[Key, tuple[int, int, int]] = {}
    before: dict[Key, Key] = {}
    last: dict[int, Key] = {}
    columns = (rows[name] for name in ("kernel", "stage", "micro_batch", "rank", "start_ns", "end_ns"))
    for kernel, stage, k, rank, start, end in zip(*columns, strict=True):
        key = "D" if kernel == "backward" else kernel, stage, k
        found[key] = rank, start, end
        if rank in last:
            before[key] = last[rank]
        last[rank] = key
    assert len(found) == len(rows)

    def needs(key: Key) -> list[Key]:
        kind, stage, k = key
        if kind == "forward":
            others = [("forward", stage - 1, k)]
        elif kind == "backward-weight":
            others = [("backward-input", stage, k)]
        else:
            others = [("forward", stage, k), (kind, stage + 1, k)]
        return [each for each in others if each in found]

    for key, (rank, start, _) in found.items():
        others = [found[each] for each in needs(key)]
        ready = [end + (0 if other == rank else round(latency * 1e9)) for other, _, end in others]
        ready += [found[before[key]][2]] if key in before else [0]
        assert start == max(ready), key

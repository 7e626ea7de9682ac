"""Both worlds account for what their ranks hold, by one rule."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.worlds.conftest import World


@pytest.mark.parametrize("program", ["all-reduce", "d-psgd", "gossip", "a2cid2"])
def test_both_hold_the_same_kinds(program: str, simulated: World, measured: World, tmp_path: Path) -> None:
    case = {"schedule.program": program, "optimizer.momentum": 0.9, "workload.activations": 500}
    size = 8 * 20
    owned = {"parameters": size, "optimizer": size} | ({"vectors": size} if program == "a2cid2" else {})
    kinds = {}
    for name, run in (("one", simulated), ("other", measured)):
        result = run(case)
        directory = result.save(tmp_path / name)
        memory = pd.read_parquet(directory / "memory.parquet")
        assert list(memory.columns) == ["rank", "time_ns", "kind", "bytes"]
        assert (memory["bytes"] >= 0).all()
        first, last = (getattr(memory.groupby(["rank", "kind"])["bytes"], each)() for each in ("first", "last"))
        assert last[last > 0].to_dict() == {(rank, kind): owned[kind] for rank in range(4) for kind in owned}
        assert (first.index == last.index).all()
        kinds[name] = {*memory["kind"]} - {"received"}  # nothing waits where the gradient is the last to be over
        totals = memory.groupby("rank").apply(most_at_once, include_groups=False)
        assert totals.tolist() == result.summary["per_rank"]["peak_memory_bytes"]
        assert max(totals) == result.summary["peak_memory_bytes"]
        assert sum(result.summary["peak_memory_by_kind"].values()) == max(totals)
    in_place = program == "all-reduce"
    assert kinds["one"] == kinds["other"] == {*owned, "gradients", "activations", *([] if in_place else ["in-flight"])}


def most_at_once(rows: pd.DataFrame) -> int:
    """The most that a rank holds, from its steps."""
    wide = rows.pivot(index="time_ns", columns="kind", values="bytes").ffill().fillna(0)
    return int(wide.sum(axis=1).max())


def test_without_a_trace_the_peak_is_told_in_both(world: World) -> None:
    result = world({"run.trace": False, "workload.activations": "1 kB"})
    assert result.memory is None
    assert result.summary["peak_memory_bytes"] >= 160 * 2 + 1000

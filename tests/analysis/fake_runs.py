"""Run directories as the two worlds write them: a small gossip model in numpy, no world behind it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from schedules.record.trace import COLUMNS

DEFAULTS = {
    "run": "fake", "world": "simulated", "rank": 0, "stream": "compute", "index": 0, "op": "Compute", "kernel": "",
    "stage": -1, "micro_batch": -1, "peer": -1, "group": "", "tag": -1, "bytes": 0, "start_ns": 0, "ready_ns": 0,
    "end_ns": 0, "version_read": -1, "version_written": -1, "applied": "", "target": "x", "gradients": 0,
    "steps_behind": -1, "read_ns": -1, "due_ns": -1, "answer": "", "channel": "",
}  # fmt: skip
MS = 1_000_000


def row(**columns):
    """A row; `at=(start, ready, end)` gives the times."""
    if at := columns.pop("at", None):
        columns |= dict(zip(("start_ns", "ready_ns", "end_ns"), at, strict=True))
    assert set(columns) <= set(DEFAULTS), columns
    return DEFAULTS | columns


def trace_of(*rows):
    """A trace of hand-made rows, indexed per lane."""
    frame = pd.DataFrame([row(**each) for each in rows], columns=list(COLUMNS))
    frame["index"] = frame.groupby(["rank", "stream"]).cumcount()
    return frame


def gradient(rank, start, end, **columns):
    return {"rank": rank, "op": "Compute", "kernel": "gradient", "at": (start, start, end), **columns}


def exchange(rank, peer, start, ready, end, *, tag=0, size=1000, **columns):
    return {
        "rank": rank, "stream": "gossip", "op": "Exchange", "peer": peer, "tag": tag, "bytes": size,
        "at": (start, ready, end), **columns,
    }  # fmt: skip


def gossip_trace(
    *,
    world="simulated",
    workers=4,
    gradients=40,
    gradient_ms=10.0,
    cv=0.1,
    transfer_ms=3.0,
    rate=1.0,
    size=500_000,
    seed=0,
):
    """Gradients back to back beside a gossip stream on a ring, the edges of which tick by Poisson clocks."""
    draw = np.random.default_rng([seed, {"simulated": 0, "measured": 1}[world]])
    shape = 1 / cv**2
    compute = draw.gamma(shape, gradient_ms * MS / shape, (workers, gradients)).astype(np.int64).cumsum(axis=1)
    rows = [
        gradient(rank, int(ends[i - 1]) if i else 0, int(ends[i]))
        for rank, ends in enumerate(compute)
        for i in range(gradients)
    ]
    ticks = (
        np.random.default_rng([seed, 2]).exponential(gradient_ms * MS * 2 / rate, (workers, 10 * gradients)).cumsum(1)
    )
    horizon = gradients * gradient_ms * MS
    order = sorted((int(t), edge, i) for edge in range(workers) for i, t in enumerate(ticks[edge]) if t < horizon)
    free = [0] * workers
    for tag, (tick, edge, _) in enumerate(order):
        pair = edge, (edge + 1) % workers
        starts = [max(tick, free[rank]) for rank in pair]
        ready = max(starts)
        end = ready + int(transfer_ms * MS * draw.lognormal(0, 0.05))
        for rank, peer, start in zip(pair, pair[::-1], starts, strict=True):
            until = {"stream": "gossip", "op": "Until", "at": (free[rank],) * 2 + (start,)}
            rows += [{"rank": rank, **until}, exchange(rank, peer, start, ready, end, tag=tag, size=size)]
            free[rank] = end
    return with_versions(trace_of(*sorted(rows, key=lambda each: (each["rank"], each["at"][2]))).assign(world=world))


def with_versions(trace):
    """What every gradient and every exchange read and wrote, of the rank's own parameters."""
    trace = trace.copy()
    for _, rows in trace.groupby("rank"):
        writes = rows[rows["op"].isin(("Compute", "Exchange"))].sort_values("end_ns", kind="stable")
        ends, is_step = writes["end_ns"].to_numpy(), (writes["op"] == "Compute").to_numpy()
        read = np.searchsorted(ends, writes["start_ns"].to_numpy(), side="right")
        steps = np.concatenate(([0], np.cumsum(is_step)))
        trace.loc[writes.index, "version_read"] = read
        trace.loc[writes.index, "version_written"] = np.arange(len(writes)) + 1
        trace.loc[writes.index, "steps_behind"] = steps[:-1] - steps[read]
        trace.loc[writes.index, "read_ns"] = writes["start_ns"]
        trace.loc[writes.index, "applied"] = np.where(is_step, "gradient", "average")
        trace.loc[writes.index, "gradients"] = is_step.astype(np.int64)
    return trace


def summary_of(trace):
    """A summary with the keys that both worlds write, as far as the tests need them."""
    makespan = int(trace["end_ns"].max()) / 1e9
    is_gradient = trace["kernel"] == "gradient"
    exchanges = trace[trace["op"] == "Exchange"]
    applied = trace[trace["applied"] == "gradient"]
    behind = applied["version_written"] - 1 - applied["version_read"]
    ranks = trace["rank"].nunique()
    ends = [rows["end_ns"].to_numpy() for _, rows in trace[is_gradient].groupby("rank")]
    window = min((int(each.max()) for each in ends), default=int(trace["end_ns"].max()))
    counted = [each[each <= window] for each in ends]
    throughput = float(sum(len(each) / (each.max() / 1e9) for each in counted))
    return {
        "makespan_s": makespan,
        "gradients": int(is_gradient.sum()),
        "gradients_per_s": throughput,
        "samples_per_s": 128 * throughput,
        "window_s": window / 1e9,
        "utilization_compute": float((trace["end_ns"] - trace["ready_ns"])[is_gradient].sum() / 1e9 / makespan / ranks),
        "utilization_communication": float(
            (exchanges["end_ns"] - exchanges["ready_ns"]).sum() / 1e9 / makespan / ranks
        ),
        "bytes_sent": int(exchanges["bytes"].sum()),
        "exchanges": len(exchanges) // 2,
        "staleness_mean": float(behind.mean()) if len(behind) else None,
        "staleness_max": int(behind.max()) if len(behind) else None,
        "per_rank": {"gradients": trace[is_gradient].groupby("rank").size().tolist()},
    }


def series_of(trace, *, points=40, noise=0.0, seed=0):
    """Curves that fall as they do."""
    time = np.linspace(0, 1, points)
    wobble = 1 + noise * np.random.default_rng(seed).standard_normal(points)
    consensus = 4 * time * np.exp(-6 * time) * wobble + 1e-4
    columns = {
        "index": np.arange(points),
        "time": time * 40,
        "time_s": time * trace["end_ns"].max() / 1e9,
        "loss": 2.3 * np.exp(-3 * time) * wobble + 0.1,
        "accuracy": 0.95 - 0.85 * np.exp(-4 * time) * wobble,
        "consensus_distance": consensus,
        "consensus_distance_mean": consensus / 4,
    }
    return pd.DataFrame(columns)


def info_of(world="simulated", **changes):
    scenario = {
        "schedule": {"program": "gossip", "rate": 1.0, "gradients": 40},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {
            "link": {"bandwidth": 1.25e9, "latency": 5e-5},
            "gradient": {"distribution": "gamma", "mean": 0.01, "cv": 0.1},
        },
        "workload": {"name": "digits-mlp"},
        "run": {"seed": 0},
    }
    return {
        "scenario": scenario,
        "seed": 0,
        "world": world,
        "gradient_s": 0.01,
        "fingerprint": "5f2c",
        "versions": {"python": "3.11.7", "numpy": "2.4.6", "twinclock": "0.1.0"},
        "host": {"cpu": "AMD EPYC", "cores": 2},
        "command": f"twinclock {'simulate' if world == 'simulated' else 'execute'} ring.toml --out {world}",
        "started": "2026-11-21T09:00:00+00:00",
        **changes,
    }


def write_run(directory: Path, trace=None, *, world="simulated", series=None, summary=None, **info):
    """A run directory. Without a trace, a fake gossip run."""
    directory.mkdir(parents=True, exist_ok=True)
    trace = gossip_trace(world=world) if trace is None else trace.assign(world=world)
    content = info_of(world, **info)
    table = pa.Table.from_pandas(trace, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), b"twinclock": json.dumps(content).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), directory / "trace.parquet")
    (directory / "run.json").write_text(json.dumps(content))
    (directory / "summary.json").write_text(json.dumps(summary_of(trace) | (summary or {})))
    if series is not None:
        series.to_parquet(directory / "series.parquet")
    return directory


def write_pair(place: Path, **measured):
    """A simulation and its execution, which is a little slower and noisier."""
    ours = gossip_trace()
    theirs = gossip_trace(world="measured", **{"gradient_ms": 10.4, "transfer_ms": 3.6, **measured})
    return (
        write_run(place / "sim", ours, series=series_of(ours)),
        write_run(place / "real", theirs, world="measured", series=series_of(theirs, noise=0.03)),
    )

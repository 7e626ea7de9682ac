"""What a run leaves behind: the same in both worlds, in memory and as a run directory.

A run directory holds `run.json` (the resolved scenario, seed, versions, host), `summary.json`, of a run with a trace
`trace.parquet` and `memory.parquet`, and in a numeric run `series.parquet` and `parameters.npy`, of a simulation
`links.parquet` and `network.json`. It is written beside its place and moved there, so it is whole or not there.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from schedules.platform.volumes import bandwidths
from schedules.record.files import read_trace
from schedules.record.ledger import Ledger
from schedules.record.memory import KINDS
from schedules.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

SIMULATED = "simulated"
MEASURED = "measured"

LINK_COLUMNS = ("source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation")
LinkRow = tuple[str, str, float, float, float, float, float]
"""One row of `Result.links`."""


@dataclass
class Result:
    """One run.

    Attributes:
        scenario: as it was resolved.
        world: `simulated` or `measured`.
        summary: flat, SI units in the names; arrays a rank under `per_rank`, and what the rank that holds most holds
            then under `peak_memory_by_kind`.
        trace: one row an operation (`schedules.record.trace.COLUMNS`), or None if it was not kept.
        memory: what every rank holds over time (`rank`, `time_ns`, `kind` of `schedules.record.memory.KINDS`, `bytes`
        of that
            kind from that time on), or None without a trace.
        series: loss, accuracy and consensus distance against time, or None in a timing-only run.
        parameters: float64 [workers, parameters] at the end, or None.
        links: what every direction of a link carried (`source`, `target`, `bandwidth` in bytes/s, `latency` in s,
            `carried_bytes`, `busy_s`: with a transfer under way, `utilisation`: carried / (bandwidth * makespan)), or
            None.
        network: the physical network, or the communication graph where every pair has a link of its own, or None.
        info: what `run.json` holds beside the scenario.
    """

    scenario: Scenario
    world: str
    summary: dict[str, Any]
    trace: pd.DataFrame | None = None
    memory: pd.DataFrame | None = None
    series: pd.DataFrame | None = None
    parameters: np.ndarray[Any, Any] | None = None
    links: pd.DataFrame | None = None
    network: nx.Graph[Any] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        took = timedelta(
            seconds=self.summary.get("makespan_s", 0) if self.world == MEASURED else 0
        )  # a failed run has none
        self.info.setdefault("started", (datetime.now(UTC) - took).isoformat(timespec="seconds"))
        self.info.setdefault("command", shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))

    def run_info(self) -> dict[str, Any]:
        """The contents of `run.json`."""
        return {
            "scenario": self.scenario.tables(),
            "seed": self.scenario.run.seed,
            "world": self.world,
            "gradient_s": self.scenario.gradient_s,
            "fingerprint": self.scenario.fingerprint(),
            "versions": versions(),
            "host": host(),
            **self.info,
        }

    def save(self, directory: str | Path) -> Path:
        """Write the run directory; one that is there already is replaced as a whole.

        Raises:
            ScenarioError: if there is something at that place that is no run directory.
        """
        target = Path(directory)
        check_target(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            self._write(made)
            made.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            os.replace(made, target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return target

    def _write(self, directory: Path) -> None:
        info = self.run_info()
        (directory / "run.json").write_text(json.dumps(info, indent=2) + "\n")
        (directory / "summary.json").write_text(json.dumps(self.summary, indent=2) + "\n")
        if self.trace is not None:
            kept = {
                key: info[key] for key in ("scenario", "seed", "world", "gradient_s", "fingerprint", "versions", "host")
            }
            write_parquet(self.trace, directory / "trace.parquet", kept)
        if self.memory is not None:
            write_parquet(self.memory, directory / "memory.parquet", {})
        if self.series is not None:
            write_parquet(self.series, directory / "series.parquet", {})
        if self.parameters is not None:
            np.save(directory / "parameters.npy", self.parameters)
        if self.links is not None:
            write_parquet(self.links, directory / "links.parquet", {})
        if self.network is not None:
            from topologies.files import save

            save(self.network, directory / "network.json")


def check_target(target: Path) -> None:
    """Refuse to replace what is no run directory, before anything is run."""
    if target.exists() and not ((target / "run.json").is_file() or (target.is_dir() and not any(target.iterdir()))):
        raise ScenarioError(f"{target}: expected a new or empty directory, or an earlier run's, found something else")


def write_parquet(frame: pd.DataFrame, path: Path, info: Mapping[str, Any]) -> None:
    """Write a table with its run's description in the schema: equal contents give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    kept = {**(table.schema.metadata or {}), b"twinclock": json.dumps(info, sort_keys=True).encode()}
    pq.write_table(table.replace_schema_metadata(kept), path, compression="zstd")


def read_replay(directory: str | Path, scenario: Scenario) -> tuple[pd.DataFrame, float]:
    """The trace to follow and its gradient time in seconds; it must be of the same scenario.

    Raises:
        ScenarioError: if the trace is unreadable, or of another scenario.
    """
    trace, info = read_trace(directory)
    if info.get("fingerprint") != scenario.fingerprint():
        raise ScenarioError(f"{directory}: expected a trace of this scenario, found {_differences(info, scenario)}")
    return trace, float(info["gradient_s"])


def _differences(info: Mapping[str, Any], scenario: Scenario) -> str:
    theirs, mine = info.get("scenario", {}), scenario.tables()
    lines = []
    kept = {"run": {"trace"}, "workload": {"activations"}}
    for table in ("schedule", "topology", "workload", "optimizer", "run"):
        keys = {*theirs.get(table, {}), *mine[table]} - kept.get(table, set())
        for key in sorted(keys):
            a, b = theirs.get(table, {}).get(key), mine[table].get(key)
            if a != b:
                lines.append(f"{table}.{key} = {a!r} (here {b!r})")
    return "another: " + ", ".join(lines) if lines else "one of another version"


def summarise(scenario: Scenario, ledger: Ledger, makespan_ns: int) -> dict[str, Any]:
    """The summary of a run from its ledger: flat, SI units in the names."""
    makespan, totals, applied = makespan_ns / 1e9, ledger.totals(), ledger.applied_gradients()
    peaks = ledger.peak_memory()
    held = peaks.sum(axis=1)
    whole = max(makespan_ns, 1) * ledger.num_ranks
    num_gradients = len(applied.rank)
    per_second = num_gradients / makespan if makespan else 0.0
    return {
        "makespan_s": makespan,
        "gradients": num_gradients,
        "gradients_per_s": per_second,
        "samples_per_s": per_second * scenario.workload.batch_size,
        "utilization_compute": int(totals.compute_ns.sum()) / whole,
        "utilization_communication": int(totals.transfer_ns.sum()) / whole,
        "idle_fraction": 1 - int(totals.busy_ns.sum()) / whole,
        "bytes_sent": int(totals.bytes_sent.sum()),
        "exchanges": int(totals.num_exchanges.sum()) // 2,
        **_staleness(applied.versions, applied.steps, applied.age_ns),
        "peak_memory_bytes": int(held.max()),
        "peak_memory_by_kind": _by_kind(peaks[held.argmax()]),
        "per_rank": {
            "gradients": np.bincount(applied.rank, minlength=ledger.num_ranks).tolist(),
            "exchanges": totals.num_exchanges.tolist(),
            "compute_s": (totals.compute_ns / 1e9).tolist(),
            "transfer_s": (totals.transfer_ns / 1e9).tolist(),
            "idle_s": ((makespan_ns - totals.busy_ns) / 1e9).tolist(),
            "waiting_s": (totals.waiting_ns / 1e9).tolist(),
            "bytes_sent": totals.bytes_sent.tolist(),
            "peak_memory_bytes": held.tolist(),
        },
    }


def _by_kind(peak: Any) -> dict[str, int]:
    """What makes up the peak of a rank, in bytes."""
    return {kind: size for kind, size in zip(KINDS, peak.tolist(), strict=True) if size}


def _staleness(versions_behind: Any, steps_behind: Any, age_ns: Any) -> dict[str, float]:
    """Of the gradients that were applied: in versions, local steps and seconds."""
    if not len(age_ns):
        versions_behind = steps_behind = age_ns = np.zeros(1, dtype=np.int64)
    return {
        "staleness_mean": float(versions_behind.mean()),
        "staleness_p95": float(np.percentile(versions_behind, 95)),
        "staleness_max": int(versions_behind.max()),
        "staleness_steps_mean": float(steps_behind.mean()),
        "staleness_steps_max": int(steps_behind.max()),
        "staleness_mean_s": float(age_ns.mean() / 1e9),
        "staleness_max_s": float(age_ns.max() / 1e9),
    }


def collectives_of(trace: pd.DataFrame, num_ranks: int) -> list[dict[str, Any]]:
    """What collectives took, from when their last member was there: as a simulation's summary has them, one row a kind,
    number of ranks and bytes; times in seconds, `algbw` and `busbw` in bytes/s."""
    rows = trace[trace["op"].isin(("AllReduce", "ReduceScatter", "AllGather", "Broadcast", "AllToAll"))]
    members = rows["group"].map(lambda group: num_ranks if group == "all" else len(group.split(",")))
    took = rows.assign(ranks=members, took=(rows["end_ns"] - rows["ready_ns"]) / 1e9)
    found = []
    for key, each in took.groupby(["op", "ranks", "bytes"], sort=True)["took"]:
        kind, n, size = cast(tuple[str, int, int], key)
        mean = float(each.mean())
        row = {"kind": kind, "ranks": int(n), "bytes": int(size), "form": MEASURED, "count": len(each) // int(n)}
        found.append({**row, "mean_s": mean, **bandwidths(kind, int(n), int(size), mean)})
    return found


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    found = {"python": platform.python_version()}
    for name in ("twinclock", "numpy", "simpy", "networkx", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """The machine that ran it."""
    return {"name": platform.node(), "system": platform.platform(), "cores": os.cpu_count()}

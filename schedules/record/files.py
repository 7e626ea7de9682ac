"""Run directories: the one place that reads and writes them.

A run directory holds `run.json` (the resolved scenario, seed, versions, host), `summary.json`, of a run with a trace
`trace.parquet` and `memory.parquet`, and in a numeric run `series.parquet` and `parameters.npy`, of a simulation
`links.parquet` and `network.json`. It is written beside its place and moved there, so it is whole or not there.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScenarioError
from schedules.record.summary import Summary
from schedules.record.trace import COLUMNS, with_buckets
from schedules.record.whole import check_place, new_directory
from topologies.checks import AnyGraph
from topologies.files import load, save

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SIMULATED: Final = "simulated"
MEASURED: Final = "measured"
WORLDS: Final = (SIMULATED, MEASURED)
Tables = dict[str, Any]
"""A scenario as plain tables, as TOML and JSON hold it."""

Info = dict[str, Any]
"""The content of `run.json`: `scenario` (as `Tables`), `seed`, `world`, `gradient_s`, `fingerprint`, `texts`,
`versions`, `host`, `started`, `command`, and what a world says of its processes."""

LINK_COLUMNS: Final = ("source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation")
LinkRow = tuple[str, str, float, float, float, float, float]
"""One row of `links.parquet`."""

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "trace": COLUMNS,
    "series": ("index", "time", "time_s", "loss", "accuracy", "consensus_distance", "consensus_distance_mean"),
    "links": LINK_COLUMNS,
    "memory": ("rank", "time_ns", "kind", "bytes"),
}
"""The tables of a run directory, and what each must have."""

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "run.json": ("scenario", "seed", "world", "gradient_s", "fingerprint"),
    "summary.json": ("makespan_s",),
}
"""What the two JSON files must have."""

RUN_FILES: Final = (*(f"{name}.parquet" for name in _COLUMNS), *_KEYS, "parameters.npy", "network.json")
"""The files of a run directory; others in it are the user's."""

STANDS_IN: Final[Mapping[str, Mapping[str, Any]]] = {
    "trace": {"target": "x", "gradients": 1, "channel": "", **dict.fromkeys(("steps_behind", "read_ns", "due_ns"), -1)},
    "run.json": {"versions": {}, "host": {}, "started": None, "command": ""},
    "summary.json": {"peak_memory_by_kind": {}, "per_rank": {}},
}
"""What stands in for a column or key that a run of an older version lacks: its neutral value. What is in `_COLUMNS` or
`_KEYS` and not here is essential, and its absence an error."""

_TEXTS: Final = {
    *("run", "world", "stream", "op", "kernel", "group", "applied", "answer"),
    *(column for column, neutral in STANDS_IN["trace"].items() if isinstance(neutral, str)),
}
"""The columns of a trace that are no whole numbers."""

_DESCRIPTION: Final = b"twinclock"
"""Where a trace's schema says which run it is of."""


@dataclass(frozen=True)
class RunFiles:
    """The files of a run directory, open for reading.

    Attributes:
        directory: where they lie.
        info: content of `run.json`.
        summary: content of `summary.json`.
    """

    directory: Path
    info: Info
    summary: Summary

    def trace(self) -> pd.DataFrame | None:
        """One row an operation, with the columns of `schedules.record.trace.COLUMNS`; times are int64 nanoseconds. None
        of a run that was to keep none.

        Raises:
            ValueError: if the file is missing, cut short, of another run, or not such a table; it is named.
        """
        path = self.directory / "trace.parquet"
        if not path.exists() and self.info["scenario"].get("run", {}).get("trace") is False:
            return None
        table = _arrow_table(path)
        frame = _frame(path, table, COLUMNS)
        _check_description(path, table, self.info)
        _check_trace(path, frame)
        return frame

    def table(self, name: str) -> pd.DataFrame | None:
        """`series`, `links` or `memory`; None where the run has none.

        Raises:
            ValueError: if the file is cut short or not such a table; it is named.
        """
        path = self.directory / f"{name}.parquet"
        return _frame(path, _arrow_table(path), _COLUMNS[name]) if path.exists() else None

    def network(self) -> AnyGraph | None:
        """The network that messages crossed, or the communication graph; None where it is not known.

        Raises:
            ValueError: if the file is not such a graph; it is named.
        """
        path = self.directory / "network.json"
        return load(path) if path.exists() else None

    def parameters(self) -> NDArray[np.float64] | None:
        """float64 [workers, parameters] at the end; None of a run without.

        Raises:
            ValueError: if the file is cut short or not such an array; it is named.
        """
        path = self.directory / "parameters.npy"
        if not path.exists():
            return None
        try:
            # Nothing is unpickled: run directories come from other people's machines.
            return cast(NDArray[np.float64], np.load(path, allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{path}: expected a whole array, found: {error}") from error


def open_run(directory: str | PathLike[str]) -> RunFiles:
    """Open a run directory, of either world. Its tables are not read yet.

    Raises:
        ValueError: if the directory or one of its files is missing, unreadable, or not as expected; it is named.
    """
    place = Path(directory)
    if not place.is_dir():
        told = "expected a run directory (run.json, summary.json, trace.parquet), found"
        raise ValueError(f"{place}: {told} {'a file' if place.exists() else 'nothing'}")
    info = _read_json(place / "run.json")
    if info["world"] not in WORLDS:
        raise ValueError(f"{place / 'run.json'}: expected world to be one of {WORLDS}, found {info['world']!r}")
    if not isinstance(info["gradient_s"], int | float) or not info["gradient_s"] > 0:  # also NaN
        raise ValueError(f"{place / 'run.json'}: expected gradient_s in seconds, above 0, found {info['gradient_s']!r}")
    if not isinstance(info["scenario"], dict):
        raise ValueError(f"{place / 'run.json'}: expected scenario to be a table, found {info['scenario']!r}")
    return RunFiles(place, info, _read_json(place / "summary.json"))


def read_trace(directory: str | PathLike[str], columns: tuple[str, ...] = COLUMNS) -> tuple[pd.DataFrame, Info]:
    """The trace of a run directory, and the description of its run that lies in it: nothing else is needed there.

    Args:
        directory: holds `trace.parquet`.
        columns: those that are wanted.
    Raises:
        ScenarioError: if there is none, or it is unreadable, cut off or without these columns.
    """
    path = Path(directory) / "trace.parquet"
    if not path.is_file():
        raise ScenarioError(f"{path}: expected the trace of a run, found none")
    try:
        table = _arrow_table(path)
        info = json.loads((table.schema.metadata or {})[_DESCRIPTION])
    except (KeyError, ValueError) as error:
        # The cause alone, since this sentence says already what was expected.
        reason = error.__cause__ or error
        raise ScenarioError(f"{path}: expected a whole Parquet trace, found an unreadable one ({reason})") from None
    try:
        return _frame(path, table, columns), info
    except ValueError as error:
        raise ScenarioError(str(error)) from None


def check_target(target: Path) -> None:
    """Refuse, before anything is run, to replace what is no run directory, and a place that cannot be written to."""
    check_place(target, is_directory=True)
    if target.exists() and not (is_run(target) or (target.is_dir() and not any(target.iterdir()))):
        raise ScenarioError(f"{target}: expected a new or empty directory, or an earlier run's, found something else")


def is_run(directory: Path) -> bool:
    """Whether there is a run directory of ours: its `run.json` says what it must."""
    with suppress(ValueError):
        return "world" in _read_json(directory / "run.json")
    return False


@dataclass(frozen=True)
class Contents:
    """What a run directory is to hold.

    Attributes:
        info: of `run.json`.
        summary: of `summary.json`.
        tables: by the names of `_COLUMNS`; None: the run has none.
        parameters: float64 [workers, parameters], or None.
        network: a graph, or None.
    """

    info: Info
    summary: Summary
    tables: Mapping[str, pd.DataFrame | None]
    parameters: NDArray[np.float64] | None
    network: AnyGraph | None


def write_run(contents: Contents, target: Path) -> None:
    """Write a run directory; one that is there already is replaced as a whole, but for what is not a run's in it.

    Raises:
        ScenarioError, OSError: if there is something at that place that is no run directory, or it cannot be written.
    """
    check_target(target)
    with new_directory(target, RUN_FILES) as place:
        _write_json(contents.info, place / "run.json")
        _write_json(contents.summary, place / "summary.json")
        for name, frame in contents.tables.items():
            if frame is not None:
                write_parquet(frame, place / f"{name}.parquet", _described(contents.info) if name == "trace" else {})
        if contents.parameters is not None:
            np.save(place / "parameters.npy", contents.parameters)
        if contents.network is not None:
            save(contents.network, place / "network.json")


def write_parquet(frame: pd.DataFrame, path: Path, info: Info) -> None:
    """Write a table with its run's description in the schema: equal contents give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    kept = {**(table.schema.metadata or {}), _DESCRIPTION: json.dumps(info, sort_keys=True).encode()}
    pq.write_table(table.replace_schema_metadata(kept), path, compression="zstd")


def _described(info: Info) -> Info:
    """What a trace says of its run: not when and how that was started, so that equal runs give equal bytes."""
    ends = (key for key in ("cut_ns", "failed", "lost_ranks", "ends_early") if info.get(key))  # replays end as it did
    return {key: info[key] for key in (*_KEYS["run.json"], "texts", "versions", "host", *ends) if key in info}


def _write_json(content: Info | Summary, path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _read_json(path: Path) -> Info | Summary:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a JSON file, found nothing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a JSON file, found: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    keys = _KEYS[path.name]
    if missing := [key for key in keys if key not in content]:
        raise ValueError(f"{path}: expected the keys {', '.join(keys)}; {', '.join(missing)} missing")
    # A copy, as whoever has the run may change what it says.
    return (
        copy.deepcopy({key: neutral for key, neutral in STANDS_IN[path.name].items() if key not in content}) | content
    )


def _arrow_table(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a Parquet table, found nothing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a whole Parquet table, found: {error}") from error


def _frame(path: Path, table: pa.Table, columns: tuple[str, ...]) -> pd.DataFrame:
    """The table with at least these columns; those that older runs lack have what stands in for them."""
    frame: pd.DataFrame = table.to_pandas()
    neutral = STANDS_IN.get(path.stem, {})
    if path.stem == "trace":
        frame = with_buckets(frame)
    filled = {column: neutral[column] for column in columns if column not in frame.columns and column in neutral}
    if missing := [column for column in columns if column not in frame.columns and column not in filled]:
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing")
    if not filled:
        return frame
    frame = frame.assign(**filled)
    return frame[[*columns, *frame.columns.difference(list(columns), sort=False)]]  # further ones behind, as they were


def _check_description(path: Path, table: pa.Table, info: Info) -> None:
    """The trace says itself which run it is of; two directories mixed up are found here."""
    written = (table.schema.metadata or {}).get(_DESCRIPTION)
    if written is None:
        return
    found = json.loads(written)
    for key in ("fingerprint", "seed", "world"):
        if key in found and found[key] != info[key]:
            raise ValueError(f"{path}: expected {key} {info[key]!r} as in run.json, found {found[key]!r}")


def _check_trace(path: Path, frame: pd.DataFrame) -> None:
    if frame.empty:
        raise ValueError(f"{path}: expected at least one operation, found none")
    for column in COLUMNS:
        if column not in _TEXTS and frame[column].dtype.kind not in "iu":
            raise ValueError(f"{path}: expected whole numbers in column {column}, found {frame[column].dtype}")
    is_backwards = (frame["end_ns"] < frame["start_ns"]).to_numpy()
    if is_backwards.any():
        row = frame.iloc[int(is_backwards.argmax())]
        raise ValueError(
            f"{path}: expected every operation to end after its start, found rank {row['rank']} {row['stream']} "
            f"#{row['index']} {row['op']} from {row['start_ns']} ns to {row['end_ns']} ns"
        )

"""Reading a run directory: `run.json`, `summary.json`, `trace.parquet`; of a numeric run, `series.parquet`; where the
run has them, `links.parquet`, `network.json` and `memory.parquet`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schedules.record.trace import COLUMNS

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

WORLDS: Final = ("simulated", "measured")
METADATA_KEY: Final = b"twinclock"
_TEXTS: Final = ("run", "world", "stream", "op", "kernel", "group", "applied", "answer")
_SERIES_COLUMNS: Final = (
    "index",
    "time",
    "time_s",
    "loss",
    "accuracy",
    "consensus_distance",
    "consensus_distance_mean",
)
_LINK_COLUMNS: Final = ("source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation")
_MEMORY_COLUMNS: Final = ("rank", "time_ns", "kind", "bytes")
_INFO_KEYS: Final = ("scenario", "seed", "world", "gradient_s", "fingerprint")


@dataclass(frozen=True)
class Run:
    """One run on disk. The tables are read when they are first asked for.

    Attributes:
        directory: where it lies.
        info: content of `run.json`.
        summary: content of `summary.json`, SI units.
    """

    directory: Path
    info: dict[str, Any]
    summary: dict[str, Any]

    @property
    def world(self) -> str:
        """`simulated` or `measured`."""
        return str(self.info["world"])

    @property
    def gradient_s(self) -> float:
        """One gradient time, in seconds."""
        return float(self.info["gradient_s"])

    @property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario, table by table."""
        return dict(self.info["scenario"])

    @cached_property
    def trace(self) -> pd.DataFrame:
        """One row an operation, with the columns of `schedules.record.trace.COLUMNS`; times are int64 nanoseconds.

        Raises:
            ValueError: if the file is missing, cut short, of another run, or not such a table; it is named.
        """
        path = self.directory / "trace.parquet"
        frame = _read_table(path, COLUMNS)
        _check_metadata(path, self.info)
        _check_trace(path, frame)
        return frame

    @cached_property
    def series(self) -> pd.DataFrame | None:
        """Loss, accuracy and consensus distance against time; None of a timing-only run.

        Raises:
            ValueError: if the file is cut short or not such a table; it is named.
        """
        return self._table("series", _SERIES_COLUMNS)

    @cached_property
    def links(self) -> pd.DataFrame | None:
        """What every direction of a link carried, as `schedules.result.Result.links`; None where it is not known.

        Raises:
            ValueError: as `series`.
        """
        return self._table("links", _LINK_COLUMNS)

    @cached_property
    def memory(self) -> pd.DataFrame | None:
        """Bytes held by rank and kind of buffer: `rank`, `time_ns`, `kind`, `bytes`, steps in time; None if unknown.

        Raises:
            ValueError: as `series`.
        """
        return self._table("memory", _MEMORY_COLUMNS)

    @cached_property
    def network(self) -> nx.Graph[Any] | None:
        """The network that messages crossed, or the communication graph; None where it is not known.

        Raises:
            ValueError: if the file is not such a graph; it is named.
        """
        path = self.directory / "network.json"
        if not path.exists():
            return None
        from topologies.files import load

        return load(path)

    def _table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame | None:
        path = self.directory / f"{name}.parquet"
        return _read_table(path, columns) if path.exists() else None


def load_run(directory: str | PathLike[str]) -> Run:
    """Open a run directory, of either world.

    Raises:
        ValueError: if the directory or one of its files is missing, unreadable, or not as expected; it is named.
    """
    place = Path(directory)
    if not place.is_dir():
        found = "a file" if place.exists() else "nothing"
        raise ValueError(f"{place}: expected a run directory (run.json, summary.json, trace.parquet), found {found}")
    info = _read_json(place / "run.json", _INFO_KEYS)
    if info["world"] not in WORLDS:
        raise ValueError(f"{place / 'run.json'}: expected world to be one of {WORLDS}, found {info['world']!r}")
    if not isinstance(info["gradient_s"], int | float) or not info["gradient_s"] > 0:
        raise ValueError(f"{place / 'run.json'}: expected gradient_s in seconds, above 0, found {info['gradient_s']!r}")
    if not isinstance(info["scenario"], dict):
        raise ValueError(f"{place / 'run.json'}: expected scenario to be a table, found {info['scenario']!r}")
    return Run(place, info, _read_json(place / "summary.json", ("makespan_s",)))


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a JSON file, found nothing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a JSON file, found: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{path}: expected the keys {', '.join(keys)}; {', '.join(missing)} missing")
    return content


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a Parquet table, found nothing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a whole Parquet table, found: {error}") from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing")
    return frame


def _check_metadata(path: Path, info: dict[str, Any]) -> None:
    """The trace says itself which run it is of; two directories mixed up are found here."""
    import pyarrow.parquet as parquet

    written = (parquet.read_schema(path).metadata or {}).get(METADATA_KEY)
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

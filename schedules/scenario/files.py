"""The files of a scenario: itself, and those that it names; graphs and networks are read by `topologies`."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schedules.errors import ScenarioError
from schedules.platform.durations import WHOLE
from schedules.record.dependencies import LOST
from schedules.record.files import read_trace
from schedules.settings import Tables

LARGEST_SAMPLE = 10_000
"""Durations that are kept of a trace: of more, so many quantiles."""


_NO_TOML = (ValueError, RecursionError)
"""Of `tomllib`: its own error is a ValueError, as is a whole number of thousands of digits; lists may lie too deep."""


def read(source: str | Path | Mapping[str, object]) -> tuple[Tables, str]:
    """The unresolved tables, and what to call them in messages."""
    if isinstance(source, Mapping):
        return copy.deepcopy(dict(source)), "scenario"  # overrides are set in it; the caller keeps his own
    path = Path(source)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig")), str(path)
    except OSError as error:
        raise ScenarioError(f"{path}: expected a scenario file, found none ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: expected a TOML file in UTF-8, found other bytes") from None
    except _NO_TOML as error:
        raise ScenarioError(f"{path}: expected TOML, found an error: {error}") from None


def beside(source: str | Path | Mapping[str, object]) -> Path | None:
    """The directory of a scenario's file; None of tables, which lie nowhere."""
    return None if isinstance(source, Mapping) else Path(source).parent


def set_key(tables: Tables, key: str, value: object, where: str = "scenario") -> None:
    """Set a dotted key, e.g. `schedule.rate`."""
    *names, last = key.split(".")
    if not names or not all((*names, last)):
        raise ScenarioError(f"{where}: expected a dotted key such as schedule.rate, found {key!r}")
    table = tables
    for name in names:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"{where}: {key}: expected {name} to be a table, found {table!r}")
    table[last] = value


def read_setting(text: str) -> tuple[str, object]:
    """Key and value of `--set key=value`.

    Raises:
        ScenarioError: if it is not of that form.
    """
    key, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not key:
        raise ScenarioError(f"--set: expected KEY=VALUE, found {text!r}")
    return key, read_value(value)


def read_value(text: str) -> Any:
    """The value of `--set key=value`: TOML where it is TOML, else the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except _NO_TOML:
        return text
    return table["value"] if len(table) == 1 else text  # a line break in the text would set further keys


# ---- files that a scenario names


def with_samples(platform: Mapping[str, object], where: str) -> Tables:
    """The table [platform] with the samples of every trace that a duration names in the trace's place.

    Only where nothing else can be meant: what else is wrong with a duration is for its table to say.

    Raises:
        ScenarioError: naming the key of a trace that is unreadable, or in which the kernel did not run.
    """
    found: Tables = dict(platform)
    if _names_trace(found.get("gradient")):
        found["gradient"] = _measured(found["gradient"], WHOLE, f"{where}: platform.gradient")
    kernels = found.get("kernels")
    if isinstance(kernels, Mapping):
        found["kernels"] = {
            name: _measured_kernel(each, name, f"{where}: platform.kernels.{name}") for name, each in kernels.items()
        }
    return found


def with_counted(schedule: Mapping[str, object], where: str) -> Tables:
    """The table [schedule] with the rates that a run's trace has on each edge in the trace's place, likewise.

    Raises:
        ScenarioError: naming the key of a trace that is unreadable, or without exchanges.
    """
    found: Tables = dict(schedule)
    is_named = found.get("rates") == "measured" and isinstance(found.get("trace"), str)
    if not is_named or found.get("counted") is not None:
        return found
    try:
        return {**found, "counted": counted_rates(found["trace"]), "trace": None}
    except ValueError as error:
        raise ScenarioError(f"{where}: schedule.trace: {error}") from None


def counted_rates(directory: str | Path) -> list[list[float]]:
    """Exchanges of a run on each edge, per gradient time, until the first worker had made its last gradient.

    Returns:
        [i, j, rate] of each edge that has had any, i < j.
    Raises:
        ValueError: if the trace is unreadable, or there was no exchange.
    """
    trace, info = read_trace(directory, ("rank", "op", "kernel", "peer", "end_ns", "answer"))
    gradients = trace[(trace["op"] == "Compute") & (trace["kernel"] == "gradient")]
    until = int((gradients if len(gradients) else trace).groupby("rank")["end_ns"].max().min())
    met = trace[(trace["op"] == "Exchange") & (trace["answer"] != LOST) & (trace["end_ns"] <= until)]
    if not len(met):
        raise ValueError(f"{directory}: expected exchanges of two workers, found none")
    ends = met.assign(low=met[["rank", "peer"]].min(axis=1), high=met[["rank", "peer"]].max(axis=1))
    # An exchange has a row at each end; one that was over at one end only counts for half.
    counts = ends.groupby(["low", "high"], as_index=False).size()
    per_row = 1e9 * float(info["gradient_s"]) / until / 2
    rows = zip(*(counts[name].tolist() for name in ("low", "high", "size")), strict=True)
    return [[i, j, per_row * number] for i, j, number in rows]


def _measured_kernel(durations: object, kernel: str, where: str) -> object:
    """A kernel's durations: one, or a list of one a stage."""
    if isinstance(durations, list):
        return [
            _measured(each, kernel, f"{where}.{stage}", stage) if _names_trace(each) else each
            for stage, each in enumerate(durations)
        ]
    return _measured(durations, kernel, where) if _names_trace(durations) else durations


def _names_trace(duration: object) -> bool:
    return (
        isinstance(duration, Mapping)
        and duration.get("distribution") == "empirical"
        and isinstance(duration.get("trace"), str)
        and duration.get("samples") is None
    )


def _measured(duration: Any, kernel: str, where: str, stage: int | None = None) -> Tables:
    try:
        samples = measured(duration["trace"], kernel, stage)
    except ValueError as error:
        raise ScenarioError(f"{where}.trace: {error}") from None
    return {**duration, "samples": samples, "trace": None}


def measured(directory: str | Path, kernel: str, stage: int | None = None) -> list[float]:
    """Durations of a kernel in the trace of a run directory: seconds, ascending; without the time in an engine's queue.

    Of more than `LARGEST_SAMPLE`, as many quantiles.

    Args:
        stage: whose; None: of all that a rank holds of the model, so of each stage as many times as the rank has
            computed stages.
    Raises:
        ValueError: if the trace is unreadable, or the kernel did not run.
    """
    trace, _ = read_trace(directory, ("rank", "op", "kernel", "stage", "ready_ns", "end_ns"))
    computations = trace[trace["op"] == "Compute"]
    rows = computations[computations["kernel"] == kernel]
    if stage is not None and len(rows):
        known = ", ".join(map(str, sorted(set(rows["stage"]) - {-1}))) or "none"
        rows = rows[rows["stage"] == stage]
        if not len(rows):
            raise ValueError(
                f"{directory}: expected computations of the kernel {kernel} at stage {stage}, found {known}"
            )
    if not len(rows):
        known = ", ".join(sorted(set(computations["kernel"]))) or "none"
        raise ValueError(f"{directory}: expected computations of the kernel {kernel}, found {known}")
    taken = (rows["end_ns"] - rows["ready_ns"]).to_numpy(dtype=np.int64)
    if stage is None:
        taken = taken * rows.groupby("rank")["stage"].transform("nunique").to_numpy()
    taken = np.sort(taken)
    if len(taken) > LARGEST_SAMPLE:
        # The middle of each of as many equal parts, in whole numbers.
        taken = taken[(2 * np.arange(LARGEST_SAMPLE) + 1) * len(taken) // (2 * LARGEST_SAMPLE)]
    seconds: list[float] = (taken / 1e9).tolist()
    return seconds


def read_text(path: str) -> str:
    """The text of a file.

    Raises:
        ValueError: if there is none, or it is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: expected a file, found none ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a text in UTF-8, found other bytes") from None

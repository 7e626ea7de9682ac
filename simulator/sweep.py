"""Many simulations: the product of the lists of [sweep], over all cores or a cluster, resumable.

A finished case is a file `cases/<key>.json`, written as a whole by the parent process as soon as the case is done. Its
key is a hash of all that its numbers depend on: the resolved scenario, the version and the sources. So a second start
skips what is finished, and what is half written, damaged, of another version or of another sweep does not count.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules.errors import ScheduleError
from schedules.record.whole import whole_file
from schedules.scenario import Scenario, ScenarioError, read, resolve, set_key

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("schedule.program", "topology.graph", "topology.workers", "schedule.rate", "run.seed")
"""Columns that a sweep's table has even where they do not vary; the swept keys follow."""

SOURCES = ("topologies", "schedules", "simulator")
"""The packages that decide a simulation's numbers."""

Record = dict[str, Any]
"""What is kept of a case: `key`, `settings`, `summary` (numbers), `series` (lists by column, or None)."""


class SweepError(ScheduleError):
    """The cases could not all be run; what is finished is kept."""


@dataclass(frozen=True)
class Case:
    """One combination of the lists of [sweep].

    Attributes:
        swept: the swept keys and their values.
        tables: the scenario's tables with these values.
        settings: columns of the table that say which case it is.
        key: hash of all that its numbers depend on.
    """

    swept: dict[str, Any]
    tables: dict[str, Any]
    settings: dict[str, Any]
    key: str

    def __str__(self) -> str:
        return _named(self.swept)


def sweep(
    source: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    jobs: int = -1,
    dask: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Simulate every case of a scenario's [sweep] that is not finished yet.

    Args:
        source: a scenario's file, or tables of the same shape.
        out: directory for `cases/`, `sweep.parquet`, `sweep.csv` and, in numeric runs, `series.parquet`.
        overrides: dotted keys to change in the scenario; they must not be swept.
        jobs: processes at a time; -1: one a core.
        dask: address of a Dask scheduler, whose workers take the place of processes on this machine.
        progress: show a bar, if stderr is a terminal.
    Returns:
        one row a case, in the order of the lists: settings by dotted key, the numbers of the summary, and `error`,
        which is "" for a case that went well.
    Raises:
        ScenarioError: before anything is run, if the scenario of any case is wrong.
        SweepError: if a process or the cluster was lost; start again to go on.
    """
    return Sweep(source, out, overrides=overrides).run(jobs=jobs, dask=dask, progress=progress)


class Sweep:
    """A sweep in a directory.

    Attributes:
        cases: all of them, resolved, in the order of the lists.
        records: of the finished cases, by key.
        errors: of the cases that failed in this run, by key; these are tried again by the next run.
    """

    def __init__(
        self, source: str | Path | Mapping[str, Any], out: str | Path, *, overrides: Mapping[str, Any] | None = None
    ) -> None:
        self.cases = plan(source, overrides)
        self.out = Path(out)
        self.records = self._finished()
        self.errors: dict[str, str] = {}

    @property
    def todo(self) -> list[Case]:
        """The cases that are not finished, each once."""
        return list({case.key: case for case in self.cases if case.key not in self.records}.values())

    @property
    def tables(self) -> list[Path]:
        """The tables that are there."""
        names = ("sweep.parquet", "sweep.csv", "series.parquet")
        return [self.out / name for name in names if (self.out / name).is_file()]

    def run(self, *, jobs: int = -1, dask: str | None = None, progress: bool = True) -> pd.DataFrame:
        """Simulate what is not finished, and write the tables. See `sweep`."""
        from tqdm import tqdm

        todo = {case.key: case for case in self.todo}
        with tqdm(total=len(todo), unit="case", disable=None if progress else True) as bar:
            for key, outcome in _outcomes(todo.values(), jobs, dask):
                self._keep(todo[key], outcome)
                bar.update()
        return self._write_tables()

    def _finished(self) -> dict[str, Record]:
        found = {key: _read_record(self._file(key), key) for key in {case.key for case in self.cases}}
        return {key: record for key, record in found.items() if record is not None}

    def _file(self, key: str) -> Path:
        return self.out / "cases" / f"{key}.json"

    def _keep(self, case: Case, outcome: Record) -> None:
        if "error" in outcome:
            self.errors[case.key] = outcome["error"]
            return
        text = json.dumps({"key": case.key, "settings": case.settings, **outcome}, indent=1)
        with whole_file(self._file(case.key)) as file:
            file.write_text(text + "\n")
        self.records[case.key] = json.loads(text)

    def _write_tables(self) -> pd.DataFrame:
        table, series = self._table(), self.series()
        with whole_file(self.out / "sweep.parquet") as file:
            table.to_parquet(file, index=False)
        with whole_file(self.out / "sweep.csv") as file:
            table.to_csv(file, index=False)
        if series is None:
            (self.out / "series.parquet").unlink(missing_ok=True)
        else:
            with whole_file(self.out / "series.parquet") as file:
                series.to_parquet(file, index=False)
        return table

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        rows = [
            {
                **case.settings,
                **self.records.get(case.key, {}).get("summary", {}),
                "error": self.errors.get(case.key, ""),
            }
            for case in self.cases
        ]
        table = pd.DataFrame(rows)
        return table[[*table.columns.drop("error"), "error"]]

    def series(self) -> pd.DataFrame | None:
        """Settings, and loss, accuracy and consensus distance against time, of all finished cases; None without any."""
        import pandas as pd

        frames = [
            pd.DataFrame({**case.settings, **record["series"]})
            for case in self.cases
            if (record := self.records.get(case.key)) is not None and record["series"] is not None
        ]
        return pd.concat(frames, ignore_index=True) if frames else None


# ---- which cases there are


def plan(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> list[Case]:
    """All cases of a scenario's [sweep], in the order of its lists, the last key fastest. Every one is resolved.

    Raises:
        ScenarioError: if there is no [sweep], a value is no list, or the scenario of any case is wrong.
    """
    tables, where = read(source)
    lists = tables.pop("sweep", None)
    _check_lists(lists, overrides or {}, f"{where}: sweep")
    for key, value in (overrides or {}).items():
        set_key(tables, key, value, where)
    combinations = itertools.product(*lists.values())
    return [_case(tables, dict(zip(lists, values, strict=True)), where) for values in combinations]


def _check_lists(lists: Any, overrides: Mapping[str, Any], where: str) -> None:
    if not isinstance(lists, Mapping) or not lists:
        found = "none" if lists is None else repr(lists)
        raise ScenarioError(f'{where}: expected a table of lists such as "schedule.rate" = [1, 2], found {found}')
    for key, values in lists.items():
        if isinstance(values, Mapping):
            quoted = f'"{key}.{next(iter(values), "key")}"'
            raise ScenarioError(f"{where}.{key}: expected a list under a dotted key in quotes, {quoted}, found a table")
        if not isinstance(values, list | tuple) or not values:
            raise ScenarioError(f"{where}.{key}: expected a list with one value or more, found {values!r}")
        if key in overrides:
            raise ScenarioError(f"{where}.{key}: expected a key that is swept or set, found both")


def _case(tables: Mapping[str, Any], swept: dict[str, Any], where: str) -> Case:
    where = f"{where}: sweep case {_named(swept)}"
    case = copy.deepcopy(dict(tables))
    for key, value in swept.items():
        set_key(case, key, value, where)
    scenario = resolve(case, where)
    set_key(case, "run.trace", False)  # nobody would read it
    return Case(swept, case, _settings(scenario, swept), _key(resolve(case, where)))


def _settings(scenario: Scenario, swept: Mapping[str, Any]) -> dict[str, Any]:
    tables = scenario.tables()
    found = {key: tables[key.split(".")[0]].get(key.split(".")[1]) for key in SETTINGS}
    standing = {key: value for key, value in found.items() if value is not None}
    return standing | {
        key: json.dumps(value) if isinstance(value, Mapping | list) else value for key, value in swept.items()
    }


def _named(swept: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in swept.items())


def _key(scenario: Scenario) -> str:
    from schedules import catalogue

    code = getattr(catalogue.find(scenario.program).streams, "__code__", None)
    program = [Path(code.co_filename)] if code is not None else []  # it may be the user's own
    told = [json.dumps(scenario.tables(), sort_keys=True), _version(), _digest(program)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]


@functools.cache
def _version() -> str:
    """The version, and a digest of the sources: in an editable installation they change without it."""
    root = Path(__file__).parent.parent
    sources = (file for package in SOURCES for file in sorted((root / package).rglob("*.py")))
    try:
        version = metadata.version("twinclock")
    except metadata.PackageNotFoundError:
        version = "uninstalled"
    return f"{version} {_digest(sources)}"


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


# ---- running them


def run_case(tables: Mapping[str, Any]) -> Record:
    """Simulate one case, in whatever process: its `summary` and `series`, or its `error`."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from simulator.run import simulate

    with threadpool_limits(1):  # the cases share the cores, and sums come out the same wherever one runs
        try:
            result = simulate(tables)
        except Exception as error:  # one case that fails is a finding, and no reason to lose the others
            return {"error": str(error) if isinstance(error, ScheduleError) else f"{type(error).__name__}: {error}"}
    summary = {key: value for key, value in result.summary.items() if not isinstance(value, Mapping | list)}
    return {"summary": summary, "series": None if result.series is None else result.series.to_dict("list")}


def _keyed_case(key: str, tables: Mapping[str, Any]) -> tuple[str, Record]:
    return key, run_case(tables)


def _outcomes(cases: Iterable[Case], jobs: int, dask: str | None) -> Iterator[tuple[str, Record]]:
    """What every case came to, in the order in which they are done."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    cases = list(cases)
    if not cases:
        return
    try:
        with _backend(dask):
            # One case a batch: each is kept as soon as it is done.
            parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            yield from parallel(delayed(_keyed_case)(case.key, case.tables) for case in cases)
    except BrokenProcessPool as error:
        reason = str(error).partition(".")[0]
        raise SweepError(f"a process of the sweep died ({reason}); start the sweep again to go on") from None


@contextmanager
def _backend(dask: str | None) -> Iterator[None]:
    """Processes on this machine, or the workers of a Dask scheduler."""
    from joblib import parallel_config

    if dask is None:
        with parallel_config(backend="loky", initializer=_end_with, initargs=(os.getpid(),)):
            yield
        return
    with _client(dask) as client, parallel_config(backend="dask", client=client):
        yield


def _end_with(parent: int) -> None:
    """In a process of the sweep: end soon after the parent, which may be killed. Left alone it would wait for work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _client(address: str) -> Any:
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise ScenarioError(
            "dask: expected the packages dask and distributed, found none; pip install 'twinclock[dask]'"
        ) from None
    try:
        get_address_host_port(address)  # a client that cannot read its address never ends
        return Client(address, set_as_default=False, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ScenarioError(f"dask: expected a scheduler at {address!r}, found none ({error})") from None


# ---- files


def _read_record(file: Path, key: str) -> Record | None:
    """A finished case; None if the file is not there, cut off, or not of this case."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_whole = isinstance(record, dict) and record.get("key") == key and isinstance(record.get("summary"), dict)
    return record if is_whole and "series" in record else None

"""Many simulations: the cases of [sweep], over all cores or a cluster, resumable.

A finished case is a file `cases/<key>.json`, written as a whole by the parent process as soon as the case is done. Its
key is a hash of all that its numbers depend on: the resolved scenario, the version and the sources. So a second start
skips what is finished, and what is half written, damaged, of another version or of another sweep does not count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from schedules.record.quantities import EQUAL_SAMPLES
from schedules.record.whole import whole_file
from simulator.cases import IMPOSSIBLE, Case, Source, plan
from simulator.pool import Outcome, SweepError, Value, outcomes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Case", "Record", "Sweep", "SweepError", "plan", "sweep"]


class Record(TypedDict):
    """What is kept of a case that went well, in its file."""

    key: str
    settings: dict[str, object]
    summary: dict[str, Value]
    series: dict[str, list[Value]] | None


def sweep(
    source: Source,
    out: str | Path,
    *,
    overrides: Mapping[str, object] | None = None,
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
        one row a case, in the order of `simulator.cases.plan`: settings by dotted key, the numbers of the summary, and
        `error`, which is "" for a case that went well, and "impossible: ..." for one that makes no scenario. A setting
        that belongs to other cases only is None, or NaN among floats.
    Raises:
        ScenarioError: before anything is run, if the scenario of any case is wrong; where `sweep.impossible` is
            "list", if all are.
        SweepError: if a process or the cluster was lost; start again to go on.
    """
    return Sweep(source, out, overrides=overrides).run(jobs=jobs, dask=dask, progress=progress)


class Sweep:
    """A sweep in a directory.

    Args:
        source, out, overrides: as `sweep` has them; the source may also be cases that are planned already, of several
            scenarios.
        is_forced: whether an estimate of memory and time that is too large is no error.
    Attributes:
        cases: all of them, resolved, in the order of the table.
        records: of the finished cases, by key.
        errors: of the cases that failed in this run, by key; these are tried again by the next run.
    """

    def __init__(
        self,
        source: Source | list[Case],
        out: str | Path,
        *,
        overrides: Mapping[str, object] | None = None,
        is_forced: bool = False,
    ) -> None:
        self.cases = source if isinstance(source, list) else plan(source, overrides, is_forced=is_forced)
        self.out = Path(out)
        self.records = self._finished()
        self.errors: dict[str, str] = {}

    @property
    def possible(self) -> list[Case]:
        """The cases that can be simulated."""
        return [case for case in self.cases if case.reason is None]

    @property
    def swept(self) -> list[str]:
        """The swept keys of all cases."""
        return list(dict.fromkeys(key for case in self.cases for key in case.swept))

    @property
    def todo(self) -> list[Case]:
        """The cases that are not finished, each once."""
        # A list of [sweep] may name a value twice, or two that resolve alike: these cases have one key and are run
        # once.
        return list({case.key: case for case in self.possible if case.key not in self.records}.values())

    @property
    def tables(self) -> list[Path]:
        """The tables that are there."""
        names = ("sweep.parquet", "sweep.csv", "series.parquet")
        return [self.out / name for name in names if (self.out / name).is_file()]

    def run(self, *, jobs: int = -1, dask: str | None = None, progress: bool = True) -> pd.DataFrame:
        """Simulate what is not finished, and write the tables. See `sweep`."""
        from tqdm import tqdm

        todo = {case.key: case for case in self.todo}
        # None means "if stderr is a terminal" to tqdm.
        with tqdm(total=len(todo), unit="case", disable=None if progress else True) as bar:
            for key, outcome in outcomes(todo.values(), jobs, dask):
                self._keep(todo[key], outcome)
                bar.update()
        return self._write_tables()

    def _finished(self) -> dict[str, Record]:
        found = {key: _read_record(self._file(key), key) for key in {case.key for case in self.possible}}
        return {key: record for key, record in found.items() if record is not None}

    def _file(self, key: str) -> Path:
        return self.out / "cases" / f"{key}.json"

    def _keep(self, case: Case, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.errors[case.key] = outcome.error  # in no file: the next start tries again
            return
        kept = {"key": case.key, "settings": case.settings, "summary": outcome.summary, "series": outcome.series}
        text = json.dumps(kept, indent=1)
        with whole_file(self._file(case.key)) as file:
            file.write_text(text + "\n")
        self.records[case.key] = json.loads(text)  # as the next start will find it

    def _write_tables(self) -> pd.DataFrame:
        table, series = self._table(), self.series()
        with whole_file(self.out / "sweep.parquet") as file:
            table.to_parquet(file, index=False)
        with whole_file(self.out / "sweep.csv") as file:
            table.to_csv(file, index=False)
        if series is None:
            (self.out / "series.parquet").unlink(missing_ok=True)  # left by a sweep with numbers
        else:
            with whole_file(self.out / "series.parquet") as file:
                series.to_parquet(file, index=False)
        return table

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        results = pd.DataFrame(
            [
                {**(self.records[case.key]["summary"] if case.key in self.records else {}), "error": self._error(case)}
                for case in self.cases
            ]
        )
        # Put last: where the first case failed, its row has no numbers, and theirs would come behind the error.
        numbers = results[[*results.columns.drop("error"), "error"]]
        table = pd.concat([self._settings(), numbers], axis=1)
        table.attrs[EQUAL_SAMPLES] = all(_samples(case) == _samples(self.cases[0]) is not None for case in self.cases)
        return table

    def _error(self, case: Case) -> str:
        return self.errors.get(case.key, "") if case.reason is None else f"{IMPOSSIBLE}: {case.reason}"

    def _settings(self) -> pd.DataFrame:
        """The settings of all cases, a row a case."""
        import pandas as pd

        names = dict.fromkeys(key for case in self.cases for key in case.settings)
        return pd.DataFrame({name: _column([case.settings.get(name) for case in self.cases]) for name in names})

    def series(self) -> pd.DataFrame | None:
        """Settings, and loss, accuracy and consensus distance against time, of all finished cases; None without any."""
        import pandas as pd

        found = [(number, self.records.get(case.key)) for number, case in enumerate(self.cases)]
        kept = [(number, record["series"]) for number, record in found if record is not None and record["series"]]
        if not kept:
            return None
        frames = {number: pd.DataFrame(series) for number, series in kept}
        rows = [number for number, frame in frames.items() for _ in range(len(frame))]
        settings = self._settings().iloc[rows].reset_index(drop=True)
        return pd.concat([settings, pd.concat(frames.values(), ignore_index=True)], axis=1)


def _samples(case: Case) -> object:
    """`run.samples` of a case; None: it does not say."""
    run = case.tables.get("run")
    return run.get("samples") if isinstance(run, Mapping) else None


def _column(values: list[object]) -> pd.Series[Any]:
    """Settings as a column of one kind, which a file of a table wants; None where a case has no such setting."""
    import pandas as pd

    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1 and not kinds <= {int, float}:
        values = [each if isinstance(each, str) or each is None else json.dumps(each, default=str) for each in values]
        kinds = {str}
    # pandas would make whole numbers among which one is missing floats, and 20 would be shown as 20.0.
    is_kept = None in values and float not in kinds
    return pd.Series(values, dtype=object) if is_kept else pd.Series(values)


def _read_record(file: Path, key: str) -> Record | None:
    """A finished case; None if the file is not there, cut off, or not of this case."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a ValueError is no JSON, or no UTF-8
        return None
    is_whole = isinstance(found, dict) and found.get("key") == key and isinstance(found.get("summary"), dict)
    record: Record | None = found if is_whole and "series" in found else None  # asked for by name: None is a value
    return record

"""Starting ranks on this machine, and what they leave.

`execute` runs one scenario; `Ranks` keeps the process that forks them (`executor.launching.nursery`) for many.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from executor import rank_report as report
from executor.agreement.news import DEAD, FINISHED, News, decode
from executor.launching.lines import OrderTables, RankEvent, RunOrder
from executor.seat import QUIET_TORCH
from schedules.errors import DeadRankError, ScheduleError
from schedules.record.files import MEASURED, check_target
from schedules.record.trace import read_rank_files
from schedules.result import Result
from schedules.runs.followed import Followed, read_replay
from schedules.runs.kept import keep_run, time_of_run
from schedules.scenario import Scenario, ScenarioError, Source, load


def execute(
    scenario: Source,
    *,
    out: str | Path | None = None,
    replay: str | Path | Result | None = None,
    overrides: Mapping[str, object] | None = None,
    ranks: Ranks | None = None,
) -> Result:
    """Run a scenario for real, on this machine: one process a rank.

    Args:
        scenario: a file, tables of the same shape, or one that is resolved already.
        out: run directory to write. If the run fails, what was recorded until then is kept there.
        replay: a run directory, or a result, whose trace is to be followed: its order, times, peers and arrivals.
        overrides: dotted keys to change in the scenario, e.g. `{"schedule.rate": 2}`.
        ranks: to be used again for the next run; without, they are started for this one.
    Raises:
        ScenarioError: if the scenario is wrong, or the trace is unreadable or of another scenario.
        ScheduleError: if the run cannot go on: a program's mistake, a dead rank, a replay that diverges, or
            (`TimeoutError`, with the board of all ranks) nothing has happened anywhere for `execution.timeout`. Also
            if `out` could not be written after the run, which is kept beside it then, as the message says.
    """
    resolved = executable(scenario, overrides, is_replay=replay is not None)
    if out is not None:
        check_target(Path(out))  # now: `save` would refuse it after the run
    if ranks is not None:
        return ranks.execute(resolved, out=out, replay=replay)
    with Ranks() as started:
        return started.execute(resolved, out=out, replay=replay)


def executable(scenario: Source, overrides: Mapping[str, object] | None = None, *, is_replay: bool = False) -> Scenario:
    """The scenario, resolved, as the ranks can run it.

    Args:
        is_replay: whether a recorded run is followed, which ends as that one did.
    Raises:
        ScenarioError: if it is wrong, or ends as only a simulation can.
    """
    resolved = load(scenario, overrides)
    if resolved.run.until == "precision" and not is_replay:
        told = "expected 'end', 'gradients' or 'time' for an execution, found 'precision'"
        raise ScenarioError(f"scenario: run.until: {told}")
    return resolved


class Ranks:
    """Processes of this machine, ready to be ranks of one run after the other. A context manager.

    Torch is loaded once, in a process that forks the ranks of each run, as many as its scenario says. They end with
    the run, so nothing of one run is seen by the next; and they end with this process, however it ends.
    """

    def __init__(self) -> None:
        self._runs = itertools.count()  # a run's number keeps its keys apart in the one store of the nursery
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Ranks:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def execute(
        self,
        scenario: Source,
        *,
        out: str | Path | None = None,
        replay: str | Path | Result | None = None,
        overrides: Mapping[str, object] | None = None,
        watch: Callable[[RankEvent], None] | None = None,
    ) -> Result:
        """Run a scenario: see `executor.execute`. `watch` is told of processes that begin and end."""
        resolved = executable(scenario, overrides, is_replay=replay is not None)
        if out is not None:
            check_target(Path(out))  # now: `save` would refuse it after the run
        found = None if out is None else time_of_run(Path(out))
        followed = None if replay is None else read_replay(replay, resolved)
        resolved, told = (resolved, {}) if followed is None else (followed.scenario, followed.told())
        directory = Path(tempfile.mkdtemp(prefix="twinclock-"))
        try:
            news = self._run(resolved, directory, followed, watch)
            _pass_on_output(directory)
            if news.kind != FINISHED:
                raise _failure(news, resolved, directory, out, found)
            about = {"launcher": "executor.launching.launch", "is_replay": followed is not None}
            result = report.merge(resolved, directory, {**about, **told})
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if out is not None:
            keep_run(result, Path(out), found=found)
        return result

    def close(self) -> None:
        """End all processes."""
        process, self._process = self._process, None
        # Its input ends, and so does it; that is also what happens when this process is killed.
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:  # it is still loading torch, and its ranks end with it in any case
                process.kill()
                process.wait()
            process.stdout.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            # Libraries read it when they are loaded, which is before the ranks are forked: too late to say it there.
            single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "executor.launching.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**QUIET_TORCH, **os.environ, **single, "PYTHONPATH": os.pathsep.join(_path())},
                start_new_session=True,  # Ctrl-C is for this process, which then ends them
            )
        return self._process

    def _run(
        self,
        scenario: Scenario,
        directory: Path,
        followed: Followed | None,
        watch: Callable[[RankEvent], None] | None,
    ) -> News:
        process, run = self._start(), next(self._runs)
        assert process.stdin is not None
        assert process.stdout is not None
        order: RunOrder = {
            "run": run,
            "workers": scenario.topology.workers,
            "directory": str(directory),
            # With every order, since this process may have changed both since the nursery was started.
            "cwd": str(Path.cwd()),
            "path": _path(),
            "order": _order(scenario, directory, followed),
        }
        try:
            process.stdin.write((json.dumps(order) + "\n").encode())
            process.stdin.flush()
            for line in process.stdout:
                event: RankEvent = json.loads(line)
                if watch is not None:
                    watch(event)
                if "news" in event:
                    return (
                        decode(event["news"]) if event["news"] else News(DEAD, message="the ranks ended without news")
                    )
        except BrokenPipeError:
            pass
        except BaseException:  # Ctrl-C: no process is left behind
            self.close()
            raise
        # Here its output has ended, or it took no order: it is dead, and its ranks with it.
        raise DeadRankError("the process that starts the ranks has ended (python -m executor.launching.nursery)")


def _path() -> list[str]:
    return [str(Path(each).resolve()) for each in sys.path]  # absolute: a rank changes its directory


def _order(scenario: Scenario, directory: Path, followed: Followed | None) -> OrderTables:
    order: OrderTables = {"scenario": scenario.tables()}
    if followed is not None:
        order["replay"], order["followed"] = str(directory / "replay.parquet"), followed[1:4]
        followed.trace.to_parquet(order["replay"])
    return order


def _pass_on_output(directory: Path) -> None:
    """What the ranks have written goes to the standard error."""
    for path in sorted(directory.glob("rank*.log")):
        # What programs print need be no text, and a rank may be killed in the middle of a character.
        for line in path.read_text(errors="replace").splitlines():
            print(f"[{path.stem}] {line}", file=sys.stderr)


def _failure(news: News, scenario: Scenario, directory: Path, out: str | Path | None, found: int | None) -> Exception:
    """The error to raise. What was recorded until then is kept in the run directory."""
    error = news.exception()
    # A wrong scenario has not run: there is nothing to be kept.
    if out is not None and isinstance(error, ScheduleError):
        stems = [report.stem(directory, rank) for rank in range(scenario.topology.workers)]
        result = Result(scenario, MEASURED, {"failed": news.message}, info={"failed": news.message})
        recorded = [stem for stem in stems if stem.with_suffix(".rows").exists()]
        if recorded:
            result.trace = read_rank_files(recorded, run=scenario.fingerprint(), world=MEASURED)
        try:
            error.add_note(f"What was recorded until then is in {keep_run(result, Path(out), found=found)}")
        except ScheduleError as elsewhere:  # what has failed is told first all the same
            error.add_note(str(elsewhere))
    return error

"""Running the cases of a sweep: on processes of this machine, or on the workers of a Dask scheduler."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from schedules.errors import ScenarioError, ScheduleError
from simulator.cases import Case
from simulator.run import simulate

if TYPE_CHECKING:
    from distributed import Client

Value = str | float | bool | None


class SweepError(ScheduleError):
    """The cases could not all be run; what is finished is kept."""


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        summary: the run's, without what has parts.
        series: columns of the run's series; None in a timing-only run.
        error: why there are no numbers; None: there are.
    """

    summary: Mapping[str, Value] = field(default_factory=dict)
    series: Mapping[str, list[Value]] | None = None
    error: str | None = None


def run_case(tables: Mapping[str, object]) -> Outcome:
    """Simulate one case, in whatever process."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):  # the cases share the cores, and sums come out the same wherever one runs
        try:
            result = simulate(tables)
        except Exception as error:  # one case that fails is a finding, and no reason to lose the others
            # Our messages say what is wrong; of any other error ("'loss'") its type is half of what it says.
            return Outcome(error=str(error) if isinstance(error, ScheduleError) else f"{type(error).__name__}: {error}")
    summary = {key: value for key, value in result.summary.items() if not isinstance(value, Mapping | list)}
    if result.series is None:
        return Outcome(summary)
    return Outcome(summary, {str(name): values for name, values in result.series.to_dict("list").items()})


def _keyed_case(key: str, tables: Mapping[str, object]) -> tuple[str, Outcome]:
    return key, run_case(tables)  # the key comes along, as outcomes come in the order in which they are done


def outcomes(cases: Iterable[Case], jobs: int, dask: str | None) -> Iterator[tuple[str, Outcome]]:
    """What every case came to, by its key, in the order in which they are done.

    Args:
        cases: to be run.
        jobs: processes at a time; -1: one a core.
        dask: address of a Dask scheduler; None: on this machine.
    Raises:
        ScenarioError: if there is no scheduler at the address.
        SweepError: if a process was lost.
    """
    # Imported where cases are run: joblib takes 0.2 s, and a sweep that is finished needs none of it.
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    cases = list(cases)
    if not cases:
        return
    try:
        with _backend(dask):
            # One case a batch: joblib would put several short ones together, and a break would lose what they came to.
            parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            with _interrupts_held():
                done = parallel(delayed(_keyed_case)(case.key, case.tables) for case in cases)
            try:
                # Not `yield from`, which would close it itself, with the warnings.
                for outcome in done:  # noqa: UP028
                    yield outcome
            finally:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # joblib counts what is cancelled, which our caller does itself
                    done.close()
    except BrokenProcessPool as error:
        # Joblib's first sentence; the next ones guess at causes.
        reason = str(error).partition(".")[0]
        raise SweepError(f"a process of the sweep died ({reason}); start the sweep again to go on") from None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """While processes begin: they inherit that Ctrl-C and hang-up are not for them, but for the one that ends them.

    A terminal sends these to all, and each would print where it was. What comes meanwhile is heard afterwards.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()  # before: Python ends its start with Ctrl-C let through, whatever was before
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextmanager
def _backend(dask: str | None) -> Iterator[None]:
    """Processes on this machine, or the workers of a Dask scheduler."""
    from joblib import parallel_config

    if dask is None:
        with parallel_config(backend="loky", initializer=_end_with, initargs=(os.getpid(),)):
            yield
        return
    # Without `_end_with`: Dask's workers are no children of this process, and outlive it.
    with _client(dask) as client, parallel_config(backend="dask", client=client):
        yield


def _end_with(parent: int) -> None:
    """In a process of the sweep: end soon after the parent, which may be killed. Left alone it would wait for work."""

    # Linux alone can be asked to end a process with its parent; to look who the parent is works everywhere.
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)  # `sys.exit` would end this thread alone

    # A daemon, so that a process that has done its work does not stay for its watch.
    threading.Thread(target=watch, daemon=True).start()


def _client(address: str) -> Client:
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise ScenarioError(
            "dask: expected the packages dask and distributed, found none; pip install 'twinclock[dask]'"
        ) from None
    try:
        get_address_host_port(address)  # a client that cannot read its address never ends
        # Not the default: a caller may have a client of its own. Dask itself would try for 30 s.
        return Client(address, set_as_default=False, timeout=10)  # type: ignore[no-untyped-call]
    # A ValueError is an address that cannot be read, an OSError (a timeout is one) nobody who answers.
    except (OSError, ValueError) as error:
        raise ScenarioError(f"dask: expected a scheduler at {address!r}, found none ({error})") from None

"""A process that has loaded torch once and forks the ranks of every run: 10 ms a rank instead of 2.5 CPU-seconds.

`python -m executor.launching.nursery` reads orders from its standard input, a line of JSON each, and tells on its
standard output what becomes of them. It ends, and takes all ranks with it, when its input ends: with its launcher,
however that ended.

It has no threads, so that it can fork. The store that the ranks meet in is kept by its first child.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import selectors
import signal
import sys
import time
import warnings
from pathlib import Path

import array_api_compat.torch  # noqa: F401 - loaded here, once, for all ranks
import torch

from executor.agreement.control import GRACE_S, tell
from executor.agreement.news import DEAD, News, decode
from executor.agreement.store import ASK_NOBODY, LOOPBACK, connect, keep_store
from executor.launching.lines import RankEvent, RunOrder
from executor.rank import run_rank
from executor.running import warmup
from executor.running.waiting import die_with_parent
from executor.seat import Seat, Task
from schedules.scenario import load
from schedules.setup import Setup


class Nursery:
    """The runs under way, and their processes."""

    def __init__(self, events: int, port: int) -> None:
        self._events = events
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._left: dict[int, dict[int, int]] = {}
        self._deadlines: dict[int, float] = {}
        self._input = b""

    def serve(self) -> None:
        """Take orders until the input ends."""
        self._selector.register(0, selectors.EVENT_READ)
        while True:
            # It wakes up by itself only where there is somebody to be ended.
            for key, _ in self._selector.select(timeout=0.5 if self._deadlines else None):
                if key.fd != 0:
                    self._ended(key.fd, *key.data)
                elif not self._take_orders():
                    return
            self._end_stragglers()

    def close(self) -> None:
        """End all ranks."""
        for pids in self._left.values():
            for pid in pids.values():
                # Nobody has waited for it yet, so its number cannot be another process's by now.
                os.kill(pid, signal.SIGKILL)

    def _take_orders(self) -> bool:
        # Not from `sys.stdin`: what lies in its buffer no selector tells of.
        found = os.read(0, 1 << 16)
        self._input += found
        *lines, self._input = self._input.split(b"\n")  # a pipe cuts where it likes: the rest of a line comes next
        for line in lines:
            self._start(json.loads(line))
        return bool(found)

    def _start(self, order: RunOrder) -> None:
        run, workers = order["run"], order["workers"]
        self._left[run] = {}
        for rank in range(workers):
            with warnings.catch_warnings():  # Python 3.12 warns of forking beside Arrow's memory thread
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                self._be_rank(order, rank)
            self._left[run][rank] = pid
            # A descriptor that can be read when the process has ended: no signal handler, no polling.
            self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (run, rank, pid, order["directory"]))
            self._tell({"run": run, "rank": rank, "pid": pid})

    def _be_rank(self, order: RunOrder, rank: int) -> None:
        """In the child: never returns."""
        status = 1
        try:
            die_with_parent(signal.SIGKILL)
            directory = Path(order["directory"])
            log = os.open(directory / f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            # A file, not a pipe: nobody need read it for the rank to go on, and its end is there when the rank is not.
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(0)  # the orders are not for a rank
            os.chdir(order["cwd"])
            sys.path[:] = order["path"]
            seat = Seat(
                rank, order["workers"], rank, order["workers"], LOOPBACK, self._port, f"run/{order['run']}", directory
            )
            status = run_rank(Task(**order["order"]), seat)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # `os._exit` would print nothing
        finally:
            # Not by `sys.exit`: threads may wait for a rank that is gone, and the parent's clean-up is not this one's.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _ended(self, descriptor: int, run: int, rank: int, pid: int, directory: str) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        del self._left[run][rank]
        store = connect(LOOPBACK, self._port, f"run/{run}")
        # Also of one that has told itself what was wrong: the first news stays, so this is heard only of those that
        # could not.
        if status != 0:
            tell(store, News(DEAD, rank, _died(rank, status, Path(directory))))
            self._end_silent(run, decode(store.get("news")))
            # A second after the ranks have ended themselves: who is left by then is stopped, or stuck in the kernel.
            self._deadlines.setdefault(run, time.monotonic() + GRACE_S + 1)
        self._tell({"run": run, "rank": rank, "status": status})
        if not self._left[run]:
            del self._left[run]
            self._deadlines.pop(run, None)
            news = store.get("news").decode() if store.check(["news"]) else ""
            self._tell({"run": run, "news": news})

    def _end_silent(self, run: int, news: News) -> None:
        """Ranks that are known to show no sign of life need no time of grace."""
        for rank in news.silent:
            if rank in self._left[run]:
                os.kill(self._left[run][rank], signal.SIGKILL)

    def _end_stragglers(self) -> None:
        """A rank that does not end after bad news, because it is stopped, say, is killed."""
        for run, deadline in self._deadlines.items():
            if time.monotonic() > deadline:
                for pid in self._left[run].values():
                    os.kill(pid, signal.SIGKILL)

    def _tell(self, event: RankEvent) -> None:
        # Straight to the descriptor: a buffer would be inherited by every fork, and flushed by it once more.
        try:
            os.write(self._events, (json.dumps(event) + "\n").encode())
        except BrokenPipeError:  # the launcher is gone, and with it who wants to know
            raise SystemExit(1) from None


def _died(rank: int, status: int, directory: Path) -> str:
    """How a rank died: its signal or status, and the end of what it has written."""
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    log = directory / f"rank{rank}.log"
    lines = (
        log.read_text(errors="replace").splitlines()[-12:] if log.exists() else []
    )  # it may have died before it had one
    return "\n".join([f"rank {rank} has died ({how}).", *(f"  {line}" for line in lines)])


def _keep_store() -> int:
    """Fork the process that keeps the store. Returns its port.

    Not this process, as the store has threads and this one forks; and not a rank, as the news of a dead rank must
    outlive every rank. One store serves all runs, each under a prefix of its own.
    """
    reading, writing = os.pipe()
    if os.fork() == 0:
        die_with_parent(signal.SIGKILL)
        os.environ |= ASK_NOBODY
        store = keep_store(LOOPBACK, 0)
        os.write(writing, str(store.port).encode())
        while True:
            signal.pause()  # the store has threads of its own
    port = int(os.read(reading, 16))
    os.close(reading)
    os.close(writing)
    return port


def _warm_up() -> None:
    """Load and cache what a run needs before its ranks are forked: units, graphs, programs, data.

    No thread may begin here: a child has only the thread that forked, and a lock that another held stays locked there.
    """
    example = {
        "schedule": {"program": "gossip", "gradients": 1},
        "topology": {"graph": "ring", "workers": 2},
        "platform": {"gradient": {"mean": "1 ms"}},
        "workload": {"problem": "digits-mlp", "dtype": "float64"},
    }
    setup = Setup(load(example), xp=torch)
    setup.programs(setup.worker(0))
    warmup.load()
    # The docstrings of a program's settings are looked for in the file that they stand in, and that among the files of
    # all modules: 0.2 s of every rank, were these not looked through here, for one that no module has.
    inspect.getmodule(compile("", "no file", "exec"))


def main() -> None:
    """Fork ranks until the standard input ends."""
    events = os.dup(1)
    os.dup2(2, 1)  # what anybody prints is no event
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's: it ends the run in its own way
    _warm_up()
    gc.collect()
    gc.freeze()  # else the first collection of every rank writes to all objects, and copies the pages that it shares
    nursery = Nursery(events, _keep_store())
    try:
        nursery.serve()
    finally:
        nursery.close()


if __name__ == "__main__":
    main()

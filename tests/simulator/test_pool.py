"""Cases on a cluster: workers that are lost, and schedulers that are not there."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from schedules.scenario import ScenarioError
from simulator.sweep import sweep
from tests.simulator.sweep_rig import TIMING, case_files

ROOT = Path(__file__).parent.parent.parent

SLOW = {
    **TIMING,
    "schedule": {"program": "gossip", "gradients": 1500},
    "topology": {"graph": "ring", "workers": 8},
    "sweep": {"run.seed": list(range(16))},
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def dask(*arguments: str) -> subprocess.Popen:
    code = f"import sys; from distributed.cli.dask_{arguments[0]} import main; sys.argv = {list(arguments)!r}; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def cluster():
    """A Dask scheduler and two workers, each a process: (address, workers)."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen:
            process = dask(*arguments)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "--host", address, "--no-dashboard")
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        yield address, [start("worker", address, *options) for _ in range(2)]


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def num_workers(address: str) -> int:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


@pytest.mark.cluster
@pytest.mark.slow
def test_sweep_on_a_cluster_survives_the_loss_of_a_worker(tmp_path, cluster):
    address, (_, victim) = cluster
    wait_for(lambda: num_workers(address) == 2)
    out = tmp_path / "out"
    code = f"from simulator.sweep import sweep; sweep({SLOW!r}, {str(out)!r}, dask={address!r})"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        wait_for(lambda: (out / "cases").is_dir() and len(case_files(out)) >= 3)
        victim.send_signal(signal.SIGKILL)
        assert len(case_files(out)) < 16, "the worker was killed too late to be missed"
        assert process.wait(60) == 0
    assert num_workers(address) == 1
    swept = pd.read_parquet(out / "sweep.parquet")
    pd.testing.assert_frame_equal(swept, sweep(SLOW, tmp_path / "here", jobs=2))


@pytest.mark.cluster
@pytest.mark.parametrize("address", ["foo", "tcp://", "foo://127.0.0.1:1"])
def test_address_that_is_none_is_named(tmp_path, address):
    with pytest.raises(ScenarioError, match=f"expected a scheduler at '{address}', found none"):
        sweep(TIMING, tmp_path, dask=address)


@pytest.mark.cluster
def test_scheduler_that_is_not_there_is_named(tmp_path, monkeypatch):
    import distributed

    def refuse(address, **options):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ScenarioError, match=r"expected a scheduler at 'tcp://127\.0\.0\.1:1', found none"):
        sweep(TIMING, tmp_path, dask="tcp://127.0.0.1:1")


def test_dask_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ScenarioError, match=r"pip install 'twinclock\[dask\]'"):
        sweep(TIMING, tmp_path, dask="tcp://127.0.0.1:1")

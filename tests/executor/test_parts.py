"""The parts that need no processes: clocks, messages, fits, what a cluster's launcher says."""

import tomllib
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from executor.__main__ import place_in_cluster, tasks_of_node
from executor.agreement.clock import Offset, align, drift, measure_offset
from executor.agreement.meetings import Desk
from executor.calibration.calibrate import kept
from executor.running.waiting import Lane, Waiters
from executor.wire.frames import HEADER, Buffers, read, wire_tag, write
from schedules.driving.coordinator import Coordinator
from schedules.errors import ProgramError
from schedules.operations import Payload
from schedules.platform.tables import PlatformTable
from schedules.platform.toml import write_platform


def test_the_offset_of_the_shortest_ping_counts() -> None:
    times = iter([0, 100, 1000, 1010, 2000, 2500])
    answers = iter([5090, 6004, 7400])
    assert measure_offset(lambda: next(answers), 3, lambda: next(times)) == Offset(4999, 5, 1010)


@given(st.integers(-(10**12), 10**12), st.floats(-1e-4, 1e-4))
def test_alignment_takes_offset_and_drift_out(offset: int, rate: float) -> None:
    """A clock that is off by `offset` and goes faster by `rate` is put right between the two measurements."""
    before = Offset(offset, 0, 0)
    after = Offset(offset + round(rate * 10**10), 0, 10**10)
    assert drift(before, after) == pytest.approx(rate, abs=1e-9)
    times = np.array([0, 10**9, 9 * 10**9])
    expected = times + np.rint(rate * (times + 10**9)).astype(int)
    assert np.abs(align(times, before, after, 10**9) - expected).max() <= 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_a_message_carries_the_array_and_what_it_was_computed_from(dtype: torch.dtype) -> None:
    array = torch.arange(5).to(dtype)
    payload = Payload(array.nbytes + 3, array, version=4, step=2, read_ns=99)
    buffer = torch.zeros(HEADER + payload.size, dtype=torch.uint8)
    write(buffer, payload, issue_ns=1234, tag=-7)
    header, found = read(buffer, None)
    assert torch.equal(found.array, array)
    assert found.array.dtype == dtype
    assert (found.size, found.version, found.step, found.read_ns) == (payload.size, 4, 2, 99)
    assert (header.issue_ns, header.tag) == (1234, -7)


def test_an_array_larger_than_its_payload_says_is_refused() -> None:
    with pytest.raises(ProgramError, match="at most 7 bytes, as its size says, found 8"):
        write(torch.zeros(HEADER + 8, dtype=torch.uint8), Payload(7, torch.zeros(1, dtype=torch.float64)), 0, 0)


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40), st.integers(0, 2))
def test_wire_tags_fit_gloo_and_tell_kinds_tags_and_sizes_apart(tag: int, size: int, kind: int) -> None:
    mine = wire_tag(kind, tag, size)
    assert 0 <= mine < 2**31
    assert mine not in (wire_tag(kind, tag + 1, size), wire_tag(kind, tag, size + 8), wire_tag(kind + 1, tag, size))


def test_a_buffer_is_used_again_only_when_nobody_looks_at_it() -> None:
    buffers = Buffers()
    buffer = buffers.take(100)
    place = buffer.data_ptr()
    view = buffer[64:]
    buffers.give_back(buffer)
    del buffer
    assert buffers.take(100).data_ptr() != place
    del view
    assert buffers.take(100).data_ptr() == place


def test_a_lane_keeps_the_order_of_asking() -> None:
    import threading

    log: list[int] = []
    gate, over = threading.Event(), threading.Event()
    lane = Lane("test")
    lane.post(lambda: log.append(0), is_long=False)
    lane.post(lambda: (gate.wait(), log.append(1)), is_long=True)  # type: ignore[func-returns-value]
    lane.post(lambda: (log.append(2), over.set()), is_long=False)  # type: ignore[func-returns-value]
    assert log == [0]
    gate.set()
    assert over.wait(5)
    assert log == [0, 1, 2]


def test_as_many_waiters_as_calls_under_way() -> None:
    import threading

    waiters, barrier = Waiters(), threading.Barrier(4)
    for _ in range(3):
        waiters.submit(barrier.wait)  # type: ignore[arg-type]
    barrier.wait(5)


def test_what_torchrun_says() -> None:
    environment = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "node1", "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    place = place_in_cluster(environment)
    assert place is not None
    assert place[:6] == (3, 4, 1, 2, "node1", 29500)
    assert place.is_store_kept


def test_what_slurm_says() -> None:
    environment = {"SLURM_PROCID": "3", "SLURM_NTASKS": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    environment |= {"SLURM_TASKS_PER_NODE": "2(x2),1", "SLURM_JOB_ID": "7", "MASTER_ADDR": "node1"}
    place = place_in_cluster(environment)
    assert place is not None
    assert place[:6] == (3, 5, 1, 2, "node1", 20_007)
    assert [tasks_of_node("2(x2),1", node) for node in range(3)] == [2, 2, 1]
    assert place_in_cluster({}) is None


@pytest.mark.parametrize("way", [{"flops": 1e12, "cv": 0.2, "distribution": "gamma"}, {"samples": [0.1, 0.3]}])
def test_a_gradient_that_is_not_measured_is_written_in_seconds(tmp_path: Path, way: dict[str, Any]) -> None:
    """Without the device, and what is left out is not written."""
    gradient = {"distribution": "empirical", **way}
    device = {"flops": 1e13, "memory_bandwidth": 1e12}
    platform = PlatformTable.model_validate({"gradient": gradient, "device": device})
    file = write_platform({"gradient": kept(platform.gradient)}, tmp_path / "platform.toml")
    again = PlatformTable.model_validate(tomllib.loads(file.read_text())["platform"]).gradient
    told = ("distribution", "mean", "cv", "samples")
    assert [getattr(again, key) for key in told] == [getattr(platform.gradient, key) for key in told]


@pytest.mark.parametrize("told", ["127.0.0.1", "node0.cluster"])
def test_rank_0_is_asked_where_the_store_is_whatever_its_host_calls_itself(told: str) -> None:
    """Many hosts resolve their own name to the loopback, which is another machine's loopback to the others."""
    store = torch.distributed.HashStore()
    Desk(store, told, 1, Coordinator(1, 0))
    host, port, key = store.get("desk").decode().split()
    assert host == told
    with Client(("127.0.0.1", int(port)), authkey=bytes.fromhex(key)) as connection:
        connection.send(0)
        connection.send(None)
        assert connection.poll(10)
        assert isinstance(connection.recv(), int)

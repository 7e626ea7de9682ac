"""The desk in rank 0's process, asked over real connections."""

from multiprocessing.connection import Client

import pytest
import torch

from executor.agreement.desk import Desk
from schedules.driving.coordinator import Coordinator


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

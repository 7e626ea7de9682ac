"""The software of ranks: timelines worked out by hand from the draws of lateness. Gradients of 1 s, links of 1 MB/s."""

from typing import Any

import pytest

from schedules.operations import (
    AllReduce,
    Await,
    Cancel,
    Compute,
    Exchange,
    Meet,
    Payload,
    Program,
    Put,
    Start,
    Take,
    Until,
)
from schedules.platform.protocols.lateness import late_once
from simulator import simulate
from simulator.world import World
from tests.simulator.rig import run

S = 10**9
HOST = {"start": 1e-3, "waking": 2e-3, "handing": 3e-3, "meeting": 5e-3}


def late(mean: float, rank: int, number: int) -> int:
    return round(mean * 1e9 * late_once(rank, number))


def times(log: list[int], *operations: Any) -> Program:
    for operation in operations:
        _, time = yield operation
        log.append(round(time * S))


def test_draws_are_exponential_with_mean_1() -> None:
    drawn = [late_once(rank, number) for rank in range(10) for number in range(1000)]
    assert sum(drawn) / len(drawn) == pytest.approx(1, abs=0.03)
    assert sum(each > 2 for each in drawn) / len(drawn) == pytest.approx(0.1353, abs=0.01)
    assert len(set(drawn)) == len(drawn)


def test_a_kernel_is_taken_up_overslept_and_handed_over() -> None:
    logs: list[list[int]] = [[], []]
    kernel = Compute("gradient")
    world = run(lambda worker: {"compute": times(logs[worker.rank], kernel, kernel)}, platform__host=HOST)
    for rank, log in enumerate(logs):
        parts = [late(HOST[what], rank, number) for number, what in enumerate(("start", "waking", "handing") * 2, 1)]
        assert log == [S + sum(parts[:3]), 2 * S + sum(parts)]
        # Handing over is no computing, and neither is taking up.
        assert computed(world)[rank] == 2 * S + parts[1] + parts[4]


def computed(world: World) -> list[int]:
    return world.ledger.totals().compute_ns.tolist()


def test_a_kernel_behind_another_begins_at_once() -> None:
    """Its engine is free when the one before it has woken, and not when the program has heard of that."""
    log: list[int] = []

    def program() -> Program:
        handles = []
        for _ in range(2):
            handles.append((yield Start(Compute("gradient")))[0])
        _, time = yield Await(tuple(handles))
        log.append(round(time * S))

    run(lambda worker: {"compute": program()} if worker.rank == 0 else {}, platform__host={"waking": 2e-3})
    assert log == [2 * S + late(2e-3, 0, 1) + late(2e-3, 0, 2)]


def test_a_cancelled_kernel_counts_until_then() -> None:
    log: list[int] = []

    def program() -> Program:
        handle, _ = yield Start(Compute("gradient"))
        yield Until(0.5)
        yield Cancel(handle)
        _, time = yield Compute("gradient")
        log.append(round(time * S))

    world = run(lambda worker: {"compute": program()} if worker.rank == 0 else {}, platform__host={"start": 1e-3})
    assert log == [3 * S // 2 + late(1e-3, 0, 2)]
    assert computed(world)[0] == 3 * S // 2 - late(1e-3, 0, 1)


def test_what_is_put_is_passed_on_late_to_the_program_that_waits() -> None:
    log: list[int] = []

    def puts() -> Program:
        yield Until(0.5)
        yield Put("queue")

    def programs(worker: Any) -> dict[str, Program]:
        return {"puts": puts(), "takes": times(log, Take("queue"))} if worker.rank == 0 else {}

    run(programs, platform__host={"passing": 1e-3})
    assert log == [S // 2 + late(1e-3, 0, 1)]


def test_a_sleep_ends_late_and_a_meeting_is_told_late() -> None:
    logs: list[list[int]] = [[], []]
    run(
        lambda worker: {"gossip": times(logs[worker.rank], Until(0.5), Meet(worker.neighbours))},
        platform__host=HOST,
    )
    woken = [S // 2 + late(2e-3, rank, 1) for rank in range(2)]
    assert [log[0] for log in logs] == woken
    assert [log[1] for log in logs] == [max(woken) + late(5e-3, rank, 2) for rank in range(2)]


@pytest.mark.parametrize(("cores", "is_busy"), [(None, False), (2, True), (3, False)])
def test_threads_are_later_while_the_cores_are_busy_with_messages(cores: int | None, is_busy: bool) -> None:
    """Two ranks exchange for a second and wake in the middle of it."""
    log: list[int] = []

    def programs(worker: Any) -> dict[str, Program]:
        messages = {"gossip": times([], Exchange(1 - worker.rank, Payload(10**6), 0))} if worker.rank < 2 else {}
        return {**messages, "clock": times(log if worker.rank == 0 else [], Until(0.5))}

    host = {"waking": 1e-3, "busy": {"waking": 20e-3}} | ({"cores": cores} if cores else {})
    run(programs, platform__host=host)
    assert log == [S // 2 + late(1e-3, 0, 1) + (late(20e-3, 0, 2) if is_busy else 0)]


def test_messages_of_a_machine_share_what_its_cores_copy() -> None:
    """Two pairs with links of 1 MB/s, 4 flows of 1 MB, 2 MB/s for all: 2 s and the latency."""
    logs: list[list[int]] = [[] for _ in range(4)]
    run(
        lambda worker: {"gossip": times(logs[worker.rank], Exchange(worker.rank ^ 1, Payload(10**6), 0))},
        4,
        platform__host={"bandwidth": 2e6},
    )
    assert logs == [[2_001_000_000]] * 4


@pytest.mark.parametrize("transport", ["ideal", "gloo"])
def test_an_all_reduce_by_flows_takes_what_its_formula_says(transport: str) -> None:
    """Where its members share the machine, too."""
    took = {}
    for form in ("closed", "flows"):
        log: list[int] = []
        run(
            lambda worker, log=log: {"compute": times(log, AllReduce(Payload(4_000_000)))},
            4,
            platform__host={"bandwidth": 2e6, "handing": 1e-3},
            platform__collectives={"form": form, "all_reduce": "ring"},
            platform__transport=transport,
        )
        took[form] = max(log)
    assert took["flows"] == pytest.approx(took["closed"], rel=2e-3)
    assert took["closed"] > 12e9  # 6 MB a rank of 24, at 2 MB/s


@pytest.mark.parametrize("network", [None, {"kind": "gpu_nodes", "gpus_per_node": 2}])
def test_machines_are_the_nodes_of_a_network(network: dict[str, Any] | None) -> None:
    """Of four ranks two exchange: on one machine of two cores they keep both busy; on another node nobody notices."""
    logs: list[list[int]] = [[] for _ in range(4)]

    def programs(worker: Any) -> dict[str, Program]:
        messages = {"gossip": times([], Exchange(worker.rank ^ 1, Payload(10**12), 0))} if worker.rank < 2 else {}
        return {**messages, "clock": times(logs[worker.rank], Until(0.5))}

    host = {"cores": 2, "busy": {"waking": 0.01}}
    run(programs, 4, platform__host=host, **({"platform__network": network} if network else {}))
    is_late = [log[0] > S // 2 for log in logs]
    assert is_late == ([True] * 4 if network is None else [True, True, False, False])


def test_without_a_table_nothing_is_late() -> None:
    tables = {
        "schedule": {"program": "gossip", "gradients": 5},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {"gradient": {"mean": 0.01}},
        "workload": {"parameters": 1000},
    }
    plain, hosted = (simulate(tables, overrides=changes).summary for changes in ({}, {"platform.host": {}}))
    assert hosted["gradients_per_s"] == pytest.approx(plain["gradients_per_s"], rel=1e-9)

"""What the operations mean in simulated time: whole logs, exact times (gradient time 1 s, links of 1 MB/s and 1 ms)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from schedules.errors import DeadlockError, ProgramError
from schedules.operations import (
    Arrivals,
    Await,
    Barrier,
    Cancel,
    Compute,
    Exchange,
    Leave,
    Meet,
    Partner,
    Payload,
    Program,
    Put,
    Receive,
    Send,
    Start,
    Take,
    Until,
)
from schedules.payload import GRADIENT
from schedules.programs.gossip.pairwise import average
from schedules.record.ledger import Account
from schedules.record.trace import Recorder
from schedules.training.model import Model
from schedules.training.optimizers import sgd
from schedules.training.state import descend
from schedules.worker import Worker
from tests.schedules.models import model, state
from tests.simulator.rig import build, run

KB = Payload(1000)  # 1 ms on the wire, and 1 ms of latency


def test_compute_and_until_take_their_time() -> None:
    log: list[Any] = []

    def program(worker: Worker) -> Program:
        gradient, time = yield Compute("gradient")
        log.append((worker.rank, gradient.size, time))
        log.append((yield Until(1.5)))
        log.append((yield Until(0.5)))  # is over already

    run(lambda worker: {"compute": program(worker)} if worker.rank == 0 else {})
    assert log == [(0, 8000, 1.0), (None, 1.5), (None, 1.5)]


def test_an_exchange_waits_for_both_ends() -> None:
    log: list[Any] = []

    def program(worker: Worker) -> Program:
        yield Until(0.01 * worker.rank)
        theirs, time = yield Exchange(1 - worker.rank, Payload(1000, version=worker.rank), 7)
        log.append((worker.rank, theirs.version, time))

    world = run(lambda worker: {"gossip": program(worker)})
    assert log == [(0, 1, 0.012), (1, 0, 0.012)]
    assert world.ledger.totals().waiting_ns.tolist() == [10_000_000, 0]
    assert world.ledger.totals().transfer_ns.tolist() == [2_000_000, 2_000_000]


def test_messages_of_one_direction_go_one_behind_the_other() -> None:
    log: list[Any] = []

    def sender(worker: Worker) -> Program:
        for tag in range(3):
            yield Start(Send(1, KB, tag))

    def receiver(worker: Worker) -> Program:
        for tag in range(3):
            payload, time = yield Receive(0, 1000, tag)
            log.append((payload.size, time))

    run(lambda worker: {"main": (sender, receiver)[worker.rank](worker)})
    assert log == [(1000, 0.002), (1000, 0.004), (1000, 0.006)]


def test_streams_hand_over_through_a_bounded_queue() -> None:
    log: list[Any] = []

    def producer() -> Program:
        for item in "abc":
            _, time = yield Put("letters", item)
            log.append(("put", item, time))

    def consumer() -> Program:
        yield Until(1.0)
        for _ in range(3):
            item, time = yield Take("letters")
            log.append(("took", item, time))

    run(lambda worker: {"producer": producer(), "consumer": consumer()} if worker.rank == 0 else {})
    assert [entry for entry in log if entry[0] == "put"] == [("put", "a", 0.0), ("put", "b", 1.0), ("put", "c", 1.0)]
    assert [entry for entry in log if entry[0] == "took"] == [("took", letter, 1.0) for letter in "abc"]


@pytest.mark.parametrize(
    ("need", "deadline", "arrived", "time"),
    [("all", None, (0, 1, 2), 3.0), ("any", None, (0,), 1.0), (2, None, (0, 1), 2.0), ("all", 1.5, (0,), 1.5)],
)
def test_await_all_any_some_or_until_a_deadline(need: Any, deadline: Any, arrived: Any, time: float) -> None:
    log: list[Any] = []

    def program() -> Program:
        handles = []
        for engine in ("one", "two", "three"):
            handle, _ = yield Start(Compute("gradient", engine=engine))
            handles.append(handle)
        log.append((yield Await(tuple(handles), need, deadline)))
        yield Await(tuple(handles))

    kernels = iter([1.0, 2.0, 3.0])
    world = build(lambda worker: {"compute": program()} if worker.rank == 0 else {})
    world.computing.durations[0]["gradient"] = lambda: round(next(kernels) * 1e9)
    world.run()
    answer, at = log[0]
    assert isinstance(answer, Arrivals)
    assert answer.arrived == arrived
    assert [position for position, result in enumerate(answer.results) if result is not None] == list(arrived)
    assert at == time


def test_a_deadline_that_was_not_needed_does_not_end_a_later_wait_for_the_same_handles() -> None:
    log: list[Any] = []

    def program() -> Program:
        early, _ = yield Start(Until(1.0))
        late, _ = yield Start(Until(3.0))
        handles = (early, late)
        log.append((yield Await(handles, need="any", deadline=2.0)))
        log.append((yield Await(handles)))

    run(lambda worker: {"main": program()} if worker.rank == 0 else {})
    assert [(arrivals.arrived, time) for arrivals, time in log] == [((0,), 1.0), ((0, 1), 3.0)]


def test_kernels_of_one_engine_run_one_after_the_other() -> None:
    log: list[Any] = []

    def program() -> Program:
        first, _ = yield Start(Compute("gradient"))
        second, _ = yield Start(Compute("gradient"))
        log.append((yield Await((first,)))[1])
        log.append((yield Await((second,)))[1])

    world = run(lambda worker: {"compute": program()} if worker.rank == 0 else {})
    assert log == [1.0, 2.0]
    assert world.ledger.totals().compute_ns.tolist() == [2_000_000_000, 0]


def test_a_cancelled_computation_frees_its_engine() -> None:
    log: list[Any] = []

    def program() -> Program:
        first, _ = yield Start(Compute("gradient"))
        second, _ = yield Start(Compute("gradient"))
        yield Until(0.25)
        yield Cancel(first)
        log.append((yield Await((second,)))[1])

    world = run(lambda worker: {"compute": program()} if worker.rank == 0 else {})
    assert log == [1.25]
    assert world.ledger.totals().compute_ns.tolist() == [1_250_000_000, 0]


def test_what_is_cancelled_takes_nothing_from_a_queue_and_puts_nothing_in() -> None:
    log: list[Any] = []

    def program() -> Program:
        taking, _ = yield Start(Take("items"))
        yield Cancel(taking)
        yield Put("items", "first")  # there is room for one
        putting, _ = yield Start(Put("items", "second"))
        yield Cancel(putting)
        log.append((yield Take("items"))[0])
        yield Put("items", "third")
        log.append((yield Take("items"))[0])

    run(lambda worker: {"compute": program()} if worker.rank == 0 else {})
    assert log == ["first", "third"]


def test_a_computation_works_on_the_version_that_it_read() -> None:
    versions: list[int] = []

    def compute(worker: Worker) -> Program:
        gradient, _ = yield Compute("gradient")
        versions.append(gradient.version)
        worker.model.apply(descend, gradient)

    def gossip(worker: Worker) -> Program:
        yield Until(0.5)
        mine = worker.model.outgoing()
        theirs, _ = yield Exchange(1 - worker.rank, mine)
        worker.model.apply(average, mine, theirs)

    world = run(lambda worker: {"compute": compute(worker), "gossip": gossip(worker)})
    assert versions == [0, 0]
    assert world.ledger.contributions.applied().versions.tolist() == [1, 1]  # one averaging came between


def test_meeting_is_first_come_first_paired() -> None:
    log: list[Any] = []

    def program(worker: Worker) -> Program:
        yield Until((0.1, 0.3, 0.2)[worker.rank])
        partner, time = yield Meet(worker.neighbours)
        log.append((worker.rank, partner, time))
        yield Leave()

    run(lambda worker: {"gossip": program(worker)}, workers=3)
    assert sorted(log) == [(0, Partner(2, 0), 0.2), (1, None, 0.3), (2, Partner(0, 0), 0.2)]


def test_a_barrier_ends_for_everybody_at_once() -> None:
    times: list[float] = []

    def program(worker: Worker) -> Program:
        yield Until(float(worker.rank))
        _, time = yield Barrier()
        times.append(time)

    run(lambda worker: {"compute": program(worker)}, workers=4)
    assert times == [3.002] * 4  # two rounds of 1 ms


def test_a_stuck_run_shows_the_whole_board() -> None:
    def program(worker: Worker) -> Program:
        yield Until(0.5)
        yield Exchange(1 - worker.rank, KB, 9 + worker.rank)

    with pytest.raises(DeadlockError) as caught:
        run(lambda worker: {"gossip": program(worker)})
    lines = str(caught.value).splitlines()
    assert lines[0] == "DeadlockError at 500.000 ms: no worker can move."
    assert lines[1] == (
        "  rank 0  gossip  #1  Exchange(<->1 #9 1 kB)  waiting 0.000 ms"
        "   <- tags differ: the two programs disagree on order"
    )
    assert "rank 1  gossip  #1  Exchange(<->0 #10 1 kB)" in lines[2]


def test_a_board_tells_who_waits_for_others_sake_alone() -> None:
    def program(worker: Worker) -> Program:
        if worker.rank == 0:
            yield Leave()
            yield Meet(worker.neighbours)
        yield Receive(0, 8)

    with pytest.raises(DeadlockError) as caught:
        run(lambda worker: {"gossip": program(worker)})
    lines = str(caught.value).splitlines()
    assert lines[1] == (
        "  rank 0  gossip  #1  Meet(1)  waiting 0.000 ms"
        "   <- it has left: it needs nobody, and meets those that have not left"
    )
    assert lines[2].endswith("waiting 0.000 ms")


def test_another_thing_than_an_operation_is_quoted() -> None:
    def program() -> Program:
        yield 3.14  # type: ignore[misc]

    with pytest.raises(ProgramError) as caught:
        run(lambda worker: {"compute": program()})
    message = str(caught.value)
    assert "test_world.py" in message
    assert "yield 3.14" in message
    assert "rank 0, stream compute" in message
    assert "found 3.14 (float)" in message


def test_sizes_must_agree() -> None:
    def program(worker: Worker) -> Program:
        yield Exchange(1 - worker.rank, Payload(10 + worker.rank))

    with pytest.raises(ProgramError, match=r"expected equal sizes, found 1[01] and 1[01] bytes"):
        run(lambda worker: {"gossip": program(worker)})


def test_a_payload_is_what_was_handed_over_when_it_was_issued() -> None:
    """A gradient that lands during an exchange is not lost, and pair sums are kept."""
    models: dict[int, Model] = {}

    def compute(worker: Worker) -> Program:
        yield Until(0.5)
        if worker.rank == 0:
            models[0].apply(descend, Payload(8, np.array([1.0]), 0, 0, 0, GRADIENT))

    def gossip(worker: Worker) -> Program:
        yield Until(0.4999)
        found = models[worker.rank]
        mine = found.outgoing()
        theirs, _ = yield Exchange(1 - worker.rank, mine)
        found.apply(average, mine, theirs)

    def programs(worker: Worker) -> Mapping[str, Program]:
        account = Account(worker.rank, worker.account.ledger)
        models[worker.rank] = model(np.array([float(worker.rank)]), sgd(0.1), account=account)
        return {"compute": compute(worker), "gossip": gossip(worker)}

    run(programs)
    assert state(models[0]).x + state(models[1]).x == pytest.approx(1.0 - 0.1)
    assert state(models[1]).x == 0.5


def test_rows_are_in_the_order_of_resuming_and_numbered_by_stream() -> None:
    def program(worker: Worker) -> Program:
        gradient, _ = yield Compute("gradient")
        worker.model.apply(descend, gradient)
        handle, _ = yield Start(Exchange(1 - worker.rank, KB, 3))
        yield Await((handle,))

    world = run(lambda worker: {"compute": program(worker)}, recorder=Recorder())
    assert world.recorder is not None
    table = world.recorder.table(run="test", world="simulated")
    mine = table[table["rank"] == 0]
    assert mine[["stream", "index", "op"]].to_numpy().tolist() == [
        ["compute", 0, "Compute"],
        ["compute", 1, "Start"],
        ["compute+1", 0, "Exchange"],
        ["compute", 2, "Await"],
    ]
    compute, _, exchange, waited = mine.to_dict("records")
    assert (compute["version_read"], compute["version_written"], compute["applied"]) == (0, 1, "gradient")
    assert (exchange["start_ns"], exchange["ready_ns"], exchange["end_ns"]) == (10**9, 10**9, 10**9 + 2_000_000)
    assert (exchange["peer"], exchange["tag"], exchange["bytes"]) == (1, 3, 1000)
    assert waited["answer"] == "0"


def test_processes_of_simpy_run_beside_the_programs() -> None:
    log: list[Any] = []

    def program() -> Program:
        yield Until(1.0)
        log.append("program")
        yield Until(3.0)
        log.append("program")

    def process(env: Any) -> Any:
        for _ in range(3):
            yield env.timeout(700_000_000)
            log.append(f"process {env.now / 1e9}")

    world = build(lambda worker: {"compute": program()} if worker.rank == 0 else {})
    world.events.environment.process(process(world.events.environment))
    world.run()
    assert log == ["process 0.7", "program", "process 1.4", "process 2.1", "program"]


def test_what_fails_in_simpy_ends_the_run() -> None:
    def process(env: Any) -> Any:
        yield env.timeout(5)
        raise ValueError("a mistake")

    world = build(lambda worker: {})
    world.events.environment.process(process(world.events.environment))
    with pytest.raises(ValueError, match="a mistake"):
        world.run()

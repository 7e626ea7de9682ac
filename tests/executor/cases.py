"""Programs that try one thing each. What they find out they assert themselves: a failure is told by its rank."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Barrier,
    Broadcast,
    Cancel,
    Compute,
    Exchange,
    Join,
    Leave,
    Meet,
    Payload,
    Program,
    Put,
    Receive,
    ReduceScatter,
    Send,
    Start,
    Take,
    Until,
)
from schedules.scenario import Count, Table
from schedules.training.state import descend
from schedules.worker import Worker

SOURCE = "tests"

GRADIENT = Compute("gradient")


class Settings(Table):
    case: str
    gradients: Count = 1
    size: Count = 800


Streams = Mapping[str, Program]
CASES: dict[str, Callable[[Worker], Streams]] = {}


def streams(worker: Worker) -> Streams:
    return CASES[worker.settings.case](worker)


def case(program: Callable[[Worker], Any]) -> Callable[[Worker], Any]:
    """A case of one stream a worker, `main`; or of several, where the function returns a mapping."""

    def made(worker: Worker) -> Streams:
        found = program(worker)
        return found if isinstance(found, Mapping) else {"main": found}

    CASES[program.__name__] = made
    return program


def numbers(*values: float) -> Payload:
    array = torch.tensor(values, dtype=torch.float64)
    return Payload(array.nbytes, array, version=7, step=3, read_ns=11)


# ---- point to point


@case
def exchange_values(worker: Worker) -> Program:
    peer = worker.rank ^ 1
    theirs, _ = yield Exchange(peer, numbers(worker.rank, 10.0), tag=5)
    assert theirs.array.tolist() == [peer, 10.0]
    assert (theirs.version, theirs.step, theirs.read_ns, theirs.size) == (7, 3, 11, 16)


@case
def exchange_large(worker: Worker) -> Program:
    """Several at once, too large to be posted on the loop; buffers are used again."""
    peer = worker.rank ^ 1
    kept = []
    for turn in range(4):
        payloads = [
            torch.full((100_000,), float(worker.rank + 10 * tag + turn), dtype=torch.float32) for tag in range(3)
        ]
        handles = []
        for tag, array in enumerate(payloads):
            handle, _ = yield Start(Exchange(peer, Payload(array.nbytes, array), tag))
            handles.append(handle)
        arrivals, _ = yield Await(tuple(handles))
        kept.append((turn, arrivals.results))
    for turn, results in kept:
        for tag, theirs in enumerate(results):
            assert torch.equal(theirs.array, torch.full((100_000,), float(peer + 10 * tag + turn)))


@case
def tags_in_any_order(worker: Worker) -> Program:
    """An early receive holds nothing up, and messages find the receive of their tag."""
    if worker.rank == 0:
        early, _ = yield Start(Receive(1, 8, tag=1))
        yield Send(1, numbers(0.5), tag=3)
        second, _ = yield Receive(1, 8, tag=2)
        arrivals, _ = yield Await((early,))
        assert (arrivals.results[0].array.item(), second.array.item()) == (1.0, 2.0)
    elif worker.rank == 1:
        first, _ = yield Receive(0, 8, tag=3)
        assert first.array.item() == 0.5
        yield Send(0, numbers(2.0), tag=2)
        result, _ = yield Send(0, numbers(1.0), tag=1)
        assert result is None


@case
def same_tag_in_order(worker: Worker) -> Program:
    """Messages of one tag arrive in the order of sending."""
    if worker.rank > 1:
        return
    handles = []
    for turn in range(5):
        operation = Send(1, numbers(turn)) if worker.rank == 0 else Receive(0, 8)
        handle, _ = yield Start(operation)
        handles.append(handle)
    arrivals, _ = yield Await(tuple(handles))
    if worker.rank == 1:
        assert [each.array.item() for each in arrivals.results] == [0, 1, 2, 3, 4]


@case
def timing_only(worker: Worker) -> Program:
    theirs, _ = yield Exchange(worker.rank ^ 1, worker.model.outgoing())
    assert theirs.array is None
    assert theirs.size == worker.model.size


@case
def snapshot_at_issue(worker: Worker) -> Program:
    """A gradient lands while an exchange is under way: both ends still average what was sent."""
    mine = numbers(worker.rank)
    if worker.rank == 0:
        yield Until(4.0)
    handle, _ = yield Start(Exchange(worker.rank ^ 1, mine))
    x = mine.array + 100.0
    arrivals, _ = yield Await((handle,))
    x = x - 0.5 * (mine.array - arrivals.results[0].array)
    assert x.item() == 100.5 + 2 * (worker.rank // 2)


@case
def lonely_receive(worker: Worker) -> Program:
    """What is started and never matched does not keep a run from ending."""
    yield Start(Receive(worker.rank ^ 1, 8, tag=99))
    yield Barrier()


# ---- overlap


@case
def await_any_and_deadline(worker: Worker) -> Program:
    never, _ = yield Start(Take("nothing"))
    quick, _ = yield Start(GRADIENT)
    arrivals, _ = yield Await((never, quick), need="any")
    assert arrivals.arrived == (1,)
    assert arrivals.results[0] is None
    arrivals, time = yield Await((never,), deadline=6.0)
    assert arrivals.arrived == ()
    assert time >= 6.0
    yield Cancel(never)


@case
def await_k_of_n(worker: Worker) -> Program:
    """Two of three: the third comes from a rank that waits for the outcome."""
    if worker.rank == 0:
        handles = []
        for peer in (1, 2, 3):
            handle, _ = yield Start(Receive(peer, 8))
            handles.append(handle)
        arrivals, _ = yield Await(tuple(handles), need=2)
        assert arrivals.arrived == (0, 1)
        yield Send(3, numbers(0.0), tag=1)
        arrivals, _ = yield Await(tuple(handles))
        assert [each.array.item() for each in arrivals.results] == [1.0, 2.0, 3.0]
    else:
        if worker.rank == 3:
            yield Receive(0, 8, tag=1)
        yield Send(0, numbers(worker.rank))


@case
def cancel_frees_the_engine(worker: Worker) -> Program:
    long, _ = yield Start(Compute("long"))
    queued, _ = yield Start(Compute("long"))
    yield Until(1.0)
    yield Cancel(long)
    yield Cancel(queued)
    _, time = yield GRADIENT
    assert time < 100.0


@case
def engines_in_order(worker: Worker) -> Program:
    """One engine runs one kernel after the other, another one beside it."""
    first, _ = yield Start(GRADIENT)
    second, _ = yield Start(GRADIENT)
    beside, _ = yield Start(Compute("gradient", engine="other"))
    yield Await((first, second, beside))
    times = [(each.running.ready_ns, each.running.end_ns) for each in (first, second, beside)]
    assert times[1][0] >= times[0][1]
    assert times[2][0] < times[0][1]


# ---- between streams


@case
def bounded_queue(worker: Worker) -> Streams:
    log: list[str] = []

    def producer() -> Program:
        for item in range(3):
            yield Put("items", item)
            log.append(f"put {item}")
        yield Put("done")

    def consumer() -> Program:
        yield Until(2.0)
        for expected in range(3):
            item, _ = yield Take("items")
            assert item == expected
            log.append(f"took {item}")
        yield Take("done")
        assert log[:2] == ["put 0", "took 0"], log

    return {"producer": producer(), "consumer": consumer()}


@case
def atomic_segments(worker: Worker) -> Streams:
    """What stands between two yields is never interrupted by another stream."""
    inside: list[str] = []

    def stream(name: str, operation: Any) -> Program:
        for tag in range(20):
            yield operation(tag)
            assert not inside, inside
            inside.append(name)
            sum(range(20_000))
            inside.remove(name)

    peer = worker.rank ^ 1
    return {
        "compute": stream("compute", lambda tag: Compute("short")),
        "gossip": stream("gossip", lambda tag: Exchange(peer, worker.model.outgoing(), tag)),
    }


# ---- pairing


@case
def meet_and_leave(worker: Worker) -> Program:
    met = 0
    while met < 5:
        partner, _ = yield Meet(worker.neighbours)
        if partner is None:
            break
        low, high = sorted((worker.rank, partner.peer))
        theirs, _ = yield Exchange(partner.peer, numbers(worker.rank), tag=partner.meeting)
        assert theirs.array.item() == partner.peer, (low, high)
        met += 1
    yield Leave()
    yield Join()
    yield Leave()


# ---- collectives


@case
def collectives(worker: Worker) -> Program:
    rank, n = worker.rank, worker.num_workers
    mine = numbers(*(float(rank * 10 + part) for part in range(n)))
    stack = torch.tensor([[float(each * 10 + part) for part in range(n)] for each in range(n)], dtype=torch.float64)
    expected = {"mean": stack.mean(0), "sum": stack.sum(0), "max": stack.max(0).values}
    for reduction, answer in expected.items():
        result, _ = yield AllReduce(mine, reduction)
        assert torch.allclose(result.array, answer)
        result, _ = yield ReduceScatter(mine, reduction)
        assert torch.allclose(result.array, answer[rank : rank + 1])
        assert result.size == mine.size // n
    result, _ = yield AllGather(mine)
    assert torch.equal(result.array, stack.flatten())
    result, _ = yield AllToAll(mine)
    assert torch.equal(result.array, stack[:, rank])
    result, _ = yield Broadcast(mine, root=2)
    assert torch.equal(result.array, stack[2])
    result, _ = yield AllReduce(Payload(12), "mean")
    assert result.array is None
    assert mine.array[0] == rank * 10
    result, _ = yield Barrier()
    assert result is None


@case
def groups(worker: Worker) -> Program:
    group = (0, 2) if worker.rank % 2 == 0 else (1, 3)
    result, _ = yield AllReduce(numbers(worker.rank), "sum", group=group)
    assert result.array.item() == sum(group)
    result, _ = yield Broadcast(numbers(worker.rank), root=group[1], group=group)
    assert result.array.item() == group[1]
    result, _ = yield AllReduce(numbers(worker.rank), "sum", group=(worker.rank,))
    assert result.array.item() == worker.rank


@case
def collectives_of_two_channels(worker: Worker) -> Streams:
    """The channels' collectives are issued in another order on every rank; they do not mix."""

    def stream(channel: str, offset: float, delay: float) -> Program:
        for turn in range(5):
            yield Until(turn + delay)
            result, _ = yield AllReduce(numbers(worker.rank + offset), "sum", channel=channel)
            assert result.array.item() == 6 + 4 * offset

    return {"one": stream("first", 0.0, worker.rank / 4), "two": stream("second", 100.0, 1 - worker.rank / 4)}


# ---- mistakes, deaths


@case
def yields_a_string(worker: Worker) -> Program:
    yield Barrier()
    if worker.rank == 2:
        yield "exchange, please"  # type: ignore[misc]
    yield Barrier()


@case
def raises(worker: Worker) -> Program:
    yield Barrier()
    if worker.rank == 1:
        raise ZeroDivisionError("one rank is wrong")
    yield Barrier()


@case
def tags_differ(worker: Worker) -> Program:
    if worker.rank < 2:
        yield Exchange(worker.rank ^ 1, worker.model.outgoing(), tag=worker.rank)
    yield Barrier()


@case
def sizes_differ(worker: Worker) -> Program:
    if worker.rank < 2:
        yield Exchange(worker.rank ^ 1, Payload(800 + 8 * worker.rank))


@case
def awaits_in_vain(worker: Worker) -> Program:
    if worker.rank == 3:
        handle, _ = yield Start(Receive(0, 64, tag=4))
        yield Await((handle,))


@case
def stuck_after_a_cancelled_sleep(worker: Worker) -> Program:
    asleep, _ = yield Start(Until(800.0))
    yield Until(2.0)
    yield Cancel(asleep)
    yield Receive(worker.rank ^ 1, 8)


@case
def stuck_after_a_deadline_that_was_not_needed(worker: Worker) -> Program:
    quick, _ = yield Start(GRADIENT)
    yield Await((quick,), deadline=800.0)
    yield Receive(worker.rank ^ 1, 8)


@case
def dies(worker: Worker) -> Program:
    yield GRADIENT
    yield Compute("gradient")
    if worker.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield Exchange(worker.rank ^ 1, worker.model.outgoing())
    yield Barrier()


@case
def dies_while_it_waits_to_be_paired(worker: Worker) -> Program:
    """The others ask so many gradient times later, when its connection is lost or about to be."""
    peers = worker.neighbours
    if worker.rank == 1:
        yield Start(Meet(peers))
        yield Until(20.0)
        os.kill(os.getpid(), signal.SIGKILL)
    yield Until(20.0 + worker.settings.gradients)
    while True:
        partner, _ = yield Meet(peers)
        assert partner is not None
        yield Exchange(partner.peer, worker.model.outgoing(), tag=partner.meeting)


@case
def stops(worker: Worker) -> Program:
    yield Barrier()
    if worker.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    yield Barrier()


@case
def stops_while_others_compute(worker: Worker) -> Program:
    yield Barrier()
    yield GRADIENT
    if worker.rank == 1:
        print(f"stopped at {time.monotonic()}", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    yield from endless(worker)


@case
def computes_while_another_waits(worker: Worker) -> Program:
    if worker.rank == 0:
        yield Receive(1, 8)
    elif worker.rank == 1:
        for _ in range(worker.settings.gradients):
            yield GRADIENT
        yield Send(0, numbers(1))
    yield Barrier()


@case
def receives_early_from_afar(worker: Worker) -> Program:
    """In a ring of four 2 is no neighbour of 0, and comes late; the others finish meanwhile."""
    if worker.rank == 0:
        handle, _ = yield Start(Receive(2, 8))
        for _ in range(worker.settings.gradients):
            yield GRADIENT
        arrivals, _ = yield Await((handle,))
        assert arrivals.results[0].array.item() == 2
    elif worker.rank == 2:
        for _ in range(worker.settings.gradients):
            yield GRADIENT
        yield Send(0, numbers(2))


@case
def endless(worker: Worker) -> Program:
    while True:
        yield GRADIENT


@case
def gradients(worker: Worker) -> Program:
    for _ in range(worker.settings.gradients):
        gradient, _ = yield GRADIENT
        worker.model.apply(descend, gradient)


@case
def far_peers(worker: Worker) -> Program:
    """Ranks that share no edge of the graph may talk, too."""
    peer = (worker.rank + 2) % 4
    theirs, _ = yield Exchange(peer, numbers(worker.rank))
    assert theirs.array.item() == peer

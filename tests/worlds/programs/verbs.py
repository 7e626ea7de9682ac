"""One row of the table of facts and verbs (docs/vocabulary.md) a case: the program compares, in either world.

Rank 0 does all; it has made three gradient steps when a case begins, and an update of theta: versions 4 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedules import Array, Barrier, Compute, Count, Payload, Program, Put, State, Table, Take, Until, Worker, descend

SOURCE = "a test of counting"


class Settings(Table):
    gradients: Count = 3
    case: str


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _all(worker)} if worker.rank == 0 else {}


def _all(worker: Worker) -> Program:
    model = worker.model
    for _ in range(3):
        gradient, _ = yield Compute("gradient")
        model.apply(descend, gradient)
    model.apply(nothing, model.payload(half, to="theta"))
    _, time = yield Until(20.0)  # in gradient times
    yield from CASES[worker.settings.case](worker, time)


def nothing(s: State, *arguments: object) -> None:
    """It changes nothing."""


def half(s: State) -> Array:
    return s.x / 2


def facts(payload: Payload) -> tuple[Any, ...]:
    return payload.kind, payload.target, payload.version, payload.step, payload.gradients, payload.number


def is_now(worker: Worker, payload: Payload) -> bool:
    """Whether it was read just now, on the world's clock."""
    return payload.read_ns == worker.account.ledger.now > 0


def kernel(name: str, expected: tuple[Any, ...]) -> Callable[[Worker, float], Program]:
    def program(worker: Worker, time: float) -> Program:
        inputs = None
        issued = worker.account.ledger.now
        if name == "backward":
            forward, _ = yield Compute("forward")
            issued, inputs = worker.account.ledger.now, (forward, 0, worker.model.size)
        answer, _ = yield Compute(name, inputs=inputs)
        assert facts(answer) == expected, facts(answer)
        # The segment's time is when it began; in real time the issue is a little later.
        assert issued <= answer.read_ns < worker.account.ledger.now

    return program


def at_another(worker: Worker, time: float) -> Program:
    """Read where that was read: its target, version, step and time; the kind is the kernel's."""
    model = worker.model
    other = model.payload(half, to="theta", gradients=7)
    model.apply(nothing, other)
    yield Until(time + 1)
    answer, _ = yield Compute("gradient", at=other)
    assert facts(answer) == ("gradient", "theta", 1, 3, 1, 0), facts(answer)
    assert answer.read_ns == other.read_ns


def half_on_an_engine(worker: Worker, time: float) -> Program:
    """A rule on an engine: it reads the state at issue, and what it returns is what the kernel's row says."""
    issued, size = worker.account.ledger.now, worker.model.size
    answer, _ = yield Compute("gradient", work=half, size=size)
    assert facts(answer) == ("gradient", "x", 4, 3, 1, 0), facts(answer)
    assert issued <= answer.read_ns < worker.account.ledger.now
    assert answer.size == size


def outgoing(worker: Worker, time: float) -> Program:
    made = worker.model.outgoing()
    assert facts(made) == ("average", "x", 4, 3, 0, 0)
    assert is_now(worker, made)
    yield Barrier((0,))


def payload(worker: Worker, time: float) -> Program:
    model = worker.model
    made = model.payload(half)
    assert facts(made) == ("change", "x", 4, 3, 0, 0)
    assert is_now(worker, made)
    assert facts(model.payload(half, to="theta")) == ("change", "theta", 1, 3, 0, 0)
    made = model.payload(half, to="new", kind="gradient", gradients=5, number=-3)
    assert facts(made) == ("gradient", "new", 0, 3, 5, -3)
    yield Barrier((0,))


def payload_of(worker: Worker, time: float) -> Program:
    model = worker.model
    gradient, _ = yield Compute("gradient")
    model.apply(nothing, model.payload(half, to="theta"))
    made = model.payload(half, of=gradient)
    assert facts(made) == ("gradient", "x", 4, 3, 1, 0)
    assert made.read_ns == gradient.read_ns
    made = model.payload(half, of=gradient, kind="change", gradients=0, number=2)
    assert facts(made) == ("change", "x", 4, 3, 0, 2)


def rest(worker: Worker, time: float) -> Program:
    made = worker.model.payload(half, to="theta", kind="gradient", gradients=5, number=9)
    assert facts(made.rest()) == facts(made)
    assert (made.rest().array, made.rest().read_ns, made.rest().size) == (None, made.read_ns, made.size)
    yield Barrier((0,))


def no_facts(worker: Worker, time: float) -> Program:
    assert (yield Until(time + 1))[0] is None
    assert (yield Barrier((0,)))[0] is None
    item = worker.model.outgoing()
    assert (yield Put("items", item))[0] is None
    assert (yield Take("items"))[0] is item


def change(worker: Worker, time: float) -> Program:
    model, entered = worker.model, len(worker.account.ledger.contributions)
    model.change(nothing, model.outgoing())
    assert (model.version, model.version_of("theta"), model.steps) == (4, 1, 3)
    model.change(nothing, version=9)
    assert (model.version, model.version_of("theta"), model.steps) == (9, 1, 3)
    assert len(worker.account.ledger.contributions) == entered
    yield Barrier((0,))


def apply(worker: Worker, time: float) -> Program:
    """The target's version and x's advance by one each, steps with gradients; staleness is counted from its read."""
    model, made = worker.model, worker.account.ledger.contributions
    gradient, _ = yield Compute("gradient")
    old = model.payload(half, to="theta", gradients=2)
    model.apply(nothing, model.payload(half, to="theta"))
    assert (model.version, model.version_of("theta"), model.steps) == (5, 2, 3)
    model.apply(nothing, gradient)
    assert (model.version, model.version_of("theta"), model.steps) == (6, 2, 4)
    model.apply(nothing, old)
    assert (model.version, model.version_of("theta"), model.steps) == (7, 3, 4)
    model.apply(nothing, model.outgoing(), old)
    assert (model.version, model.version_of("theta"), model.steps) == (8, 3, 4)
    entered = made.applied(len(made) - 2)
    assert entered.versions.tolist() == [1, 1]
    assert entered.steps.tolist() == [0, 1]
    assert entered.gradients.tolist() == [1, 2]
    assert entered.age_ns.tolist() == [worker.account.ledger.now - each.read_ns for each in (gradient, old)]
    assert made.all_tallies()["average", "x", 0].count == 1


def apply_several(worker: Worker, time: float) -> Program:
    model, made = worker.model, worker.account.ledger.contributions
    first, _ = yield Compute("gradient")
    model.apply(nothing, model.outgoing())
    second, _ = yield Compute("gradient")
    before = len(made)
    model.apply(nothing, (first, second))
    assert (model.version, model.steps, len(made)) == (6, 4, before + 2)
    assert made.applied(before).versions.tolist() == [1, 0]


def payloads_count_nothing(worker: Worker, time: float) -> Program:
    model, entered = worker.model, len(worker.account.ledger.contributions)
    model.outgoing()
    model.payload(half, to="theta", gradients=8)
    assert (model.version, model.version_of("theta"), model.steps) == (4, 1, 3)
    assert len(worker.account.ledger.contributions) == entered
    yield Barrier((0,))


CASES: Mapping[str, Callable[[Worker, float], Program]] = {
    "Compute(gradient)": kernel("gradient", ("gradient", "x", 4, 3, 1, 0)),
    "Compute(forward)": kernel("forward", ("gradient", "x", 4, 3, 1, 0)),
    "Compute(backward)": kernel("backward", ("change", "x", 4, 3, 0, 0)),
    "Compute(at=)": at_another,
    "Compute(work=)": half_on_an_engine,
    "outgoing": outgoing,
    "payload": payload,
    "payload(of=)": payload_of,
    "rest": rest,
    "Until, Barrier, Put, Take": no_facts,
    "change": change,
    "apply": apply,
    "apply of several": apply_several,
    "payload counts nothing": payloads_count_nothing,
}

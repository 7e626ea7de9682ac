"""A program's mistake is told alike in both worlds, by the program's own line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schedules.errors import ProgramError
from tests.worlds.conftest import World

HERE = Path(__file__).parent
TIMING = {"run.numerics": False}


@pytest.mark.parametrize("numbers", [{}, TIMING], ids=["numeric", "timing"])
def test_an_unknown_kernel_is_a_mistake_of_the_program(numbers: dict[str, Any], world: World) -> None:
    case = {"schedule.program": str(HERE / "programs" / "kernels.py"), **numbers}
    expected = r"kernels\.py:\d+: yield Compute\(worker\.settings\.kernel\): expected one of the kernels .*gradient.*; "
    with pytest.raises(ProgramError, match=expected + "found 'gradeint'"):
        world({**case, "schedule.kernel": "gradeint"})
    world({**case, "schedule.kernel": "gradient"})


def test_both_worlds_name_the_same_kernels(simulated: World, measured: World) -> None:
    case = {"schedule.program": str(HERE / "programs" / "kernels.py"), "schedule.kernel": "nothing"}
    for numbers in ({}, TIMING):
        told = []
        for world in (simulated, measured):
            with pytest.raises(ProgramError) as error:
                world({**case, **numbers})
            told.append(re.sub(r"^rank \d+: ", "", str(error.value)))  # a measured run says which rank it was
        assert told[0] == told[1]


PAYLOADS = {"schedule.program": str(HERE / "programs" / "payloads.py")}
CARRYING = ("exchange", "send", "all-reduce", "reduce-scatter", "all-gather", "all-to-all", "broadcast")


@pytest.mark.parametrize("case", [*CARRYING, "exchange started", "all-reduce started"])
def test_an_array_of_other_bytes_than_its_payload_says_is_refused(case: str, world: World) -> None:
    expected = r"payloads\.py:\d+: .*\n.*: expected an array of 64 bytes, as its payload says, found 32"
    with pytest.raises(ProgramError, match=expected):
        world({**PAYLOADS, "schedule.case": case})


@pytest.mark.parametrize("case", ["mean", "mean-parts", "mean started"])
def test_integers_have_no_mean(case: str, world: World) -> None:
    with pytest.raises(ProgramError, match=r"expected floating-point numbers for a mean, found .*int64"):
        world({**PAYLOADS, "schedule.case": case})


@pytest.mark.parametrize("case", ["sum", "complex mean"])
def test_integers_have_a_sum_and_complex_numbers_a_mean(case: str, world: World) -> None:
    """The program compares."""
    world({**PAYLOADS, "schedule.case": case})


def test_a_broadcast_has_a_root_that_takes_part(world: World) -> None:
    with pytest.raises(ProgramError, match=r"expected a root among \[0, 1, 2, 3\], found 99"):
        world({**PAYLOADS, "schedule.case": "root"})


def test_numbers_that_a_backend_does_not_know_are_no_lost_connection(measured: World) -> None:
    with pytest.raises(ProgramError, match=r"expected numbers that collectives carry, found torch\.int16"):
        measured({**PAYLOADS, "schedule.case": "small integers"})


MISUSES = {
    "subtract": r"rule subtract: expected s\.x to be replaced, found it written in place",
    "set an item": r"rule set_an_item: expected s\.momentum to be replaced, found it written in place",
    "argument": "rule write_to_the_argument: expected argument 1 to be replaced, found it written in place",
    "part": "rule write_to_a_part: expected argument 1 to be replaced, found it written in place",
    "of a collective": "rule write_to_the_argument: expected argument 1 to be replaced, found it written in place",
    "unknown": r"s\.momentun: expected one of x, momentum, .*found 'momentun' \(did you mean momentum",
    "new": r"s\.velocity: expected one of x, momentum, .*found 'velocity'",
    "shape": r"s\.x: expected an array \(20,\) of (torch\.)?float64, found \(19,\) of (torch\.)?float64",
    "yields": "rule program: expected a plain function, found one that yields",
    "worker": "rule nothing: expected numbers, payloads and slices as arguments, found a worker",
    "size": "expected an array of 8 bytes, as its payload says, found 160",
}
"""Of rules: they are run in numeric runs alone."""
ALWAYS = {
    "no version": "expected a contribution that says which version it was read from, found Payload",
    "mixed": "expected contributions of one kind to one target, found average to x, gradient to x",
    "left": r"model\.step has left: expected model\.apply\(descend, gradient\)",
}


@pytest.mark.parametrize("case", [*MISUSES, *ALWAYS])
def test_a_misuse_is_told_by_its_line(case: str, world: World) -> None:
    """That of the rule where it is seen there, or of the call."""
    told = {**MISUSES, **ALWAYS}[case]
    with pytest.raises(ProgramError, match=rf"misused\.py:\d+: .*  # {case}\n  rank \d, stream compute: {told}"):
        world({"schedule.program": str(HERE / "programs" / "misused.py"), "schedule.case": case})


@pytest.mark.parametrize("case", ALWAYS)
def test_what_is_no_rule_s_is_told_without_numbers_too(case: str, world: World) -> None:
    with pytest.raises(ProgramError, match=rf"misused\.py:\d+: .*  # {case}\n.*{ALWAYS[case]}"):
        world({"schedule.program": str(HERE / "programs" / "misused.py"), "schedule.case": case, **TIMING})


WRONG = {
    "Compute(None)": "Compute: kernel: expected a name, found None",
    "Compute('gradient', 'a')": "Compute: stage: expected a whole number, found 'a'",
    "Compute('gradient', -1, 1.5)": "Compute: micro_batch: expected a whole number, found 1.5",
    "Compute('gradient', engine=3)": "Compute: engine: expected a name, found 3",
    "Compute('gradient', at=3)": "Compute: at: expected a payload, or None, found 3",
    "Compute('gradient', at=Payload(8))": "Compute: at: expected an array (20,), found None",
    "Compute('gradient', data=3)": "Compute: data: expected a batch, (rank, number), or None, found 3",
    "Compute('gradient', data=(1, -1))": "Compute: data: expected a batch, (rank, number), or None, found (1, -1)",
    "Compute('gradient', data=(9, 1))": "Compute: data: expected a batch of one of 4 ranks, found (9, 1)",
    "Compute('gradient', size=-1)": "Compute: size: expected how many bytes, a whole number of at least 0, or None, "
    "found -1",
    "Compute('gradient', work='a')": "Compute: work: expected a function, or None, found 'a'",
    "Compute('gradient', work=descend, inputs=3)": "Compute: inputs: expected a tuple, the arguments of its work, "
    "found 3",
    "Compute('gradient', work=lambda s: 3)": "Compute(gradient): expected its work to return an array, found 3",
    "Compute('backward', inputs=3)": "Compute('backward'): expected inputs=(answer of a forward, where its part "
    "begins, how long it is, in bytes), found 3",
    "Send(peer, None)": "Send: payload: expected a payload, found None",
    "Send(True, gradient)": "Send: peer: expected a rank, a whole number, found True",
    "Send(1.0, gradient)": "Send: peer: expected a rank, a whole number, found 1.0",
    "Send(-1, gradient)": "expected a peer among the 4 workers, found -1",
    "Send(peer, gradient, limit='a')": "Send: limit: expected how many bytes, a whole number of at least 0, or None, "
    "found 'a'",
    "Send(peer, gradient, channel=3)": "Send: channel: expected a name, found 3",
    "Receive('1', 8)": "Receive: peer: expected a rank, a whole number, found '1'",
    "Receive(peer, -1)": "Receive: size: expected how many bytes, a whole number of at least 0, found -1",
    "Receive(99, 8)": "expected a peer among the 4 workers, found 99",
    "Exchange(peer, gradient, 'a')": "Exchange: tag: expected a whole number, found 'a'",
    "Exchange(peer, gradient.array)": "Exchange: payload: expected a payload, found ",
    "Exchange(worker.rank, gradient)": "expected a peer among the 4 workers, found ",
    "Meet(3)": "Meet: candidates: expected a tuple of ranks, whole numbers, found 3",
    "Meet(('a',))": "Meet: candidates: expected a tuple of ranks, whole numbers, found ('a',)",
    "Meet((0, 1, 2, 3))": "Meet: candidates: expected other ranks of 4 workers, found ",
    "AllReduce([])": "AllReduce: payload: expected a payload, found []",
    "AllReduce(gradient, 'avg')": "AllReduce: reduction: expected one of mean, sum and max, found 'avg'",
    "AllReduce(gradient, group=3)": "AllReduce: group: expected ascending ranks in a tuple, or None for everybody, "
    "found 3",
    "AllReduce(gradient, group=(True, 1))": "AllReduce: group: expected ascending ranks in a tuple, or None for "
    "everybody, found (True, 1)",
    "ReduceScatter(gradient, tag=1.5)": "ReduceScatter: tag: expected a whole number, found 1.5",
    "AllGather(gradient, channel=None)": "AllGather: channel: expected a name, found None",
    "Broadcast(gradient, None)": "Broadcast: root: expected a rank, a whole number, found None",
    "AllToAll(gradient, parts='ab')": "AllToAll: parts: expected a tuple of bytes, whole numbers, or None, found 'ab'",
    "Barrier('a')": "Barrier: group: expected ascending ranks in a tuple, or None for everybody, found 'a'",
    "Start(None)": "expected one of the operations ",
    "Await(handle)": "Await: handles: expected a tuple of handles, found h1",
    "Await((3,))": "Await: handles: expected those that Start has answered, found (3,)",
    "Await((handle,), 'some')": "Await: need: expected 'all', 'any' or how many, a whole number of at least 0, found "
    "'some'",
    "Await((handle,), -1)": "Await: need: expected 'all', 'any' or how many, a whole number of at least 0, found -1",
    "Await((handle,), deadline='a')": "Await: deadline: expected a time, a finite number of gradient times, or None, "
    "found 'a'",
    "Until('a')": "Until: time: expected a time, a finite number of gradient times, found 'a'",
    "Until(math.nan)": "Until: time: expected a time, a finite number of gradient times, found nan",
    "Put(None)": "Put: queue: expected a name, found None",
    "Take(3)": "Take: queue: expected a name, found 3",
    "Cancel(None)": "Cancel: handle: expected a handle, found None",
    "Cancel(Handle(3))": "Cancel: handle: expected one that Start has answered, found h3",
    "Payload(None)": "Payload: size: expected how many bytes, a whole number of at least 0, found None",
    "Payload(8, 3)": "expected an array of 8 bytes, as its payload says, found 3",
    "worker.coin(None)": "worker.coin: expected a whole number from 0 to 2^32 - 1, found None",
    "worker.stage('a')": "worker.stage: expected a whole number, found 'a'",
    "worker.clock(3)": "worker.clock: expected the clock 'edges', 'gradient' or 'events', found 3",
    "worker.random(3)": "worker.random: key: expected a StreamKey, found 3",
    "worker.capacity('a', 0)": "worker.capacity: capacity: expected a whole number of at least 1, found 0",
    "worker.learning_rate('a')": "worker.learning_rate: expected a whole number of at least 0, found 'a'",
    "worker.account.held('a', 1, 1)": "account.held: expected one of the kinds ",
    "model.version_of(3)": "expected a target by its name, found 3",
    "model.change(None)": "expected a rule, a function of the state, found None",
    "part(1.5, 0, 1)": "part: expected a whole number, found 1.5",
    "squared_norm(3)": "squared_norm: expected an array, found 3",
    "Vector('ones')": "Vector: start: expected 'copy' or 'zero', found 'ones'",
    "Kernel('a', kind='b')": "Kernel: kind: expected one of the kinds gradient, average, change, found 'b'",
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_value_of_a_wrong_kind_is_told_by_its_line(case: str, simulated: World) -> None:
    """The checks are the contract's own, so the other world says the same: see below."""
    told = rf"wrong_values\.py:\d+: .*\n  rank \d, stream compute: {re.escape(WRONG[case])}"
    with pytest.raises(ProgramError, match=told):
        simulated({"schedule.program": str(HERE / "programs" / "wrong_values.py"), "schedule.case": case})


ANSWERED = ("Send(-1", "Receive(99", "Meet((", "Await((3", "Cancel(H", "Start(", "Compute('gradient', at=P", "Put(")


@pytest.mark.parametrize("case", [each for each in WRONG if each.startswith(ANSWERED)])
def test_so_it_is_in_a_measured_run(case: str, measured: World) -> None:
    """Of those that a world looks at, and of one that it does not."""
    told = rf"wrong_values\.py:\d+: .*\n  rank \d, stream compute: {re.escape(WRONG[case])}"
    with pytest.raises(ProgramError, match=told):
        measured({"schedule.program": str(HERE / "programs" / "wrong_values.py"), "schedule.case": case})


@pytest.mark.parametrize("case", ["Until(numpy.float64(3))", "Exchange(numpy.int64(peer), gradient, numpy.int32(3))"])
def test_numbers_of_numpy_are_numbers(case: str, world: World) -> None:
    case = case.replace("numpy", "__import__('numpy')")
    world({"schedule.program": str(HERE / "programs" / "wrong_values.py"), "schedule.case": case})


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("program", r"raising\.py:\d+: worker\.rank / 0\n.*ZeroDivisionError: division by zero"),
        ("rule", r"raising\.py:\d+: s\.x = s\.x \+ 1 / by\n.*ZeroDivisionError: division by zero"),
        ("arguments", r"raising\.py:\d+: worker\.model\.change\(divide\)\n.*TypeError: divide\(\) missing 1"),
        ("engine", r"raising\.py:\d+: s\.x = s\.x \+ 1 / by\n.*ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_program_raises_is_told_by_its_own_line(case: str, expected: str, world: World) -> None:
    with pytest.raises(ProgramError, match=expected):
        world({"schedule.program": str(HERE / "programs" / "raising.py"), "schedule.case": case})

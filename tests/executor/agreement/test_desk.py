"""The desk in rank 0's process, asked over real connections, of which some are lost."""

import socket
import struct
import time
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
import torch

from executor.agreement.desk import Desk
from executor.agreement.door import enter
from executor.agreement.line import Line
from executor.agreement.questions import Answer, Question, answered, ask
from schedules.driving.coordinator import Coordinator
from schedules.operations import Join, Leave, Partner
from tests.executor.agreement.rig import Office

Opened = Callable[[int], Office]

TIME_PLEASE = struct.pack("<IBq", 9, 0, 0)


@pytest.mark.parametrize("told", ["127.0.0.1", "node0.cluster"])
def test_rank_0_is_asked_where_the_store_is_whatever_its_host_calls_itself(told: str) -> None:
    """Many hosts resolve their own name to the loopback, which is another machine's loopback to the others."""
    store = torch.distributed.HashStore()
    Desk(store, told, 1, Coordinator(1, 0))
    host, port, key = store.get("desk").decode().split()
    assert host == told
    with closing(enter("127.0.0.1", int(port), bytes.fromhex(key), 0)) as line:
        began = time.perf_counter_ns()
        ask(line, None)
        found = answered(line.receive())
    assert isinstance(found, int)
    assert began < found < time.perf_counter_ns()


def ask_first(line: Line, question: Question) -> None:
    """Ask, and wait until the desk has heard it: of what two ranks ask, either may come first."""
    ask(line, question)
    ask(line, None)
    assert isinstance(answered(line.receive()), int)


def test_a_pair_is_told_when_the_later_one_came_and_who_left_goes_on_meeting(open_office: Opened) -> None:
    office = open_office(2)
    one, other = office.line(0), office.line(1)
    ask_first(one, Question("Meet", (1,), 5))
    ask(other, Question("Meet", (0,), 9))
    assert answered(one.receive()) == Answer(Partner(1, 0), 9)
    assert answered(other.receive()) == Answer(Partner(0, 0), 9)
    ask_first(one, Question("Meet", (1,), 12))
    ask(other, Question("Leave", (), 14))
    ask(other, Question("Meet", (0,), 15))
    assert answered(one.receive()) == answered(other.receive())._replace(partner=Partner(1, 1))
    ask_first(other, Question("Meet", (0,), 18))
    ask(one, Question("Leave", (), 20))
    assert answered(other.receive()) == Answer(None, 20)
    ask_first(one, Question("Join", (), 21))
    ask_first(other, Question("Meet", (0,), 22))
    ask(one, Question("Meet", (1,), 23))
    assert answered(other.receive()) == Answer(Partner(0, 2), 23)


@pytest.mark.parametrize("is_lost", [False, True])
def test_nobody_waits_for_a_rank_that_is_lost_or_over(open_office: Opened, is_lost: bool) -> None:
    office = open_office(2)
    one, other = office.line(0), office.line(1)
    ask_first(one, Question("Meet", (1,), 5))
    if is_lost:
        other.close()
    else:
        ask(other, Question("End", (), 7))
    assert answered(one.receive()) == Answer(None, 5 if is_lost else 7)


@pytest.mark.parametrize("resets", [False, True])
def test_a_rank_that_is_lost_while_it_waits_is_paired_with_nobody_and_the_others_are(
    open_office: Opened, resets: bool
) -> None:
    office = open_office(3)
    lost, one, other = office.line(0), office.rank(1), office.rank(2)
    ask(lost, Question("Meet", (1, 2), 1))
    if resets:
        lost._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lost._connection.close()
    else:
        lost.close()
    one.meet(0, 2)
    other.meet(0, 1)
    assert (one.told(), other.told()) == (Partner(2, 0), Partner(1, 0))
    assert set(office.desk._ranks) == {1, 2}


def test_a_connection_that_is_lost_on_the_rank_ends_what_waits_there_and_nothing_elsewhere(open_office: Opened) -> None:
    office = open_office(3)
    ranks = [office.rank(rank) for rank in range(3)]
    ranks[0].meet(1, 2)
    ranks[0].lose()
    assert isinstance(ranks[0].told(), OSError)
    ranks[1].meet(0, 2)
    ranks[2].meet(0, 1)
    assert (ranks[1].told(), ranks[2].told()) == (Partner(2, 0), Partner(1, 0))


def test_a_rank_that_was_paired_and_is_lost_before_it_is_told_ends_nobody_elses_meeting(open_office: Opened) -> None:
    """The other one finds out when it exchanges with it; the third goes on."""
    office = open_office(3)
    lost, one, other = office.line(0), office.rank(1), office.rank(2)
    ask(lost, Question("Meet", (1, 2), 1))
    one.meet(0)
    assert one.told() == Partner(0, 0)
    lost.close()  # its answer is not read
    one.meet(2)
    other.meet(1)
    assert (one.told(), other.told()) == (Partner(2, 0), Partner(1, 0))


@pytest.mark.parametrize("nonsense", [b"", b"\x07" + bytes(8), b"\x01" + bytes(10)])
def test_a_rank_that_asks_nonsense_is_lost_alone(open_office: Opened, nonsense: bytes) -> None:
    office = open_office(3)
    odd, one, other = office.line(0), office.rank(1), office.rank(2)
    ask(odd, Question("Meet", (1, 2), 1))
    odd.send(nonsense)
    with pytest.raises(OSError, match=r"closed at its other end|reset by peer"):
        odd.receive()
    one.meet(0, 2)
    other.meet(0, 1)
    assert (one.told(), other.told()) == (Partner(2, 0), Partner(1, 0))


def test_nobody_waits_for_the_rest_of_another_ranks_question(open_office: Opened) -> None:
    office = open_office(3)
    slow, one, other = office.line(0), office.rank(1), office.rank(2)
    slow._connection.sendall(b"\x09\0\0\0\x01")
    one.meet(2)
    other.meet(1)
    assert (one.told(), other.told()) == (Partner(2, 0), Partner(1, 0))
    slow._connection.sendall(bytes(8))  # it meets nobody: among no candidates there is none to come
    assert answered(slow.receive()) == Answer(None, 0)


def test_a_rank_that_does_not_read_its_answers_holds_up_nobody(open_office: Opened) -> None:
    """Its connection is full in the end, and lost."""
    office = open_office(3)
    deaf, one, other = office.line(0), office.rank(1), office.rank(2)
    for end in (deaf, office.desk._ranks[0]):  # soon full
        end._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with suppress(ConnectionError):
        while True:
            deaf._connection.sendall(10_000 * TIME_PLEASE)
    one.meet(2)
    other.meet(1)
    assert (one.told(), other.told()) == (Partner(2, 0), Partner(1, 0))
    assert set(office.desk._ranks) == {1, 2}


def test_without_a_desk_nothing_is_waited_for(open_office: Opened) -> None:
    rank = open_office(1).rank(0)
    assert rank.meetings.ask_time() > 0
    rank.meet(1, 2)
    rank.lose()
    assert isinstance(rank.told(), OSError)
    rank.meet(1, 2)
    assert isinstance(rank.told(), OSError)
    for operation in (Leave(), Join()):
        assert not rank.issue(operation)
        assert isinstance(rank.told(), OSError)
    assert rank.ends.num_issued == 4
    for _ in range(2):
        with pytest.raises(OSError, match="closed at its other end"):
            rank.meetings.ask_time()

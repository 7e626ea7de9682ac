"""What is asked and answered comes out as it went in, and other bytes are neither."""

import socket
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.agreement.line import Line
from executor.agreement.questions import Answer, Question, answer, answered, ask, asked
from schedules.operations import Partner

RANKS = st.integers(0, 2**31 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)


def sent(write: Any, told: Any) -> bytes:
    """The message that goes over a line."""
    rank, desk = socket.socketpair()
    with rank, desk:
        write(Line(rank), told)
        return Line(desk).receive()


@pytest.mark.parametrize("question", [Question("Meet", (1, 4), 17), Question("Leave", (), 18), None])
def test_a_question_is_read_as_it_was_asked(question: Question | None) -> None:
    assert asked(sent(ask, question)) == question


@given(st.builds(Question, st.sampled_from(["Meet", "Leave", "Join", "End"]), st.lists(RANKS).map(tuple), TIMES))
def test_any_question_is_read_as_it_was_asked(question: Question) -> None:
    assert asked(sent(ask, question)) == question


@pytest.mark.parametrize("told", [Answer(Partner(2, 0), 17), Answer(None, 18), 10**18])
def test_an_answer_is_read_as_it_was_given(told: Answer | int) -> None:
    found = answered(sent(answer, told))
    assert found == told
    assert type(found) is type(told)


@given(st.builds(Answer, st.none() | st.builds(Partner, RANKS, RANKS), TIMES) | TIMES)
def test_any_answer_is_read_as_it_was_given(told: Answer | int) -> None:
    assert answered(sent(answer, told)) == told


@given(st.binary(max_size=40))
def test_other_bytes_are_an_error_of_the_connection_or_plain_numbers(message: bytes) -> None:
    for read in (asked, answered):
        with suppress(ConnectionError):
            assert isinstance(read(message), Question | Answer | int | None)


@pytest.mark.parametrize("message", [b"", b"\x01", b"\x04" + bytes(8), b"\x01" + bytes(9), b"\xff" * 40])
def test_what_is_no_question_is_told(message: bytes) -> None:
    with pytest.raises(ConnectionError, match="expected a question"):
        asked(message)


@pytest.mark.parametrize("message", [b"", bytes(7), bytes(15), bytes(17)])
def test_what_is_no_answer_is_told(message: bytes) -> None:
    with pytest.raises(ConnectionError, match="expected an answer"):
        answered(message)

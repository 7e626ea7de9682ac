"""What is asked and answered comes out as it went in."""

from multiprocessing import Pipe

import pytest

from executor.agreement.questions import Answer, Question, answer, answered, ask, asked, introduce, introduced
from schedules.operations import Partner


def test_a_rank_introduces_itself() -> None:
    rank, desk = Pipe()
    introduce(rank, 3)
    assert introduced(desk) == 3


@pytest.mark.parametrize("question", [Question("Meet", (1, 4), 17), Question("Leave", (), 18), None])
def test_a_question_is_read_as_it_was_asked(question: Question | None) -> None:
    rank, desk = Pipe()
    ask(rank, question)
    assert asked(desk) == question


@pytest.mark.parametrize("told", [Answer(Partner(2, 0), 17), Answer(None, 18), 10**18])
def test_an_answer_is_read_as_it_was_given(told: Answer | int) -> None:
    rank, desk = Pipe()
    answer(desk, told)
    found = answered(rank)
    assert found == told
    assert type(found) is type(told)

"""Orders as torch's CSV, there and back, and as the zero-bubble repository prints them."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schedules import orders
from schedules.orders import Order, Pair, Step

PROGRAMS = [program for program in orders.BUILDERS if program != "order"]


@given(st.sampled_from(PROGRAMS), st.integers(1, 6), st.integers(1, 24), st.integers(1, 3))
def test_there_and_back(program: str, workers: int, micro_batches: int, chunks: int) -> None:
    try:
        order = orders.build(program, workers, micro_batches, chunks=chunks)
    except ValueError:
        assume(False)
    assert orders.read_csv(orders.write_csv(order)) == order


def test_torchs_letters() -> None:
    step = Step("F", 0, 0)
    order = Order(
        ((step, Step("D", 0, 0), Step("B", 0, 1), Step("W", 0, 1), Pair(step, Step("D", 0, 1))),), (0,), ((0,),)
    )
    assert orders.write_csv(order) == "0F0,0B0,0I1,0W1,(0F0;0B1)OVERLAP_F_B\n"


def test_what_torch_writes_is_read() -> None:
    """With idle slots, blanks, lines of other systems, and of `compute_comms` what sends, receives and shards."""
    first = "0UNSHARD,0F0,0SEND_F0,,\t(0F1 ; 1B0)OVERLAP_F_B,"
    second = ",1RECV_F0, 1F0 ,1I0,1SEND_B0,1W0,1REDUCE_GRAD,1RESHARD"
    assert orders.read_csv(f"{first}\r\n\r\n{second}\r\n").ranks == (
        (Step("F", 0, 0), Pair(Step("F", 0, 1), Step("D", 1, 0))),
        (Step("F", 1, 0), Step("B", 1, 0), Step("W", 1, 0)),
    )


def test_stages_may_be_anywhere() -> None:
    assert orders.read_csv("1F0,1B0\n0F0,2F0,2B0,0B0\n").place == (1, 0, 1)


def printed(order: Order, near: str, far: str) -> str:
    """As the zero-bubble repository does: the letters of a rank's first stage and of its second."""
    letters = [str.upper if case == "upper" else str.lower for case in (near, far)]
    return "\n".join(
        " ".join(
            f"{letters[step.stage >= len(order.ranks)](step.kind.replace('D', 'B'))}{step.micro_batch}"
            for step in cells
            if isinstance(step, Step)
        )
        for cells in order.ranks
    )


@pytest.mark.parametrize("near", ["upper", "lower"])
@pytest.mark.parametrize("program", ["1f1b", "zb-h1", "zb-h2", "zb-v"])
def test_what_the_zero_bubble_repository_prints_is_read(program: str, near: str) -> None:
    """Some of its schedulers print the first stage of a rank in capitals, some in small letters."""
    order = orders.build(program, 4, 6)
    assert orders.read_csv(printed(order, near, "lower" if near == "upper" else "upper")) == order


def test_of_what_it_prints_only_computations_count() -> None:
    assert orders.read_csv("pv0 f-0 sf0 rb0 b-0 w-0\nrpv0, rf0, f0, b0, sb0").ranks == (
        (Step("F", 0, 0), Step("B", 0, 0), Step("W", 0, 0)),
        (Step("F", 1, 0), Step("D", 1, 0)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv: expected a row of cells a rank, found none"),
        (",,\n\n", "x.csv: expected a row of cells a rank, found none"),
        ("0F0,0B0\n\n1F0,,1B2junk", "x.csv, row 3, column 3: expected a step as torch writes it, such as 2F0, "),
        ("0F0,0B0,B1", "x.csv, row 1, column 3: expected a step as torch writes it, such as 2F0, "),
        ("0F0,0F", "found '0F'"),
        ("(0F0;0F1)OVERLAP_F_B", "found '(0F0;0F1)OVERLAP_F_B'"),
        ("F0 B0 1F0", "x.csv, row 1, column 3: expected a step as the zero-bubble repository prints it, such as F0, "),
        ("0F0,2F0", "x.csv: expected steps of stages 0 to 2, found none of stage 1"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(orders.OrderError, match=re.escape(message)):
        orders.read_csv(text, "x.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0F0,0W0,0I0",
            "x.csv: expected 0I0 before 0W0 on rank 0, found it behind\n  rank 0 from step 0:  0F0  [0W0] [0I0]",
        ),
        (
            "0F0,0B0,0B0",
            "x.csv: expected 0B0 once, found it 2 times on rank 0\n  rank 0 from step 0:  0F0  [0B0] [0B0]",
        ),
        ("0F0,0I0", "x.csv: expected 0W0 on rank 0, found it nowhere\n  rank 0 from step 0:  0F0  [0I0]"),
        ("F0,B0,B0", "x.csv: expected 0B0 once, found it 2 times on rank 0\n  rank 0 from step 0:  0F0  [0B0] [0B0]"),
        ("F0 W0 B0", "x.csv: expected 0B0 before 0W0 on rank 0, found it behind\n"),
    ],
)
def test_what_is_wrong_is_told_in_the_letters_of_the_file(text: str, message: str) -> None:
    with pytest.raises(orders.OrderError) as caught:
        orders.build("order", 1, 1, text=text, file="x.csv")
    assert str(caught.value).startswith(message.strip())

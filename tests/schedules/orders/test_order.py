"""Orders, and their longest paths, against the closed forms of a pure latency.

p = 4, m = 8, F 1 s, D 2 s: GPipe (m+p-1) 3 + 2 (p-1) c; 1F1B (m+p-1) 3 + 2 (m+p-3-floor((m-2)/p)) c.
"""

from __future__ import annotations

import numpy as np
import pytest

from schedules import orders
from schedules.orders import Step

LENGTHS = {"F": 1_000_000_000, "D": 2_000_000_000}
CLOSED = {"gpipe": lambda c: 33 + 6 * c, "1f1b": lambda c: 33 + 16 * c}


@pytest.mark.parametrize("program", CLOSED)
@pytest.mark.parametrize("latency", [0.0, 0.1, 0.5, 1, 2])
def test_the_longest_path_is_the_closed_form(program: str, latency: float) -> None:
    order = orders.build(program, 4, 8)
    order.check(8)
    durations = np.array([LENGTHS[each.kind] for each in order.cells if isinstance(each, Step)])
    _, end = orders.retime(order, durations, round(latency * 1e9))
    assert end.max() == round(CLOSED[program](latency) * 1e9)


def test_a_step_prints_as_torch_has_it() -> None:
    assert str(Step("F", 3, 7)) == "3F7"
    assert str(orders.Pair(Step("F", 3, 7), Step("D", 5, 2))) == "(3F7;5D2)"


def test_steps_that_wait_for_each_other() -> None:
    swapped = orders.Order(((Step("D", 0, 0), Step("F", 0, 0)),), (0,), ((0,),))
    with pytest.raises(orders.OrderError, match="0D0 waiting"):
        swapped.check(1)

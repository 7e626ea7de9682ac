"""Lists of events: DADAO's, drawn as the official code draws them, and files."""

from __future__ import annotations

import re

import numpy as np
import pytest

from topologies import dadao_events
from topologies.event_lists import Event, check_edges, event_text, parse_events

TRIANGLE = [(0, 1), (1, 2), (0, 2)]

# shared/reference/gossip.json, dadao_event_list_seed0: [code] the event generator of AdelNabli/DADAO.
SEED_0 = [
    (0.143879799792, "exchange"),
    (0.265291502721, "gradient"),
    (0.683935090376, "gradient"),
    (0.69976090305, "exchange"),
    (0.991676138978, "gradient"),
    (1.25407652308, "gradient"),
    (1.43775935345, "gradient"),
    (1.52848894856, "exchange"),
]


def test_the_list_of_seed_0_is_that_of_the_official_code() -> None:
    found = dadao_events(3, TRIANGLE, 4.0, 1.5, 0)
    assert [each.kind for each in found] == [kind for _, kind in SEED_0]
    assert [each.time for each in found] == pytest.approx([time for time, _ in SEED_0], rel=1e-11)


def test_workers_and_edges_are_drawn_in_the_order_of_events() -> None:
    """As `run_DADAO` does: `randint` of the workers, `choice` of the edges, behind all gaps."""
    found = dadao_events(3, TRIANGLE, 4.0, 1.5, 0)
    draw = np.random.RandomState(0)
    for rate in (3.0, 4.0):
        time = 0.0
        while time < 1.5:
            time += -np.log(1 - draw.rand()) / rate
    for each in found:
        if each.kind == "gradient":
            assert (each.i, each.j) == (draw.randint(0, 3), None)
        else:
            assert (each.i, each.j) == TRIANGLE[draw.choice(3)]


@pytest.mark.parametrize("seed", range(5))
def test_only_the_last_event_is_beyond_the_end(seed: int) -> None:
    times = [each.time for each in dadao_events(8, [(i, (i + 1) % 8) for i in range(8)], 3.0, 20.0, seed)]
    assert times == sorted(times)
    assert times[-1] >= 20.0 > times[-2]


@pytest.mark.parametrize(
    ("n", "edges", "rate", "t_max", "told"),
    [
        (0, TRIANGLE, 1.0, 1.0, "n: expected"),
        (3, [], 1.0, 1.0, "edges: expected at least one, found none"),
        (3, [(0, 3)], 1.0, 1.0, "edges: expected pairs of 3 workers, found (0, 3)"),
        (3, [(1, 1)], 1.0, 1.0, "edges: expected pairs of 3 workers, found (1, 1)"),
        (3, TRIANGLE, 0.0, 1.0, "rate: expected"),
        (3, TRIANGLE, 1.0, -1.0, "t_max: expected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(n: int, edges: object, rate: float, t_max: float, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        dadao_events(n, edges, rate, t_max, 0)  # type: ignore[arg-type]


# ---- files


def test_a_file_is_read_back_to_the_last_digit() -> None:
    events = [Event(1 / 3, "exchange", 2, 0), Event(1 / 3, "gradient", 1, None), Event(1e-3 + 1, "exchange", 0, 1)]
    found = parse_events(event_text(events), "events.csv", 3)
    assert found.times.tolist() == [each.time for each in events]
    assert (found.i.tolist(), found.j.tolist(), found.lines.tolist()) == ([2, 1, 0], [0, -1, 1], [2, 3, 4])
    assert found.gradients(3) == [0, 1, 0]
    assert len(found.before(1.0)) == 2
    assert len(found.before(1 / 3)) == 0


def test_columns_may_stand_in_any_order_with_blanks_and_empty_lines() -> None:
    found = parse_events("kind, i, j, time\nexchange, 0, 1, 0.5\n\ngradient, 1, , 2\n", "events.csv", 2)
    assert (found.times.tolist(), found.j.tolist(), found.lines.tolist()) == ([0.5, 2.0], [1, -1], [2, 4])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "events.csv, line 1: expected the columns time, kind, i, j, found none"),
        ("time,kind,i\n", "events.csv, line 1: expected the columns time, kind, i, j, found time, kind, i"),
        ("time,kind,i,j\n", "events.csv: expected at least one event, found none"),
        ("time,kind,i,j\n1,mix,0,1\n", "line 2: kind: expected gradient or exchange, found 'mix'"),
        ("time,kind,i,j\n1,exchange,0\n", "line 2: expected 4 values, found 3"),
        ("time,kind,i,j\n1,exchange,0,4\n", "line 2: j: expected a worker from 0 to 3, found '4'"),
        ("time,kind,i,j\n1,gradient,-1,\n", "line 2: i: expected a worker from 0 to 3, found '-1'"),
        ("time,kind,i,j\n1,gradient,²,\n", "line 2: i: expected a worker from 0 to 3, found '²'"),
        ("time,kind,i,j\n1,exchange,2,02\n", "line 2: j: expected another worker than 2, found the same"),
        ("time,kind,i,j\n1,exchange,2,\n", "line 2: j: expected a worker from 0 to 3, found ''"),
        ("time,kind,i,j\n1,gradient,2,1\n", "line 2: j: expected nothing for a gradient, found '1'"),
        ("time,kind,i,j\nnan,gradient,2,\n", "line 2: time: expected a number of at least 0, in gradient times"),
        ("time,kind,i,j\n-1,gradient,2,\n", "line 2: time: expected a number of at least 0, in gradient times"),
        (
            "time,kind,i,j\n1,gradient,0,\n0.5,gradient,1,\n",
            "events.csv, line 3: expected a time of at least 1.0, which is before it, found 0.5",
        ),
    ],
)
def test_what_is_no_list_is_refused_by_its_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_events(text, "events.csv", 4)


def test_an_exchange_must_be_of_an_edge() -> None:
    events = parse_events("time,kind,i,j\n1,gradient,0,\n2,exchange,1,0\n3,exchange,2,0\n", "events.csv", 3)
    check_edges(events, TRIANGLE, "events.csv")
    with pytest.raises(
        ValueError, match=r"^events\.csv, line 4: expected an exchange along an edge .*, found 2 and 0$"
    ):
        check_edges(events, [(0, 1), (1, 2)], "events.csv")

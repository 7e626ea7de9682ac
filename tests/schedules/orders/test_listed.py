"""Orders found under a cap of memory, against an account of our own: times by the longest path, memory over them.

Rates of Table 5 of "Zero Bubble Pipeline Parallelism" (arXiv:2401.10241), with the times of its Table 9; M_B and M_W by
its Table 1 (34 h + 5 a s and 32 h; s = 1024). Minimum memory for no bubble: its appendix B.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules import orders
from schedules.orders import Order, Step

Times = Mapping[str, list[int]]
Spans = dict[Step, tuple[int, int]]


def timed(order: Order, times: Times, latency: int) -> Spans:
    """When every step begins and ends: the longest path by repeated looking, of a chain of stages."""
    num_stages, spans = len(order.place), {}
    queues = [list(own) for own in order.ranks]
    free = [0] * len(queues)
    while any(queues):
        before = len(spans)
        for rank, queue in enumerate(queues):
            while queue and all(need in spans for need in needs(queue[0], num_stages)):
                step = queue.pop(0)
                ends = [
                    spans[need][1] + (latency if order.place[need.stage] != rank else 0)
                    for need in needs(step, num_stages)
                ]
                begin = max([free[rank], *ends])
                free[rank] = begin + times[step.kind][step.stage]
                spans[step] = (begin, free[rank])
        assert len(spans) > before, "expected some step to be possible"
    return spans


def needs(step: Step, num_stages: int) -> list[Step]:
    kind, stage, k = step
    if kind == "F":
        return [Step("F", stage - 1, k)] if stage else []
    if kind == "W":
        return [Step("B", stage, k)]
    return [Step("F", stage, k), *([Step("B", stage + 1, k)] if stage + 1 < num_stages else [])]


def peaks(order: Order, spans: Spans, held: float) -> list[float]:
    """The most that each rank holds, in M_B: a micro-batch counts with M_B from the begin of its F, with M_W from that
    of its B, and no more from that of its W."""
    share = len(order.ranks) / len(order.place)
    found = []
    for rank in range(len(order.ranks)):
        changes = []
        for (kind, stage, _), (begin, _) in spans.items():
            if order.place[stage] == rank:
                changes.append((begin, {"F": 1.0, "B": held - 1.0, "W": -held}[kind] * share))
        found.append(max(itertools.accumulate(change for _, change in sorted(changes, key=lambda each: each[0]))))
    return found


def cost(order: Order, spans: Spans) -> int:
    """The longest time from a rank's first step to its last."""
    return max(spans[own[-1]][1] - spans[own[0]][0] for own in order.ranks)


def rate(order: Order, times: Times, latency: int = 0) -> float:
    whole = max(sum(times[step.kind][step.stage] for step in own) for own in order.ranks)
    return 1 - whole / cost(order, timed(order, times, latency))


TABLE_5 = [
    # m, F, B, W, c in us; a, h; rates of ZB-1p and ZB-2p as printed
    (24, 18522, 18086, 9337, 601, (24, 2304), 0.1585, 0.0433),
    (32, 18513, 18086, 9331, 626, (24, 2304), 0.1242, 0.0039),
    (64, 18546, 18097, 9321, 762, (24, 2304), 0.0674, 0.0026),
    (24, 29718, 29444, 19927, 527, (32, 4096), 0.1323, 0.0029),
    (32, 29802, 29428, 19530, 577, (32, 4096), 0.1045, 0.0022),
    (64, 29935, 29621, 19388, 535, (32, 4096), 0.0554, 0.0010),
]


@pytest.mark.parametrize("row", [pytest.param(row, marks=pytest.mark.slow) if row[0] == 64 else row for row in TABLE_5])
@pytest.mark.parametrize("program", ["zb-1p", "zb-2p"])
def test_the_table_of_the_paper(program: str, row: tuple[Any, ...]) -> None:
    m, forward, backward, weights, latency, (heads, hidden), *printed = row
    times = {"F": [1000 * forward] * 8, "B": [1000 * backward] * 8, "W": [1000 * weights] * 8}
    activations = (34 * hidden + 5 * heads * 1024, 32 * hidden)
    order = orders.build(program, 8, m, durations=times, latency=1000 * latency, activations=activations)
    order.check(m)
    assert rate(order, times, 1000 * latency) <= printed[program == "zb-2p"] + 0.0005
    held = activations[1] / activations[0]
    assert max(peaks(order, timed(order, times, 1000 * latency), held)) <= (16 if program == "zb-2p" else 8) + 1e-9


@pytest.mark.parametrize(("p", "m", "latency"), [(4, 24, 0), (6, 36, 100), (8, 48, 0)])
def test_the_least_memory_without_a_bubble(p: int, m: int, latency: int) -> None:
    """floor(((p - 1) (tB + 2c) + (2p - 1) tF) / tF) M_B over all stages, at equal times."""
    times = {kind: [1000] * p for kind in "FBW"}
    cap = ((p - 1) * (1000 + 2 * latency) + (2 * p - 1) * 1000) // 1000
    order = orders.build("zb-2p", p, m, durations=times, latency=latency, memory_cap=cap)
    assert rate(order, times, latency) < 0.004
    assert max(peaks(order, timed(order, times, latency), 1.0)) <= cap


V_CAPS = {"v-half": lambda p: (p + 2) // 2, "v-min": lambda p: (p + 4) // 3}


@cache
def folded(program: str, p: int, m: int) -> tuple[float, float]:
    """Rate and peak at equal times, with M_W = M_B."""
    times = {kind: [1] * (2 * p) for kind in "FBW"}
    order = orders.build(program, p, m)
    order.check(m)
    return rate(order, times), max(peaks(order, timed(order, times, 0), 1.0))


@pytest.mark.parametrize(
    ("program", "p", "m", "most"),
    [
        # B / 2 and 2 B / 3 with B = (p - 1) / (m + p - 1), where they are reached; then what was reached instead.
        *[("v-half", p, m, (p - 1) / (m + p - 1) / 2) for p, m in [(4, 8), (4, 32), (6, 24), (8, 16), (8, 32)]],
        *[("v-min", p, m, (p - 1) / (m + p - 1) * 2 / 3) for p, m in [(4, 16), (6, 24), (8, 16), (8, 32)]],
        ("v-half", 8, 8, 0.2616),
        ("v-min", 8, 8, 0.3240),
        ("v-min", 4, 8, 0.1865),
    ],
)
def test_rates_of_a_v(program: str, p: int, m: int, most: float) -> None:
    found, peak = folded(program, p, m)
    assert found <= most
    assert peak <= V_CAPS[program](p)


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[int, int, Times, int, float]:
    """Workers, micro-batches, times of two stages a worker, latency, and M_W in M_B."""
    p, m = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    one = st.lists(st.integers(1, 9), min_size=2 * p, max_size=2 * p)
    held = draw(st.sampled_from([0.0, 0.4, 1.0, 1.5]))
    return p, m, {kind: draw(one) for kind in "FBW"}, draw(st.integers(0, 6)), held


@settings(max_examples=20, deadline=None)
@given(pipelines(), st.sampled_from([1.0, 1.5, 2.0, 3.5, 8.0]), st.booleans())
def test_any_pipeline_has_an_order_under_its_cap(
    pipeline: tuple[int, int, Times, int, float], cap: float, is_folded: bool
) -> None:
    p, m, times, latency, held = pipeline
    cap = max(cap, held)
    program, number = ("v-min", 2 * p) if is_folded else ("zb-1p", p)
    durations = {kind: times[kind][:number] for kind in times}
    order = orders.build(program, p, m, durations=durations, latency=latency, memory_cap=cap, activations=(1.0, held))
    order.check(m)
    spans = timed(order, durations, latency)
    assert max(peaks(order, spans, held)) <= cap + 1e-9
    serial = m * sum(map(sum, durations.values())) + 2 * m * number * latency
    assert cost(order, spans) <= serial


@settings(max_examples=20, deadline=None)
@given(pipelines())
def test_never_longer_than_the_fixed_orders(pipeline: tuple[int, int, Times, int, float]) -> None:
    p, m, times, latency, held = pipeline
    if held > 1:
        return
    durations = {kind: times[kind][:p] for kind in times}
    found = orders.build("zb-1p", p, m, durations=durations, latency=latency, activations=(1.0, held))
    plain = orders.build("1f1b", p, m)
    in_two = Order(
        tuple(
            tuple(
                Step(kind, *step[1:])  # type: ignore[arg-type]
                for step in own
                for kind in ("BW" if step[0] == "D" else "F")
            )
            for own in plain.ranks
        ),
        plain.place,
        plain.chains,
    )
    for other in (in_two, orders.build("zb-h1", p, m)):
        if max(peaks(other, timed(other, durations, latency), held)) <= p:
            assert cost(found, timed(found, durations, latency)) <= cost(other, timed(other, durations, latency))


@pytest.mark.parametrize("program", ["zb-1p", "zb-2p", "v-half", "v-min"])
@pytest.mark.parametrize(("held", "least"), [(1.0, {"zb": "1", "v-": "1"}), (1.5, {"zb": "1.5", "v-": "1.25"})])
def test_a_cap_that_no_order_meets(program: str, held: float, least: dict[str, str]) -> None:
    told = least[program[:2]]
    message = rf"^schedule.memory_cap: expected at least {told} \(the least that is met\), found 0.9$"
    with pytest.raises(ValueError, match=message):
        orders.build(program, 4, 8, memory_cap=0.9, activations=(1.0, held))
    cap = float(told)
    order = orders.build(program, 4, 8, memory_cap=cap, activations=(1.0, held))
    times = {kind: [1] * len(order.place) for kind in "FBW"}
    assert max(peaks(order, timed(order, times, 0), held)) <= cap + 1e-9

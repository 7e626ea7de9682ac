"""Orders against the golden timelines and tables of tests/data/golden-pipelines.json: starts, ends, peaks and rates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules import orders
from schedules.orders import Cell, Order, Pair, Step, steps_of

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/golden-pipelines.json").read_text())
NAMES: dict[str, tuple[str, int]] = {
    "gpipe": ("gpipe", 1),
    "1f1b": ("1f1b", 1),
    "zb_h1": ("zb-h1", 1),
    "zb_h2": ("zb-h2", 1),
    "zb_v": ("zb-v", 2),
    "interleaved_v2": ("interleaved-1f1b", 2),
    "interleaved_v3": ("interleaved-1f1b", 3),
    "zbh1": ("zb-h1", 1),
    "zbh2": ("zb-h2", 1),
    "zbv": ("zb-v", 2),
    "petra_J4_m8": ("petra", 1),
}
"""The sheet's names: program, chunks."""


def ordered(name: str, workers: int, micro_batches: int) -> Order:
    program, chunks = NAMES[name]
    order = orders.build(program, workers, micro_batches, chunks=chunks)
    order.check(micro_batches)
    return order


Seconds = Callable[[Cell], float]


def of_kinds(f: float, b: float, w: float, parts: int = 1) -> Seconds:
    """Of a cell, where a rank's part is cut into so many stages."""
    lengths = {"F": f, "B": b, "W": w, "D": b + w}
    return lambda cell: lengths[steps_of(cell)[0].kind] / parts


def timed(order: Order, seconds: Seconds, latency: float = 0.0) -> list[list[tuple[str, float, float]]]:
    """What every rank does, with its starts and ends in seconds."""
    durations = np.array([round(seconds(cell) * 1e9) for cell in order.cells])
    start, end = orders.retime(order, durations, round(latency * 1e9))
    rows = iter(zip(order.cells, (start[:, 0] / 1e9).tolist(), (end[:, 0] / 1e9).tolist(), strict=True))
    return [[(str(cell), begin, over) for cell, begin, over in (next(rows) for _ in cells)] for cells in order.ranks]


def makespan(order: Order, seconds: Seconds, latency: float = 0.0) -> float:
    return max(cells[-1][2] for cells in timed(order, seconds, latency))


def cost(order: Order, seconds: Seconds, latency: float = 0.0) -> float:
    """The longest time of a rank from its own first step on."""
    return max(cells[-1][2] - cells[0][1] for cells in timed(order, seconds, latency))


def peaks(order: Order) -> list[int]:
    """The most micro-batches of a rank's stages that are between their F and their D or W, rank by rank."""
    found = []
    for cells in order.ranks:
        alive, most = 0, 0
        for cell in cells:
            change = Counter(step.kind for step in steps_of(cell))
            alive += change["F"]
            most = max(most, alive)
            alive -= change["D"] + change["W"]
        found.append(most)
    return found


@pytest.mark.parametrize("name", GOLDEN["golden_timelines_p4_m8_c0"]["timelines"])
def test_every_start_and_end_is_that_of_the_golden_timeline(name: str) -> None:
    golden = GOLDEN["golden_timelines_p4_m8_c0"]["timelines"][name]
    expected = [[(text.replace("BW", "D"), start, end) for text, start, end in golden[rank]] for rank in sorted(golden)]
    order = ordered(name, 4, 8)
    lengths = {text: end - start for cells in expected for text, start, end in cells}
    assert timed(order, lambda cell: lengths[str(cell)]) == expected


@pytest.mark.parametrize("row", GOLDEN["unit_times_c0"]["rows"], ids=lambda row: f"{row['p']}x{row['m']}")
@pytest.mark.parametrize("name", ["gpipe", "1f1b", "zb_h1", "zb_h2", "zb_v", "interleaved_v2", "interleaved_v3"])
def test_unit_times(name: str, row: dict[str, Any]) -> None:
    order, expected = ordered(name, row["p"], row["m"]), row["results"][name]
    chunks = NAMES[name][1]
    seconds = of_kinds(1, 1, 1, chunks)
    assert makespan(order, seconds) == pytest.approx(expected["makespan"], abs=1e-6)
    assert cost(order, seconds) == pytest.approx(expected["cost"], abs=1e-6)
    assert peaks(order) == pytest.approx(
        [peak * (1 if name == "zb_v" else chunks) for peak in expected["peak_in_flight_per_stage"]], abs=1e-6
    )


CASES = [
    *[(row, (row["tF"], row["tB"], row["tW"])) for row in GOLDEN["unequal_times_c0"]["rows"]],
    *[(row, (1, 1, 1)) for row in GOLDEN["latency_p4_m8"]["rows"]],
]


@pytest.mark.parametrize("name", ["gpipe", "1f1b", "zb_h1", "zb_h2"])
@pytest.mark.parametrize(("row", "times"), CASES)
def test_unequal_times_and_latencies(name: str, row: dict[str, Any], times: tuple[float, float, float]) -> None:
    order, expected = ordered(name, row["p"], row["m"]), row["results"][name]
    seconds = of_kinds(*times)
    assert makespan(order, seconds, row["c"]) == pytest.approx(expected["makespan"], abs=1e-6)
    assert cost(order, seconds, row["c"]) == pytest.approx(expected["cost"], abs=1e-6)


@pytest.mark.parametrize("name", ["gpipe", "1f1b", "zb_h1", "zb_h2"])
def test_unbalanced_stages(name: str) -> None:
    f, b = GOLDEN["unbalanced_p4_m8_c0"]["inputs"]["f"], GOLDEN["unbalanced_p4_m8_c0"]["inputs"]["b"]

    def seconds(cell: Cell) -> float:
        assert isinstance(cell, Step)
        return float({"F": f, "D": b}.get(cell.kind, [each / 2 for each in b])[cell.stage])

    order, expected = ordered(name, 4, 8), GOLDEN["unbalanced_p4_m8_c0"]["results"][name]
    assert (makespan(order, seconds), cost(order, seconds)) == (expected["makespan"], expected["cost"])


@pytest.mark.parametrize("row", GOLDEN["zb_v_unit_chunks_p4"]["rows"], ids=lambda row: f"{row['p']}x{row['m']}")
def test_zb_v_of_unit_chunks(row: dict[str, Any]) -> None:
    order, seconds = ordered("zb_v", row["p"], row["m"]), of_kinds(1, 1, 1)
    assert (makespan(order, seconds), cost(order, seconds)) == (row["makespan"], row["cost"])
    assert peaks(order) == [row["peak_chunk_activations"]] * row["p"]


@pytest.mark.parametrize("row", GOLDEN["dualpipe_P4"]["rows"])
def test_dualpipe(row: dict[str, Any]) -> None:
    order = orders.build("dualpipe", row["P"], row["n"])
    order.check(row["n"])
    apart = of_kinds(row["F"], row["BW"] - row["W"], row["W"])

    def seconds(cell: Cell) -> float:
        return float(row["FB"]) if isinstance(cell, Pair) else apart(cell)

    whole = makespan(order, seconds)
    assert whole == pytest.approx(row["makespan"], abs=1e-6)
    idle = [whole - sum(map(seconds, cells)) for cells in order.ranks]
    assert (min(idle), max(idle)) == pytest.approx((row["idle_min"], row["idle_max"]), abs=1e-6)
    assert peaks(order) == [row["peak_in_flight"]] * row["P"]


@pytest.mark.parametrize("row", GOLDEN["zero_bubble_table5"]["rows"], ids=lambda row: f"{row['model']}-{row['m']}")
def test_the_bubble_rates_of_the_zero_bubble_paper(row: dict[str, Any]) -> None:
    """The rate is (cost - m T) / cost; interleaved with all edges, which the authors' evaluator leaves out in part."""
    rows = {
        "1f1b": ("1f1b", 1),
        "zb_h1": ("zb-h1", 1),
        "zb_h2": ("zb-h2", 1),
        "interleaved_all_edges": ("interleaved-1f1b", row["interleave_v"]),
    }
    times = (row["tF_ms"], row["tB_ms"], row["tW_ms"])
    for name, (program, chunks) in rows.items():
        order = orders.build(program, row["p"], row["m"], chunks=chunks)
        taken = cost(order, of_kinds(*times, chunks), row["c_ms"])
        assert 1 - row["m"] * sum(times) / taken == pytest.approx(row["bubble_rates"][name], abs=6e-5), name


def petra_times(last: int) -> Seconds:
    """F 1, reconstruction and backward 3, of the last stage, which reconstructs nothing, 2."""

    def seconds(cell: Cell) -> float:
        (step,) = steps_of(cell)
        return 1 if step.kind == "F" else 2 if step.stage == last else 3

    return seconds


@pytest.mark.parametrize("row", GOLDEN["petra"]["single_engine_makespan"]["rows"], ids=lambda row: str(row["J"]))
def test_petra_on_one_engine(row: dict[str, Any]) -> None:
    order = orders.build("petra", row["J"], row["m"])
    assert makespan(order, petra_times(row["J"] - 1)) == row["makespan"]


@pytest.mark.parametrize("row", GOLDEN["petra"]["period_vs_latency_J4"]["rows"], ids=lambda row: str(row["c"]))
def test_petra_hides_latency_up_to_half_its_period(row: dict[str, Any]) -> None:
    backwards = [
        start for text, start, _ in timed(orders.build("petra", 4, 800), petra_times(3), row["c"])[0] if "D" in text
    ]
    period = (backwards[600] - backwards[200]) / 400
    assert period == pytest.approx(row["period"], abs=0.01)


@pytest.mark.parametrize("stages", [4, 6, 10, 18])
@pytest.mark.parametrize("program", ["petra", "delayed-gradients"])
def test_backwards_come_so_many_micro_batches_late(program: str, stages: int) -> None:
    order = orders.build(program, stages, 90)
    assert delays(order, 30) == GOLDEN["petra"]["delays"][f"J{stages}"]


def test_with_the_last_stage_overlapped_all_are_one_later() -> None:
    order = orders.build("delayed-gradients", 4, 60, overlap_last=True)
    order.check(60)
    assert delays(order, 30) == [each + 1 for each in GOLDEN["petra"]["delays"]["J4"]]


def delays(order: Order, micro_batch: int) -> list[int]:
    """How many micro-batches have gone forward after this one when it goes backward, stage by stage."""
    found = []
    for stage, cells in enumerate(order.ranks):
        forward, backward = (cells.index(Step(kind, stage, micro_batch)) for kind in ("F", "D"))
        found.append(sum(steps_of(cell)[0].kind == "F" for cell in cells[forward + 1 : backward]))
    return found


STALENESS = [[0, 1, 2, 3, 3, 3], [0, 1, 2, 2, 2, 2], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
"""Updates between F and D of the first micro-batches, stage by stage, of 4 stages (arXiv:1806.03377)."""


@pytest.mark.parametrize("program", ["pipedream", "pipedream-2bw"])
def test_pipedream_updates_so_often_between_forward_and_backward(program: str) -> None:
    found = []
    for stage, cells in enumerate(orders.build(program, 4, 20).ranks):
        spans = [(cells.index(Step("F", stage, k)), cells.index(Step("D", stage, k))) for k in range(6)]
        found.append([sum(steps_of(cell)[0].kind == "D" for cell in cells[one:other]) for one, other in spans])
    assert found == STALENESS


# ---- closed forms, and where they end


@pytest.mark.parametrize(("workers", "micro_batches"), [(2, 2), (3, 7), (4, 8), (5, 23), (8, 9)])
@pytest.mark.parametrize("latency", [0, 0.1, 1, 5])
def test_1f1b_pays_the_latency_of_every_micro_batch(workers: int, micro_batches: int, latency: float) -> None:
    p, m = workers, micro_batches
    expected = (m + p - 1) * 3.5 + 2 * (m + p - 3 - (m - 2) // p) * latency
    assert makespan(ordered("1f1b", p, m), of_kinds(1, 1.5, 1), latency) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("workers", "micro_batches", "chunks"), [(2, 4, 2), (4, 8, 3), (3, 9, 4)])
def test_interleaving_divides_the_bubble(workers: int, micro_batches: int, chunks: int) -> None:
    order = orders.build("interleaved-1f1b", workers, micro_batches, chunks=chunks)
    expected = micro_batches * 3 + (workers - 1) * 3 / chunks
    assert makespan(order, of_kinds(1, 1, 1, chunks)) == pytest.approx(expected, abs=1e-6)
    warm_ups = [(chunks - 1) * workers + 2 * (workers - 1 - r) for r in range(workers)]
    assert peaks(order) == [min(micro_batches * chunks, each + 1) for each in warm_ups]


@pytest.mark.parametrize(
    ("h", "f", "b", "w", "c", "holds"),
    [
        (1, 2, 3, 1, 0, True),
        (1, 2, 3, 1, 0.5, True),
        (1, 2, 3, 1, 0.51, False),  # c <= W / 2
        (1, 1, 2, 1.5, 0, False),  # W <= F
        (2, 2, 3, 1, 0, True),
        (2, 2, 3, 1, 0.5, True),
        (2, 1, 2, 1.5, 0, False),
        (2, 1, 0.5, 1, 0, False),  # 2 W <= F + B
    ],
)
def test_where_the_closed_forms_of_zb_h_hold(h: int, f: float, b: float, w: float, c: float, holds: bool) -> None:
    p, m = 4, 12
    closed = m * (f + b + w) + (p - 1) * (f + b - h * w + (4 if h == 1 else 2) * c)
    taken = cost(orders.build(f"zb-h{h}", p, m), of_kinds(f, b, w), c)
    assert (taken == pytest.approx(closed, abs=1e-6)) is holds


@pytest.mark.parametrize(("micro_batches", "rate"), [(4, 0.2), (7, 0), (8, 0), (20, 0)])
def test_zb_v_has_no_bubble_from_2_p_minus_1_micro_batches_on(micro_batches: int, rate: float) -> None:
    taken = cost(ordered("zb_v", 4, micro_batches), of_kinds(1, 1, 1, 2))
    assert 1 - 3 * micro_batches / taken == pytest.approx(rate, abs=1e-6)

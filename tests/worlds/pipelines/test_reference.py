"""Pipelines with a flush against a sheet of reference numbers: makespan, cost, bubble rate, peaks, timelines.

The numbers are longest paths over the graph of operations, and tables 5 and 9 of arXiv:2401.10241
(tests/data/golden-pipelines.json).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.worlds.pipelines.cases import PROGRAMS, REFERENCE, run, three

NS = 1e-9
RATE = 6e-5

UNIT_CASES = [
    (row["p"], row["m"], name, found)
    for row in REFERENCE["unit_times_c0"]["rows"]
    for name, found in row["results"].items()
]


@pytest.mark.parametrize(("p", "m", "name", "expected"), UNIT_CASES)
def test_unit_times(p: int, m: int, name: str, expected: dict[str, Any]) -> None:
    program, settings = PROGRAMS[name]
    chunks = settings.get("chunks", 1)
    in_flight = 2 if name == "zb_v" else 1  # of a V they are counted in chunks
    # Units of 6 s, whose halves and thirds are whole nanoseconds.
    tables = {"settings": settings, "workload": {"activations": 6000, "boundary": 10}}
    found = run(program, p, m, 0.0, three(6.0, 6.0, 6.0), **tables).summary
    assert found["makespan_s"] == pytest.approx(6 * expected["makespan"], abs=NS)
    assert found["cost_s"] == pytest.approx(6 * expected["cost"], abs=NS)
    assert found["bubble_rate"] == pytest.approx(expected["bubble_rate"], abs=RATE)
    ideal = 3.0 * m
    assert found["bubble_over_ideal"] == pytest.approx((expected["makespan"] - ideal) / ideal, abs=RATE)
    assert found["bubble_over_makespan"] == pytest.approx(1 - ideal / expected["makespan"], abs=RATE)
    peaks = [round(6000 * each / in_flight) for each in expected["peak_in_flight_per_stage"]]
    assert found["peak_activations"] == peaks
    stages = p * max(chunks, in_flight)
    assert found["weight_versions"] == [1] * stages
    assert found["stage_staleness"] == [{"stage": each, "min": 0, "mean": 0.0, "max": 0} for each in range(stages)]
    assert found["gradients"] == m
    told = run(program, p, m, 0.0, three(6.0, 6.0, 6.0), run={"trace": False}, **tables).summary
    assert told == {key: value for key, value in found.items() if key not in ("period_s", "explanation")}


@pytest.mark.parametrize("row", REFERENCE["unequal_times_c0"]["rows"] + REFERENCE["latency_p4_m8"]["rows"])
def test_unequal_times_and_latency(row: dict[str, Any]) -> None:
    kernels = three(row.get("tF", 1.0), row.get("tB", 1.0), row.get("tW", 1.0))
    for name, expected in row["results"].items():
        found = run(PROGRAMS[name][0], row["p"], row["m"], row["c"], kernels).summary
        assert found["makespan_s"] == pytest.approx(expected["makespan"], abs=NS), name
        assert found["cost_s"] == pytest.approx(expected["cost"], abs=NS), name


@pytest.mark.parametrize("name", REFERENCE["unbalanced_p4_m8_c0"]["results"])
def test_stages_of_other_sizes(name: str) -> None:
    given, expected = REFERENCE["unbalanced_p4_m8_c0"]["inputs"], REFERENCE["unbalanced_p4_m8_c0"]["results"][name]
    halves = [each / 2 for each in given["b"]]
    kernels = {"forward": given["f"], "backward-input": halves, "backward-weight": halves}
    found = run(PROGRAMS[name][0], given["p"], given["m"], 0.0, kernels).summary
    assert (found["makespan_s"], found["cost_s"]) == pytest.approx((expected["makespan"], expected["cost"]), abs=NS)


@pytest.mark.parametrize("row", REFERENCE["zb_v_unit_chunks_p4"]["rows"])
def test_a_v_of_unit_chunks(row: dict[str, Any]) -> None:
    found = run("zb-v", row["p"], row["m"], kernels=three(2.0, 2.0, 2.0), workload={"activations": 2}).summary
    assert (found["makespan_s"], found["cost_s"]) == pytest.approx((row["makespan"], row["cost"]), abs=NS)
    assert found["peak_activations"] == [row["peak_chunk_activations"]] * row["p"]


@pytest.mark.parametrize("row", REFERENCE["dualpipe_P4"]["rows"])
def test_dualpipe(row: dict[str, Any]) -> None:
    # A stage's own times: of its two copies a micro-batch passes one.
    kernels = three(row["F"], row["BW"] - row["W"], row["W"]) | {"overlapped": row["FB"], "backward": row["BW"]}
    found = run("dualpipe", row["P"], row["n"], row["c"], kernels, workload={"activations": 1}).summary
    assert found["makespan_s"] == pytest.approx(row["makespan"], abs=NS)
    idle = found["per_rank"]["idle_s"]
    assert (min(idle), max(idle)) == pytest.approx((row["idle_min"], row["idle_max"]), abs=NS)
    assert max(found["peak_activations"]) == row["peak_in_flight"]
    assert found["gradients"] == row["n"]


@pytest.mark.parametrize("row", REFERENCE["zero_bubble_table5"]["rows"], ids=lambda row: f"{row['model']}-{row['m']}")
def test_rates_of_the_zero_bubble_paper(row: dict[str, Any]) -> None:
    columns = {
        "1f1b": ("1f1b", {}),
        "zb_h1": ("zb-h1", {}),
        "zb_h2": ("zb-h2", {}),
        "interleaved_all_edges": ("interleaved-1f1b", {"chunks": row["interleave_v"]}),
    }
    kernels = three(row["tF_ms"] / 1e3, row["tB_ms"] / 1e3, row["tW_ms"] / 1e3)
    for column, (program, settings) in columns.items():
        tables = {"settings": settings, "run": {"trace": False}}
        found = run(program, row["p"], row["m"], row["c_ms"] / 1e3, kernels, **tables).summary
        assert found["bubble_rate"] == pytest.approx(row["bubble_rates"][column], abs=RATE), column


TIMELINES = {
    "gpipe": "gpipe",
    "1f1b": "1f1b",
    "zb_h1": "zbh1",
    "zb_h2": "zbh2",
    "zb_v": "zbv",
    "interleaved_v2": "interleaved_v2",
}
LETTERS = {"forward": "F", "backward": "BW", "backward-input": "B", "backward-weight": "W"}


@pytest.mark.parametrize("name", TIMELINES)
def test_every_step_begins_and_ends_as_in_the_golden_timeline(name: str) -> None:
    golden = REFERENCE["golden_timelines_p4_m8_c0"]["timelines"][TIMELINES[name]]
    trace = run(PROGRAMS[name][0], settings=PROGRAMS[name][1]).trace
    assert trace is not None
    rows = trace[trace["op"] == "Compute"].sort_values(["start_ns"])
    for rank, expected in golden.items():
        own = rows[rows["rank"] == int(rank)]
        found = [
            [f"{stage}{LETTERS[kernel]}{k}", start / 1e9, end / 1e9]
            for stage, kernel, k, start, end in zip(
                own["stage"], own["kernel"], own["micro_batch"], own["start_ns"], own["end_ns"], strict=True
            )
        ]
        assert found == expected

"""How a run ends: the world cuts it, and no program knows; a replay of it ends with its rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.alone import alone
from executor.launching.launch import Ranks, execute
from schedules.errors import DeadlockError, ProgramError, ScenarioError
from schedules.result import Result, load_run
from schedules.scenario import load
from simulator import simulate
from tests.worlds.conftest import BASE
from tests.worlds.test_replay_parity import difference

PROGRAMS = Path(__file__).parent / "programs"
GOSSIP = [
    {"schedule.program": program, "schedule.pairing": pairing}
    for program in ("gossip", "a2cid2")
    for pairing in ("edge-clock", "first-come")
]
IN_STEP = [{"schedule.program": program} for program in ("all-reduce", "d-psgd", str(PROGRAMS / "rounds.py"))]

TOTAL = {"run.until": "gradients", "run.total": 103}
TIME = {"run.until": "time", "run.duration": "90 ms"}


def base(case: dict[str, Any]) -> dict[str, Any]:
    """The scenario of both worlds, without the length that the case's end says."""
    tables: dict[str, Any] = {name: dict(table) for name, table in BASE.items()}
    del tables["schedule"]["gradients"]
    for key, value in case.items():
        table, _, name = key.partition(".")
        tables.setdefault(table, {})[name] = value
    return tables


def run(world: str, case: dict[str, Any], ranks: Ranks, **options: Any) -> Result:
    tables = base(case)
    return simulate(tables, **options) if world == "simulated" else execute(tables, ranks=ranks, **options)


def name(case: dict[str, Any]) -> str:
    return "-".join(Path(str(value)).stem for value in case.values())


@pytest.mark.parametrize("end", [TOTAL, TIME], ids=["total", "time"])
@pytest.mark.parametrize("case", [*GOSSIP, *IN_STEP], ids=name)
def test_a_cut_run_is_followed_to_its_cut(case: dict[str, Any], end: dict[str, Any], ranks: Ranks) -> None:
    for world, other in (("simulated", "measured"), ("measured", "simulated")):
        original = run(world, {**case, **end}, ranks)
        for follower in (other, world):
            followed = run(follower, {**case, **end}, ranks, replay=original)
            assert difference(original, followed) <= 1e-12
            assert followed.summary["gradients"] == original.summary["gradients"]


@pytest.mark.parametrize("world", ["simulated", "measured"])
@pytest.mark.parametrize("case", GOSSIP, ids=name)
def test_a_total_ends_with_the_gradient_that_completes_it(world: str, case: dict[str, Any], ranks: Ranks) -> None:
    result = run(world, {**case, **TOTAL}, ranks)
    made = result.summary["gradients"]
    assert made == 103 if world == "simulated" else made >= 103  # ranks hear of it a little later
    assert result.cut_ns == round(result.summary["makespan_s"] * 1e9)
    trace = result.kept_trace
    assert trace["end_ns"].max() <= result.cut_ns
    if world == "simulated":
        assert trace.loc[trace["gradients"] > 0, "end_ns"].max() == result.cut_ns


@pytest.mark.parametrize("world", ["simulated", "measured"])
@pytest.mark.parametrize("case", [*GOSSIP, *IN_STEP], ids=name)
def test_a_time_ends_all_ranks_at_once(world: str, case: dict[str, Any], ranks: Ranks) -> None:
    result = run(world, {**case, **TIME}, ranks)
    assert result.cut_ns == 90_000_000
    assert result.summary["makespan_s"] == 0.09
    assert result.kept_trace["end_ns"].max() < 90_000_000  # nothing is resumed from the cut on
    for busy in result.summary["per_rank"]["compute_s"]:
        assert busy <= 0.09
    parts, told = alone(result).breakdowns[world], result.summary["per_rank"]
    assert (parts["makespan_ns"] / 1e9).tolist() == [0.09] * len(parts)
    assert (parts["compute_ns"] / 1e9).tolist() == told["compute_s"]  # what no row tells of is in both
    assert ((parts["waiting_ns"] + parts["free_ns"]) / 1e9).tolist() == pytest.approx(told["idle_s"], abs=1e-12)


def test_what_is_under_way_counts_up_to_the_cut() -> None:
    """Gradients of 10 ms, 25 ms: two are done, of the third the half; the sum is the whole time."""
    platform = {"platform.gradient": {"mean": "10 ms"}, "schedule.program": "all-reduce"}
    platform |= {"platform.transport": "none", "run.until": "time", "run.duration": "25 ms"}
    result = simulate(base(platform))
    assert result.summary["per_rank"]["gradients"] == [2] * 4
    assert result.summary["per_rank"]["compute_s"] == [0.025] * 4
    assert result.summary["gradients_dropped"] == 0


@pytest.mark.parametrize("duration", ["25 ms", 12.5])
def test_a_duration_is_a_time_or_a_number_of_gradient_times(duration: object) -> None:
    result = simulate(base({"run.until": "time", "run.duration": duration}))
    assert result.cut_ns == 25_000_000  # a gradient time is 2 ms
    assert result.tables["schedule"]["gradients"] == 13


@pytest.mark.parametrize("total", [1, 2, 3, 4, 7])
def test_a_total_is_exact_within_a_segment(total: int) -> None:
    """One worker applies three gradients between two waits, and another worker as many at the same time."""
    case = {"schedule.program": str(PROGRAMS / "in_one_segment.py"), "run.until": "gradients", "run.total": total}
    original = simulate(base({**case, "topology.workers": 2, "topology.graph": "complete"}))
    assert original.summary["gradients"] == total
    tables = original.scenario
    assert difference(original, simulate(tables, replay=original)) == 0


@pytest.mark.parametrize("world", ["simulated", "measured"])
@pytest.mark.parametrize(("case", "step"), [*((each, 1) for each in IN_STEP[:2]), (IN_STEP[2], 4)])
def test_replicas_in_step_are_cut_by_no_count(world: str, case: dict[str, Any], step: int, ranks: Ranks) -> None:
    """103 gradients of four workers are 26 each, or seven rounds of four."""
    result = run(world, {**case, **TOTAL}, ranks)
    assert result.cut_ns is None
    assert result.summary["per_rank"]["gradients"] == [math.ceil(26 / step) * step] * 4
    assert "steps_apart" not in result.summary


@pytest.mark.parametrize("case", IN_STEP, ids=name)
def test_replicas_in_step_that_a_time_cuts_say_how_far_they_are_apart(case: dict[str, Any]) -> None:
    result = simulate(base({**case, **TIME}))
    made = result.summary["per_rank"]["gradients"]
    assert result.summary["steps_apart"] == max(made) - min(made)


@pytest.mark.parametrize(
    ("case", "samples", "made"),
    [
        ({"schedule.program": "gossip"}, 1000, 8),  # 32 gradients of 32 samples, 8 each of four workers
        ({"schedule.program": "all-reduce"}, 1024, 8),
        ({"schedule.program": "all-reduce"}, 1025, 9),
        ({"schedule.program": str(PROGRAMS / "rounds.py")}, 1025, 12),
    ],
)
def test_samples_say_how_long_every_worker_works(case: dict[str, Any], samples: int, made: int) -> None:
    result = simulate(base({**case, "run.samples": samples}))
    assert result.cut_ns is None
    assert result.summary["per_rank"]["gradients"] == [made] * 4


def test_clocks_of_a_cut_run_have_no_horizon() -> None:
    """Exchanges go on to the end, and the ticks are those of a run of fixed length."""
    cut = simulate(base({"run.until": "time", "run.duration": "200 ms"}))
    fixed = simulate(BASE, overrides={"schedule.gradients": 100})

    def tags(result: Result) -> list[tuple[int, int]]:
        rows = result.kept_trace.query("op == 'Exchange' and rank == 0 and end_ns < 180_000_000")
        return list(zip(rows["peer"], rows["tag"], strict=True))

    assert tags(cut) == tags(fixed)
    ends = cut.kept_trace.query("op == 'Exchange'")["end_ns"]
    assert ends.max() > 190_000_000


def test_a_worker_without_neighbours_ends_with_the_others() -> None:
    tables = base({"run.until": "time", "run.duration": "20 ms", "topology.graph": "ring", "topology.workers": 2})
    assert simulate(tables).cut_ns == 20_000_000


def test_a_cut_does_not_hide_that_nobody_moves(tmp_path: Path) -> None:
    """Read-outs go on in a run that is stuck; it is told all the same."""
    program = tmp_path / "stuck.py"
    program.write_text(
        '"""Each waits for the other."""\n'
        "from schedules import Compute, Count, Receive, Table\n\n"
        'SOURCE = "a test"\n\n\nclass Settings(Table):\n    gradients: Count\n\n\n'
        "def streams(worker):\n"
        '    return {"compute": steps(worker)}\n\n\n'
        "def steps(worker):\n"
        '    yield Compute("gradient")\n'
        "    yield Receive(1 - worker.rank, 8)\n"
    )
    case = {"schedule.program": str(program), "topology.workers": 2, "topology.graph": "complete"}
    with pytest.raises(DeadlockError, match="no worker can move"):
        simulate(base({**case, "run.until": "time", "run.duration": 30.0}))


def test_a_cut_run_on_disk_says_when(tmp_path: Path) -> None:
    cut = load_run(simulate(base(TIME)).save(tmp_path / "cut"))
    assert cut.cut_ns == cut.info["cut_ns"] == 90_000_000
    whole = load_run(simulate(BASE).save(tmp_path / "whole"))
    assert whole.cut_ns is None
    assert difference(cut, simulate(base(TIME), replay=tmp_path / "cut")) == 0


@pytest.mark.parametrize("end", [TOTAL, TIME], ids=["total", "time"])
def test_a_replay_of_a_cut_run_is_followed_in_its_turn(end: dict[str, Any], ranks: Ranks, tmp_path: Path) -> None:
    case = base({"schedule.program": "a2cid2", **end})
    first = simulate(case)
    first.save(tmp_path / "first")
    second = simulate(case, replay=tmp_path / "first")
    second.save(tmp_path / "second")
    assert second.cut_ns == first.cut_ns
    third = execute(case, replay=second, ranks=ranks, out=tmp_path / "third")
    for run_again in (simulate(case, replay=tmp_path / "second"), third, simulate(case, replay=tmp_path / "third")):
        assert run_again.summary["gradients"] == first.summary["gradients"]
    assert difference(first, second) == 0


def test_a_replay_of_a_run_that_lost_a_rank_is_followed_in_its_turn(tmp_path: Path) -> None:
    case = base({"schedule.gradients": 20})
    faulty = base({"schedule.gradients": 20, "platform.faults": {"outages": [{"rank": 1, "at": "15 ms"}]}})
    simulate(faulty).save(tmp_path / "first")
    second = simulate(case, replay=tmp_path / "first")
    second.save(tmp_path / "second")
    assert difference(second, simulate(case, replay=tmp_path / "second")) == 0


def test_a_time_is_followed_on_another_platform(ranks: Ranks) -> None:
    """The length that follows from a time is the recorded run's, and so is a learning rate's horizon."""
    rates = {"optimizer.schedule": "cosine", "run.until": "time", "run.duration": "33 ms"}
    original = simulate(base(rates))
    slower = base({**rates, "platform.gradient": {"mean": "7 ms"}})
    assert difference(original, simulate(slower, replay=original)) == 0
    assert difference(original, execute(slower, replay=original, ranks=ranks)) <= 1e-12


def test_a_replay_of_a_cut_run_counts_what_that_did() -> None:
    case = base({"schedule.program": "d-psgd", "run.until": "time", "run.duration": "20 ms"})
    original = simulate(case)
    followed = simulate(case, replay=original)
    keys = ["gradients", "gradients_dropped", "steps_apart"]
    assert [followed.summary[key] for key in keys] == [original.summary[key] for key in keys]
    assert len(followed.kept_trace) == len(original.kept_trace)
    untraced = simulate(case, overrides={"run.trace": False}, replay=original)
    assert difference(original, untraced) == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_lost_a_rank_is_followed_to_its_rows(seed: int, ranks: Ranks) -> None:
    faults = {"outages": [{"rank": 1, "at": "15 ms"}], "detection": "1 ms"}
    case = {"schedule.gradients": 20, "run.seed": seed}
    original = simulate(base({**case, "platform.faults": faults}))
    assert original.summary["per_rank"]["gradients"][1] < 20
    for world in ("simulated", "measured"):
        followed = run(world, case, ranks, replay=original)
        assert difference(original, followed) <= 1e-12


def test_a_run_that_failed_is_followed_to_its_rows(tmp_path: Path, ranks: Ranks) -> None:
    """What it had recorded is there again, and the mistake is not reached: its segment was never over."""
    program = tmp_path / "failing.py"
    program.write_text((PROGRAMS / "raising.py").read_text())
    case = base({"schedule.program": str(program), "schedule.gradients": 3, "schedule.case": "program"})
    with pytest.raises(ProgramError):
        execute(case, out=tmp_path / "run", ranks=ranks)
    recorded = load_run_trace(tmp_path / "run")
    followed = simulate(case, replay=tmp_path / "run")
    assert len(followed.kept_trace) == recorded


def load_run_trace(directory: Path) -> int:
    from schedules.record.files import read_trace

    return len(read_trace(directory)[0])


def test_a_precision_ends_with_its_rows() -> None:
    precise = {"run.until": "precision", "run.precision": 0.5, "run.limit": 5000}
    original = simulate(base(precise))
    assert original.cut_ns is not None
    assert original.tables["schedule"]["gradients"] == 5000
    assert difference(original, simulate(base(precise), replay=original)) == 0


def test_a_count_asked_of_a_replay_is_refused() -> None:
    original = simulate(BASE)
    with pytest.raises(ScenarioError, match=r"run\.total = None \(here 50\)"):
        simulate(BASE, overrides={"run.until": "gradients", "run.total": 50}, replay=original)


def test_the_share_of_each_worker_is_its_learning_rates_horizon() -> None:
    """A cosine ends where the run does: 100 gradients of four workers are 25 updates."""
    rates = {"optimizer.schedule": "cosine", "schedule.program": "all-reduce"}
    counted = simulate(base({**rates, "run.until": "gradients", "run.total": 100}))
    fixed = simulate(base({**rates, "schedule.gradients": 25}))
    assert counted.parameters is not None
    assert np.array_equal(counted.parameters, fixed.parameters)


REFUSED = [
    ({"run.until": "gradients"}, r"run\.total: expected one for run\.until = 'gradients', found none"),
    ({"run.until": "time"}, r"run\.duration: expected one for run\.until = 'time', found none"),
    (
        {"schedule.gradients": 9, "run.total": 5},
        r"run\.total: expected run\.until = 'gradients' beside it, found 'end'",
    ),
    (
        {"run.until": "time", "run.duration": 0},
        r"run\.duration: expected a time above 0, such as \"30 s\", .*, found 0",
    ),
    ({"run.until": "time", "run.duration": "-1 s"}, r"run\.duration: expected a time above 0.*found '-1 s'"),
    ({"run.until": "time", "run.duration": True}, r"run\.duration: expected a time such as \"30 s\".*found true"),
    ({"run.until": "time", "run.duration": "ten"}, r"run\.duration: expected .*, found 'ten'"),
    ({"run.until": "time", "run.duration": "3 kg"}, r"run\.duration: expected a quantity in second.*found '3 kg'"),
    ({"run.until": "gradients", "run.total": 0}, r"run\.total: expected a number of at least 1, found 0"),
    ({"run.until": "gradients", "run.total": "5"}, r"run\.total: expected a whole number, found '5'"),
    ({"run.until": "gradients", "run.total": 5, "run.samples": 6}, r"run\.samples: expected run\.until = 'end' beside"),
    ({"run.samples": -3}, r"run\.samples: expected a number of at least 1, found -3"),
    (
        {"run.until": "time", "run.duration": 5, "platform.gradient": {"mean": 0}},
        r"platform\.gradient: expected gradients that take time for run\.until = 'time'",
    ),
    ({"run.until": "never"}, r"run\.until: expected 'end', 'gradients', 'time' or 'precision', found 'never'"),
    (
        {"schedule.program": str(PROGRAMS / "raising.py").replace("raising", "endless"), **TOTAL},
        r"run\.until: expected 'end' for a schedule without LENGTH, the key that says how long it is, found 'grad",
    ),
]


@pytest.mark.parametrize(("case", "message"), REFUSED)
def test_what_cannot_end_so_is_refused(case: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        simulate(base(case))


def test_a_length_that_is_no_key_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "wrong.py"
    program.write_text((PROGRAMS / "rounds.py").read_text().replace('LENGTH = "rounds"', 'LENGTH = "epochs"'))
    with pytest.raises(
        ScenarioError, match=r"expected LENGTH, a key of Settings \(rounds, local_steps\), found .*epochs"
    ):
        simulate(base({"schedule.program": str(program), "schedule.rounds": 2}))


@pytest.mark.parametrize(("accumulate", "made"), [(1, 10), (2, 10), (3, 12), (4, 12), (7, 14), (100, 100)])
def test_a_total_is_rounded_up_to_whole_updates(accumulate: int, made: int) -> None:
    """37 gradients of four workers are 10 each, and more where an update would lack some of its own."""
    tables = {
        "schedule": {"program": "all-reduce", "accumulate": accumulate},
        "topology": {"graph": "complete", "workers": 4},
        "platform": {"gradient": {"mean": "10 ms"}},
        "workload": {"parameters": 1000},
        "run": {"until": "gradients", "total": 37},
    }
    assert load(tables).schedule.gradients == made

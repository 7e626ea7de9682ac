"""Throughput of programs with kernels of their own, in their own units, in both worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.tables import summary_errors
from schedules.errors import ScenarioError
from schedules.record.quantities import throughput
from tests.worlds.conftest import World
from twinclock.printing.run_summary import rows, title

PROGRAMS = Path(__file__).parent / "programs"
N, T = 4, 20

KERNELS = {"prefill": "20 ms", "decode": "2 ms"}


def own(name: str, **more: Any) -> dict[str, Any]:
    return {
        "schedule.program": str(PROGRAMS / f"{name}.py"),
        "schedule.gradients": T,
        "run.numerics": False,
        "platform.kernels": KERNELS,
        **more,
    }


def units(summary: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("work."): value for key, value in summary.items() if key.startswith("work.")}


def test_kernels_are_counted_where_nothing_is_declared(world: World) -> None:
    assert units(world(own("serving_plainly")).summary) == {"prefill": N, "decode": N * T}


def test_what_kernels_make_is_counted_where_the_module_says_it(world: World) -> None:
    assert units(world(own("serving")).summary) == {"tokens": N * (512 + T), "requests": N}


def test_a_kernel_that_was_cancelled_made_nothing(world: World) -> None:
    assert units(world(own("serving", **{"schedule.cancels": True})).summary)["requests"] == N


def test_throughput_is_by_the_rule_of_gradients(simulated: World) -> None:
    """k_i / t_i, summed over the ranks: 20 decodes by 60 ms, a prefill by 20 ms."""
    summary = simulated(own("serving_plainly")).summary
    assert summary["work_per_s.decode"] == pytest.approx(N * T / 0.06, rel=1e-12)
    assert summary["work_per_s.prefill"] == pytest.approx(N / 0.02, rel=1e-12)


def test_slow_ranks_count_by_what_they_made_until_the_first_was_done(simulated: World) -> None:
    """One rank takes twice as long: by 60 ms it has made 10 decodes, at 2 x (20 + 10 x 2) = 80 ms."""
    summary = simulated(own("serving_plainly", **{"platform.speed": {"0": 0.5}})).summary
    # By 60 ms it has a prefill (40 ms) and five decodes of 4 ms.
    assert summary["work_per_s.decode"] == pytest.approx(3 * T / 0.06 + 5 / 0.06, rel=1e-12)


def test_of_a_run_that_is_cut_what_had_ended_counts(simulated: World) -> None:
    cut = {"run.until": "time", "run.duration": "31 ms"}
    assert units(simulated(own("serving_plainly", **cut)).summary) == {"prefill": N, "decode": N * 5}


def test_slowed_kernels_count_once_they_are_over(simulated: World) -> None:
    slow = {"platform.stragglers": {"mean_normal": "5 ms", "mean_slow": "5 ms", "slowdown": 2.0}}
    assert units(simulated(own("serving_plainly", **slow)).summary) == {"prefill": N, "decode": N * T}


def test_gradients_that_nobody_applies_are_told_as_computed(world: World) -> None:
    summary = world(own("never_applying")).summary
    assert summary["gradients"] == 0
    assert units(summary) == {"computed gradients": N * T}
    assert summary["gradients_dropped"] == N * T


def test_gradients_say_it_where_there_are_some(world: World) -> None:
    assert units(world({"schedule.program": "all-reduce", "schedule.overlap": True}).summary) == {}


def test_what_does_not_apply_is_not_printed(simulated: World) -> None:
    result = simulated(own("serving"))
    told = dict(rows(result.summary))
    assert told["throughput"] == "35,467 tokens/s, 200 requests/s"
    assert "staleness" not in told
    assert title(result).endswith("4 workers, 2,128 tokens, 4 requests, seed 0, simulated")
    assert throughput(result.summary) == "35,467 tokens/s, 200 requests/s"
    assert "0 gradients" not in " ".join(f"{name} {value}" for name, value in told.items())


def test_a_comparison_has_the_units_and_not_what_does_not_apply(simulated: World) -> None:
    summary = simulated(own("serving")).summary
    keys = set(summary_errors(summary, summary)["key"])
    assert {"work_per_s.tokens", "work.requests", "makespan_s"} <= keys
    assert not {key for key in keys if key.startswith(("gradients", "samples", "staleness", "window"))}


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("3", "work: expected how many of each unit a kernel makes"),
        ('{"tokens": 3}', "work: expected how many of each unit a kernel makes"),
        ('{"tokens": {"decode": 0}}', "work: tokens: expected a whole number of at least 1 for decode, found 0"),
        ("1 / 0", r"work: expected an answer, found an error \(.*ZeroDivisionError"),
    ],
)
def test_a_wrong_declaration_is_refused(returned: str, told: str, simulated: World, tmp_path: Path) -> None:
    file = tmp_path / "declared.py"
    text = (PROGRAMS / "serving.py").read_text()
    file.write_text(text.replace('{"tokens": {"decode": 1, "prefill": 512}, "requests": {"prefill": 1}}', returned))
    with pytest.raises(ScenarioError, match=told):
        simulated({"schedule.program": str(file)})

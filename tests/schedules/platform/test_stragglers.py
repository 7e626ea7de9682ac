"""Transient stragglers: work is conserved, and the Markov process is the one that was asked for."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from schedules.platform.stragglers import Pace
from schedules.platform.stragglers import pace as pace_of
from schedules.scenario import Scenario, load


def scenario(workers: int = 4, seed: int = 0, **stragglers: object) -> Scenario:
    table = {"slowdown": 4.0, "mean_normal": "3 s", "mean_slow": "1 s", **stragglers}
    return load(
        {
            "schedule": {"program": "gossip", "gradients": 10},
            "topology": {"graph": "ring", "workers": workers},
            "platform": {"gradient": {"mean": 1}, "stragglers": table},
            "workload": {"parameters": 1000},
            "run": {"seed": seed},
        }
    )


def pace(resolved: Scenario, rank: int) -> Pace:
    return pace_of(resolved.platform.stragglers, resolved.run.seed, rank)


# ---- forced states: slow from 100 to 180 and from 300 on

FORCED = (100, 180, 300)


@pytest.mark.parametrize(
    ("start", "work", "end"),
    [
        (0, 100, 100),  # over when the spell begins
        (0, 101, 104),
        (50, 60, 140),  # 50 at full speed, 10 in 40
        (0, 120, 180),  # 100 at full speed, 20 in 80
        (0, 121, 181),
        (0, 250, 340),  # 100, 20 in the spell, 120 between the two, 10 in 40
        (100, 20, 180),
        (140, 15, 185),
        (180, 120, 300),
        (300, 7, 328),
        (1000, 10, 1040),  # there is no further change
        (150, 0, 150),
    ],
)
def test_a_kernel_that_overlaps_a_change_is_worked_out_piece_by_piece(start: int, work: int, end: int) -> None:
    assert Pace(4.0, FORCED).end(start, work) == end
    assert Pace(4.0, FORCED).work(start, end) == work


def test_a_run_may_start_in_a_slow_spell() -> None:
    assert Pace(2.0, [10], starts_slow=True).end(0, 8) == 13
    assert Pace(2.0, [10], starts_slow=True).slow_spells(100) == [(0, 10)]
    assert Pace(2.0, [10], starts_slow=True).slow_spells(7) == [(0, 7)]


def test_without_spells_work_is_time() -> None:
    assert Pace().end(10**15, 3) == 10**15 + 3
    assert Pace().work(3, 10**15) == 10**15 - 3
    assert Pace().slow_spells(10**9) == []


@given(
    st.floats(1, 50),
    st.lists(st.integers(0, 10**6), max_size=20),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5),
)
def test_work_is_conserved(
    slowdown: float, changes: list[int], starts_slow: bool, kernels: list[tuple[int, int]]
) -> None:
    """Whatever is asked first: what is done until a kernel's end is the kernel, but for the rounding of the end."""
    rank = Pace(slowdown, sorted(changes), starts_slow=starts_slow)
    for start, work in kernels:
        end = rank.end(start, work)
        assert rank.work(start, end) == pytest.approx(work, abs=0.5 + 1e-6)
        assert work - 1 <= end - start <= slowdown * work + 1
        middle = (start + end) // 2
        assert rank.work(start, middle) + rank.work(middle, end) == pytest.approx(rank.work(start, end), abs=1e-6)


# ---- the process

HORIZON = 40_000 * 10**9
NORMAL_S, SLOW_S = 3.0, 1.0


@pytest.mark.parametrize("rank", range(4))
def test_sojourns_are_exponential_with_the_means_asked_for(rank: int) -> None:
    """Means within four standard errors; Kolmogorov-Smirnov at 1 % for the eight tests together (Bonferroni)."""
    spells = np.array(pace(scenario(), rank).slow_spells(HORIZON))
    assert len(spells) > 9000
    slow, normal = (spells[:, 1] - spells[:, 0])[1:-1] / 1e9, (spells[1:, 0] - spells[:-1, 1]) / 1e9
    for lengths, mean in ((slow, SLOW_S), (normal, NORMAL_S)):
        assert lengths.mean() == pytest.approx(mean, abs=4 * mean / len(lengths) ** 0.5)
        assert stats.kstest(lengths, "expon", (0, mean)).pvalue > 0.01 / 8


def test_a_rank_is_slow_for_its_share_of_the_time() -> None:
    """mean_slow / (mean_slow + mean_normal). Rates a, b of leaving the two states: the share of a time T has the
    variance 2 a b / ((a + b)^3 T) (asymptotically; Cox & Miller, The Theory of Stochastic Processes, section 4.3)."""
    a, b = 1 / NORMAL_S, 1 / SLOW_S
    error = np.sqrt(2 * a * b / ((a + b) ** 3 * HORIZON / 1e9))
    for rank in range(4):
        process = pace(scenario(), rank)
        slow = sum(end - begin for begin, end in process.slow_spells(HORIZON)) / HORIZON
        assert slow == pytest.approx(0.25, abs=4 * error)
        assert process.work(0, HORIZON) / HORIZON == pytest.approx(1 - slow + slow / 4, rel=1e-9)


@pytest.mark.parametrize("at_s", [0.0, 0.7, 10.0])
def test_the_process_is_stationary_from_the_start(at_s: float) -> None:
    """At any time a quarter of the ranks is slow, within four standard errors."""
    resolved, number, at = scenario(workers=3000), 3000, round(at_s * 1e9)
    are_slow = [pace(resolved, rank).work(at, at + 1) < 1 for rank in range(number)]
    assert np.mean(are_slow) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / number))


# ---- keys


def test_ranks_and_seeds_have_processes_of_their_own() -> None:
    def spells(resolved: Scenario, rank: int) -> list[tuple[int, int]]:
        return pace(resolved, rank).slow_spells(10**12)

    mine = [spells(scenario(), rank) for rank in range(4)]
    assert mine == [spells(scenario(workers=5), rank) for rank in range(4)]
    assert all(one != other for one, other in itertools.combinations([*mine, spells(scenario(seed=1), 0)], 2))


def test_only_the_ranks_that_are_named_straggle() -> None:
    resolved = scenario(ranks=[1, 3])
    assert [bool(pace(resolved, rank).slow_spells(10**11)) for rank in range(4)] == [False, True, False, True]
    assert pace(resolved, 1).slow_spells(10**11) == pace(scenario(), 1).slow_spells(10**11)

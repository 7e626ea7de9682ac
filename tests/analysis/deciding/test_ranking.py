"""Whether a ranking held, from numbers made by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.deciding.choice import choose
from analysis.deciding.ranking import Decision, rank
from tests.analysis.deciding.test_choice import case

NAMES = ("ring", "star")


def test_a_ranking_holds_where_the_interval_is_above_zero():
    told = rank(NAMES, (110, 100), ([105, 107, 109], [100, 100, 100]))
    assert told.verdict() == "The ranking held"
    assert told.sentence() == (
        "The ranking held: ring before star by 10.0 % simulated, +7.0 % measured (95 % interval +2.0 % to +12.0 % from "
        "3 rounds)."
    )


def test_the_interval_is_students_of_the_ratios_of_the_rounds():
    """The machine was half as fast in the last two rounds: that met both cases, and their ratio does not show it."""
    ours, theirs = [104.0, 106.0, 51.0, 53.5], [100.0, 100.0, 50.0, 50.0]
    told = rank(NAMES, (110, 100), (ours, theirs))
    ratios = np.array([0.04, 0.06, 0.02, 0.07])
    low, high = stats.t.interval(0.95, 3, ratios.mean(), stats.sem(ratios))
    assert told.measured == pytest.approx(ratios.mean())
    assert (told.interval.low, told.interval.high) == pytest.approx((low, high))


def test_what_is_slower_in_the_simulation_comes_second():
    told = rank(NAMES, (100, 110), ([100, 100, 100], [105, 107, 109]))
    assert (told.first, told.second, told.simulated) == ("star", "ring", pytest.approx(0.1))
    assert told.verdict() == "The ranking held"


def test_a_ranking_that_is_turned_round_did_not_hold():
    told = rank(NAMES, (110, 100), ([93, 91, 89], [100, 100, 100]))
    assert told.sentence() == (
        "The ranking did not hold: ring before star by 10.0 % simulated, -9.0 % measured (95 % interval -14.0 % to "
        "-4.0 % from 3 rounds). How large the difference is was not predicted: the interval does not hold the "
        "simulated one."
    )


@pytest.mark.parametrize("ours", [[120, 90, 105], [80, 110, 95]])
def test_an_interval_that_holds_zero_tells_nothing(ours):
    told = rank(NAMES, (110, 100), (ours, [100, 100, 100]))
    assert told.sentence().startswith("The ranking cannot be told from noise: ring before star by 10.0 % simulated, ")


def test_one_round_has_no_interval():
    told = rank(NAMES, (110, 100), ([109], [100]))
    assert told.sentence() == (
        "The ranking cannot be told from noise: ring before star by 10.0 % simulated, +9.0 % measured (one execution "
        "of each, so no interval)."
    )


def test_equal_simulations_are_no_ranking():
    told = rank(NAMES, (100, 100), ([103, 104, 105], [100, 100, 100]))
    assert told.sentence() == (
        "There is no ranking: ring and star are equally fast simulated, +4.0 % measured (95 % interval +1.5 % to "
        "+6.5 % from 3 rounds)."
    )


@pytest.mark.parametrize("measured", [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0])])
def test_rounds_without_numbers_are_an_error(measured):
    with pytest.raises(ValueError, match="rank: expected"):
        rank(NAMES, (110, 100), measured)


def decided(**measured):
    """Ring is chosen: 100 gradients/s of four workers, so 40 ms a gradient; close is a distance of at most 2."""
    choice = choose([case("ring", 100, 1.0, 0.002), case("star", 90, 3.0)])
    told = {"gradients_per_s": 100.0, "lag_mean_s": 0.002, "consensus": 1.0, **measured}
    return Decision(choice, None, pd.DataFrame([{"case": "ring", "world": "measured", **told}]))


def test_a_choice_that_holds_leaves_no_doubt():
    assert decided().doubts() == []
    assert decided(lag_mean_s=None, consensus=None).doubts() == []


def test_a_choice_that_does_not_keep_up_when_it_is_executed_is_told():
    """At 50 gradients/s a gradient takes 80 ms."""
    assert decided(lag_mean_s=0.08, gradients_per_s=50.0).doubts() == []
    assert decided(lag_mean_s=0.16, gradients_per_s=50.0).doubts() == [
        "Executed, ring does not keep up with its clocks: a lag of 160 ms, 2 gradients, where 2 ms was simulated."
    ]


def test_a_choice_whose_workers_part_when_it_is_executed_is_told():
    assert decided(consensus=2.0).doubts() == []
    assert decided(consensus=2.5).doubts() == [
        "Executed, its workers are not close: a consensus distance of 2.5, where 1 was simulated and at most 2 asked "
        "for."
    ]

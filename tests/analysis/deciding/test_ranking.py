"""Whether a ranking held, from numbers made by hand."""

import numpy as np
import pytest
from scipy import stats

from analysis.deciding.ranking import rank

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

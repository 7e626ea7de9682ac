"""The rule that chooses a case of a sweep, on tables made by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.deciding.choice import Candidate, candidates_of, choose, settled_consensus, while_training


def case(line, gradients_per_s, consensus, lag_s=None, step="", busy=None):
    """Of four workers."""
    return Candidate(line, step, gradients_per_s, consensus, 1.0, lag_s, 4 / gradients_per_s, busy=busy)


def names(cases):
    return [each.name for each in cases]


def test_of_the_closer_half_the_fastest_is_chosen():
    cases = [case("a", 100, 9.0), case("b", 80, 2.0), case("c", 60, 1.0), case("d", 90, 8.0)]
    choice = choose(cases)
    assert (choice.limit, names(choice.close)) == (5.0, ["b", "c"])
    assert (choice.chosen.name, choice.rival.name) == ("b", "c")


def test_a_case_that_falls_behind_its_clock_is_not_chosen_however_good():
    """Four workers at 100 gradients/s: a gradient takes 40 ms, and so long a lag still keeps up."""
    late, timely, slow = case("late", 100, 0.1, 0.041), case("timely", 100, 1.0, 0.04), case("slow", 50, 2.0)
    choice = choose([late, timely, slow])
    assert names(choice.steady) == ["timely", "slow"]
    assert choice.chosen is timely
    assert choice.rival is slow  # not close, but slower, and it keeps up
    assert "Not kept up: 1 of 3 cases fall behind their clocks, the most late, by 41 ms, 1 gradients." in " ".join(
        choice.reasons()
    )


def test_where_none_keeps_up_all_are_compared():
    choice = choose([case("a", 100, 1.0, 9.0), case("b", 90, 2.0, 9.0)])
    assert choice.chosen.name == "a"
    assert "keep up with their clocks" not in choice.sentence()


def test_a_case_that_takes_more_than_two_thirds_of_the_cores_is_not_chosen_however_good():
    crowded, worse = case("crowded", 100, 0.1, busy=0.67), case("worse", 99, 0.1, busy=1.8)
    fitting, idle = case("fitting", 90, 1.0, busy=0.66), case("idle", 50, 2.0, busy=0.1)
    choice = choose([crowded, worse, fitting, idle])
    assert names(choice.steady) == ["fitting", "idle"]
    assert choice.chosen is fitting
    assert choice.rival is idle
    assert choice.sentence().startswith(
        "Choose fitting: of the 2 cases that keep up with their clocks and fit this machine 1 keep"
    )
    assert choice.reasons()[0] == (
        "Too much for this machine: 2 of 4 cases would take more than 66.7 % of the time of its cores, the most worse, "
        "180.0 %: executed here, threads that wait for a core would hold them up, which no simulation foretells."
    )


def test_where_no_case_fits_those_that_keep_up_are_compared_and_it_is_said():
    choice = choose([case("late", 100, 0.1, 9.0, busy=0.2), case("a", 90, 1.0, busy=0.9), case("b", 80, 2.0, busy=0.8)])
    assert names(choice.steady) == ["a", "b"]
    assert "fit this machine" not in choice.sentence()
    assert choice.reasons()[1].endswith("The chosen one is among them, as no case that keeps up fits.")


def test_among_those_that_are_as_fast_the_closest_is_chosen():
    cases = [case("a", 100, 1.0), case("b", 99.5, 0.5), case("c", 98, 0.4), case("d", 10, 5.0), case("e", 9, 6.0)]
    choice = choose(cases)
    assert choice.chosen.name == "b"
    assert "the most gradients (as many as 1 other, but closer together): 99.5 gradients/s" in choice.sentence()


def test_of_equals_the_first_is_chosen_and_the_other_is_its_rival():
    choice = choose([case("a", 100, 1.0), case("b", 100, 1.0)])
    assert (choice.chosen.name, choice.rival.name) == ("a", "b")


def test_the_rival_is_slower_by_five_per_cent_where_one_is():
    cases = [case("a", 100, 1.0), case("b", 96, 1.0), case("c", 95, 1.0), case("d", 60, 1.0)]
    assert choose(cases).rival.name == "c"
    assert choose(cases[:2]).rival.name == "b"


def test_one_case_alone_has_no_rival():
    choice = choose([case("a", 100, 1.0)])
    assert choice.rival is None
    assert choice.sentence() == "Choose a: 100 gradients/s; there is no other case."
    assert choice.reasons() == []


def test_no_case_is_an_error():
    with pytest.raises(ValueError, match="expected a case with throughput and consensus distance, found none"):
        choose([])


def test_workers_that_never_part_are_all_close():
    choice = choose([case("a", 50, 0.0), case("b", 100, 0.0)])
    assert (choice.chosen.name, choice.rival.name) == ("b", "a")


def test_sentences_say_which_and_why():
    cases = [
        case("ring", 200, 8.0, 0.002, "rate 1"),
        case("ring", 180, 2.0, 0.003, "rate 2"),
        case("ring", 120, 1.0, 0.004, "rate 4"),
        case("ring", 190, 9.0, 0.002, "rate 0.5"),
    ]
    choice = choose(cases)
    assert choice.sentence() == (
        "Choose ring, rate 2: of the 4 cases that keep up with their clocks 2 keep their workers close (consensus "
        "distance at most 5, the median), and of these it makes the most gradients: 180 gradients/s, at a consensus "
        "distance of 2 and a lag of 3 ms."
    )
    assert choice.reasons() == [
        "Faster: ring, rate 1 makes 11.1 % more, but its consensus distance is 8.",
        "Closer: ring, rate 4 has a consensus distance of 1, but makes 33.3 % fewer gradients.",
        "Its rival is ring, rate 4: 120 gradients/s (-33.3 %), at a consensus distance of 1.",
    ]


def test_consensus_is_that_of_the_second_half_of_the_window():
    """Before it workers start alike; behind it those that are done come together."""
    series = pd.DataFrame({"time_s": [0.0, 1, 2, 3, 4, 5], "consensus_distance": [0.0, 9, 1, 2, 3, 0]})
    assert settled_consensus(series, 4.0) == 2.0
    assert settled_consensus(series, 0.5) is None
    assert settled_consensus(None, 4.0) is None


def test_cases_are_read_from_a_sweep():
    keys = ["topology.graph", "schedule.rate"]
    table = pd.DataFrame(
        {
            "topology.graph": ["ring", "star", "path"],
            "schedule.rate": [1.0, 1.0, 0.5],
            "gradients_per_s": [100.0, 80.0, np.nan],
            "staleness_mean": [1.0, 2.0, np.nan],
            "lag_mean_s": [0.5, np.nan, np.nan],
            "busy": [0.25, 0.75, np.nan],
            "window_s": [2.0, 2.0, np.nan],
            "error": ["", "", "failed"],
        }
    )
    series = pd.DataFrame(
        {
            "topology.graph": ["ring", "ring", "star"],
            "schedule.rate": [1.0, 1.0, 1.0],
            "time_s": [1.0, 2.0, 2.0],
            "consensus_distance": [3.0, 5.0, 7.0],
        }
    )
    ring, star = candidates_of(while_training(table, series, keys), keys, 4)
    assert (ring.name, ring.consensus, ring.lag_s, ring.gradient_s) == ("ring, rate 1", 4.0, 0.5, 0.04)
    assert not ring.keeps_up
    assert (star.name, star.consensus, star.lag_s, star.keeps_up) == ("star, rate 1", 7.0, None, True)
    assert (ring.busy, ring.fits, star.busy, star.fits) == (0.25, True, 0.75, False)
    assert star.settings == {"topology.graph": "star", "schedule.rate": 1.0}

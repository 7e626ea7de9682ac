"""The sentences of a claim: what is claimed, what the error is worth, and what a network adds."""

import pytest

from analysis.claims import Claim, headline
from analysis.measures.intervals import Difference, Interval

EDGE_CLOCKS = {"gradients_per_s": 400.0, "exchange_rate": 0.9, "lag_mean_s": 0.004}


def summary(throughput):
    return {"makespan_s": 1.0, "gradients_per_s": throughput}


def paired(value, half, *, above=5, below=5):
    return Difference(value, value - half, value + half, True, above, below, 10)


def unpaired(value, half):
    return Difference(value, value - half, value + half, False, 0, 0, 20)


def claim(ours, theirs, null=None, difference=None):
    without = None if null is None else summary(null)
    return Claim("gradients_per_s", summary(ours), summary(theirs), without, difference)


def test_the_number_that_is_claimed():
    assert headline(summary(100.0)) == "gradients_per_s"
    assert headline(summary(0.0)) == "makespan_s"
    assert headline(summary(100.0) | {"exchange_rate": 1.0}) == "gradients_per_s"
    assert headline(EDGE_CLOCKS) == "exchange_rate"
    assert headline(EDGE_CLOCKS | {"exchange_rate": 0.0}) == "gradients_per_s"
    own = {"work_per_s.failed": 0.0, "work_per_s.tokens": 100.0, "work_per_s.requests": 3.0}
    assert headline(summary(0.0) | own) == "work_per_s.tokens"
    assert headline(summary(100.0) | own) == "gradients_per_s"


def test_what_a_prediction_adds():
    found = claim(101.0, 100.0, 110.0, paired(1.0, 0.5, above=10, below=0))
    assert found.sentence() == (
        "Simulated throughput 101.00 gradients/s, measured 100.00 (error +1.0 %, 95 % interval of the error +0.50 % to "
        "+1.5 % from 10 paired differences; error without a network +10.0 %)."
    )
    assert (found.error, found.null_error) == pytest.approx((0.01, 0.1))


@pytest.mark.parametrize("null", [101.0, 99.0, 100.5, 100.0])
def test_where_the_null_model_is_as_good_the_prediction_adds_nothing(null):
    told = claim(101.0, 100.0, null, unpaired(1.0, 5.0)).sentence()
    assert told.endswith(": the prediction adds nothing to that).")


def test_where_the_measurement_cannot_tell_what_is_added_that_is_said():
    told = claim(101.0, 100.0, 103.0, unpaired(1.0, 5.0)).sentence()
    assert told.endswith(
        "from batch means; error without a network +3.0 %: what the prediction adds to that is less than this "
        "measurement can tell)."
    )


def test_a_difference_of_exactly_zero_is_said_as_such():
    found = claim(100.0, 100.0, 100.0, paired(0.0, 0.0, above=0, below=0))
    assert "(error 0 %: the difference is exactly 0; error without a network 0 %" in found.sentence()
    assert found.verdict().startswith("The difference is exactly 0")


@pytest.mark.parametrize(
    ("difference", "begin"),
    [
        (unpaired(1.0, 5.0), "The prediction lies inside the interval: this measurement cannot tell it from the truth"),
        (unpaired(6.0, 5.0), "The prediction lies outside the interval"),
        (paired(1.0, 5.0), "The interval of paired differences holds 0: this measurement cannot tell the prediction"),
        (paired(6.0, 5.0), "The interval of paired differences does not hold 0"),
        (paired(6.0, 5.0, above=10, below=0), "All 10 paired differences have one sign (simulated higher)"),
        (paired(-1.0, 5.0, above=0, below=10), "All 10 paired differences have one sign (simulated lower)"),
        (None, "Without an interval nobody can say"),
    ],
)
def test_verdicts(difference, begin):
    verdict = claim(101.0, 100.0, None, difference).verdict()
    assert verdict.startswith(begin)
    assert ("cannot tell" in verdict) == (difference is not None and difference.low <= 0 and "All" not in begin)


def test_with_edge_clocks_the_exchange_rate_is_claimed_with_its_lag():
    measured = EDGE_CLOCKS | {"exchange_rate": 0.8, "lag_mean_s": 0.005}
    null = EDGE_CLOCKS | {"exchange_rate": 1.0, "lag_mean_s": 0.001}
    told = Claim("exchange_rate", EDGE_CLOCKS, measured, null, paired(0.1, 0.02, above=10, below=0)).sentence()
    assert told == (
        "Simulated exchange rate 0.900 exchanges a gradient, measured 0.800 (error +12.5 %, 95 % interval of the error "
        "+10.0 % to +15.0 % from 10 paired differences; error without a network +25.0 %). Their lag behind the clocks: "
        "simulated 4 ms, measured 5 ms (error -20.0 %; error without a network -80.0 %)."
    )


def test_repeated_measurements_are_told_with_their_spread():
    found = claim(102.0, 100.0, 110.0)
    between = Interval(100.0, 98.0, 102.0, 4)
    assert found.repeated([98.0, 99.0, 101.0, 102.0], between, Interval(100.0, 99.0, 101.0, 20)) == (
        "Measured 4 times: 98 to 102 gradients/s, mean 100 (95 % interval of the mean ±2.0 %); by the spread between "
        "runs a single one is known to ±4.0 %, by the interval within the one shown to ±1.0 %. Against the mean the "
        "error is +2.0 %, without a network +10.0 %."
    )
    assert found.repeated([100.0], None, between) == ""


def test_units_of_its_own_have_an_error_and_no_interval():
    of = [summary(0.0) | {"work_per_s.tokens": value} for value in (101.0, 100.0, 110.0)]
    found = Claim("work_per_s.tokens", *of)
    assert found.sentence() == (
        "Simulated throughput 101 tokens/s, measured 100 (error +1.0 %; error without a network +10.0 %)."
    )
    assert found.verdict().startswith("One run has no interval for this")
    between = Interval(100.0, 98.0, 102.0, 4)
    assert found.repeated([98.0, 102.0], between, None).startswith("Measured 2 times: 98 to 102 tokens/s, mean 100")

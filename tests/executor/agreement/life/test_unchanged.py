"""How long something has stayed as it is, at times that the test says."""

from executor.agreement.life.unchanged import Unchanged


def test_a_value_counts_from_when_it_was_first_seen() -> None:
    beats = Unchanged(2.0)
    assert [beats.seconds(b"1", now) for now in (5.0, 6.0, 7.5)] == [0.0, 1.0, 2.5]
    assert [beats.seconds(b"2", now) for now in (8.0, 9.0)] == [0.0, 1.0]


def test_time_in_which_nobody_looked_does_not_count() -> None:
    beats = Unchanged(2.0)
    assert [beats.seconds(b"1", now) for now in (0.0, 2.0, 100.0, 101.0)] == [0.0, 2.0, 0.0, 1.0]

"""More ranks than this machine can start are refused in a line."""

import pytest

from executor.launching.limits import check_ranks
from schedules.errors import ScenarioError


def test_some_ranks_can_be_started() -> None:
    check_ranks(2)


def test_more_than_the_machine_can_start_are_refused() -> None:
    told = (
        r"^scenario: topology.workers: expected at most [\d,]+ ranks on this machine \(.*\), found 10,000,000; --force"
    )
    with pytest.raises(ScenarioError, match=told):
        check_ranks(10_000_000)

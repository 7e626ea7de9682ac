"""What a summary says has words and a unit, in both worlds."""

from __future__ import annotations

import pytest

from schedules.record.quantities import DETAILS, QUANTITIES
from tests.worlds.conftest import World


@pytest.mark.parametrize("program", ["all-reduce", "a2cid2"])
def test_every_key_is_in_the_table(program: str, world: World) -> None:
    assert set(world({"schedule.program": program}).summary) <= {*QUANTITIES, *DETAILS}

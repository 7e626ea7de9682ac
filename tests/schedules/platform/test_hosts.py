"""What a table of a machine's software may not stand beside."""

import pytest

from schedules.platform.tables import PlatformTable


@pytest.mark.parametrize(
    ("beside", "host", "told"),
    [
        ({"faults": {"mean_time_to_failure": "1 h"}}, {}, "expected none beside platform.faults"),
        ({"network": {"kind": "fabric"}}, {"bandwidth": 1e9}, "bandwidth: expected none beside platform.network"),
    ],
)
def test_what_it_does_not_go_with_is_refused(beside: dict[str, object], host: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PlatformTable.model_validate({**beside, "host": host})


def test_lateness_goes_with_a_network() -> None:
    host = {"waking": "1 ms", "busy": {"waking": "2 ms"}, "cores": 4}
    found = PlatformTable.model_validate({"network": {"kind": "fabric"}, "host": host}).host
    assert found is not None
    assert (found.waking, found.busy.waking, found.cores) == (1e-3, 2e-3, 4)

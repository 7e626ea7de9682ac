"""Ranks on hosts of their own, over links that are really slow and really shared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks._shaped_hosts import Hosts, Wires, why_not
from benchmarks.shaped_links import fit_link, toml
from schedules.record.files import read_trace
from simulator import simulate
from tests.executor.wire.shared_uplink import ROUNDS

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

SIZE = 1_000_000
RATE = 100e6  # bit/s


def scenario(platform: dict[str, Any]) -> dict[str, Any]:
    return {
        "schedule": {"program": "tests.executor.wire.shared_uplink", "size": SIZE},
        "topology": {"graph": "complete", "workers": 4},
        "platform": {"gradient": {"mean": 0.001}, "transport": "gloo", **platform},
        "workload": {"parameters": SIZE // 4},
        "execution": {"timeout": 20.0, "device": "cpu"},
    }


def shared_s(trace: pd.DataFrame | None) -> float:
    """Median time of the exchanges that had to share."""
    assert trace is not None
    rows = trace[(trace["op"] == "Exchange") & (trace["tag"] >= ROUNDS)]
    return float((rows["end_ns"] - rows["ready_ns"]).median()) / 1e9


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    directory: Path = tmp_path_factory.mktemp("shaped")
    (directory / "scenario.toml").write_text(toml(scenario({})))
    with Hosts((2, 2), Wires(nic=RATE, uplink=RATE)) as hosts:
        hosts.run(directory / "scenario.toml", directory / "run", timeout_s=90)
        yield read_trace(directory / "run")[0]
    assert not list(Path("/run/netns").glob(f"{hosts.name}-*"))


def test_an_uplink_is_really_shared_and_max_min_says_how(measured: pd.DataFrame) -> None:
    """Two exchanges at once over one uplink take twice as long as one, in the measured world; simulated links of their
    own, fitted to the exchanges that had the uplink to themselves, do not tell so, and a shared uplink does."""
    link = fit_link(measured[measured["tag"] < ROUNDS])
    assert link.bandwidth == pytest.approx(RATE / 8, rel=0.15)
    own = {"bandwidth": link.bandwidth, "latency": link.latency}
    racks = {"kind": "racks", "hosts_per_rack": 2, "bandwidth": link.bandwidth, "latency": link.latency / 4}
    common = {"overhead": link.overhead}
    ignored, shared = (
        shared_s(simulate(scenario({**common, **each})).trace) for each in ({"link": own}, {"network": racks})
    )
    found = shared_s(measured)
    assert found > 1.5 * ignored
    assert found == pytest.approx(shared, rel=0.25)
    assert abs(shared - found) < abs(ignored - found) / 2


def test_hosts_are_gone_whatever_happens() -> None:
    hosts = Hosts((1, 1), Wires(nic=RATE, uplink=RATE))
    with pytest.raises(KeyboardInterrupt), hosts:
        _interrupted(hosts)
    assert not list(Path("/run/netns").glob(f"{hosts.name}-*"))


def _interrupted(hosts: Hosts) -> None:
    assert len(list(Path("/run/netns").glob(f"{hosts.name}-*"))) == 3  # two hosts, and one for the switches
    raise KeyboardInterrupt

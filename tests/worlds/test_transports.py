"""A transport is its row: a copy of it under another name is the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis import load_run
from analysis.comparison import contrast
from analysis.measures.explanation import explain_run
from analysis.report.calibration import calibration_rows, calibration_toml
from schedules.errors import ScenarioError
from schedules.platform.link_fits import link_estimate
from schedules.platform.transports import TRANSPORTS, transport_of
from schedules.scenario import load
from simulator import simulate
from simulator.run import is_in_order
from twinclock.printing.setting_docs import scenario_tables, setting_docs

COPY = "copied"

RACKS = {"kind": "racks", "hosts_per_rack": 2, "bandwidth": 1e9, "latency": 1e-4}
CASES: Mapping[str, Mapping[str, Any]] = {
    "gossip": {},
    "gossip, racks": {"platform.network": RACKS},
    "all-reduce": {"schedule.program": "all-reduce"},
    "all-reduce, racks": {"schedule.program": "all-reduce", "platform.network": RACKS},
    "d-psgd": {"schedule.program": "d-psgd"},
}


def scenario(transport: str, changes: Mapping[str, Any] = {}) -> dict[str, Any]:
    return {
        "schedule": {"program": "gossip", "gradients": 20},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {
            "gradient": {"distribution": "lognormal", "mean": 0.01, "cv": 0.3},
            "link": {"bandwidth": 1e9, "latency": 2e-3},
            "transport": transport,
            "overhead": 1e-3,
        },
        "workload": {"parameters": 500_000},
    }


@pytest.fixture(params=list(TRANSPORTS))
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a transport that has a copy under another name."""
    monkeypatch.setitem(TRANSPORTS, COPY, TRANSPORTS[request.param])
    return str(request.param)


def run(place: Path, transport: str, changes: Mapping[str, Any]) -> Any:
    simulate(scenario(transport), overrides=changes).save(place)
    return load_run(place)


@pytest.mark.parametrize("case", CASES)
def test_a_copy_gives_the_same_trace_explanation_and_calibration(name: str, case: str, tmp_path: Path) -> None:
    one, other = (run(tmp_path / transport, transport, CASES[case]) for transport in (name, COPY))
    assert one.trace.drop(columns="run").equals(other.trace.drop(columns="run"))
    assert one.summary == other.summary
    assert explain_run(one).record() == explain_run(other).record()
    ours, theirs = contrast(one, one), contrast(other, other)
    assert calibration_rows(ours) == calibration_rows(theirs)
    assert calibration_toml(ours) == calibration_toml(theirs).replace(COPY, name)
    assert link_estimate(one.trace, TRANSPORTS[name]) == link_estimate(other.trace, TRANSPORTS[COPY])


def test_transports_are_told_apart(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    ideal, gloo = (explain_run(run(tmp_path / each, each, {})) for each in ("ideal", "gloo"))
    latency = [sum(part["share"] for part in each.parts if part["category"] == "latency") for each in (ideal, gloo)]
    assert latency[1] > 1.5 * latency[0]


def test_a_copy_is_accepted_named_and_in_the_same_order(name: str) -> None:
    assert is_in_order(load(scenario(COPY)).platform) == is_in_order(load(scenario(name)).platform)
    assert transport_of({"transport": COPY}) is transport_of({"transport": name})
    others = [each for each in TRANSPORTS if each != COPY]
    refusal = rf"expected {', '.join(map(repr, others))} or 'copied', found 'copid' \(did you mean copied\?"
    with pytest.raises(ScenarioError, match=refusal):
        load(scenario("copid"))
    docs = {doc.name: doc for doc in setting_docs(scenario_tables()["platform"])}
    assert docs["transport"].type == " | ".join(f'"{each}"' for each in [*others, "copied"])


def test_a_table_without_a_transport_has_the_default() -> None:
    assert transport_of({}) is TRANSPORTS["ideal"]
    *others, last = map(repr, TRANSPORTS)
    with pytest.raises(ValueError, match=rf"platform\.transport: expected {', '.join(others)} or {last}, found 'tcp'"):
        transport_of({"transport": "tcp"})

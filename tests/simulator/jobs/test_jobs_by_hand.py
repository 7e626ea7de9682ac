"""Jobs whose messages cross one uplink, against times that are worked out by hand and by a fluid model of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from simulator import simulate, simulate_jobs


def tables(*jobs: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Two racks with one uplink of 10 Gbit/s each, a host a job in either; a step: 100 ms, then 100 MB, alone 80 ms."""
    number = len(jobs)
    defaults = [{"name": "abc"[i], "ranks": [i, number + i]} for i in range(number)]
    return {
        "schedule": {"program": "all-reduce", "gradients": 3},
        "topology": {"graph": "complete"},
        "platform": {
            "gradient": {"mean": "100 ms"},
            "network": {"kind": "racks", "hosts_per_rack": number, "bandwidth": "10 Gbit/s", "latency": 0},
        },
        "workload": {"parameters": 25_000_000},
        "job": [default | job for default, job in zip(defaults, jobs, strict=True)],
        **changes,
    }


def makespans(found: Any) -> list[tuple[float, float]]:
    """Alone and together, in milliseconds, of every job; exact, as times are whole nanoseconds."""
    runs = [(each.alone, each.together) for each in found]
    return [tuple(round(run.summary["makespan_s"] * 1e9) / 1e6 for run in pair) for pair in runs]  # type: ignore[misc]


def test_two_jobs_on_one_uplink_take_540_ms_alone_and_780_ms_together() -> None:
    """3 (100 + 80) ms alone; together each has half of the uplink: 3 (100 + 160) ms."""
    found = simulate_jobs(tables({}, {}))
    assert makespans(found) == [(540, 780)] * 2
    assert [each.loss_s for each in found] == pytest.approx([0.24] * 2, abs=1e-12)
    assert [each.slowdown for each in found] == pytest.approx([780 / 540] * 2, rel=1e-12)
    assert [each.alone.summary["gradients_per_s"] for each in found] == pytest.approx([6 / 0.54] * 2)
    assert [each.together.summary["gradients_per_s"] for each in found] == pytest.approx([6 / 0.78] * 2)


def test_a_job_that_starts_later_meets_the_other_now_and_then() -> None:
    """b begins at 200 ms. a sends 100-180, and from 280 on; b from 300 on: both share from 300 to 420, when a's 60 ms
    that were left are through; b is through at 440. a sends from 520, b from 540 to 620 and on: a is through at 660.
    b's last 20 ms end at 680; it computes to 780 and sends alone to 860."""
    assert makespans(simulate_jobs(tables({}, {"start": "200 ms"}))) == [(540, 660)] * 2


def test_a_job_that_computes_while_the_other_sends_loses_nothing() -> None:
    assert makespans(simulate_jobs(tables({}, {"start": 0.1}))) == [(540, 540)] * 2


def test_three_jobs_have_a_third_each() -> None:
    """3 (100 + 240) ms."""
    assert makespans(simulate_jobs(tables({}, {}, {}))) == [(540, 1020)] * 3


def test_what_a_job_had_under_way_when_it_was_cut_is_in_nobodys_way() -> None:
    """Both send from 100 ms on. a is cut at 150, when b has moved 25 of its 80 ms: b is through at 205, then alone."""
    found = simulate_jobs(tables({"run": {"until": "time", "duration": "150 ms"}}, {}))
    assert makespans(found) == [(150, 150), (540, 205 + 2 * 180)]


def test_links_are_those_of_all_jobs_until_the_last_is_over() -> None:
    """Either uplink carries 3 x 100 MB a job and direction, and is busy while somebody sends: 3 x 160 of 780 ms."""
    found = simulate_jobs(tables({}, {}))
    for each in found:
        links = each.together.links.set_index(["source", "target"])
        up = links.loc[("4", "6")]  # rack 0 to the core, behind four hosts
        assert up["carried_bytes"] == pytest.approx(600e6)
        assert up["busy_s"] == pytest.approx(0.48)
        assert up["utilisation"] == pytest.approx(0.48 / 0.78)
    assert found["a"].alone.links["carried_bytes"].max() == pytest.approx(300e6)


# ---- a fluid model of jobs on one link


def fluid(jobs: Sequence[Sequence[int]]) -> list[Fraction]:
    """When each job ends, counted from its start: (start, steps, computing, sending alone), in any unit of time.

    What sends shares the link equally; the next thing that happens ends a computation or a transfer.
    """
    now = Fraction(0)
    computing = {i: Fraction(start + compute) for i, (start, _, compute, _) in enumerate(jobs)}  # until when
    sending: dict[int, Fraction] = {}  # what is left
    steps, ends = [0] * len(jobs), [Fraction(0)] * len(jobs)
    while computing or sending:
        at = min([*computing.values(), *(now + left * len(sending) for left in sending.values())])
        moved, now = (at - now) / max(len(sending), 1), at
        sending = {i: left - moved for i, left in sending.items()}
        for i in [i for i, left in sending.items() if left == 0]:
            del sending[i]
            steps[i] += 1
            ends[i] = now - jobs[i][0]
            if steps[i] < jobs[i][1]:
                computing[i] = now + jobs[i][2]
        for i in [i for i, until in computing.items() if until == now]:
            del computing[i]
            sending[i] = Fraction(jobs[i][3])
    return ends


def test_the_fluid_model_is_right_where_the_hand_is() -> None:
    assert fluid([(0, 3, 100, 80), (200, 3, 100, 80)]) == [660, 660]


@pytest.mark.parametrize("seed", range(8))
def test_any_jobs_on_one_uplink_end_when_the_fluid_model_says(seed: int) -> None:
    """To a microsecond: transfers end at whole nanoseconds, and an all-reduce of two has two rounds."""
    rng = np.random.default_rng(seed)
    bounds = [(0, 400), (1, 7), (10, 200), (5, 150)]
    drawn = [[int(rng.integers(*each)) for each in bounds] for _ in range(int(rng.integers(2, 4)))]
    jobs = [
        {
            "start": f"{start} ms",
            "schedule": {"gradients": steps},
            "platform": {"gradient": {"mean": f"{compute} ms"}},
            "workload": {"parameters": 312_500 * sending},  # 1.25 MB a millisecond
        }
        for start, steps, compute, sending in drawn
    ]
    found = simulate_jobs(tables(*jobs))
    together = [each.together.summary["makespan_s"] * 1e3 for each in found]
    assert together == pytest.approx([float(each) for each in fluid(drawn)], abs=1e-3)
    alone = [each.alone.summary["makespan_s"] * 1e3 for each in found]
    assert alone == pytest.approx([steps * (compute + sending) for _, steps, compute, sending in drawn], abs=1e-3)


def test_the_same_scenario_without_jobs_is_the_job_alone() -> None:
    said = tables({}, {})
    del said["job"]
    said["platform"]["network"] |= {"hosts": 4, "placement": [0, 2]}
    said["topology"]["workers"] = 2
    by_itself, alone = simulate(said), simulate_jobs(tables({}, {}))["a"].alone
    assert by_itself.trace is not None
    assert by_itself.trace.equals(alone.trace)
    assert by_itself.summary == alone.summary
    assert by_itself.fingerprint == alone.fingerprint

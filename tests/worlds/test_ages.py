"""How old what a worker knows of the others is, beside what versions of parameters say: they are in every trace."""

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.record.knowledge.ages import Ages, ages
from tests.worlds.conftest import World

Key = tuple[int, int, int]
"""Who began a gradient, when, and of whom it contained one."""


def told(found: Ages | None) -> dict[Key, tuple[int, int]]:
    """Age in versions and in nanoseconds."""
    assert found is not None
    keys = zip(found.rank.tolist(), found.at_ns.tolist(), found.peer.tolist(), strict=True)
    return dict(zip(keys, zip(found.versions.tolist(), found.age_ns.tolist(), strict=True), strict=True))


def by_versions(trace: pd.DataFrame, num_workers: int) -> dict[Key, tuple[int, int]]:
    """The same from who wrote which version of its parameters from what: a version that a gradient has written contains
    what the one before contained, and the gradient; one that an average has written, what both contained."""
    writers: dict[tuple[int, int], Any] = {}
    other: dict[tuple[int, int, int], Any] = {}
    for row in trace[trace["applied"] != ""].itertuples():
        writers[row.rank, row.version_written] = row
        if row.op == "Exchange":
            other[row.rank, row.peer, row.tag] = row

    @cache
    def contained(rank: int, version: int) -> dict[int, int]:
        if version == 0:
            return Counter()
        row, before = writers[rank, version], Counter(contained(rank, version - 1))
        if row.op == "Exchange":
            theirs = other[row.peer, rank, row.tag]
            return before | Counter(contained(row.peer, theirs.version_read))
        return before + Counter({rank: 1})

    for rank, version in sorted(writers, key=lambda key: (key[1], key[0])):  # not too deep at a time
        contained(rank, version)
    computed = trace[trace["op"] == "Compute"]
    made = {rank: computed.loc[computed["rank"] == rank, "end_ns"].tolist() for rank in range(num_workers)}
    found = {}
    for row in computed.itertuples():
        for peer, number in contained(row.rank, row.version_read).items():
            if peer != row.rank:
                newest = sum(each <= row.start_ns for each in made[peer])
                found[row.rank, row.start_ns, peer] = newest - number, row.start_ns - made[peer][number - 1]
    return found


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_ages_are_those_of_versions(world: World, program: str) -> None:
    run = world({"schedule.program": program, "schedule.rate": 2.0, "run.ages": True})
    assert run.trace is not None
    expected = by_versions(run.trace, 4)
    assert told(ages(run.trace, 4)) == expected
    versions, age_ns = np.array([*expected.values()]).T
    summary = run.summary
    assert summary["age_mean"] == pytest.approx(versions.mean(), rel=1e-12)
    assert summary["age_mean_s"] == pytest.approx(age_ns.mean() / 1e9, rel=1e-12)
    assert (summary["age_max"], summary["age_max_s"]) == (versions.max(), age_ns.max() / 1e9)
    assert summary["age_unknown_fraction"] == pytest.approx(1 - len(expected) / (4 * 20 * 3), rel=1e-12)
    assert summary["ages"][-1] == {"percent": 100, "versions": versions.max(), "age_s": age_ns.max() / 1e9}


def test_exchanges_while_computing_are_the_averages_of_a_gradient(world: World) -> None:
    """Between a gradient's read and its apply nothing else writes a version."""
    run = world({"schedule.rate": 2.0})
    assert run.trace is not None
    applied = run.trace[run.trace["applied"] == "gradient"]
    averages = applied["version_written"] - 1 - applied["version_read"]
    assert averages.max() > 0
    assert run.summary["staleness_exchanges_mean"] == averages.mean()
    assert run.summary["staleness_exchanges_max"] == averages.max()


def test_without_a_trace_the_summary_has_them_all_the_same(world: World) -> None:
    # Long enough that on a busy machine, too, some exchange is over before the last gradient begins.
    run = world({"run.ages": True, "run.trace": False, "schedule.gradients": 100})
    assert run.trace is None
    assert run.memory is None
    assert run.summary["age_mean"] > 0


def test_they_are_told_where_they_are_asked_for(world: World) -> None:
    assert not [key for key in world({"run.ages": False}).summary if key.startswith("age")]

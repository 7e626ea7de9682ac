"""Every operation of the vocabulary on four real ranks; the programs (`cases`) assert what they are answered."""

import numpy as np
import pytest

from executor import Ranks
from tests.executor.conftest import scenario

WORKS = (
    "exchange_values",
    "exchange_large",
    "tags_in_any_order",
    "same_tag_in_order",
    "timing_only",
    "snapshot_at_issue",
    "lonely_receive",
    "await_any_and_deadline",
    "await_k_of_n",
    "engines_in_order",
    "bounded_queue",
    "atomic_segments",
    "meet_and_leave",
    "collectives",
    "groups",
    "collectives_of_two_channels",
)

KERNELS = {"kernels": {"long": {"mean": "20 s"}, "short": {"mean": "100 us"}}}


@pytest.mark.parametrize("case", WORKS)
def test_a_program_is_answered_as_the_vocabulary_says(ranks: Ranks, case: str) -> None:
    result = ranks.execute(scenario(case, platform=KERNELS))
    assert result.trace is not None
    assert (result.trace["start_ns"] <= result.trace["ready_ns"]).all()
    assert (result.trace["ready_ns"] <= result.trace["end_ns"]).all()
    assert (result.trace["start_ns"] >= 0).all()


def test_cancelling_frees_the_engine_at_once(ranks: Ranks) -> None:
    result = ranks.execute(scenario("cancel_frees_the_engine", platform=KERNELS))
    assert result.summary["makespan_s"] < 1


def test_ranks_without_a_common_edge_may_talk(ranks: Ranks) -> None:
    result = ranks.execute(scenario("far_peers", graph="ring"))
    assert result.summary["exchanges"] == 2


def test_paced_kernels_take_the_simulators_durations(ranks: Ranks) -> None:
    from schedules.platform.durations import durations
    from schedules.scenario import load

    gradient = {"distribution": "lognormal", "mean": "5 ms", "cv": 0.3}
    tables = scenario("gradients", workers=2, schedule={"gradients": 20}, platform={"gradient": gradient})
    trace = ranks.execute(tables).trace
    assert trace is not None
    for rank in range(2):
        rows = trace[(trace["rank"] == rank) & (trace["op"] == "Compute")]
        resolved = load(tables)
        drawn = durations(resolved.platform, resolved.run.seed, rank, "gradient")
        expected = np.array([next(drawn) for _ in range(20)])
        late = (rows["end_ns"] - rows["ready_ns"]).to_numpy() - expected
        assert (late >= 0).all()
        assert np.median(late) < 2e6


def test_paced_kernels_are_slow_when_the_simulators_are(ranks: Ranks) -> None:
    """Half the speed on rank 1, and slow spells: drawn as in the simulator, from when the kernel begins."""
    from schedules.platform.durations import durations
    from schedules.platform.stragglers import pace
    from schedules.scenario import load

    slow = {"slowdown": 5.0, "mean_normal": "15 ms", "mean_slow": "15 ms"}
    platform = {"speed": {"1": 0.5}, "stragglers": slow}
    tables = scenario("gradients", workers=2, schedule={"gradients": 20}, platform=platform)
    trace = ranks.execute(tables).trace
    assert trace is not None
    for rank in range(2):
        rows = trace[(trace["rank"] == rank) & (trace["op"] == "Compute")]
        resolved = load(tables)
        process = pace(resolved.platform.stragglers, resolved.run.seed, rank)
        drawn = durations(resolved.platform, resolved.run.seed, rank, "gradient")
        ends = [process.end(begin, next(drawn)) for begin in rows["ready_ns"].tolist()]
        late = rows["end_ns"].to_numpy() - np.array(ends)
        assert (late >= 0).all()
        assert np.median(late) < 2e6
        assert (np.array(ends) - rows["ready_ns"] > (1 + rank) * 5_000_000).any()


def test_who_was_last_at_a_collective_is_known_to_all(ranks: Ranks) -> None:
    trace = ranks.execute(scenario("collectives")).trace
    assert trace is not None
    barriers = trace[trace["op"] == "Barrier"].groupby("rank").head(1)  # another one closes the run
    assert barriers["ready_ns"].nunique() == 1
    assert barriers["ready_ns"].iloc[0] == barriers["start_ns"].max()


def test_both_ends_of_a_message_end_together(ranks: Ranks) -> None:
    trace = ranks.execute(scenario("same_tag_in_order", workers=2)).trace
    assert trace is not None
    sends, receives = (trace[trace["op"] == op] for op in ("Send", "Receive"))
    assert sorted(sends["end_ns"]) == sorted(receives["end_ns"])
    assert sorted(sends["ready_ns"]) == sorted(receives["ready_ns"])

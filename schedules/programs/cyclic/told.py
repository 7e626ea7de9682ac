"""What the summary of a run of cyclic data parallelism says beside the usual: its period, and what lives meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from schedules.programs.cyclic import turns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def summary(run: Any) -> dict[str, Any]:
    """Its keys, of a run (`schedules.result.Result`) with a trace.

    * `devices`: ranks, N or N (N + 1) / 2.
    * `period_s`: of a training step: between B of stage 0 of worker 0, from a quarter to three quarters of the steps.
    * `period_utilization`: which part of that time the ranks compute.
    * `live_activations_mean`, `live_activations_peak`: bytes, of all ranks together then (`workload.activations`
      says those of one micro-batch in all stages of a rank).
    """
    told: dict[str, Any] = {"devices": run.scenario.topology.workers}
    if run.trace is None:
        return told
    kernels = run.trace[run.trace["op"] == "Compute"]
    window = steady(kernels, turns.num_stages(run.scenario.schedule.placement, told["devices"]))
    if window is None:
        return told
    begin, end, num_steps = window
    told["period_s"] = (end - begin) / num_steps / 1e9
    busy = np.minimum(kernels["end_ns"].to_numpy(), end) - np.maximum(kernels["ready_ns"].to_numpy(), begin)
    told["period_utilization"] = float(np.maximum(busy, 0).sum() / ((end - begin) * told["devices"]))
    time, level = live_activations(run)
    if len(time):
        at, held = cut(time, level, begin, end)
        told["live_activations_mean"] = float((held[:-1] * np.diff(at)).sum() / (end - begin))
        told["live_activations_peak"] = int(held.max())
    return told


def steady(kernels: Any, num_stages: int) -> tuple[int, int, int] | None:
    """When the middle half of a run begins and ends, and how many training steps that is; None of a single step.

    An even number, where there are three or more: v1 may alternate between a long step and a short one.
    """
    is_last = (kernels["kernel"] == "backward") & (kernels["stage"] == 0)
    ends = np.sort(kernels.loc[is_last & (kernels["micro_batch"] % num_stages == 0), "end_ns"].to_numpy())
    if len(ends) < 2:
        return None
    first, last = (len(ends) - 1) // 4, max(3 * (len(ends) - 1) // 4, 1)
    if last - first > 1:
        last -= (last - first) % 2
    return int(ends[first]), int(ends[last]), last - first


def live_activations(run: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The activations of all ranks together: from which nanoseconds on how many bytes; int64 [num_changes] each."""
    assert run.memory is not None, "a run with a trace has its memory"
    held = run.memory[run.memory["kind"] == "activations"].sort_values("time_ns", kind="stable")
    changes = held["bytes"] - held.groupby("rank")["bytes"].shift(fill_value=0)
    levels = changes.groupby(held["time_ns"]).sum().cumsum()
    return levels.index.to_numpy(), levels.to_numpy()


def cut(
    time: NDArray[np.int64], level: NDArray[np.int64], begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The part of a curve from one time up to another; its last entry is at the end."""
    inside = (time > begin) & (time < end)
    first, last = (level[np.searchsorted(time, at, side="right") - 1] for at in (begin, end - 1))
    return np.array([begin, *time[inside], end]), np.array([first, *level[inside], last])

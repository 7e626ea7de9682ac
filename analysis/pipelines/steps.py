"""The steps of a pipeline's run, read from its trace: what each rank computed for which stage and micro-batch."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from schedules.record.rows import COMPUTE

if TYPE_CHECKING:
    import pandas as pd

KINDS: Final = {
    "forward": "F",
    "backward": "D",
    "backward-input": "B",
    "backward-weight": "W",
    "reconstruct": "R",
    "optimizer": "O",
}
"""The kinds of `schedules.orders`, by kernel, and two that no order has: to compute a stage again, and to step."""

OTHER: Final = "other"
"""The kind of what any other kernel computes."""

WHOLE: Final = -1
"""The half of a step that is no part of a pair."""

_PAIR: Final = "overlapped"
_COLUMNS: Final = ("rank", "stream", "kind", "stage", "micro_batch", "start_ns", "end_ns", "half")


def steps_of_run(trace: pd.DataFrame) -> pd.DataFrame | None:
    """What the ranks of a pipeline computed, in the order of their starts.

    A pair of a forward and a backward that are one computation has two rows, of half 0 and 1. Its row in the trace
    names the forward; the backward is the next of another stage of the rank that has no row of its own.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world.
    Returns:
        columns `rank`; `stream`; `kind` (F, D, B, W; R: a stage computed again; O: an optimizer's step; "other");
        `stage` of the model and `micro_batch` (-1 where there is none); `start_ns`, `end_ns`, while its engine was at
        it; `half`. None of a run that is no pipeline's: without forward and backward steps of stages.
    """
    rows = trace[trace["op"] == COMPUTE]
    of_stages = rows[(rows["stage"] >= 0) & (rows["micro_batch"] >= 0)]
    kernels = set(of_stages["kernel"])
    if not kernels & {"forward", _PAIR} or not kernels & {"backward", "backward-input", _PAIR}:
        return None
    kind = rows["kernel"].map(KINDS).fillna(OTHER).where(rows["kernel"] != _PAIR, "F")
    half = (rows["kernel"] == _PAIR).map({True: 0, False: WHOLE})
    found = rows.assign(kind=kind, half=half, start_ns=rows["ready_ns"].clip(rows["start_ns"], rows["end_ns"]))
    ordered = found[list(_COLUMNS)].sort_values(["rank", "start_ns", "end_ns"], kind="stable", ignore_index=True)
    return _with_backwards(ordered) if (half == 0).any() else ordered


def _with_backwards(steps: pd.DataFrame) -> pd.DataFrame:
    """With a row behind each forward of a pair, for its backward."""
    import pandas as pd

    seconds = []
    for _, own in steps.groupby("rank", sort=False):
        missing = _without_backward(own)
        for at, row in own[own["half"] == 0].iterrows():
            others = [queue for stage, queue in missing.items() if queue and stage != row["stage"]]
            if others:
                stage, micro_batch = others[0].popleft()
                seconds.append((at, {**row, "kind": "D", "stage": stage, "micro_batch": micro_batch, "half": 1}))
    backwards = pd.DataFrame([row for _, row in seconds], index=[at for at, _ in seconds], columns=list(_COLUMNS))
    both = pd.concat([steps, backwards])
    # Stable, so that a forward comes before its backward.
    return both.sort_index(kind="stable").astype(steps.dtypes.to_dict()).reset_index(drop=True)


def _without_backward(own: pd.DataFrame) -> dict[int, deque[tuple[int, int]]]:
    """By stage, the forwards of a rank whose backward has no row of its own: first in, first out, as pairs are."""
    keys = {kind: list(zip(rows["stage"], rows["micro_batch"], strict=True)) for kind, rows in own.groupby("kind")}
    told = {*keys.get("D", ()), *keys.get("B", ())}
    missing: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
    for stage, micro_batch in sorted(set(keys["F"]) - told):
        missing[int(stage)].append((int(stage), int(micro_batch)))
    return missing


def chunk_of(steps: pd.DataFrame) -> pd.Series[int]:
    """Which of the stages of its rank a step is of, counted from 0 in the order of the model; 0 of none."""
    stages = steps.loc[steps["stage"] >= 0, ["rank", "stage"]].drop_duplicates().sort_values(["rank", "stage"])
    number = stages.assign(chunk=stages.groupby("rank").cumcount()).set_index(["rank", "stage"])["chunk"]
    found = steps.join(number, on=["rank", "stage"])["chunk"]
    return found.fillna(0).astype("int64")

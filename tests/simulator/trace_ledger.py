"""The ledger of a run worked out again from its trace: what the simulator enters live must come to the same."""

import numpy as np
import pandas as pd

from schedules.payload import Payload
from schedules.platform.volumes import bytes_sent
from schedules.record.ledger import Ledger
from schedules.record.memory import in_flight

COMMUNICATION = (
    "Send", "Receive", "Exchange", "AllReduce", "ReduceScatter", "AllGather", "Broadcast", "AllToAll", "Barrier",
)  # fmt: skip


def from_trace(trace: pd.DataFrame, num_ranks: int) -> Ledger:
    """The ledger of a recorded run: table with `schedules.record.trace.COLUMNS`."""
    ledger = Ledger(num_ranks)
    computations = trace[trace["op"] == "Compute"]
    computations = computations.assign(gradients=computations["kernel"].isin(["gradient", "forward"]).astype("int64"))
    ledger.computations += _packed(computations, ["rank", "ready_ns", "end_ns", "gradients"])
    transfers = trace[trace["op"].isin([*COMMUNICATION, "Meet"])]
    facts = [*zip(transfers["op"].tolist(), transfers["group"].tolist(), transfers["bytes"].tolist(), strict=True)]
    ranks = transfers["rank"].tolist()
    sent = [_sent(rank, *fact, num_ranks) for rank, fact in zip(ranks, facts, strict=True)]
    held = [in_flight(op, num_ranks if group == "all" else group.count(",") + 1, size) for op, group, size in facts]
    transfers = transfers.assign(sent=sent, is_exchange=(transfers["op"] == "Exchange").astype("int64"), held=held)
    ledger.transfers += _packed(transfers, ["rank", "start_ns", "ready_ns", "end_ns", "sent", "is_exchange", "held"])
    due = transfers[transfers["due_ns"] >= 0].assign(is_done=lambda rows: (rows["answer"] != "lost").astype("int64"))
    ledger.dues += _packed(due, ["end_ns", "due_ns", "is_done"])
    _apply(trace[trace["applied"] != ""], ledger)
    return ledger


def _apply(applied: pd.DataFrame, ledger: Ledger) -> None:
    """Enter what was applied; how many bytes a gradient took is not in a trace."""
    columns = ["rank", "stage", "applied", "target", "gradients", "version_written", "version_read", "steps_behind"]
    made = ledger.contributions
    for rank, stage, kind, target, gradients, written, read, behind, now, read_ns in applied[
        [*columns, "end_ns", "read_ns"]
    ].itertuples(index=False):
        # A trace has how many steps behind, not which: so they are counted from 0 here.
        given = Payload(0, None, read, 0, read_ns, (kind, target, gradients))
        if gradients or kind == "gradient":
            made.enter(made.places[rank, stage, 0], written - 1, behind, now, given)
        else:
            versions = written - 1 - given.version
            made.behind[given.what].append(versions)


def _sent(rank: int, op: str, group: str, size: int, num_ranks: int) -> int:
    if op in ("Send", "Exchange"):
        return size
    if op in ("Receive", "Meet"):
        return 0
    members = [*range(num_ranks)] if group == "all" else [int(each) for each in group.split(",")]
    return bytes_sent(op, len(members), size, place=members.index(rank))


def _packed(frame: pd.DataFrame, columns: list[str]) -> bytes:
    return np.ascontiguousarray(frame[columns].to_numpy(dtype="<i8")).tobytes()

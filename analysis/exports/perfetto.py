"""Traces in the JSON format that Perfetto (ui.perfetto.dev) and chrome://tracing open.

A process is a rank, a thread is a lane. Slices of one thread must nest, so operations of a lane may not overlap.
Source: Trace Event Format (Google, document 1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO

from analysis.measures.metrics import span_ns
from schedules.record.rows import APPLY, TRANSFERS, kind_of

if TYPE_CHECKING:
    import pandas as pd

Event = dict[str, Any]
"""An event as JSON: its keys are those of the Trace Event Format."""
Lane = tuple[int, str]

_PLACE: Final = ("rank", "stream", "op", "kind", "start_ns", "ready_ns", "end_ns")
_ARGUMENTS: Final = (
    "stage",
    "micro_batch",
    "peer",
    "group",
    "tag",
    "bytes",
    "version_read",
    "version_written",
    "applied",
    "steps_behind",
    "answer",
    "graph",
)
_ABSENT: Final = (-1, "")


def events(trace: pd.DataFrame, world: str) -> Iterator[Event]:
    """The events of a trace: names of ranks and lanes, a slice an operation, arrows between the ends of an exchange.

    Slices of communications contain two others, `waiting` and `transfer`, where both take time. Times are microseconds
    since the begin of the run.

    Raises:
        ValueError: if two operations of a lane overlap; the lane is named.
    """
    begin = span_ns(trace)[0]
    rows = trace.assign(kind=kind_of(trace), start_ns=trace["start_ns"] - begin, ready_ns=trace["ready_ns"] - begin)
    rows = rows if "graph" in rows else rows.assign(graph=-1)  # only graphs that change with time have numbers
    rows = rows.assign(end_ns=trace["end_ns"] - begin).sort_values(["start_ns", "end_ns"], kind="stable")
    lanes = _lanes(rows)
    yield from _names(lanes, world)
    last: Event = {}
    for row in _records(rows.sort_values(["rank", "stream"], kind="stable")):  # stable: in a lane by time
        _check_order(last, row)
        yield from _slices(row, lanes[row["rank"], row["stream"]])
        last = row
    yield from _arrows(rows, lanes)


def write(trace: pd.DataFrame, world: str, file: TextIO) -> None:
    """Write the events of a trace to a text file, an event a line."""
    encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make an encoder for every event
    separator = '{"displayTimeUnit":"ms","traceEvents":[\n'
    for event in events(trace, world):
        file.write(separator + encode(event))
        separator = ",\n"
    file.write("\n]}\n")


def _lanes(rows: pd.DataFrame) -> dict[Lane, int]:
    """A number for every lane, the same in every rank: in the order of their names."""
    # 0 is the track of the process itself.
    streams = {stream: 1 + number for number, stream in enumerate(sorted(rows["stream"].unique()))}
    pairs = sorted(set(zip(rows["rank"].tolist(), rows["stream"].tolist(), strict=True)))
    return {(rank, stream): streams[stream] for rank, stream in pairs}


def _names(lanes: dict[Lane, int], world: str) -> Iterator[Event]:
    for rank in dict.fromkeys(rank for rank, _ in lanes):
        yield _meta("process_name", rank, 0, {"name": f"rank {rank} ({world})"})
        yield _meta("process_sort_index", rank, 0, {"sort_index": rank})
    for (rank, stream), number in lanes.items():
        yield _meta("thread_name", rank, number, {"name": stream})
        yield _meta("thread_sort_index", rank, number, {"sort_index": number})


def _meta(name: str, rank: int, lane: int, arguments: Event) -> Event:
    return {"ph": "M", "name": name, "pid": rank, "tid": lane, "args": arguments}


def _records(rows: pd.DataFrame) -> Iterator[Event]:
    """The rows as dictionaries; three times as fast as pandas' own."""
    columns = (*_PLACE, *_ARGUMENTS)
    for values in zip(*(rows[column].tolist() for column in columns), strict=True):
        yield dict(zip(columns, values, strict=True))


def _check_order(last: Event, row: Event) -> None:
    """No operation of a lane may begin before the one before it has ended."""
    is_same_lane = bool(last) and (last["rank"], last["stream"]) == (row["rank"], row["stream"])
    if is_same_lane and row["start_ns"] < last["end_ns"]:
        raise ValueError(
            f"rank {row['rank']}, lane {row['stream']}: expected operations one after the other, found {row['kind']} "
            f"at {row['start_ns']} ns while {last['kind']} runs from {last['start_ns']} ns to {last['end_ns']} ns"
        )


def _slices(row: Event, lane: int) -> Iterator[Event]:
    arguments = {
        key: row[key] for key in _ARGUMENTS if row[key] not in _ABSENT and not (key == "bytes" and row[key] == 0)
    }
    place = {"pid": row["rank"], "tid": lane}
    start, end = row["start_ns"], row["end_ns"]
    if row["op"] == APPLY:
        # An instant, as it takes no time; s: on its thread only.
        yield {"ph": "i", "s": "t", "name": f"apply {row['applied']}", "ts": end / 1000, **place, "args": arguments}
        return
    yield {"ph": "X", "name": row["kind"], "cat": row["op"], **_times(start, end), **place, "args": arguments}
    ready = min(max(row["ready_ns"], start), end)
    if row["op"] in TRANSFERS and start < ready < end:
        yield {"ph": "X", "name": "waiting", "cat": "part", **_times(start, ready), **place}
        yield {"ph": "X", "name": "transfer", "cat": "part", **_times(ready, end), **place}


def _times(start_ns: int, end_ns: int) -> Event:
    return {"ts": start_ns / 1000, "dur": (end_ns - start_ns) / 1000}


def _arrows(rows: pd.DataFrame, lanes: dict[Lane, int]) -> Iterator[Event]:
    """An arrow for every exchange, from the end that came first to the other one."""
    open_ends: dict[tuple[int, int, int], list[Event]] = defaultdict(list)
    number = 0
    for row in _records(rows[rows["op"] == "Exchange"]):
        rank, peer = row["rank"], row["peer"]
        theirs = open_ends[peer, rank, row["tag"]]
        if not theirs:
            open_ends[rank, peer, row["tag"]].append(row)
            continue
        first = theirs.pop(0)  # the oldest: tags may come again
        number += 1
        for phase, end in (("s", first), ("f", row)):
            place = {"pid": end["rank"], "tid": lanes[end["rank"], end["stream"]], "ts": end["start_ns"] / 1000}
            # bp: an arrow ends at the slice around it, and not at the one that begins next.
            yield {"ph": phase, "bp": "e", "id": number, "name": "exchange", "cat": "exchange", **place}

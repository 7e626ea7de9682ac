"""The record of a run, the same for both worlds: one row an operation."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from schedules.operations import COLLECTIVES, OPERATIONS, Compute, Operation, Receive, Send

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = (
    "lane", "what", "peer", "tag", "bytes", "start_ns", "ready_ns", "end_ns",
    "version_read", "version_written", "applied", "target", "gradients", "steps_behind", "read_ns", "due_ns",
    "answer",
)  # fmt: skip
"""What one raw row holds: 64-bit integers. `lane`, `what`, `applied`, `target` and `answer` number texts that are kept
once."""

COLUMNS = (
    "run", "world", "rank", "stream", "index", "op", "kernel", "stage", "micro_batch", "peer", "group", "tag", "bytes",
    "start_ns", "ready_ns", "end_ns", "version_read", "version_written", "applied", "target", "gradients",
    "steps_behind", "read_ns", "due_ns", "answer", "channel",
)  # fmt: skip
"""The columns of the table.

`start_ns` is when the operation was issued, `ready_ns` when its last participant was there, `end_ns` when it was done.
`version_read` and `version_written` are of the first contribution that the answer's segment applied, `applied` says
what it was, `target` to what it was applied, `gradients` how many count by it, `steps_behind` and `read_ns` how many
gradient steps were made since it was read, and when that was. Further contributions of the same segment follow as rows
`Apply`, and in a staged run all do: those have the stage. `due_ns` is the tick that an exchange answers, -1 where it
answers none. `answer` is what `Meet` and `Await` were told.
`bytes` of a message are those that came, at both ends.
"""

Contribution = tuple[str, str, int, int, int, int, int, int]
"""What was applied: its kind, target, version read, version written, gradient steps made between, when it was read
(ns), how many gradients are in it, and the stage that it was applied to."""

NOTHING_APPLIED: Contribution = ("", "x", -1, -1, -1, -1, 0, -1)

What = tuple[str, str, int, int, str, str]
"""Of an operation: the columns op, kernel, stage, micro_batch, group and channel."""

_row = struct.Struct(f"<{len(NUMBERS)}q")
_pack_row = _row.pack  # looked up once: for every operation


Name = TypeVar("Name")


class Names(dict[Name, int]):
    """Numbers for things that recur."""

    def __missing__(self, thing: Name) -> int:  # so a look-up of what has a number is no call of ours
        number = self[thing] = len(self)
        return number


class Recorder:
    """Rows of a run in memory: 136 bytes an operation, and every text once."""

    def __init__(self) -> None:
        self.rows = bytearray()
        self.lanes: Names[tuple[int, str]] = Names()
        self.whats: Names[What] = Names()
        self.texts: Names[str] = Names({"": 0})  # 0 is no text, as in the columns that have none
        # Of these operations the class says all that `describe` would: most rows are theirs.
        self._plain = {
            kind: self.whats[name, "", -1, -1, "", ""]
            for name, kind in OPERATIONS.items()
            if kind not in (Compute, Send, Receive, *COLLECTIVES)
        }
        self._described: tuple[Operation | None, int] = None, 0

    def lane(self, rank: int, name: str) -> int:
        """The number of a lane: a stream of a rank, or the lane of its started operations."""
        return self.lanes[rank, name]

    def row(self, running: Any, applied: Contribution | None) -> None:
        """Record an operation whose answer has been consumed, with the first contribution that was applied by it."""
        operation = running.operation
        what = self._plain.get(operation.__class__)
        if what is None:
            described, what = self._described
            if operation is not described:  # many programs yield one and the same object at every step
                what = self.whats[describe(operation)]
                self._described = operation, what
        answer, texts, payload, due = 0, self.texts, operation.payload, operation.due
        if running.note:
            answer, running.note = texts[running.note], ""  # a stream's object serves its next operation, too
        # As in `moved`, which is called only for those that carry nothing: this is done for every row.
        size = payload.size if payload is not None else 0 if operation.kernel else moved(operation, running.result)
        due = -1 if due is None else int(due * running.world.gradient_ns + 0.5)
        kind, target, read, written, steps_behind, read_ns, gradients, _ = applied or NOTHING_APPLIED
        self.rows += _pack_row(
            running.lane, what, operation.peer, operation.tag, size, running.start_ns, running.ready_ns, running.end_ns,
            read, written, texts[kind], texts[target], gradients, steps_behind, read_ns, due, answer,
        )  # fmt: skip

    def apply_row(self, running: Any, applied: Contribution) -> None:
        """Record a further contribution applied in the same segment: a row `Apply` that takes no time."""
        kind, target, read, written, steps_behind, read_ns, gradients, stage = applied
        end, what = running.end_ns, self.whats["Apply", "", stage, -1, "", ""]
        self.rows += _pack_row(
            running.lane, what, -1, -1, 0, end, end, end, read, written, self.texts[kind], self.texts[target],
            gradients, steps_behind, read_ns, -1, 0,
        )  # fmt: skip

    def table(self, run: str, world: str) -> pd.DataFrame:
        """The record as a table with `COLUMNS`, in the order of recording."""
        return table(bytes(self.rows), list(self.lanes), list(self.whats), list(self.texts), run=run, world=world)


class FileRecorder(Recorder):
    """Rows of one rank, each written to disk at once, so that a crash keeps the past."""

    def __init__(self, stem: Path) -> None:
        super().__init__()
        self._rows_file = stem.with_suffix(".rows").open("wb", buffering=0)  # a process that dies loses its buffers
        self._names_file = stem.with_suffix(".names").open("w", buffering=1)
        self._num_named = [0, 0, 0]

    def row(self, running: Any, applied: Contribution | None) -> None:
        """Record an operation."""
        super().row(running, applied)
        self._write()

    def apply_row(self, running: Any, applied: Contribution) -> None:
        """Record a further contribution."""
        super().apply_row(running, applied)
        self._write()

    def _write(self) -> None:
        tables: tuple[dict[Any, int], ...] = (self.lanes, self.whats, self.texts)
        for number, names in enumerate(tables):
            if len(names) > self._num_named[number]:
                # Before the row that has their numbers: a crash may cut off rows, but leaves none without its names.
                for name in list(names)[self._num_named[number] :]:
                    self._names_file.write(json.dumps([number, name]) + "\n")
                self._num_named[number] = len(names)
        self._rows_file.write(self.rows)
        self.rows.clear()

    def close(self) -> None:
        """Close the files."""
        self._rows_file.close()
        self._names_file.close()


def due_ns(running: Any) -> int:
    """The tick that an operation answers, in nanoseconds as `Until` counts them; -1 where it answers none."""
    due = running.operation.due
    return -1 if due is None else int(due * running.world.gradient_ns + 0.5)


def moved(operation: Operation, result: Any = None) -> int:
    """The column bytes: what an operation moves: of a receive, what came; a computation moves none."""
    payload = operation.payload
    if payload is not None:
        return int(payload.size)
    if operation.kernel:
        return 0
    is_received = operation.__class__ is Receive and result is not None
    return int(result.size if is_received else operation.size)


def describe(operation: Operation) -> What:
    """The columns op, kernel, stage, micro_batch, group and channel."""
    kind = operation.__class__
    group = ""
    if kind in COLLECTIVES:
        group = "all" if operation.group is None else ",".join(map(str, operation.group))
    return kind.__name__, operation.kernel, operation.stage, operation.micro_batch, group, operation.channel


def read_rank_files(stems: list[Path], *, run: str, world: str) -> pd.DataFrame:
    """The table of what `FileRecorder`s have written, rank after rank. A row or name cut off by a crash is dropped."""
    import pandas as pd

    frames = []
    for stem in stems:
        names: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for line in stem.with_suffix(".names").read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # else it was cut off
                number, name = json.loads(line)
                names[number].append(tuple(name) if isinstance(name, list) else name)  # JSON has no tuples
        frames.append(table(stem.with_suffix(".rows").read_bytes(), *names, run=run, world=world))
    return pd.concat(frames, ignore_index=True)


def table(rows: bytes, lanes: list[Any], whats: list[Any], texts: list[str], *, run: str, world: str) -> pd.DataFrame:
    """Decode raw rows into a table with `COLUMNS`."""
    import pandas as pd

    # Whole rows only: a crash may have cut off the last.
    raw = np.frombuffer(rows, dtype="<i8", count=len(rows) // _row.size * len(NUMBERS)).reshape(-1, len(NUMBERS))
    frame = pd.DataFrame(raw, columns=list(NUMBERS))
    lane, what = frame.pop("lane").to_numpy(), frame.pop("what").to_numpy()
    for position, column in enumerate(("rank", "stream")):
        frame[column] = _decode(lane, [each[position] for each in lanes])
    for position, column in enumerate(("op", "kernel", "stage", "micro_batch", "group", "channel")):
        frame[column] = _decode(what, [each[position] for each in whats])
    for column in ("applied", "target", "answer"):
        frame[column] = _decode(frame[column].to_numpy(), texts)
    is_apply = frame["op"] == "Apply"
    frame["index"] = _positions(lane, is_apply.to_numpy())
    frame["run"], frame["world"] = run, world
    return frame[list(COLUMNS)]


def _positions(lane: Any, is_apply: Any) -> Any:
    """Each row's number on its lane, -1 for a row that is no operation of its own."""
    order = np.argsort(lane * 2 + is_apply, kind="stable")  # stable: rows of a lane stay in their order
    key = (lane * 2 + is_apply)[order]
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.empty(0, dtype=np.int64)
    counts = np.arange(len(key)) - np.repeat(first, np.diff(np.append(first, len(key))))
    positions = np.empty(len(key), dtype=np.int64)
    positions[order] = counts
    return np.where(is_apply, -1, positions)


def _decode(numbers: Any, names: list[Any]) -> Any:
    # Texts as objects: equal ones are one object, where numpy's own would take the longest's room in each row.
    values = np.array(names) if names and not isinstance(names[0], str) else np.array(names, dtype=object)
    return values[numbers] if len(numbers) else values[:0]


def with_buckets(frame: pd.DataFrame) -> pd.DataFrame:
    """A trace as it is written today, whatever version has written it.

    Before contributions had a target the number of a gradient's bucket stood in `stage`, which was nobody else's; it
    stands in `micro_batch` now.
    """
    if "target" in frame or not {"op", "kernel", "stage", "micro_batch"} <= set(frame.columns):
        return frame
    is_bucket = (frame["op"] == Compute.__name__) & (frame["kernel"] == "backward") & (frame["stage"] >= 0)
    numbers, stages = frame["micro_batch"].where(~is_bucket, frame["stage"]), frame["stage"].where(~is_bucket, -1)
    return frame.assign(micro_batch=numbers, stage=stages)

"""What the operations between the streams of one worker mean, the same in both worlds: `SHARED_HANDLERS`."""

from __future__ import annotations

from typing import Any

from schedules.driving.board import not_an_operation, where
from schedules.driving.crew import Queue
from schedules.driving.driver import Handler, Running
from schedules.errors import MisuseError, ProgramError
from schedules.misuse.values import short
from schedules.operations import Await, Cancel, Operation, Put, Start, Take
from schedules.payload import Handle


def _queue(running: Running) -> Queue:
    found: Queue = running.stream.crew.queues[running.operation.queue]
    return found


def _put(running: Running) -> bool:
    queue = _queue(running)
    if queue.takers:
        # Past the queue: an item that was put for one who waits must not be taken by another in between.
        taker = queue.takers.popleft()
        _hand_over(taker, running.operation.item)
        running.world.wake(taker, running.start_ns)
        return True
    if len(queue.items) < running.worker.capacities.get(running.operation.queue, 1):
        queue.items.append(running.operation.item)
        return True
    queue.putters.append(running)
    return False


def _hand_over(taker: Running, item: Any) -> None:
    """The answer of a `Take`; a number is recorded, as a program may decide by it, which a replay has to do again."""
    taker.result = item
    if item.__class__ is int:
        taker.note = str(item)


def _take(running: Running) -> bool:
    queue = _queue(running)
    if not queue.items:
        queue.takers.append(running)
        return False
    _hand_over(running, queue.items.popleft())
    if queue.putters:
        putter = queue.putters.popleft()
        queue.items.append(putter.operation.item)  # there is room now, and who waited longest has it
        running.world.wake(putter, running.start_ns)
    return True


def _start(running: Running) -> bool:
    stream, operation = running.stream, running.operation.operation
    handler = running.world.handlers.get(operation.__class__)
    if handler is None or operation.__class__ in _NEVER_STARTED:
        raise ProgramError(not_an_operation(stream.program, running.worker.rank, stream.name, operation))
    if not stream.free_lanes:  # lanes are used again, so a trace shows as many as were busy at once
        stream.num_lanes += 1
        stream.free_lanes.append(f"{stream.name}+{stream.num_lanes}")
    started = Running(running.world, running.worker, stream.free_lanes.pop(), operation, stream)
    stream.crew.num_started += 1
    running.result = Handle(stream.crew.num_started, started)
    replay = running.world.replay
    if handler(started) if replay is None else replay.start(started, handler):
        started.end_ns = started.start_ns
        started.ended()
    return True


def _await(running: Running) -> bool:
    world, stream, operation = running.world, running.stream, running.operation
    handles, need = operation.handles, operation.need
    try:
        is_in_vain = any(handle.running.is_cancelled for handle in handles)
    except AttributeError:
        raise MisuseError(f"Await: handles: expected those that Start has answered, found {short(handles)}") from None
    if is_in_vain:
        place = where(stream.program, running.worker.rank, stream.name)
        raise ProgramError(f"{place}: awaits an operation that it has cancelled")
    wanted = len(handles) if need == "all" else 1 if need == "any" else int(need)
    if stream.await_handles(handles, wanted if world.replay is None else world.replay.wanted(stream), running.start_ns):
        return True
    if operation.deadline is not None and world.replay is None:
        stream.deadline = world.alarm(operation.deadline, stream.settle)
    return False


def _cancel(running: Running) -> bool:
    target = running.operation.handle.running
    if target is None:
        raise MisuseError(f"Cancel: handle: expected one that Start has answered, found {running.operation.handle}")
    if not target.is_over and not target.is_cancelled:
        target.is_cancelled = True
        target.stream.free_lanes.append(target.name)
        if isinstance(target.operation, Put | Take):  # queues are the driver's, and no world knows them
            _leave_queue(target)
        else:
            running.world.abandon(target)
    return True


def _leave_queue(running: Running) -> None:
    """Neither is an item handed to it any more, nor taken from it."""
    queue = _queue(running)
    for waiting in (queue.takers, queue.putters):
        if running in waiting:
            waiting.remove(running)


_NEVER_STARTED = frozenset({Start, Await, Cancel})
"""Operations in which nothing is under way."""

SHARED_HANDLERS: dict[type[Operation], Handler] = {
    Put: _put,
    Take: _take,
    Start: _start,
    Await: _await,
    Cancel: _cancel,
}

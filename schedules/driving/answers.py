"""The facts of an answer: what the payload is, and what it was read from, the same in both worlds.

| answer of | facts |
|---|---|
| `Compute` | the kind of the kernel's row; the version and step at which it was issued, read then; with `at`: its |
| `Compute` with `work` | likewise; a change, where the workload has no row of that name |
| `Receive`, `Exchange` | those of the sender's payload, as sent |
| `Broadcast` | those of the root's payload, as sent |
| other collectives | those of the rank's own payload |
"""

from __future__ import annotations

from typing import Any

from schedules.operations import AllToAll, Compute
from schedules.payload import Array, Payload, What, fresh
from schedules.platform.volumes import bytes_sent
from schedules.training.kernels import Kernel
from schedules.training.model import Model
from schedules.training.parts import size_of_part
from schedules.training.state import sealed


def kind_of(model: Model, kernel: Kernel, operation: Compute) -> What:
    """What the answer of a kernel is that works on the newest parameters: the same for all of a kernel and stage."""
    # The gradient counts at the first stage, or layer of a model that is not in stages.
    return (kernel.kind, "x", 0) if operation.stage > 0 and model.stage != 0 else kernel.what


def of_kernel(model: Model, kernel: Kernel, operation: Compute, now: int, what: What | None = None) -> Payload:
    """The answer of a kernel that is issued now; its array is still to be computed.

    Args:
        what: of `kind_of`, where it is known.
    """
    size, at = operation.size, operation.at
    if what is None:
        what = kind_of(model, kernel, operation)
    if size is None:
        size = kernel.size
        if size is None:
            size = model.size
    if at is None:
        return fresh(size, model.version, model.steps, now, what)
    return fresh(size, at.version, at.step, at.read_ns, (what[0], at.target, what[2]))


def parts_of(operation: AllToAll, num_members: int) -> tuple[int, ...]:
    """The bytes that an all-to-all has for each member."""
    if operation.parts is not None:
        return operation.parts
    array = operation.payload.array
    itemsize = 1 if array is None else int(array.itemsize)
    return tuple(size_of_part(operation.size, index, num_members, itemsize) for index in range(num_members))


def bytes_sent_by(operation: Any, place: int, num_members: int, algorithm: str | None = None) -> int:
    """Bytes that the member number `place` sends in a collective: its share of what all send, or where it gives the
    parts itself, what it has for the others."""
    if isinstance(operation, AllToAll) and operation.parts is not None:
        return operation.size - operation.parts[place]
    return bytes_sent(type(operation).__name__, num_members, operation.size, algorithm, place=place)


def of_collective(given: Payload, size: int, array: Array = None) -> Payload:
    """A member's answer of a collective; `given` is what it gave itself or, of a broadcast, what the root gave."""
    return given.with_array(size, sealed(array))

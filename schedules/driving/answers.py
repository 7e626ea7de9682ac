"""The facts of an answer: which version, step and time of reading the payload speaks for, the same in both worlds.

| answer of | facts |
|---|---|
| `Compute` | the version and step at which it was issued, read then |
| `Receive`, `Exchange` | those of the sender's payload, as sent |
| `Broadcast` | those of the root's payload, as sent |
| other collectives | those of the rank's own payload |
"""

from __future__ import annotations

from schedules.payload import Array, Payload
from schedules.training.state import Model


def of_kernel(model: Model, size: int, now: int, array: Array = None) -> Payload:
    """The answer of a kernel that reads the parameters now, in `size` bytes."""
    return Payload(size, array, model.version, model.steps, now)


def of_collective(given: Payload, size: int, array: Array = None) -> Payload:
    """A member's answer of a collective; `given` is what it gave itself or, of a broadcast, what the root gave."""
    return Payload(size, array, given.version, given.step, given.read_ns)

"""The contract that both worlds share: operations, programs, clocks, the scenario, the record of a run.

Its names are what the author of a program needs, from one import (docs/vocabulary.md):

>>> from schedules import Compute, Count, Program, Table, Worker

Each is imported when it is asked for, so `import schedules` costs nothing: the command line's `--help` does it, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import Field, ValidationInfo, field_validator, model_validator

    from schedules.clocks import StreamKey, Tick
    from schedules.operations import (
        AllGather,
        AllReduce,
        AllToAll,
        Arrivals,
        Await,
        Barrier,
        Broadcast,
        Cancel,
        Compute,
        Exchange,
        Group,
        Handle,
        Join,
        Leave,
        Meet,
        Operation,
        Partner,
        Payload,
        Program,
        Put,
        Receive,
        ReduceScatter,
        Reduction,
        Send,
        Start,
        Take,
        Until,
    )
    from schedules.payload import Array
    from schedules.settings import Count, CountOfRank, NonNegative, Number, Positive, Table, of_rank
    from schedules.training.kernels import Kernel
    from schedules.training.optimizers import squared_norm
    from schedules.training.parts import part
    from schedules.training.state import Rule, State, descend
    from schedules.training.vectors import COPY, SHARD, ZERO, ZERO_SHARD, Vector
    from schedules.units import Bytes, BytesPerSecond, Flop, FlopPerSecond, Seconds
    from schedules.worker import Worker

# Said three times, because type checkers and editors understand only the imports above and a literal `__all__`, and a
# running program needs the modules' names; a test holds the three together.
__all__ = [
    "COPY", "SHARD", "ZERO", "ZERO_SHARD", "AllGather", "AllReduce", "AllToAll", "Array", "Arrivals", "Await",
    "Barrier", "Broadcast", "Bytes", "BytesPerSecond", "Cancel", "Compute", "Count", "CountOfRank", "Exchange",
    "Field", "Flop", "FlopPerSecond", "Group", "Handle", "Join", "Kernel", "Leave", "Meet", "NonNegative", "Number",
    "Operation", "Partner", "Payload", "Positive", "Program", "Put", "Receive", "ReduceScatter", "Reduction",
    "Rule", "Seconds", "Send", "Start", "State", "StreamKey", "Table", "Take", "Tick", "Until", "ValidationInfo",
    "Vector", "Worker", "descend", "field_validator", "model_validator", "of_rank", "part", "squared_norm",
]  # fmt: skip

_NAMES = {
    "pydantic": ("Field", "ValidationInfo", "field_validator", "model_validator"),
    "schedules.clocks": ("StreamKey", "Tick"),
    "schedules.operations": (
        "AllGather", "AllReduce", "AllToAll", "Arrivals", "Await", "Barrier", "Broadcast", "Cancel", "Compute",
        "Exchange", "Group", "Handle", "Join", "Leave", "Meet", "Operation", "Partner", "Payload", "Program",
        "Put", "Receive", "ReduceScatter", "Reduction", "Send", "Start", "Take", "Until",
    ),
    "schedules.payload": ("Array",),
    "schedules.training.parts": ("part",),
    "schedules.settings": ("Count", "CountOfRank", "NonNegative", "Number", "Positive", "Table", "of_rank"),
    "schedules.training.kernels": ("Kernel",),
    "schedules.training.optimizers": ("squared_norm",),
    "schedules.training.state": ("Rule", "State", "descend"),
    "schedules.training.vectors": ("COPY", "SHARD", "ZERO", "ZERO_SHARD", "Vector"),
    "schedules.units": ("Bytes", "BytesPerSecond", "Flop", "FlopPerSecond", "Seconds"),
    "schedules.worker": ("Worker",),
}  # fmt: skip
_PLACES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name of the face where it is used."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # also what nobody has asked for yet

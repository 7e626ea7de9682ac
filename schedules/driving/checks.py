"""What no world carries: operations that cannot be meant."""

from __future__ import annotations

from array_api_compat import array_namespace

from schedules.driving.board import Asking, where
from schedules.errors import ProgramError
from schedules.operations import AllReduce, ReduceScatter


def check_reduction(running: Asking) -> None:
    """Refuse a mean of integers: numpy would round it towards zero, gloo would leave the sum.

    Raises:
        ProgramError: naming the program's line.
    """
    operation, stream = running.operation, running.stream
    if not isinstance(operation, AllReduce | ReduceScatter) or operation.reduction != "mean":
        return
    array = operation.payload.array
    if array is None or array_namespace(array).isdtype(array.dtype, ("real floating", "complex floating")):
        return
    told = f"{operation}: expected floating-point numbers for a mean, found {array.dtype}"
    raise ProgramError(f"{where(stream.program, running.worker.rank, stream.name)}\n  {told}")

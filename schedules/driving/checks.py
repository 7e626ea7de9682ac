"""What no world carries: arrays that are not what their operation says."""

from __future__ import annotations

from array_api_compat import array_namespace

from schedules.driving.board import where
from schedules.errors import ProgramError
from schedules.operations import AllReduce, Operation, Program, ReduceScatter


def check_arrays(program: Program, rank: int, stream: str, operation: Operation) -> None:
    """Refuse an operation with an array that is not what it says.

    Its bytes must be those that the payload says: what one transport would cut off another would pad. And integers have
    no mean: numpy would round it towards zero, gloo would leave the sum.

    Raises:
        ProgramError: naming the program's line.
    """
    told = _refusal(operation)
    if told is not None:
        raise ProgramError(f"{where(program, rank, stream)}\n  {told}")


def _refusal(operation: Operation) -> str | None:
    payload = operation.payload
    array = payload.array
    if array.nbytes != payload.size:
        return f"{operation}: expected an array of {payload.size} bytes, as its payload says, found {array.nbytes}"
    is_mean = isinstance(operation, AllReduce | ReduceScatter) and operation.reduction == "mean"
    if is_mean and not array_namespace(array).isdtype(array.dtype, ("real floating", "complex floating")):
        return f"{operation}: expected floating-point numbers for a mean, found {array.dtype}"
    return None

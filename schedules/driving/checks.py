"""What no world carries: operations that cannot be meant. Both worlds ask here, so that both say the same.

Everything that one operation shows by itself is refused at its issue, with the program's own line. What two members of
a collective do differently takes both to see (`meaning`, `differ`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

from array_api_compat import array_namespace

from schedules.driving.board import Asking, not_a_kernel, where
from schedules.errors import MisuseError, ProgramError
from schedules.misuse.values import RANKS
from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, ReduceScatter
from schedules.training.kernels import Kernel, Kernels
from schedules.training.model import Model

_REDUCING = frozenset((AllReduce, ReduceScatter))

Meaning = tuple[str, int, str, int, int, str, bool]
"""Of a collective, what all its members must mean alike: kind, tag, reduction, root, bytes, numbers, whether the parts
are given. Bytes are -1 where members may differ in them."""


def kernel_without_row(running: Asking, model: Model, kernels: Kernels) -> Kernel:
    """What a computation runs whose name is no row of the workload: it has a duration only, or brings its work.

    Raises:
        ProgramError: in a numeric run, where it brings none.
    """
    operation = running.operation
    if model.state is not None and operation.work is None:
        raise ProgramError(not_a_kernel(running, kernels))
    return Kernel(operation.kernel)


def check_send(running: Asking) -> None:
    """Refuse a payload that is larger than its `limit`: the receiver has no room for it.

    Raises:
        ProgramError: naming the program's line.
    """
    operation = running.operation
    if operation.limit is not None and operation.payload.size > operation.limit:
        _refuse(running, f"expected at most {operation.limit} bytes, found {operation.payload.size}")


def check_peer(rank: int, peer: int, num_workers: int) -> None:
    """Refuse a peer that there is not.

    Raises:
        MisuseError: which the driver tells with the program's line.
    """
    if not 0 <= peer < num_workers or peer == rank:
        raise MisuseError(f"expected a peer among the {num_workers} workers, found {peer}")


def check_candidates(running: Asking, num_workers: int) -> None:
    """Refuse candidates that are no other ranks.

    Raises:
        MisuseError: which the driver tells with the program's line.
    """
    candidates = RANKS.of(running.operation.candidates, "Meet: candidates")
    for each in candidates:
        if not 0 <= each < num_workers or each == running.worker.rank:
            raise MisuseError(f"Meet: candidates: expected other ranks of {num_workers} workers, found {each}")


def check_collective(running: Asking, num_workers: int) -> Sequence[int]:
    """Refuse a collective that no group could carry out: its group, root, reduction and parts.

    Returns:
        its members, ascending.
    Raises:
        ProgramError: naming the program's line.
    """
    operation = running.operation
    members = range(num_workers) if operation.group is None else operation.group
    if operation.group is not None:
        _check_group(running, members, num_workers)
    kind = operation.__class__  # and not `isinstance`, which takes longer: every member of every collective passes here
    if kind in _REDUCING:
        if operation.reduction == "mean" and operation.payload.array is not None:
            _check_mean(running)
    elif kind is Broadcast and operation.root not in members:
        _refuse(running, f"expected a root among {list(members)}, found {operation.root}")
    elif kind is AllToAll and operation.parts is not None:
        _check_parts(running, operation.parts, len(members))
    return members


def _check_group(running: Asking, members: Sequence[int], num_workers: int) -> None:
    is_ascending = all(low < high for low, high in pairwise(members))
    if not members or not is_ascending or members[0] < 0 or members[-1] >= num_workers:
        _refuse(running, f"expected a group of ascending ranks among the {num_workers} workers, found {members}")
    if running.worker.rank not in members:
        _refuse(running, f"expected to be a member, found rank {running.worker.rank}")


def _check_mean(running: Asking) -> None:
    """Numpy would round a mean of integers towards zero, gloo would leave the sum."""
    array = running.operation.payload.array
    if array_namespace(array).isdtype(array.dtype, ("real floating", "complex floating")):
        return
    _refuse(running, f"expected floating-point numbers for a mean, found {array.dtype}")


def _check_parts(running: Asking, parts: Sequence[int], num_members: int) -> None:
    payload = running.operation.payload
    itemsize = 1 if payload.array is None else int(payload.array.itemsize)
    if len(parts) != num_members:
        _refuse(running, f"expected a part for each of {num_members} members, found {len(parts)}")
    if sum(parts) != payload.size or min(parts) < 0:
        _refuse(running, f"expected parts of {payload.size} bytes together, found {list(parts)}")
    if any(each % itemsize for each in parts):
        _refuse(running, f"expected parts of whole numbers of {itemsize} bytes each, found {list(parts)}")


def _refuse(running: Asking, told: str) -> NoReturn:
    place = where(running.stream.program, running.worker.rank, running.stream.name)
    raise ProgramError(f"{place}\n  rank {running.worker.rank} {running.operation}: {told}")


def meaning(operation: Any) -> Meaning:
    """What the other members of a collective must have issued, too."""
    kind = operation.__class__
    if kind is Barrier:
        return Barrier.__name__, operation.tag, "", -1, 0, "", False
    payload, is_cut = operation.payload, kind is AllToAll and operation.parts is not None
    has_own_size = is_cut or kind is AllGather
    reduction = operation.reduction if kind in _REDUCING else ""
    root = operation.root if kind is Broadcast else -1
    array = None if kind is Broadcast else payload.array  # only the root's counts
    numbers = "" if array is None or has_own_size else str(array.dtype).removeprefix("torch.")
    return kind.__name__, operation.tag, reduction, root, -1 if has_own_size else payload.size, numbers, is_cut


def shown(operation: Any) -> str:
    """A collective as its members compare it: its text, and the numbers of its array, which no text of it has."""
    numbers = meaning(operation)[5]
    return f"{operation} of {numbers}" if numbers else str(operation)


def differ(rank: int, operation: str, other_rank: int, other: str) -> ProgramError:
    """The error of two members of one communicator whose sequences part; operations as they are `shown`."""
    (low, one), (high, two) = sorted(((rank, operation), (other_rank, other)))
    return ProgramError(
        f"rank {low} {one} and rank {high} {two}: expected the same collective with equal sizes and numbers, found two"
    )

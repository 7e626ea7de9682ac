"""What goes over the wire: one buffer a message, 64 bytes of header and then the array's bytes.

There is no separate message for the header: it would cost a latency. So both ends must know the size beforehand, as
the operations say it. gloo aborts a process that is sent more or less than it expects; therefore the size is part of
the tag that gloo matches by: two ends that disagree about it wait for each other in vain, and the board shows both.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import torch

from schedules.errors import ProgramError
from schedules.operations import Array, Payload

# Their places in this table go over the wire: append, never sort.
DTYPES = (
    torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.int8, torch.int16, torch.int32, torch.int64,
)  # fmt: skip

# `<`: the same bytes on every machine. `spare` makes it 64, so the array behind it is aligned for every type.
_header = struct.Struct("<HHiqqqqqqq")
HEADER = _header.size
FORMAT = 1

EXCHANGE, MESSAGE, RECEIPT = range(3)


class Header(NamedTuple):
    """The fields of a header; `payload` has the version, step and time of reading. `issue_ns`: when the sender
    asked."""

    format: int
    dtype: int
    spare: int
    num_bytes: int
    size: int
    version: int
    step: int
    read_ns: int
    issue_ns: int
    tag: int


def wire_tag(kind: int, tag: int, size: int, number: int = 0) -> int:
    """What gloo matches by, 31 bits: of the kind of message, the operation's tag, the size and, for a receipt, which
    message of these it is for."""
    # Two may have one checksum: the header says the tag itself, and `Edges.deliver` compares it.
    return zlib.crc32(struct.pack("<qqqq", kind, tag, size, number)) & 0x7FFFFFFF


def write(buffer: torch.Tensor, payload: Payload, issue_ns: int, tag: int) -> None:
    """Write header and array into a buffer of `HEADER + payload.size` bytes.

    Raises:
        ProgramError: if the array has a type of numbers that is not in `DTYPES`.
    """
    array = payload.array
    num_bytes, dtype = 0, 0
    if array is not None:
        raw = _as_bytes(array)
        if array.dtype not in DTYPES:
            raise ProgramError(f"expected an array of {', '.join(map(str, DTYPES))}, found {array.dtype}")
        num_bytes, dtype = len(raw), DTYPES.index(array.dtype)
        buffer[HEADER : HEADER + num_bytes].copy_(raw)
    header = Header(
        FORMAT, dtype, 0, num_bytes, payload.size, payload.version, payload.step, payload.read_ns, issue_ns, tag
    )
    _header.pack_into(_memory(buffer), 0, *header)


def read(buffer: torch.Tensor, device: torch.device | None) -> tuple[Header, Payload]:
    """The header, and the payload, whose array is a view of the buffer (a copy on another device)."""
    header = Header(*_header.unpack_from(_memory(buffer), 0))
    if header.format != FORMAT or header.size != len(buffer) - HEADER:
        raise ProgramError(f"expected a message of {len(buffer) - HEADER} bytes, found another: {header}")
    array = None
    if header.num_bytes:
        array = buffer[HEADER : HEADER + header.num_bytes].view(DTYPES[header.dtype])
        if device is not None and device.type != "cpu":
            array = array.to(device)
    return header, Payload(header.size, array, header.version, header.step, header.read_ns)


def _memory(buffer: torch.Tensor) -> memoryview:
    return buffer.numpy().data


def _as_bytes(array: Array) -> torch.Tensor:
    if not isinstance(array, torch.Tensor):
        raise ProgramError(f"expected a payload with a torch tensor, found {type(array).__name__}")
    return array.detach().contiguous().reshape(-1).view(torch.uint8)


class BufferShelves:
    """Buffers by size, used again when nobody looks at them any more: making 100 MB anew costs 25 ms of page faults.

    An array that a program has received is a view of its buffer, and the program may keep it as long as it likes. So
    a buffer that was given back lies on its shelf until no view of it is left: nobody has to say so.
    """

    def __init__(self, *, is_pinned: bool = False) -> None:
        self._is_pinned = is_pinned
        self._lock = threading.Lock()  # taken on the loop, given back by the threads that wait
        self._shelves: dict[int, list[torch.Tensor]] = defaultdict(list)

    def take(self, size: int) -> torch.Tensor:
        """A buffer of that many bytes, uint8 [size]."""
        with self._lock:
            shelf = self._shelves[size]
            for position, buffer in enumerate(shelf):
                if _is_unseen(buffer):
                    return shelf.pop(position)
        return torch.zeros(size, dtype=torch.uint8, pin_memory=self._is_pinned)

    def give_back(self, buffer: torch.Tensor) -> None:
        """Keep the buffer for later. Arrays may still be views of it: that is looked at when it is taken."""
        with self._lock:
            self._shelves[len(buffer)].append(buffer)


def _is_unseen(buffer: torch.Tensor) -> bool:
    """Whether no other tensor shares the buffer's memory: one reference is the tensor's, one this look's own.

    A torch that does not tell (the function is its own) has no buffer used twice: slower, never wrong.
    """
    count: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)
    return count is not None and count(buffer.untyped_storage()._cdata) <= 2

"""What goes over the wire: one buffer a message, a header and then the array's bytes.

There is no separate message for the header: it would cost a latency. So both ends must know the size beforehand, as
the operations say it. gloo aborts a process that is sent more than it expects; therefore the size is part of the tag
that gloo matches by: two ends that disagree about it wait for each other in vain, and the board shows both. Of a send
with a limit that is the limit: it may be shorter, which gloo carries as it is, and the header says by how much.
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
from schedules.payload import KINDS, LONGEST_TARGET

# Their places in this table go over the wire: append, never sort.
DTYPES = (
    torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.int8, torch.int16, torch.int32, torch.int64, torch.bool,
)  # fmt: skip

# `<`: the same bytes on every machine. Both are whole multiples of 8 bytes, so the array behind is aligned.
_header = struct.Struct("<HHiqqqq")
_facts = struct.Struct(f"<qqqqqq{LONGEST_TARGET}s")
FACTS = _facts.size
HEADER = _header.size + FACTS
FORMAT = 2

EXCHANGE, MESSAGE, RECEIPT = range(3)


class Header(NamedTuple):
    """The fields of a header, before the payload's facts. `issue_ns`: when the sender asked."""

    format: int
    dtype: int
    has_array: int
    num_bytes: int
    size: int
    issue_ns: int
    tag: int


def pack_facts(payload: Payload) -> bytes:
    """What a payload is and what it was read from: `FACTS` bytes.

    Raises:
        ProgramError: if its target has a longer name than the wire carries.
    """
    target = payload.target.encode()
    if len(target) > LONGEST_TARGET:
        raise ProgramError(f"expected a target with a name of at most {LONGEST_TARGET} bytes, found {payload.target!r}")
    numbers = KINDS.index(payload.kind), payload.gradients, payload.number
    return _facts.pack(*numbers, payload.version, payload.step, payload.read_ns, target)


def unpack_facts(packed: bytes | memoryview, size: int, array: Array) -> Payload:
    """The payload with these facts; inverse of `pack_facts`."""
    kind, gradients, number, version, step, read_ns, target = _facts.unpack(packed)
    what = KINDS[kind], target.rstrip(b"\0").decode(), gradients
    payload = Payload(size, array, version, step, read_ns, what)
    payload.number = number
    return payload


def wire_tag(kind: int, tag: int, size: int, number: int = 0, channel: str = "") -> int:
    """What gloo matches by, 31 bits: of the kind of message, the operation's tag, the size that was asked for, for a
    receipt which message of these it is for, and the channel."""
    # Two may have one checksum: the header says the tag itself, and `Edges.deliver` compares it.
    return zlib.crc32(channel.encode(), zlib.crc32(struct.pack("<qqqq", kind, tag, size, number))) & 0x7FFFFFFF


def check(payload: Payload) -> None:
    """Refuse what the wire does not carry.

    Raises:
        ProgramError: of an array of a type of numbers that is not in `DTYPES`, or none of torch.
    """
    array = payload.array
    if array is None:
        return
    if not isinstance(array, torch.Tensor):
        raise ProgramError(f"expected a payload with a torch tensor, found {type(array).__name__}")
    if array.dtype not in DTYPES:
        raise ProgramError(f"expected an array of {', '.join(map(str, DTYPES))}, found {array.dtype}")


def write(buffer: torch.Tensor, payload: Payload, issue_ns: int, tag: int) -> None:
    """Write header and array into a buffer of `HEADER + payload.size` bytes.

    Raises:
        ProgramError: if the array has a type of numbers that is not in `DTYPES`.
    """
    array = payload.array
    num_bytes, dtype = 0, 0
    check(payload)
    if array is not None:
        raw = _as_bytes(array)
        num_bytes, dtype = len(raw), DTYPES.index(array.dtype)
        buffer[HEADER : HEADER + num_bytes].copy_(raw)
    memory, header = _memory(buffer), Header(FORMAT, dtype, array is not None, num_bytes, payload.size, issue_ns, tag)
    _header.pack_into(memory, 0, *header)
    memory[_header.size : HEADER] = pack_facts(payload)


def read(buffer: torch.Tensor, device: torch.device | None) -> tuple[Header, Payload]:
    """The header, and the payload, whose array is a view of the buffer (a copy on another device)."""
    header = Header(*_header.unpack_from(_memory(buffer), 0))
    if header.format != FORMAT or not header.num_bytes <= header.size <= len(buffer) - HEADER:
        raise ProgramError(f"expected a message of {len(buffer) - HEADER} bytes, found another: {header}")
    array = None
    if header.has_array:  # it may have no numbers
        array = buffer[HEADER : HEADER + header.num_bytes].view(DTYPES[header.dtype])
        if device is not None and device.type != "cpu":
            array = array.to(device)
    return header, unpack_facts(_memory(buffer)[_header.size : HEADER], header.size, array)


def _memory(buffer: torch.Tensor) -> memoryview:
    return buffer.numpy().data


def _as_bytes(array: Array) -> torch.Tensor:
    bits: torch.Tensor = array
    return bits.detach().contiguous().reshape(-1).view(torch.uint8)


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

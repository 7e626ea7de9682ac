"""What one message looks like, and the buffers that messages lie in."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from executor.wire.frames import HEADER, BufferShelves, read, wire_tag, write
from schedules.errors import ProgramError
from schedules.operations import Payload


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_a_message_carries_the_array_and_what_it_was_computed_from(dtype: torch.dtype) -> None:
    array = torch.arange(5).to(dtype)
    payload = Payload(array.nbytes, array, version=4, step=2, read_ns=99, what=("change", "theta", 7))
    payload.number = -5
    buffer = torch.zeros(HEADER + payload.size + 3, dtype=torch.uint8)  # the receiver may have room for more
    write(buffer, payload, issue_ns=1234, tag=-7)
    header, found = read(buffer, None)
    assert torch.equal(found.array, array)
    assert found.array.dtype == dtype
    assert (found.size, found.version, found.step, found.read_ns) == (payload.size, 4, 2, 99)
    assert (found.what, found.number) == (("change", "theta", 7), -5)
    assert (header.issue_ns, header.tag) == (1234, -7)


def test_numbers_that_have_no_place_in_the_header_are_refused() -> None:
    with pytest.raises(ProgramError, match=r"expected an array of torch\.uint8, .*, found torch\.complex64"):
        write(torch.zeros(HEADER + 8, dtype=torch.uint8), Payload(8, torch.zeros(1, dtype=torch.complex64)), 0, 0)


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40), st.integers(0, 2))
def test_wire_tags_fit_gloo_and_tell_kinds_tags_and_sizes_apart(tag: int, size: int, kind: int) -> None:
    mine = wire_tag(kind, tag, size)
    assert 0 <= mine < 2**31
    assert mine not in (wire_tag(kind, tag + 1, size), wire_tag(kind, tag, size + 8), wire_tag(kind + 1, tag, size))
    assert mine != wire_tag(kind, tag, size, channel="forward") != wire_tag(kind, tag, size, channel="backward")


def test_a_buffer_is_used_again_only_when_nobody_looks_at_it() -> None:
    buffers = BufferShelves()
    buffer = buffers.take(100)
    place = buffer.data_ptr()
    view = buffer[64:]
    buffers.give_back(buffer)
    del buffer
    assert buffers.take(100).data_ptr() != place
    del view
    assert buffers.take(100).data_ptr() == place

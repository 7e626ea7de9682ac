"""Messages come out of a connection as they went in, however it cuts them, and nothing else does."""

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.agreement.line import MAX_BYTES, Line


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    """A line, and the bare connection at its other end."""
    one, other = socket.socketpair()
    with one, other:
        yield Line(one), other


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(1, 30), min_size=1))
def test_messages_come_whole_and_in_order_however_they_are_cut(messages: list[bytes], sizes: list[int]) -> None:
    one, other = socket.socketpair()
    with one, other:
        for message in messages:
            Line(one).send(message)
        one.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: other.recv(4096), b""))
    found, begin, turn = [], 0, 0
    cut, end = socket.socketpair()
    with cut, end:
        line = Line(end)
        while begin < len(data):
            size = sizes[turn % len(sizes)]
            cut.sendall(data[begin : begin + size])
            begin, turn = begin + size, turn + 1
            line.fill()
            while (message := line.taken()) is not None:
                found.append(message)
    assert found == messages


def test_a_longer_message_than_any_of_ours_is_neither_sent_nor_waited_for(ends: tuple[Line, socket.socket]) -> None:
    line, other = ends
    with pytest.raises(ValueError, match="at most 65536 bytes, found 65537"):
        line.send(bytes(MAX_BYTES + 1))
    other.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ConnectionError, match="at most 65536 bytes"):
        line.receive()


def test_a_message_that_is_cut_off_is_a_lost_connection(ends: tuple[Line, socket.socket]) -> None:
    line, other = ends
    other.sendall(b"\x05\0\0\0abc")
    other.close()
    with pytest.raises(ConnectionError, match="closed at its other end"):
        line.receive()


def test_where_nobody_is_waited_for_nothing_may_have_come(ends: tuple[Line, socket.socket]) -> None:
    line, other = ends
    line._connection.setblocking(False)
    line.fill()
    assert line.taken() is None
    other.sendall(b"\x01\0\0\0a\x01\0\0\0")
    line.fill()
    assert (line.taken(), line.taken()) == (b"a", None)


def test_closing_wakes_who_waits(ends: tuple[Line, socket.socket]) -> None:
    line, _ = ends
    errors: list[OSError] = []

    def wait() -> None:
        try:
            line.receive()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    line.close()
    thread.join(10)
    assert len(errors) == 1

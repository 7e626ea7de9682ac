"""Strangers at the desk's door are turned away, and keep no rank out."""

import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.agreement import door
from executor.agreement.door import enter
from executor.agreement.line import Line
from schedules.operations import Partner
from tests.executor.agreement.rig import Office, is_closed

Opened = Callable[[int], Office]

HELLO = struct.pack("<I", 68)

STRANGERS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: desk\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "pickle": b"\x80\x04\x95" + bytes(200),
    "zeros": bytes(10_000),
    "empty messages": struct.pack("<I", 0) * 10,
    "a wrong proof": HELLO + bytes(68),
    "a rank that there is not": HELLO + b"\xff" * 68,
    "another length": struct.pack("<I", 67) + bytes(67),
    "a huge message": b"\xff\xff\xff\xff" + bytes(1000),
    "much": b"\x7f" * 1_000_000,
}


def assert_paired(office: Office) -> None:
    one, other = office.rank(0), office.rank(1)
    one.meet(1)
    other.meet(0)
    assert (one.told(), other.told()) == (Partner(1, 0), Partner(0, 0))


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_strangers_bytes_close_its_connection_and_no_other(open_office: Opened, kind: str) -> None:
    office = open_office(2)
    with office.stranger() as stranger:
        try:
            stranger.sendall(STRANGERS[kind])
        except (ConnectionResetError, BrokenPipeError):  # the desk had heard enough
            pass
        else:
            assert is_closed(stranger)
        assert_paired(office)


@pytest.fixture(scope="module")
def office_of_strangers() -> Iterator[Office]:
    """One for many strangers, one after the other."""
    office = Office(2)
    yield office
    assert_paired(office)
    office.close()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_after_any_bytes_the_desk_listens(office_of_strangers: Office, data: bytes) -> None:
    with office_of_strangers.stranger() as stranger:
        stranger.sendall(data)
        stranger.shutdown(socket.SHUT_WR)
        assert is_closed(stranger)


@pytest.mark.parametrize("resets", [False, True])
def test_who_connects_and_goes_is_not_missed(open_office: Opened, resets: bool) -> None:
    office = open_office(2)
    for _ in range(20):
        with office.stranger() as stranger:
            if resets:
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_paired(office)


def test_silent_strangers_keep_no_rank_out_and_are_sent_away_when_all_have_come(open_office: Opened) -> None:
    office = open_office(2)
    strangers = [office.stranger() for _ in range(10)]
    strangers[0].sendall(HELLO)  # and then no more
    began = time.monotonic()
    assert_paired(office)
    assert time.monotonic() - began < door.GREETING_S / 4
    assert all(is_closed(each) for each in strangers)
    with pytest.raises(ConnectionRefusedError):
        office.stranger()


def test_a_silent_stranger_is_sent_away_after_a_while(open_office: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "GREETING_S", 0.1)
    office = open_office(2)
    with office.stranger() as stranger:
        began = time.monotonic()
        assert is_closed(stranger)
        assert time.monotonic() - began >= 0.09
    assert_paired(office)


def test_of_too_many_strangers_the_first_are_sent_away(open_office: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_STRANGERS", 3)
    office = open_office(2)
    strangers = []
    for _ in range(7):
        strangers.append(office.stranger())
        Line(strangers[-1]).receive()  # one after the other: more at once would wait outside for a second
    assert all(is_closed(each) for each in strangers[:2])
    assert_paired(office)


def test_a_wrong_key_lets_nobody_in(open_office: Opened) -> None:
    office = open_office(2)
    with pytest.raises(OSError, match=r"closed at its other end|reset by peer"):
        enter(office.host, office.port, bytes(32), 0)
    assert_paired(office)


def test_a_greeting_that_was_overheard_lets_nobody_in(open_office: Opened) -> None:
    """The proof is of a challenge that is another one every time."""
    office = open_office(2)
    with office.stranger() as stranger:
        challenge = Line(stranger).receive()
        overheard = shown(office.key, challenge, 0)
    with office.stranger() as stranger:
        assert Line(stranger).receive() != challenge
        Line(stranger).send(overheard)
        assert is_closed(stranger)
    with office.stranger() as stranger:  # the same, for the challenge that it was sent, is a rank
        line = Line(stranger)
        line.send(shown(office.key, line.receive(), 0))
        assert len(line.receive()) == 32


def shown(key: bytes, challenge: bytes, rank: int) -> bytes:
    """What a rank answers to a challenge."""
    rank_end, desk_end = socket.socketpair()
    with rank_end, desk_end:
        Line(desk_end).send(challenge)
        Line(desk_end).send(bytes(32))  # no proof of a desk's
        with pytest.raises(ConnectionError, match="does not know the key"):
            door._show(Line(rank_end), key, rank)
        return Line(desk_end).receive()


def test_the_key_is_not_sent() -> None:
    key, challenge = bytes(range(32)), bytes(32)
    assert key not in shown(key, challenge, 3)
    assert shown(key, challenge, 3) != shown(key, challenge, 3)


def test_a_rank_comes_once(open_office: Opened) -> None:
    office = open_office(2)
    first = office.rank(0)
    with pytest.raises(OSError, match=r"closed at its other end|reset by peer"):
        office.line(0)
    other = office.rank(1)
    first.meet(1)
    other.meet(0)
    assert first.told() == Partner(1, 0)

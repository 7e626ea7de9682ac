"""The store in which the ranks of a run meet: text and bytes by key, kept by one process and seen by all.

torch's store looks up the name of every peer that it connects with, only to print it, and waits for the answer: where a
name server does not answer, 5 s and more at each connection, and the process that keeps the store stands still for all
ranks meanwhile. On one machine every peer is 127.0.0.1, and no file of names is asked first, as torch has it as an IPv6
address. So there the resolver is told to ask nobody: by a variable of the environment in the process that keeps the
store and does nothing else, and in ranks, whose programs may want names, while they connect.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Final, Protocol

from torch.distributed import DistError, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

LOOPBACK: Final = "127.0.0.1"
"""Where ranks on one machine meet."""

ASK_NOBODY: Final = {"RES_OPTIONS": "attempts:0"}
"""In the environment of a process, before it looks up its first name (resolv.conf(5)): no name server is asked."""

A_DAY = timedelta(days=1)
"""How long a store is waited for at a time; torch's own limit is five minutes, which a run may well take."""


class SharedStore(Protocol):
    """What is used of torch's stores. Every call goes to the process that keeps it, and back."""

    def set(self, key: str, value: str | bytes) -> object:
        """Set a key, and wake who waits for it."""

    def get(self, key: str) -> bytes:
        """The value of a key; waits until it is set."""

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are set; does not wait."""

    def wait(self, keys: list[str], timeout: timedelta) -> object:
        """Wait until all keys are set.

        Raises:
            DistError: if they are not set in time.
        """

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """The values of keys that are set."""

    def add(self, key: str, value: int) -> int:
        """Add to the number at a key, which is 0 at first. Returns what it is then."""

    def compare_set(self, key: str, expected: str, value: str) -> bytes:
        """Set a key if it has the expected value; "" stands for one that is not set, too."""

    def delete_key(self, key: str) -> bool:
        """Remove a key."""


class KeptStore(Protocol):
    """A store that this process keeps, as long as this object lives."""

    @property
    def port(self) -> int:
        """Where it listens."""


def connect(host: str, port: int, prefix: str) -> SharedStore:
    """A store client of one's own: a client that waits is of no use to anybody else."""
    with nobody_asked() if host == LOOPBACK else nullcontext():
        return _shared(PrefixStore(prefix, TCPStore(host, port, None, False, wait_for_workers=False)))


def wait_for(store: SharedStore, key: str) -> bytes:
    """The value of a key, however long it takes until somebody sets it."""
    while True:
        try:
            store.wait([key], A_DAY)
            return store.get(key)
        except DistError:  # a day without it
            continue


def part_of(store: SharedStore, prefix: str) -> SharedStore:
    """The keys of a store that begin with a prefix and `/`, told without it."""
    assert isinstance(store, Store)
    return _shared(PrefixStore(prefix, store))


def _shared(store: Store) -> SharedStore:
    shared: SharedStore = store  # type: ignore[assignment]  # torch's stub says that `set` takes no bytes: it does
    return shared


def keep_store(host: str, port: int) -> KeptStore:
    """A store that lives as long as what is returned; port 0: any, see its `port`."""
    kept: KeptStore = TCPStore(host, port, None, True, wait_for_workers=False)
    return kept


class _Resolver(ctypes.Structure):
    """The beginning of glibc's `struct __res_state`: how long and how often a name server is asked."""

    _fields_ = (("timeout_s", ctypes.c_int), ("attempts", ctypes.c_int))


@contextmanager
def nobody_asked() -> Iterator[None]:
    """Look up no name in this thread. With a C library that has no such setting, names are looked up."""
    resolver = _resolver()
    if resolver is None:
        yield
        return
    attempts, resolver.attempts = resolver.attempts, 0
    try:
        yield
    finally:
        resolver.attempts = attempts


def _resolver() -> _Resolver | None:
    """The settings of this thread."""
    library = ctypes.CDLL(None)
    try:
        initialize, state = library.__res_init, library.__res_state
    except AttributeError:  # not glibc
        return None
    state.restype = ctypes.POINTER(_Resolver)
    initialize()  # else the first look-up would do it, and undo what is set here
    found: _Resolver = state().contents
    return found

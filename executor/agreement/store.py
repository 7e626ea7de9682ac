"""The store in which the ranks of a run meet: text and bytes by key, kept by one process and seen by all."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from torch.distributed import DistError, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

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

"""Desks for the tests, and their connections closed at the end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.executor.agreement.rig import Office


@pytest.fixture
def open_office() -> Iterator[Callable[[int], Office]]:
    """Makes a desk for so many ranks."""
    with ExitStack() as after:

        def opened(num_workers: int) -> Office:
            office = Office(num_workers)
            after.callback(office.close)
            return office

        yield opened

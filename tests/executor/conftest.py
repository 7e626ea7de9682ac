"""The processes that fork ranks, kept for all tests, and small scenarios for them."""

from collections.abc import Iterator
from typing import Any

import pytest

from executor import Ranks


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    with Ranks() as started:
        yield started


def scenario(case: str, *, workers: int = 4, graph: str = "complete", **tables: dict[str, Any]) -> dict[str, Any]:
    """A scenario that runs a case of `tests.executor.cases`."""
    made: dict[str, Any] = {
        "schedule": {"program": "tests.executor.cases", "case": case},
        "topology": {"graph": graph, "workers": workers},
        "platform": {"gradient": {"mean": "5 ms"}},
        "workload": {"parameters": 1000},
        "execution": {"timeout": "20 s"},
    }
    for name, table in tables.items():
        made[name] = {**made.get(name, {}), **table}
    return made

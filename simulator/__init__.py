"""The simulated world: what a schedule will do on a network, before anybody pays for it.

>>> from simulator import simulate
>>> result = simulate({
...     "schedule": {"program": "gossip", "gradients": 20},
...     "topology": {"graph": "ring", "workers": 4},
...     "platform": {"gradient": {"mean": "100 ms"}, "link": {"bandwidth": "10 Gbit/s", "latency": "50 us"}},
...     "workload": {"parameters": 25_557_032},
... })
>>> result.summary["gradients"]
80
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.jobs.runs import simulate_jobs as simulate_jobs
    from simulator.run import simulate as simulate

__all__ = ["simulate", "simulate_jobs"]

_PLACES = {"simulate": "simulator.run", "simulate_jobs": "simulator.jobs.runs"}


def __getattr__(name: str) -> object:
    """Import a function where it is used: it brings pandas and SimPy along."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

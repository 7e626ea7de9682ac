"""Tables that are laid over others, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedules.settings import Tables

CHOICES = {
    "schedule": ("program",),
    "topology": ("graph", "file"),
    "workload": ("problem", "module", "parameters", "tensors"),
}
"""Keys that say what a table is about: where another is said, the other keys that stand below may not go with it."""

ALWAYS = {"topology": ("weights", "workers"), "workload": ("dtype", "master", "batch_size", "activations", "buffers")}
"""Keys that go with any choice."""


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tables:
    """The tables `below` with those `above` over them: key by key, but of another choice than that below only what goes
    with any.

    >>> below = {"schedule": {"program": "gossip", "rate": 2}, "run": {"seed": 1}}
    >>> laid_over(below, {"schedule": {"rate": 3}, "run": {"trace": False}})
    {'schedule': {'program': 'gossip', 'rate': 3}, 'run': {'seed': 1, 'trace': False}}
    >>> laid_over(below, {"schedule": {"program": "all-reduce"}})
    {'schedule': {'program': 'all-reduce'}, 'run': {'seed': 1}}
    """
    found = {name: dict(table) if isinstance(table, Mapping) else table for name, table in below.items()}
    for name, table in above.items():
        under, own = found.get(name), table
        if isinstance(under, Mapping) and isinstance(table, Mapping):
            own = {**_inherited(name, under, table), **table}
        found[name] = own
    return found


def _inherited(name: str, under: Mapping[str, Any], table: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a table stays below another."""
    is_other = any(key in table and table[key] != under.get(key) for key in CHOICES.get(name, ()))
    return {key: value for key, value in under.items() if key in ALWAYS.get(name, ())} if is_other else under

"""A registry of builders: names, accepted options, and errors that point at the nearest name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np

from topologies.checks import nearest, whole_number


@dataclass(frozen=True, slots=True)
class Entry:
    """One family of graphs: how to build it, and where it comes from.

    `builder(workers, *, option=default, ...)`: the keyword-only parameters are the options.
    """

    builder: Callable[..., nx.Graph[int]]
    source: str
    aliases: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def options(self) -> dict[str, object]:
        """Accepted options with their defaults; `inspect.Parameter.empty` marks one that must be given."""
        parameters = inspect.signature(self.builder).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def signature(self) -> str:
        """The options as a person would type them, such as `k=4, p=0.1, seed=0`."""
        required = inspect.Parameter.empty
        return ", ".join(f"{k}=<required>" if v is required else f"{k}={v!r}" for k, v in self.options.items())


def build_entry(
    registry: Mapping[str, Entry],
    kind: str,
    name: str,
    workers: int,
    options: Mapping[str, object],
    *,
    alone: Callable[[], nx.Graph[int]] | None = None,
) -> nx.Graph[int]:
    """Build the family called `name`; `graph["family"]` keeps its canonical name.

    Args:
        alone: makes the graph of one worker, in the place of every family's builder; None: the builders do.
    Raises:
        ValueError: for an unknown name or option, or a size or value that the builder refuses; `kind` ("graph" or
            "network") and the name stand first in the message.
    """
    family = canonical_name(registry, kind, name)
    entry = registry[family]
    where = f"{kind} {family!r}"
    # Not by calling it: Python's TypeError would name the function, and no near option.
    _check_options(where, entry, options)
    try:
        if alone is not None and whole_number("workers", _plain(workers), 1) == 1:
            graph = alone()
        else:
            graph = entry.builder(_plain(workers), **{option: _plain(value) for option, value in options.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    graph.graph["family"] = family  # never an alias: `layouts` looks it up
    return graph


def canonical_name(registry: Mapping[str, Entry], kind: str, name: str) -> str:
    """Return the registered name for a name or alias; case and hyphens do not matter.

    Raises:
        ValueError: if nothing is registered under it, naming the nearest name and all of them.
    """
    wanted = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    known = {alias: family for family, entry in registry.items() for alias in (family, *entry.aliases)}
    if wanted in known:
        return known[wanted]
    raise ValueError(f"{kind}: expected one of {', '.join(registry)}, found {name!r}{nearest(wanted, known)}")


def _plain(value: object) -> object:
    """A numpy number as the Python one, so that neither node names nor attributes are numpy numbers."""
    return value.item() if isinstance(value, np.generic) else value


def _check_options(where: str, entry: Entry, options: Mapping[str, object]) -> None:
    accepted = entry.options
    for option in options:
        if option not in accepted:
            expected = f"one of {', '.join(accepted)}" if accepted else "no options"
            raise ValueError(f"{where}: expected {expected}, found option {option!r}{nearest(option, accepted)}")
    missing = [k for k, default in accepted.items() if default is inspect.Parameter.empty and k not in options]
    if missing:
        raise ValueError(f"{where}: expected option {missing[0]!r}, found none")

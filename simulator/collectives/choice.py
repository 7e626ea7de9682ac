"""Which algorithm carries out a collective: what [platform.collectives] says, else a rule.

The rule, where it says "auto":

* What the transport's row says (`schedules.platform.transports`).
* Else the fastest by its closed form: for an all-reduce of a ring, a tree, or a hierarchical one where the members are
  on several nodes with equally many, above one, on each (under `nccl`, which has none, of a ring and its two trees);
  for a reduce-scatter and an all-gather a ring; for an all-to-all, pairs. For a broadcast, of a chain and a tree. The
  one named first wins a tie. A hierarchy is compared with one ring, although a ring is as many as there are NICs.

NCCL's own rule is a table of measured latencies and bandwidths (its tuner).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from schedules.operations import Operation
from schedules.platform.protocols.hops import Leaving
from schedules.platform.protocols.windows import OPEN, Windows
from schedules.platform.tables import CollectivesTable, Link
from schedules.platform.transports import DEFAULT, TRANSPORTS, Transport
from schedules.platform.volumes import default_algorithm
from simulator.collectives.patterns import members_by_node

KEYS: Mapping[str, str] = {
    "AllReduce": "all_reduce",
    "ReduceScatter": "reduce_scatter",
    "AllGather": "all_gather",
    "Broadcast": "broadcast",
    "AllToAll": "all_to_all",
}
"""The key of each collective in the table."""

CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "AllReduce": ("ring", "tree", "hierarchical"),
    "Broadcast": ("tree", "chain"),
}
"""What the rule chooses from; of the other collectives it takes the usual one."""

LEAST_GAIN = 1e-9
"""Of the time: what differs by less, by rounding, is a tie."""


def choose(
    kind: type[Operation],
    n: int,
    size: int,
    bandwidth: float,
    latency: float,
    *,
    transport: Transport = TRANSPORTS[DEFAULT],
    overhead: float = 0.0,
    table: CollectivesTable | None = None,
    nodes: Sequence[Hashable] | None = None,
    inside: Link | None = None,
    leaving: Leaving | None = None,
    windows: Windows = OPEN,
    abreast: float = 1.0,
) -> str:
    """The algorithm for a collective of `n` ranks with `size` bytes each.

    Args:
        bandwidth, latency: between two ranks (of different nodes, if there are any), in bytes/s and seconds.
        transport: what it takes where the table does not say, and the formula.
        overhead: software cost of a message, in seconds.
        table: the overrides; None: none.
        nodes: the node that each member is on; None: every member is a node of its own.
        inside: the link between two ranks of one node; None: as between nodes.
        leaving: how the members leave nodes that have several; None: none has.
        windows: of every connection.
        abreast: how many times the bandwidth those algorithms have of which a node carries out several at once.
    Raises:
        ValueError: if "hierarchical" is asked for and the nodes have unequal numbers of members.
    """
    name = kind.__name__
    groups = [] if nodes is None else members_by_node(nodes)
    is_even = len({len(group) for group in groups}) <= 1  # without nodes, too: no groups
    # A barrier has one algorithm, and no key.
    wanted = "auto" if table is None or name not in KEYS else getattr(table, KEYS[name])
    if wanted == "hierarchical" and not is_even:
        _refuse_uneven(groups)
    if wanted != "auto":
        return str(wanted)
    if name in transport.algorithms or name not in CANDIDATES:
        return transport.algorithms.get(name) or default_algorithm(name)
    # On one node, or with one member a node, a hierarchical one is the ring under another name.
    has_levels = is_even and 1 < len(groups) < n
    usual = transport.candidates.get(name, CANDIDATES[name])
    candidates = [each for each in usual if each != "hierarchical" or has_levels]
    costly = size * transport.takes_bytes

    def took(algorithm: str) -> float:
        # A hierarchy, which also leaves by all NICs, is chosen rather than a flat ring: it is compared with one alone.
        times = abreast if name in transport.candidates and transport.is_abreast(kind, algorithm) else 1.0
        limits = windows if times == 1.0 else windows._replace(largest=windows.largest * times)
        formula = partial(transport.collective_seconds, kind, n, costly, bandwidth * times, latency, overhead)
        on_nodes = partial(formula, num_nodes=len(groups) or None, inside=inside, leaving=leaving)
        return on_nodes(algorithm=algorithm, windows=limits)

    return _first_of_the_fastest({each: took(each) for each in candidates})


def _refuse_uneven(groups: Sequence[Sequence[int]]) -> NoReturn:
    counts = ", ".join(str(len(group)) for group in groups)
    raise ValueError(
        "platform.collectives.all_reduce = 'hierarchical': "
        f"expected equally many members of a group on every node, found {counts}"
    )


def _first_of_the_fastest(times: Mapping[str, float]) -> str:
    enough = min(times.values()) * (1 + LEAST_GAIN)
    return next(name for name, time in times.items() if time <= enough)

"""What collectives move: latencies and bytes that follow on one another, bytes that a rank sends, algbw and busbw.

n ranks with S bytes each; d = ceil(log2 n); p the largest power of two up to n, r = n - p; N nodes of m = n / N ranks;
k segments of up to 512 KiB. Over links of bandwidth B and latency L each way, idle and a rank's own, a collective takes

    latencies * L + bytes in sequence / B.

| collective | algorithm | latencies | bytes in sequence / S |
|---|---|---|---|
| all-reduce | ring | 2 (n-1) | 2 (n-1) / n |
| | halving-doubling | 2 log2 p (+ 2 if r) | 2 (p-1) / p (+ 2 if r) |
| | tree | 2 d | 2 d |
| | hierarchical | 2 (m-1) + 2 (N-1) | 2 (n-1) / n |
| | direct | 2 | 2 (n-1) / n |
| reduce-scatter | ring | n-1 | (n-1) / n |
| | all-reduce | 2 (n-1) | 2 (n-1) / n |
| | halving | log2 p (+ 2 if r) | (n-1) / n; if r: (sum over 2^i < p of 2^i + min(2^i, r), + n + 1) / n |
| all-gather | ring | n-1 | n-1 |
| | doubling | d | n-1 |
| broadcast | tree | d | d |
| | tree-at-once | d' | k_1 + ... + k_d' |
| | chain | n-2 + k | (n-2 + k) / k |
| all-to-all | pairwise | n-1 | (n-1) / n |
| | direct | 1 | (n-1) / n |
| barrier | dissemination | d | 0 |

What "direct" and "hierarchical" take on nodes of several ranks is in `schedules.platform.collective_times`.

Where members bring unequal bytes to an all-gather, S is the most of any: that part goes around the whole ring. Of an
all-to-all whose parts are given, S (n-1) / n is the most that any member sends to or receives from others.

In a tree at once a rank that has the bytes sends them to all its k children together. The last to have them is below
parents of k_1, k_2, ... children: d, d-1, ..., 1 where n is a power of two, together d (d+1) / 2.

All algorithms of a collective send the same number of bytes in all, the fewest possible, but for halving where r > 0,
and for a reduce-scatter that is an all-reduce of which each keeps its part.

Sources: Thakur, Rabenseifner and Gropp 2005, Optimization of collective communication operations in MPICH, IJHPCA 19(1)
(halving, doubling, trees, what to do if r > 0); Patarasuk and Yuan 2009, Bandwidth optimal all-reduce algorithms for
clusters of workstations, JPDC 69(2) (ring); nccl-tests, doc/PERFORMANCE.md (algbw and busbw).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

AT_ONCE = "tree-at-once"
WHOLE = "all-reduce"

SEGMENT = 512 * 1024
"""Most bytes that a chain hands on at a time: NCCL's buffer of 4 MiB in its 8 slots."""


class Cost(NamedTuple):
    """Of a collective: latencies in sequence, bytes in sequence, and bytes that a rank sends on average."""

    latencies: int
    in_sequence: float
    sent: float


def cost(kind: str, algorithm: str, n: int, size: int, *, num_nodes: int = 1) -> Cost:
    """What a collective of `n` ranks with `size` bytes each costs (table above); `num_nodes` is for "hierarchical".

    Raises:
        ValueError: if there is no such collective or algorithm, or the nodes do not divide the ranks.
    """
    algorithms = _algorithms(kind)
    if algorithm not in algorithms:
        raise ValueError(f"{kind}: expected one of {', '.join(algorithms)}, found {algorithm!r}")
    # The formulas hold from two ranks on.
    return algorithms[algorithm](n, size, num_nodes) if n > 1 else Cost(0, 0.0, 0.0)


def default_algorithm(kind: str) -> str:
    """The first in the table above."""
    return next(iter(_algorithms(kind)))


def _algorithms(kind: str) -> Mapping[str, Callable[[int, int, int], Cost]]:
    if kind not in ALGORITHMS:
        raise ValueError(f"expected one of {', '.join(ALGORITHMS)}, found {kind!r}")
    return ALGORITHMS[kind]


def latency_rounds(kind: str, algorithm: str, n: int, size: int = 0, *, num_nodes: int = 1) -> int:
    """How many latencies follow on one another; the size matters to a chain, the nodes to "hierarchical"."""
    return cost(kind, algorithm, n, size, num_nodes=num_nodes).latencies


def bytes_sent(kind: str, n: int, size: int, algorithm: str | None = None, *, place: int = 0) -> int:
    """Bytes that one of `n` ranks with `size` bytes each sends; `algorithm` None: the usual one.

    All-reduce 2 S (n-1)/n, reduce-scatter, all-to-all and broadcast S (n-1)/n, all-gather S (n-1), barrier none. What
    all send is spread as evenly as whole bytes can be: member number `place` has part `place` of it, so that the
    members' bytes add up to it exactly.
    """
    total = _sent_by_all(kind, n, size, algorithm)
    return (place + 1) * total // n - place * total // n


@lru_cache(maxsize=1024)  # every member of every collective asks, and most are alike
def _sent_by_all(kind: str, n: int, size: int, algorithm: str | None) -> int:
    num_nodes = n if algorithm == "hierarchical" else 1  # n always divides, and what is sent does not depend on it
    # Of all members together it is a whole number. The average of each, rounded, would lose bytes: 3 * 213 for 640.
    return round(n * cost(kind, algorithm or default_algorithm(kind), n, size, num_nodes=num_nodes).sent)


def algbw(kind: str, n: int, size: int, seconds: float) -> float:
    """Algorithm bandwidth in bytes/s: size / time, with the size as nccl-tests count it.

    That is `size`, but of an all-gather the n `size` bytes of the result. (A reduce-scatter counts the whole input,
    which is `size` here too.)

    Raises:
        ValueError: if the collective carries no bytes, or the time is not above 0.
    """
    _bus_factor(kind, n)  # for its error, before anything is divided
    if seconds <= 0:
        raise ValueError(f"expected a time above 0 s, found {seconds!r}")
    return (n * size if kind == "AllGather" else size) / seconds


def busbw(kind: str, n: int, size: int, seconds: float) -> float:
    """Bus bandwidth in bytes/s: algbw times a factor, so that it is the links' bandwidth in the best case.

    The factor is 2 (n-1)/n for an all-reduce, (n-1)/n for a reduce-scatter, an all-gather and an all-to-all, and 1 for
    a broadcast. Raises what `algbw` raises.
    """
    return algbw(kind, n, size, seconds) * _bus_factor(kind, n)


def bandwidths(kind: str, n: int, size: int, seconds: float) -> dict[str, float]:
    """`algbw` and `busbw` by name; nothing where the time is 0."""
    if seconds <= 0:
        return {}
    return {"algbw": algbw(kind, n, size, seconds), "busbw": busbw(kind, n, size, seconds)}


def _bus_factor(kind: str, n: int) -> float:
    part = (n - 1) / n
    factors = {"AllReduce": 2 * part, "ReduceScatter": part, "AllGather": part, "AllToAll": part, "Broadcast": 1.0}
    if kind not in factors:
        raise ValueError(f"expected a collective that carries bytes ({', '.join(factors)}), found {kind!r}")
    return factors[kind]


def depth(n: int) -> int:
    """Rounds of a binomial tree: ceil(log2 n)."""
    return (n - 1).bit_length()  # exact, where a logarithm in floats might round


def children_on_the_way(n: int) -> list[int]:
    """How many children those have who stand between the root of a binomial tree and the last to have its bytes.

    Member v's children are v + 2^i < n for 2^i > v, so nobody has more, or is deeper, than 0, 1, 3, 7 and so on.
    """
    numbers = [sum(v + (1 << i) < n for i in range(k, depth(n))) for k in range(depth(n)) if (v := (1 << k) - 1) < n]
    return [number for number in numbers if number]


def folded(n: int) -> tuple[int, int]:
    """The largest power of two p up to n, and r = n - p: how many ranks have to stand back for it."""
    p = 1 << (n.bit_length() - 1)
    return p, n - p


def num_segments(size: int) -> int:
    """Into how many parts a chain cuts its bytes."""
    return max(1, -(-size // SEGMENT))  # rounded up without floats; a message without bytes is one


# ---- the rows of the table, for n > 1


def _part(n: int, size: int) -> float:
    return size * (n - 1) / n


def _ring_all_reduce(n: int, size: int, _: int) -> Cost:
    return Cost(2 * (n - 1), 2 * _part(n, size), 2 * _part(n, size))


def _halving_doubling(n: int, size: int, _: int) -> Cost:
    p, r = folded(n)
    stand_back = 2 if r else 0
    rounds = 2 * depth(p) + stand_back
    return Cost(rounds, 2 * _part(p, size) + stand_back * size, 2 * _part(n, size))


def _tree_all_reduce(n: int, size: int, _: int) -> Cost:
    return Cost(2 * depth(n), 2 * depth(n) * size, 2 * _part(n, size))


def _hierarchical(n: int, size: int, num_nodes: int) -> Cost:
    if n % num_nodes:
        raise ValueError(f"hierarchical: expected a number of nodes that divides {n} ranks, found {num_nodes}")
    rounds = 2 * (n // num_nodes - 1) + 2 * (num_nodes - 1)
    return Cost(rounds, 2 * _part(n, size), 2 * _part(n, size))


def _direct_all_reduce(n: int, size: int, _: int) -> Cost:
    return Cost(2, 2 * _part(n, size), 2 * _part(n, size))


def _ring_reduce_scatter(n: int, size: int, _: int) -> Cost:
    return Cost(n - 1, _part(n, size), _part(n, size))


def _halving(n: int, size: int, _: int) -> Cost:
    """If r > 0, the first r of the p who stay have two parts each, and who has most of those is last."""
    p, r = folded(n)
    parts = sum((1 << i) + min(1 << i, r) for i in range(depth(p))) + (n + 1 if r else 0)
    return Cost(depth(p) + (2 if r else 0), size * parts / n, size * (n * (n - 1) + r) / n**2)


def _ring_all_gather(n: int, size: int, _: int) -> Cost:
    return Cost(n - 1, size * (n - 1), size * (n - 1))


def _doubling(n: int, size: int, _: int) -> Cost:
    return Cost(depth(n), size * (n - 1), size * (n - 1))


def _tree_broadcast(n: int, size: int, _: int) -> Cost:
    return Cost(depth(n), depth(n) * size, _part(n, size))


def _tree_at_once(n: int, size: int, _: int) -> Cost:
    children = children_on_the_way(n)
    return Cost(len(children), sum(children) * size, _part(n, size))


def _chain(n: int, size: int, _: int) -> Cost:
    rounds = n - 2 + num_segments(size)
    return Cost(rounds, size * rounds / num_segments(size), _part(n, size))


def _pairwise(n: int, size: int, _: int) -> Cost:
    return Cost(n - 1, _part(n, size), _part(n, size))


def _direct(n: int, size: int, _: int) -> Cost:
    return Cost(1, _part(n, size), _part(n, size))


def _dissemination(n: int, size: int, _: int) -> Cost:
    return Cost(depth(n), 0.0, 0.0)


ALGORITHMS: Mapping[str, Mapping[str, Callable[[int, int, int], Cost]]] = {
    "AllReduce": {
        "ring": _ring_all_reduce,
        "halving-doubling": _halving_doubling,
        "tree": _tree_all_reduce,
        "hierarchical": _hierarchical,
        "direct": _direct_all_reduce,
    },
    "ReduceScatter": {"ring": _ring_reduce_scatter, "halving": _halving, WHOLE: _ring_all_reduce},
    "AllGather": {"ring": _ring_all_gather, "doubling": _doubling},
    "Broadcast": {"tree": _tree_broadcast, "chain": _chain, AT_ONCE: _tree_at_once},
    "AllToAll": {"pairwise": _pairwise, "direct": _direct},
    "Barrier": {"dissemination": _dissemination},
}
"""The algorithms of every collective, by the names of operations; the usual one first."""

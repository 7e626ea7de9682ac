"""How many bytes a rank sends in a collective.

n ranks with S bytes each: all-reduce 2 S (n-1)/n, reduce-scatter and all-to-all S (n-1)/n, all-gather S (n-1). In a
broadcast (n-1) S bytes leave somebody: a rank sends S (n-1)/n on average. A barrier sends nothing to speak of.
"""

from __future__ import annotations


def bytes_sent(kind: str, n: int, size: int) -> int:
    """Bytes that one of `n` ranks sends in a collective named `kind` in which each has `size` bytes."""
    part = size * (n - 1) / n
    sent = {"AllReduce": 2 * part, "AllGather": part * n, "Barrier": 0.0}
    return round(sent.get(kind, part))

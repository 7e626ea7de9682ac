"""In which order rings go through the members of a group, so that each leaves every node by another NIC.

Members that share a NIC are a block of their node. With k NICs a node there are k rings. Ring j goes through the blocks
of the first, third, fifth node in the order j+1, j+2, ..., j, and through those of the others the other way around: so
it leaves a node by the NIC with whose like it enters the next, as networks with a switch a NIC have it (rails).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

Order = Sequence[int]
"""Members, counted in their group, as a ring goes."""


def num_rings(nodes: Sequence[Hashable] | None, nics: Sequence[Hashable] | None) -> int:
    """How many rings a group has: as many as its node with the fewest NICs; one within a node.

    Args:
        nodes: the node that each member is on; None: every member is a node of its own.
        nics: the NIC by which each leaves its node.
    """
    if nodes is None or nics is None or len(set(nodes)) == 1:
        return 1
    return min(len(blocks) for blocks in _blocks(nodes, nics))


def ring_orders(n: int, nodes: Sequence[Hashable] | None, nics: Sequence[Hashable] | None) -> list[Order]:
    """The rings of a group of `n`; one ring goes as the members are counted."""
    k = num_rings(nodes, nics)
    if k == 1 or nodes is None or nics is None:
        return [range(n)]
    return [_ring(_blocks(nodes, nics), j, k) for j in range(k)]


def _ring(by_node: Sequence[Sequence[Sequence[int]]], j: int, k: int) -> Order:
    order: list[int] = []
    for number, blocks in enumerate(by_node):
        # Where a node has more NICs than there are rings, the members of those that are over go with the last.
        few = [*blocks[: k - 1], [member for block in blocks[k - 1 :] for member in block]]
        turned = [member for i in range(k) for member in few[(j + 1 + i) % k]]
        order += reversed(turned) if number % 2 else turned
    return order


def _blocks(nodes: Sequence[Hashable], nics: Sequence[Hashable]) -> list[list[list[int]]]:
    """By node and by NIC, both in the order in which they come first."""
    found: dict[Hashable, dict[Hashable, list[int]]] = {}
    for member, (node, nic) in enumerate(zip(nodes, nics, strict=True)):
        found.setdefault(node, {}).setdefault(nic, []).append(member)
    return [list(each.values()) for each in found.values()]


def share(size: int, j: int, k: int) -> int:
    """Bytes of the j-th of k rings, as equal as whole bytes can be."""
    return (j + 1) * size // k - j * size // k

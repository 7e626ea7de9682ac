"""Rings over NICs: each goes through all, and leaves every node by another NIC."""

from __future__ import annotations

import pytest

from simulator.messages.orders import num_rings, ring_orders, share


def laid(nodes: int, gpus: int, nics: int) -> tuple[list[int], list[tuple[int, int]]]:
    """The node and the NIC of every member."""
    places = [(node, gpu * nics // gpus) for node in range(nodes) for gpu in range(gpus)]
    return [node for node, _ in places], places


@pytest.mark.parametrize(("nodes", "gpus", "nics"), [(2, 4, 4), (4, 2, 2), (4, 8, 4), (3, 4, 2), (2, 8, 1)])
def test_every_nic_is_left_by_once_and_entered_by_once(nodes: int, gpus: int, nics: int) -> None:
    node, nic = laid(nodes, gpus, nics)
    orders = ring_orders(nodes * gpus, node, nic)
    assert len(orders) == num_rings(node, nic) == nics
    left, entered, same_rail = [], [], 0
    for order in orders:
        assert sorted(order) == list(range(nodes * gpus))
        for one, other in zip(order, [*order[1:], order[0]], strict=True):
            if node[one] != node[other]:
                left.append(nic[one])
                entered.append(nic[other])
                same_rail += nic[one][1] == nic[other][1]
    assert sorted(left) == sorted(set(nic)) == sorted(entered)
    # With an odd number of nodes the ring closes over another rail.
    assert same_rail == (nodes if nodes % 2 == 0 or nics == 1 else nodes - 1) * nics


def test_one_node_and_nodes_of_their_own_have_one_ring() -> None:
    assert ring_orders(4, [0] * 4, [0, 1, 2, 3]) == [range(4)]
    assert ring_orders(4, [0, 1, 2, 3], [0, 1, 2, 3]) == [range(4)]
    assert ring_orders(4, None, None) == [range(4)]


def test_the_node_with_the_fewest_nics_decides() -> None:
    orders = ring_orders(5, [0, 0, 0, 1, 1], ["a", "b", "c", "d", "e"])
    assert [list(order) for order in orders] == [[1, 2, 0, 3, 4], [0, 1, 2, 4, 3]]


def test_shares_add_up() -> None:
    assert [share(10, j, 3) for j in range(3)] == [3, 3, 4]

"""Patterns of collectives: data followed through all rounds, symbol by symbol, must end where the collective says.

What a member holds of a part is a set of the members whose contributions are in it. A sum may only be made of sets that
have nothing in common, so no contribution counts twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, Operation, ReduceScatter
from schedules.platform.tables import CollectivesTable
from schedules.platform.volumes import ALGORITHMS, bytes_sent
from simulator.collectives.choice import KEYS
from simulator.collectives.patterns import PATTERNS, hierarchical, members_by_node, pattern
from simulator.collectives.rounds import Pattern
from tests.simulator.collectives.collective_rig import EVERY

NUMBERS = range(1, 18)
Held = TypeVar("Held")
Holds = list[dict[int, frozenset[int]]]


def follow(pattern: Pattern, holds: list[Held], receive: Callable[[Held, Held, Iterator[int]], Held]) -> list[Held]:
    """What members hold in the end; `receive(own, other's before the round, part numbers)` is what one has then."""
    for number in range(pattern.num_rounds):
        before = list(holds)
        for source in range(pattern.num_members):
            for target, parts in pattern.step(source, number).sends:
                holds[target] = receive(holds[target], before[source], (part % pattern.num_parts for part in parts))
    return holds


def add(
    own: dict[int, frozenset[int]], other: dict[int, frozenset[int]], parts: Iterator[int]
) -> dict[int, frozenset[int]]:
    """Add what shares nothing with one's own; take a sum over that has one's own in it already."""
    new = dict(own)
    for part in parts:
        assert own[part].isdisjoint(other[part]) or own[part] < other[part]
        new[part] = own[part] | other[part]
    return new


def keep(own: frozenset[int], other: frozenset[int], parts: Iterator[int]) -> frozenset[int]:
    """Keep parts that the sender has; nothing is sent to who has it."""
    got = frozenset(parts)
    assert got <= other
    assert own.isdisjoint(got)
    return own | got


def contributions(pattern: Pattern) -> Holds:
    """Everybody begins with its own contribution to every part."""
    return [dict.fromkeys(range(pattern.num_parts), frozenset([i])) for i in range(pattern.num_members)]


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS["AllReduce"])
def test_an_all_reduce_gives_everybody_every_contribution_once(algorithm: str, n: int) -> None:
    made = pattern(AllReduce, algorithm, n, 1000)
    assert follow(made, contributions(made), add) == [dict.fromkeys(range(made.num_parts), frozenset(range(n)))] * n


GROUPINGS = [(nodes, width) for nodes in range(1, 9) for width in range(1, 9) if nodes * width <= 17]


@pytest.mark.parametrize(("num_nodes", "width"), GROUPINGS)
@pytest.mark.parametrize("is_scattered", [False, True])
def test_a_hierarchical_one_does_so_on_any_nodes(num_nodes: int, width: int, is_scattered: bool) -> None:
    n = num_nodes * width
    nodes = [member % num_nodes if is_scattered else member // width for member in range(n)]
    made = pattern(AllReduce, "hierarchical", n, 1000, nodes=nodes)
    assert follow(made, contributions(made), add) == [dict.fromkeys(range(n), frozenset(range(n)))] * n


def test_between_nodes_a_hierarchical_one_sends_shards_along_rails() -> None:
    """2 nodes of 3: what crosses goes to the member of the same place, and is 2 (N-1)/N of a shard a member."""
    made = hierarchical([[0, 1, 2], [3, 4, 5]], 600)
    crossing = [
        (source, target, size)
        for source in range(6)
        for _, target, size in made.messages(source)
        if source // 3 != target // 3
    ]
    assert sorted(crossing) == sorted((source, (source + 3) % 6, 100) for source in range(6) for _ in range(2))


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS["ReduceScatter"])
def test_a_reduce_scatter_leaves_part_i_with_member_i(algorithm: str, n: int) -> None:
    made = pattern(ReduceScatter, algorithm, n, 1000)
    assert made.num_parts == n
    assert [held[i] for i, held in enumerate(follow(made, contributions(made), add))] == [frozenset(range(n))] * n


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS["AllGather"])
def test_an_all_gather_gives_everybody_all_parts(algorithm: str, n: int) -> None:
    made = pattern(AllGather, algorithm, n, 1000)
    assert follow(made, [frozenset([i]) for i in range(n)], keep) == [frozenset(range(n))] * n


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("size", [0, 1000, 2_000_000])  # the last: four segments of a chain
@pytest.mark.parametrize("algorithm", ALGORITHMS["Broadcast"])
def test_a_broadcast_gives_everybody_all_that_the_root_has(algorithm: str, size: int, n: int) -> None:
    for root in {0, n // 2, n - 1}:
        made = pattern(Broadcast, algorithm, n, size, root=root)
        everything = frozenset(range(made.num_parts))
        assert follow(made, [everything if i == root else frozenset() for i in range(n)], keep) == [everything] * n


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS["AllToAll"])
def test_an_all_to_all_brings_every_part_where_it_belongs(algorithm: str, n: int) -> None:
    made = pattern(AllToAll, algorithm, n, 1000)
    ends = follow(made, [frozenset(range(i * n, (i + 1) * n)) for i in range(n)], keep)
    assert all({sender * n + i for sender in range(n)} <= held for i, held in enumerate(ends))


@pytest.mark.parametrize("n", NUMBERS)
def test_after_a_barrier_everybody_has_heard_of_everybody(n: int) -> None:
    made = pattern(Barrier, None, n, 0)
    assert (
        follow(made, [frozenset([i]) for i in range(n)], lambda own, other, _: own | other) == [frozenset(range(n))] * n
    )


# ---- what holds for all


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_who_is_sent_to_expects_it_in_the_same_round(kind: type[Operation], algorithm: str, n: int) -> None:
    made = pattern(kind, algorithm, n, 1000)
    for number in range(made.num_rounds):
        steps = [made.step(member, number) for member in range(n)]
        sent = Counter((source, target) for source, step in enumerate(steps) for target, _ in step.sends)
        assert sent == Counter((source, target) for target, step in enumerate(steps) for source in step.sources)
        assert all(count == 1 and source != target for (source, target), count in sent.items())


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_no_member_has_more_than_one_message_each_way_at_a_time(kind: type[Operation], algorithm: str, n: int) -> None:
    """But for the direct all-to-all and a tree at once. So on an idle network of equal links nothing is shared."""
    made = pattern(kind, algorithm, n, 1000)
    steps = [made.step(member, number) for member in range(n) for number in range(made.num_rounds)]
    most = n - 1 if algorithm == "direct" else 1
    children = max((n - 1).bit_length(), 1) if algorithm == "tree-at-once" else most
    assert all(len(step.sends) <= max(most, children) and len(step.sources) <= most for step in steps)


@pytest.mark.parametrize("size", [0, 1, 5, 1000, 123_457])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_parts_are_whole_bytes_as_equal_as_can_be(kind: type[Operation], algorithm: str, n: int, size: int) -> None:
    made = pattern(kind, algorithm, n, size)
    sizes = [made.size(range(part, part + 1)) for part in range(made.num_parts)]
    expected = {AllGather: n * size, AllToAll: n * size, Barrier: 0}.get(kind, size)
    assert sum(sizes) == made.num_bytes == expected
    assert max(sizes) - min(sizes) <= 1
    assert made.size(range(made.num_parts - 1, 2 * made.num_parts - 1)) == expected  # ranges go around


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_members_send_what_the_table_of_bytes_says(kind: type[Operation], algorithm: str, n: int) -> None:
    size = 17 * n * n * 16  # parts of equal size for every algorithm
    made = pattern(kind, algorithm, n, size)
    total = sum(made.sent(member) for member in range(n))
    assert bytes_sent(kind.__name__, n, size, algorithm) == total / n


def test_bytes_of_a_tree_are_not_the_same_for_all() -> None:
    """Of 4: the root sends down twice; member 2 up and down; leaves up."""
    made = pattern(AllReduce, "tree", 4, 100)
    assert [made.sent(member) for member in range(4)] == [200, 100, 200, 100]
    assert list(made.messages(2)) == [(1, 0, 100), (3, 3, 100)]
    assert made.pairs() == [(0, 1), (0, 2), (1, 0), (2, 0), (2, 3), (3, 2)]


def test_a_ring_of_three_written_out() -> None:
    made = pattern(AllReduce, "ring", 3, 10)
    assert [list(made.messages(member)) for member in range(3)] == [
        [(0, 1, 4), (1, 1, 3), (2, 1, 3), (3, 1, 4)],
        [(0, 2, 3), (1, 2, 4), (2, 2, 3), (3, 2, 3)],
        [(0, 0, 3), (1, 0, 3), (2, 0, 4), (3, 0, 3)],
    ]


def test_halving_and_doubling_of_eight_halves_its_distance_and_its_bytes() -> None:
    made = pattern(AllReduce, "halving-doubling", 8, 800)
    assert [(target, size) for _, target, size in made.messages(0)] == [
        *((4, 400), (2, 200), (1, 100)),
        *((1, 100), (2, 200), (4, 400)),
    ]


# ---- names and refusals


def test_every_algorithm_with_a_cost_has_a_pattern() -> None:
    assert {kind.__name__: list(names) for kind, names in PATTERNS.items()} == {
        kind: list(names) for kind, names in ALGORITHMS.items()
    }


@pytest.mark.parametrize("kind", KEYS)
def test_the_platform_accepts_every_algorithm_and_no_other(kind: str) -> None:
    schema = CollectivesTable.model_json_schema()["properties"][KEYS[kind]]
    assert schema["enum"] == ["auto", *ALGORITHMS[kind]]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="AllGather: expected one of ring, doubling, found 'tree'"):
        pattern(AllGather, "tree", 4, 100)


def test_a_hierarchy_of_unequal_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="expected nodes with equally many members, found 2, 1"):
        pattern(AllReduce, "hierarchical", 3, 100, nodes=["a", "a", "b"])


def test_members_are_found_by_their_nodes() -> None:
    assert members_by_node(["x", "y", "x", "z"]) == [[0, 2], [1], [3]]

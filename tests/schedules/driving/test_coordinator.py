"""First come, first paired: the coordinator's rule (gossip.md, 4.1)."""

import random

import pytest

from schedules.driving.coordinator import Coordinator
from schedules.operations import Partner

EVERYBODY = {rank: tuple(peer for peer in range(4) if peer != rank) for rank in range(4)}
RING = {rank: ((rank - 1) % 4, (rank + 1) % 4) for rank in range(4)}


def test_complete_graph_is_strictly_first_in_first_out() -> None:
    """Reference: gossip.json, fifo_pairing_complete_graph [code]."""
    coordinator = Coordinator(4, seed=0)
    pairs = []
    for rank in (2, 0, 3, 1, 0):
        for told, partner in coordinator.arrive(rank, EVERYBODY[rank]):
            if told == rank:
                assert partner is not None
                pairs.append((partner.peer, rank))
    assert pairs == [(2, 0), (3, 1)]
    assert coordinator.end(1) == coordinator.end(2) == []
    assert coordinator.end(3) == [(0, None)]  # 0 was left waiting


def test_a_pair_counts_its_own_meetings() -> None:
    coordinator = Coordinator(4, seed=0)
    for expected in range(3):
        coordinator.arrive(0, RING[0])
        assert coordinator.arrive(1, (0,)) == [(0, Partner(1, expected)), (1, Partner(0, expected))]


def test_only_neighbours_are_paired() -> None:
    coordinator = Coordinator(4, seed=0)
    assert coordinator.arrive(0, RING[0]) == []
    assert coordinator.arrive(2, RING[2]) == []
    told = coordinator.arrive(1, RING[1])
    assert {rank for rank, _ in told} in ({0, 1}, {1, 2})


def test_who_can_meet_nobody_any_more_is_told() -> None:
    coordinator = Coordinator(4, seed=0)
    coordinator.arrive(0, RING[0])
    assert coordinator.end(1) == []
    assert coordinator.end(3) == [(0, None)]
    assert coordinator.arrive(2, RING[2]) == [(2, None)]


def test_who_has_left_is_met_by_those_that_have_not_and_told_when_all_have() -> None:
    coordinator = Coordinator(3, seed=0)
    path = {0: (1,), 1: (0, 2), 2: (1,)}
    assert coordinator.leave(1) == []
    assert coordinator.arrive(1, path[1]) == []  # 0 and 2 may need it
    assert coordinator.arrive(0, path[0]) == [(1, Partner(0, 0)), (0, Partner(1, 0))]
    assert coordinator.arrive(0, path[0]) == []  # 1 comes back
    assert coordinator.arrive(1, path[1]) == [(0, Partner(1, 1)), (1, Partner(0, 1))]
    assert coordinator.leave(0) == []
    assert coordinator.arrive(0, path[0]) == [(0, None)]
    assert coordinator.arrive(1, path[1]) == []  # 2 may need it yet
    assert coordinator.leave(2) == [(1, None)]


def test_two_that_have_left_do_not_meet() -> None:
    coordinator = Coordinator(4, seed=0)
    coordinator.leave(0)
    coordinator.leave(1)
    assert coordinator.arrive(0, EVERYBODY[0]) == []
    assert coordinator.arrive(1, EVERYBODY[1]) == []
    assert coordinator.arrive(2, EVERYBODY[2]) == [(0, Partner(2, 0)), (2, Partner(0, 0))]
    assert coordinator.leave(2) == []
    assert coordinator.leave(3) == [(1, None)]


def test_who_needs_meetings_again_meets_one_that_has_left() -> None:
    coordinator = Coordinator(4, seed=0)
    for rank in (0, 1):
        coordinator.leave(rank)
        coordinator.arrive(rank, RING[rank])
    assert coordinator.join(1) == [(0, Partner(1, 0)), (1, Partner(0, 0))]


def test_one_that_is_away_is_not_waited_for_but_by_those_that_have_left() -> None:
    coordinator = Coordinator(3, seed=0)
    assert coordinator.part(2) == []
    assert coordinator.arrive(0, (2,)) == [(0, None)]
    coordinator.leave(1)
    assert coordinator.arrive(1, (2,)) == []  # it will need somebody when it is back
    coordinator.come_back(2)
    assert coordinator.arrive(2, (1,)) == [(1, Partner(2, 0)), (2, Partner(1, 0))]


def test_one_that_is_lost_counts_as_having_left() -> None:
    coordinator = Coordinator(3, seed=0)
    coordinator.leave(0)
    assert coordinator.arrive(0, (1, 2)) == []
    assert coordinator.arrive(2, (1,)) == []
    assert coordinator.end(1) == [(2, None)]
    assert coordinator.leave(2) == [(0, None)]
    coordinator.come_back(1)  # nobody comes back from there
    assert coordinator.arrive(2, (1,)) == [(2, None)]


def test_who_joins_again_is_waited_for() -> None:
    coordinator = Coordinator(4, seed=0)
    coordinator.leave(1)
    coordinator.leave(3)
    coordinator.join(1)
    assert coordinator.arrive(0, RING[0]) == []
    assert coordinator.arrive(1, RING[1]) == [(0, Partner(1, 0)), (1, Partner(0, 0))]


@pytest.mark.parametrize("seed", range(3))
def test_equal_seeds_pair_alike(seed: int) -> None:
    def run() -> list[object]:
        coordinator = Coordinator(4, seed=seed)
        return [coordinator.arrive(rank, RING[rank]) for rank in (0, 2, 1, 1, 3, 0, 3)]

    assert run() == run()


class Seen:
    """What a test knows of workers: who is parked, has left, or is absent."""

    def __init__(self) -> None:
        self.candidates: dict[int, tuple[int, ...]] = {}
        self.parked: set[int] = set()
        self.left: set[int] = set()
        self.absent: set[int] = set()

    def is_alone(self, rank: int) -> bool:
        return set(self.candidates[rank]) <= (self.left if rank in self.left else self.absent)

    def can_pair(self, one: int, other: int) -> bool:
        is_wanted = one in self.candidates[other] and other in self.candidates[one]
        return is_wanted and not {one, other} <= self.left


@pytest.mark.parametrize("seed", range(200))
def test_nobody_is_parked_who_could_be_paired_or_should_be_told(seed: int) -> None:
    """Against the definition, after every step of a random history."""
    drawn, seen = random.Random(seed), Seen()
    num_workers = drawn.choice((3, 4, 5))
    coordinator = Coordinator(num_workers, seed)
    for rank in range(num_workers):
        others = [each for each in range(num_workers) if each != rank]
        seen.candidates[rank] = tuple(sorted(drawn.sample(others, drawn.randint(1, len(others)))))
    for _ in range(40):
        rank, what = drawn.randrange(num_workers), drawn.choice(("arrive",) * 4 + ("leave", "join", "part", "back"))
        if what == "arrive" and (rank in seen.parked or rank in seen.absent):
            continue
        if what == "arrive":
            seen.parked.add(rank)
            told = coordinator.arrive(rank, seen.candidates[rank])
        elif what == "back":
            seen.absent.discard(rank)
            coordinator.come_back(rank)
            told = []
        else:
            told = getattr(coordinator, what)(rank)
            {"leave": seen.left.add, "join": seen.left.discard, "part": seen.absent.add}[what](rank)
            if what == "part":
                seen.parked.discard(rank)
        for each, partner in told:
            assert seen.is_alone(each) if partner is None else seen.can_pair(each, partner.peer)
            seen.parked.remove(each)
        assert not any(seen.is_alone(each) for each in seen.parked)
        assert not any(seen.can_pair(one, other) for one in seen.parked for other in seen.parked if one < other)

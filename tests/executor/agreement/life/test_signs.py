"""Signs of life of ranks that are threads of this process, on one store."""

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest
import torch

from executor.agreement.life import signs
from executor.agreement.life.signs import Signs

LIMIT_S = 10.0
"""How long a test waits for what must come soon."""


class Ward:
    """Ranks that look after each other."""

    def __init__(self) -> None:
        self.store: Any = torch.distributed.HashStore()
        self.found: SimpleQueue[tuple[int, Sequence[int]]] = SimpleQueue()
        self._started: list[Signs] = []

    def rank(self, rank: int, num_workers: int = 3, timeout_s: float = 0.2) -> Signs:
        made = Signs(lambda: self.store, rank, num_workers, timeout_s, lambda silent, _: self.found.put((rank, silent)))
        made.start()
        self._started.append(made)
        return made

    def close(self) -> None:
        for each in self._started:
            each.close()


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    monkeypatch.setattr(signs, "SHORTEST_S", 0.2)
    monkeypatch.setattr(signs, "FIRST_SIGN_S", 0.4)
    made = Ward()
    yield made
    made.close()


def test_a_rank_that_has_never_shown_itself_is_found(ward: Ward) -> None:
    ward.rank(0)
    ward.rank(2)
    assert ward.found.get(timeout=LIMIT_S)[1] == [1]


def test_a_loop_that_does_not_turn_is_silent_though_its_process_runs(ward: Ward) -> None:
    ward.rank(0, 2)
    ward.rank(1, 2).turn()
    assert ward.found.get(timeout=LIMIT_S) == (0, [1])


def test_calls_are_made_in_the_order_of_asking_on_one_thread(ward: Ward) -> None:
    log: SimpleQueue[int] = SimpleQueue()

    def say(number: int) -> Callable[[Any], None]:
        return lambda store: log.put(number)

    made = ward.rank(0, 1)
    for number in range(3):
        made.post(say(number))
    assert [log.get(timeout=LIMIT_S) for _ in range(3)] == [0, 1, 2]


def test_a_store_that_does_not_answer_cuts_a_rank_off(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 4.0, 8.0, 12.0])
    made = Signs(lambda: None, 0, 2, 10.0, lambda ranks, store: None)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr("executor.agreement.life.signs.time.monotonic", lambda: next(times))
    assert [made.is_cut_off() for _ in range(4)] == [False, False, False, True]


def test_of_many_ranks_each_looks_after_a_few(ward: Ward) -> None:
    made = Signs(lambda: ward.store, 62, 64, 1.0, lambda ranks, store: None)
    assert list(made._beats) == [63, 0, 1, 2, 3, 4, 5, 6]

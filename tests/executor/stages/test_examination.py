"""What one batch shows of a chain of stages, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from executor.stages import ties
from executor.stages.examination import examine
from schedules.training.vectors import Tie
from tests.executor.stages.models import CPU, Coupling, Ends, drawn, mlp, reversible, squares


def test_one_batch_shows_what_passes_and_changes_nothing() -> None:
    modules, ends = mlp()
    modules[1].norm = nn.BatchNorm1d(6).double()
    start = [each.clone() for module in modules for each in (*module.parameters(), *module.buffers())]
    state = torch.get_rng_state()
    found = examine(modules, ends, CPU)
    assert [str(each.after) for each in found] == [
        "float64 [7, 6]", "float64 [7, 2], float64 [7, 4], bool [7, 6]", "float64 [7, 6]", "float64 [7, 6]",
        "float64 [7, 6]", "None",
    ]  # fmt: skip
    assert [each.is_in_place for each in found] == [False, False, False, True, False, False]
    assert not any(each.is_random for each in found)
    assert torch.equal(state, torch.get_rng_state())
    after = [each for module in modules for each in (*module.parameters(), *module.buffers())]
    assert all(torch.equal(one, other) for one, other in zip(start, after, strict=True))


def test_dropout_is_seen_where_something_is_dropped() -> None:
    modules, ends = mlp()
    modules[3].append(nn.Dropout(0.5))  # type: ignore[operator]
    modules[1] = nn.Sequential(modules[1], nn.Identity())
    modules[0].append(nn.Dropout(0.0))  # type: ignore[operator]
    assert [each.is_random for each in examine(modules, ends, CPU)] == [False, False, False, True, False, False]


class Wrong(Coupling):
    def inverse(self, value: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return value


class Random(Coupling):
    def forward(self, value: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        one, two = super().forward(value)
        return nn.functional.dropout(one, 0.1), two


class Narrow(Coupling):
    def inverse(self, value: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        one, two = super().inverse(value)
        return one[:, :2], two


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            Wrong,
            r"stage 1: expected an inverse that gives its inputs back, found inputs that are off by [\d.]+ of their",
        ),
        (Random, r"stage 1: expected one that draws nothing \(dropout\), .* found one that draws random numbers"),
        (Narrow, r"stage 1: expected an inverse that takes its outputs, found ProgramError: expected what it was"),
    ],
)
def test_a_stage_that_cannot_be_computed_again_is_told(kind: Callable[[int], Coupling], told: str) -> None:
    modules, ends = reversible()
    modules[1] = kind(4).double()
    examine(modules, ends, CPU)  # it may run where nothing is inverted
    with pytest.raises(ValueError, match=told):
        examine(modules, ends, CPU, inverts=True)


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        (
            [nn.Linear(5, 4), nn.Linear(3, 2)],
            r"stage 1 to take what stage 0 returns \(float64 \[7, 4\]\), found Runtime",
        ),
        (
            [nn.Linear(4, 4), nn.Linear(4, 2)],
            r"stage 0 to take the inputs of a batch, found RuntimeError: mat1 and mat2",
        ),
        (
            [nn.Linear(5, 4), nn.Linear(4, 3)],
            r"expected a loss of what the last stage returns, found RuntimeError: The",
        ),
    ],
)
def test_shapes_that_do_not_join_are_told(stages: list[nn.Module], told: str) -> None:
    ends = Ends(lambda k: (drawn(k, 7, 5), drawn(k, 7, 2)), squares)
    with pytest.raises(ValueError, match=told) as raised:
        examine([each.double() for each in stages], ends, CPU)
    assert "\n" not in str(raised.value)


def test_a_loss_of_many_numbers_is_told() -> None:
    ends = Ends(lambda k: (drawn(k, 7, 5), drawn(k, 7, 2)), lambda outputs, targets: outputs - targets)
    with pytest.raises(ValueError, match=r"expected a loss of one number, found a tensor \[7, 2\]"):
        examine([nn.Linear(5, 4).double(), nn.Linear(4, 2).double()], ends, CPU)


# ---------------------------------------------------------------------- ties


def test_parameters_that_are_one_object_are_tied() -> None:
    first, middle, last = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7)
    last.weight = first.weight
    (found,) = ties.find([nn.Sequential(first), middle, last])
    assert found == Tie((0, 2), 28 * 4)
    assert found.where == {0: (slice(0, 28),), 2: (slice(0, 28),)}


def test_parameters_may_be_declared_to_be_tied() -> None:
    first, last = nn.Linear(3, 4), nn.Linear(4, 3)
    with torch.no_grad():
        last.bias.copy_(first.weight[0])
    with pytest.raises(
        ValueError, match=r"tied: expected parameters that start alike, found others: \(0, 'weight', 1,"
    ):
        ties.find([first, last], [(0, "weight", 1, "weight")])
    with pytest.raises(ValueError, match=r"tied: expected \(stage, parameter, stage, parameter\) of two stages, found"):
        ties.find([first, last], [(0, "weight", 0, "weight")])
    other = nn.Linear(3, 4)
    other.load_state_dict(first.state_dict())
    both = [(0, "weight", 1, "weight"), (0, "bias", 1, "bias")]
    (found,) = ties.find([first, other], both)
    assert found.size == 16 * 4
    assert found.where == {0: (slice(0, 12), slice(12, 16)), 1: (slice(0, 12), slice(12, 16))}

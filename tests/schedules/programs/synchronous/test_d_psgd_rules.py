"""D-PSGD's rule: the weighted average of all that was sent, and the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schedules.operations import Payload
from schedules.payload import GRADIENT
from schedules.programs.synchronous.d_psgd import mix
from schedules.record.ledger import Account
from schedules.training.model import Model
from schedules.training.optimizers import sgd
from tests.schedules.models import ARRAYS, Convert, gradient, model, stacked, state

RING = np.array([[2, 1, 0, 1], [1, 2, 1, 0], [0, 1, 2, 1], [1, 0, 1, 2]]) / 4


def round_of(models: list[Model], gradients: Any, convert: Convert, landed: Any = None) -> None:
    """One step of all; `landed` is what was added to x while they exchanged."""
    sent = [each.outgoing() for each in models]
    if landed is not None:
        for each, extra in zip(models, landed, strict=True):
            state(each).x = state(each).x + extra
    for rank, each in enumerate(models):
        peers = [(rank - 1) % 4, (rank + 1) % 4]
        given = Payload(each.size, convert(gradients[rank]), sent[rank].version, sent[rank].step, 0, GRADIENT)
        each.apply(mix, given, sent[rank], [sent[peer] for peer in peers], RING[rank, peers].tolist())


@ARRAYS
def test_it_is_the_matrix_product(convert: Convert) -> None:
    start, gradients = np.random.default_rng(0).standard_normal((2, 4, 3))
    models = [model(convert(x), sgd(0.1)) for x in start]
    round_of(models, gradients, convert)
    np.testing.assert_allclose(stacked(models), RING @ start - 0.1 * gradients, rtol=1e-14, atol=1e-15)


def test_it_loses_nothing_that_was_applied_meanwhile() -> None:
    start, gradients, landed = np.random.default_rng(0).standard_normal((3, 4, 3))
    models = [model(np.array(x), sgd(0.1)) for x in start]
    round_of(models, gradients, np.array, landed)
    np.testing.assert_allclose(stacked(models), RING @ start + landed - 0.1 * gradients, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("weights", [[], [0.5, 0.4]])
def test_it_has_a_weight_for_every_neighbour(weights: list[float]) -> None:
    found = model(np.ones(1))
    with pytest.raises(ValueError, match="zip"):
        found.apply(mix, gradient(np.ones(1), found), found.outgoing(), (found.outgoing(),), weights)


def test_the_gradient_is_what_is_counted() -> None:
    """With arrays or without, and once: the models that come with it are arguments."""
    pages = Account(is_recorded=True), Account(is_recorded=True)
    timing, numeric = Model(8, pages[0]), model(np.ones(1), account=pages[1])
    for each in (timing, numeric):
        each.apply(mix, gradient(np.ones(1), each), each.outgoing(), (Payload(8, np.ones(1)),), [0.5])
    for each, page in zip((timing, numeric), pages, strict=True):
        assert (each.version, each.steps) == (1, 1)
        assert page.log == [("gradient", "x", 0, 1, 0, 0, 1, -1)]
        assert page.ledger.contributions.num_gradients == 1

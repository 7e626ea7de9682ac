"""Weight decay by the names of tensors: against torch's groups of parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from schedules.training.optimizers import adamw, sgd, undecayed


class Place(NamedTuple):
    offset: int
    size: int


TENSORS = {"0.weight": Place(0, 4), "0.bias": Place(4, 2), "norm.scale": Place(6, 2), "1.bias": Place(8, 3)}
PATTERNS = ["*.bias", "norm.*"]


def torch_s(make: Any, start: Any, given: Any) -> Any:
    parameters = {
        name: torch.nn.Parameter(torch.asarray(start[each.offset : each.offset + each.size], copy=True))
        for name, each in TENSORS.items()
    }
    decaying = [each for name, each in parameters.items() if name == "0.weight"]
    others = [each for name, each in parameters.items() if name != "0.weight"]
    groups = [{"params": decaying, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    oracle = make(groups, lr=0.1)
    for gradient in given:
        for name, each in TENSORS.items():
            parameters[name].grad = torch.asarray(gradient[each.offset : each.offset + each.size])
        oracle.step()
    return torch.cat([each.detach() for each in parameters.values()]).numpy()


@pytest.mark.parametrize(("make", "theirs"), [(sgd, torch.optim.SGD), (adamw, torch.optim.AdamW)])
@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_the_steps_are_those_of_torch_s_groups(make: Any, theirs: Any, convert: Any) -> None:
    start, given = np.linspace(1, 2, 11), np.random.default_rng(0).standard_normal((30, 11))
    optimizer = make(0.1, weight_decay=0.1, undecayed=undecayed(PATTERNS, TENSORS))
    x = convert(start)
    for gradient in map(convert, given):
        x = x + optimizer.delta(x, gradient)
    np.testing.assert_allclose(np.asarray(x), torch_s(theirs, start, given), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_part_has_its_share_of_the_names(make: Any) -> None:
    whole = make(0.1, weight_decay=0.1, undecayed=undecayed(PATTERNS, TENSORS))
    x, gradient = np.linspace(1, 2, 11), np.linspace(-1, 1, 11)
    expected = whole.delta(x, gradient)
    for part in (slice(0, 3), slice(3, 7), slice(7, 11)):
        without = undecayed(PATTERNS, TENSORS, part)
        found = make(0.1, weight_decay=0.1, undecayed=without).delta(x[part], gradient[part])
        assert np.array_equal(found, expected[part])


def test_ranges_are_those_of_the_part() -> None:
    assert undecayed(PATTERNS, TENSORS) == (slice(4, 6), slice(6, 8), slice(8, 11))
    assert undecayed(PATTERNS, TENSORS, slice(5, 7)) == (slice(0, 1), slice(1, 2))
    assert undecayed(["*.bias"], TENSORS, slice(0, 4)) == ()  # the pattern names something elsewhere
    assert undecayed([], TENSORS) == undecayed([], None) == ()


def test_the_mask_is_held_only_where_something_does_not_decay() -> None:
    x = np.ones(11)
    held = sgd(0.1, weight_decay=0.1, undecayed=undecayed(PATTERNS, TENSORS))
    held.delta(x, x)
    assert held._decays.nbytes == 11 * held.bytes_per_parameter(8) == 11
    for nothing in (sgd(0.1, weight_decay=0.1), sgd(0.1, undecayed=undecayed(PATTERNS, TENSORS))):
        nothing.delta(x, x)
        assert (nothing._decays, nothing.bytes_per_parameter(8)) == (None, 0)


def test_a_pattern_that_names_nothing() -> None:
    message = r"no_decay: expected patterns of '0.weight', '0.bias', 'norm.scale', '1.bias', found '\*.Bias'"
    with pytest.raises(ValueError, match=message):
        undecayed(["*.bias", "*.Bias"], TENSORS)
    with pytest.raises(ValueError, match=r"no_decay: expected patterns of .*, '19', \.\.\., found 'bias'"):
        undecayed(["bias"], {str(number): Place(number, 1) for number in range(100)})
    with pytest.raises(ValueError, match="no_decay: expected a workload whose tensors have names, found none for 'b'"):
        undecayed(["b"], None)

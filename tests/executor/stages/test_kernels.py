"""What a rank computes for the steps of a pipeline, beside plain back-propagation of the whole model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from schedules.errors import MisuseError, ProgramError
from schedules.operations import Payload
from tests.executor.stages.models import Ends, Runner, drawn, mlp, one_process, reversible, squares, stages_of, words

Model = Callable[[], tuple[list[nn.Module], Ends]]


@pytest.mark.parametrize("keeps", ["graph", "inputs"])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("model", [mlp, words, reversible])
def test_gpipe_s_gradients_are_those_of_one_process(model: Model, split: bool, keeps: str) -> None:
    modules, ends = model()
    expected = one_process(modules, ends, 5)
    runner = Runner(stages_of(modules, ends), keeps)  # type: ignore[arg-type]
    found = runner.gpipe(5, split=split, checkpoint=keeps == "inputs")
    for one, other in zip(expected, found, strict=True):
        assert float((one - other).abs().max()) <= 1e-12


def given_back(message: torch.Tensor) -> Payload:
    """A gradient for a message, of numbers."""
    gradient = torch.zeros_like(message)
    if message.is_floating_point():
        gradient = drawn(0, len(message))
    return Payload(message.nbytes, gradient)


@pytest.mark.parametrize("model", [mlp, words])
def test_the_two_halves_of_a_backward_pass_are_the_whole(model: Model) -> None:
    """For the inputs, too."""
    stages = stages_of(*model())
    runner = Runner(stages)
    given: tuple[object, ...] = ()
    for number, stage in stages.items():
        forward, again = (runner("forward", number, 3, *given) for _ in range(2))  # type: ignore[arg-type]
        behind = () if stage.after is None else (given_back(forward.array),)
        whole = runner("backward", number, 3, forward, *behind)
        first = runner("backward-input", number, 3, again, *behind)
        assert torch.equal(whole.kept, runner("backward-weight", number, 3, first).kept)
        assert (whole.array is None) == (first.array is None) == (number == 0)
        if number:
            assert torch.equal(whole.array, first.array)
        given = (runner("forward", number, 3, *given),)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", [False, True])
def test_a_reversible_stage_is_computed_again_from_what_went_out(norm: bool) -> None:
    """At other parameters: x~ = F^-1(y), the vjp of F at (x~, theta), both with theta as it is then (PETRA, eq. 5)."""
    modules, ends = reversible(norm)
    stages = stages_of(modules, ends, inverts=True)
    runner = Runner(stages, "nothing")
    first = runner("forward", 0, 4)
    forward = runner("forward", 1, 4, first)
    assert forward.kept is None
    runner.x[1] = runner.x[1] + 0.01 * drawn(9, len(runner.x[1]))
    gradient = drawn(5, len(forward.array))
    message = Payload(2 * forward.size, torch.cat([forward.array, gradient]))
    graph = runner("reconstruct", 1, 4, forward, message)
    answer = runner("backward", 1, 4, graph, message)

    other = reversible(norm)[0][1]
    torch.nn.utils.vector_to_parameters(runner.x[1], other.parameters())
    outputs = tuple(each.view(7, 4) for each in forward.array.chunk(2))
    inputs = tuple(each.detach().requires_grad_() for each in other.inverse(outputs))  # type: ignore[operator]
    torch.autograd.backward(other(inputs), [each.view(7, 4) for each in gradient.chunk(2)])
    expected = torch.cat([each.detach().reshape(-1) for each in (*inputs, *(each.grad for each in inputs))])
    torch.testing.assert_close(answer.array, expected, rtol=0, atol=1e-12)
    of_weights = torch.cat([each.grad.reshape(-1) for each in other.parameters()])  # type: ignore[union-attr]
    torch.testing.assert_close(answer.kept, of_weights, rtol=0, atol=1e-12)


def test_stages_without_an_inverse_keep_what_had_arrived_and_the_last_its_graph() -> None:
    modules, ends = reversible()
    expected = one_process(modules, ends, 1)
    runner = Runner(stages_of(modules, ends, inverts=True), "nothing")
    message = runner("forward", 2, 0, runner("forward", 1, 0, runner("forward", 0, 0)))
    last = runner("forward", 3, 0, message)
    behind = runner("backward", 3, 0, last)
    assert torch.equal(behind.array[: len(message.array)], message.array)
    torch.testing.assert_close(behind.kept, expected[3], rtol=0, atol=1e-12)
    first = runner("forward", 0, 0)
    back = Payload(behind.size, behind.array)
    found = runner("backward", 0, 0, runner("reconstruct", 0, 0, first, back), back)
    assert found.array is None
    assert found.kept.shape == expected[0].shape


def test_the_statistics_of_batch_norms_follow_once() -> None:
    """With checkpoints the first time, under PETRA in the backward pass."""
    once = reversible(True)[0][1]
    once(tuple(drawn(k, 7, 4) for k in (1, 2)))
    for keeps, after in (("graph", "forward"), ("inputs", "forward"), ("nothing", "reconstruct")):
        modules, ends = reversible(True)
        runner = Runner(stages_of(modules, ends), keeps)  # type: ignore[arg-type]
        start = {name: each.clone() for name, each in modules[1].named_buffers()}
        message = torch.cat([drawn(k, 7, 4).reshape(-1) for k in (1, 2)])
        given = Payload(message.nbytes, message)
        answer = runner("forward", 1, 0, given)
        expected = dict((once if after == "forward" else modules[1]).named_buffers())
        for name, each in modules[1].named_buffers():
            assert torch.equal(each, expected[name] if after == "forward" else start[name])
        if keeps == "graph":
            continue
        back = Payload(2 * given.size, torch.cat([answer.array, answer.array]))
        runner("reconstruct", 1, 0, *((given,) if keeps == "inputs" else (answer, back)))
        for name, each in modules[1].named_buffers():
            torch.testing.assert_close(each, dict(once.named_buffers())[name], rtol=0, atol=1e-12)


def test_dropout_draws_the_same_when_it_is_computed_again() -> None:
    torch.manual_seed(0)
    modules: list[nn.Module] = [
        nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5)),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(40, 2)),
    ]
    modules = [each.double() for each in modules]
    ends = Ends(lambda k: (drawn(k, 7, 5), drawn(k + 1000, 7, 2)), squares)
    before = torch.get_rng_state()
    found = [
        Runner(stages_of(modules, ends, seed=3), keeps).gpipe(2, checkpoint=keeps == "inputs")
        for keeps in ("graph", "inputs")
    ]  # type: ignore[arg-type]
    other = Runner(stages_of(modules, ends, seed=4)).gpipe(2)
    assert torch.equal(before, torch.get_rng_state())
    for one, again, drawn_else in zip(*found, other, strict=True):
        assert torch.equal(one, again)
        assert not torch.equal(one, drawn_else)


def test_a_graph_is_that_of_its_forward_pass_whatever_is_applied_since() -> None:
    modules, ends = mlp()
    runner = Runner(stages_of(modules, ends))
    one, other = (runner("forward", 0, 0) for _ in range(2))
    gradient = Payload(one.size, drawn(1, len(one.array)))
    expected = runner("backward", 0, 0, one, gradient).kept
    runner.x[0] = runner.x[0] + 1
    assert torch.equal(runner("backward", 0, 0, other, gradient).kept, expected)


def test_a_graph_goes_with_its_backward_pass() -> None:
    modules, ends = mlp()
    runner = Runner(stages_of(modules, ends))
    forward = runner("forward", 0, 0)
    gradient = Payload(forward.size, drawn(1, len(forward.array)))
    runner("backward", 0, 0, forward, gradient)
    assert forward.kept.outputs == ()
    with pytest.raises(ProgramError, match="expected a graph to be gone through once, found a second backward pass"):
        runner("backward", 0, 0, forward, gradient)
    with pytest.raises(MisuseError, match="expected as first input an answer that keeps a Graph, found"):
        runner("backward", 0, 0, gradient)


def test_a_batch_of_another_size_is_told_where_it_is_met() -> None:
    modules, ends = mlp()
    runner = Runner(stages_of(modules, ends))
    ends.batch = lambda k: (drawn(k, 5, 5), drawn(k, 5, 2))
    told = r"stage 0, micro-batch 2: expected what it was with batch 0, float64 \[7, 6\], found float64 \[5, 6\]"
    with pytest.raises(ProgramError, match=told):
        runner("forward", 0, 2)


def test_two_engines_compute_at_their_own_parameters() -> None:
    modules, ends = mlp()
    runner = Runner(stages_of(modules, ends))
    start, stage = runner.x[0], runner.stages[0]
    points = [start + 0.1 * number for number in range(60)]
    expected = [stage.message(stage.graph(x, 0, None)) for x in points]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda x: stage.message(stage.graph(x, 0, None)), points))
    for one, other in zip(expected, found, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
    assert len(list(modules[0].parameters())) == 2

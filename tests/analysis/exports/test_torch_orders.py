"""Orders of pipelines for torch: what is written, and that torch's runtime does it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import export
from schedules import orders

BUILT = {
    program: orders.build(program, 4, 8, chunks=chunks)
    for program, chunks in {"1f1b": 1, "zb-h1": 1, "zb-h2": 1, "zb-v": 2, "interleaved-1f1b": 2}.items()
}

SCENARIO = """
[schedule]
program = "{program}"
{keys}
[topology]
workers = {workers}
[platform]
transport = "latency"
link = {{ latency = "1 ms", bandwidth = "1 Gbit/s" }}
[platform.kernels]
forward = "1 ms"
backward-input = "1 ms"
backward-weight = "1 ms"
[workload]
"""


def written(folder: Path, program: str, workers: int = 4, keys: str = "micro_batches = 8") -> str:
    """The text that is exported of a scenario's file."""
    scenario = folder / "scenario.toml"
    scenario.write_text(SCENARIO.format(program=program, workers=workers, keys=keys))
    return export(scenario, "torch-csv", folder / "order.csv").read_text()


def test_a_row_a_rank_and_a_cell_a_step(tmp_path: Path) -> None:
    assert written(tmp_path, "gpipe", 2, "micro_batches = 2\niterations = 5") == "0F0,0F1,0B0,0B1\n1F0,1F1,1B0,1B1\n"


@pytest.mark.parametrize("program", ["gpipe", *BUILT])
def test_it_is_the_order_that_is_simulated(tmp_path: Path, program: str) -> None:
    keys = "micro_batches = 8\nchunks = 2" if program == "interleaved-1f1b" else "micro_batches = 8"
    assert orders.read_csv(written(tmp_path, program, keys=keys)) == BUILT.get(program, orders.build("gpipe", 4, 8))


def test_of_two_chains_torch_can_do_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"toml: schedule\.program: expected a pipeline in which every micro-batch passes"
    ):
        written(tmp_path, "dualpipe")


def test_what_has_no_such_order_is_refused(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples/ring-gossip.toml"
    with pytest.raises(ValueError, match=r"toml: schedule\.program: expected a pipeline with a flush, found 'gossip'"):
        export(example, "torch-csv", tmp_path / "order.csv")
    assert not (tmp_path / "order.csv").exists()


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[int, Any]]:
    """program -> by stage, the gradients that torch's runtime comes to on four processes, which run all orders."""
    torch: Any = pytest.importorskip("torch")
    from tests.analysis.exports import torch_pipeline

    folder = tmp_path_factory.mktemp("orders")
    for program, order in BUILT.items():
        (folder / f"{program}.csv").write_text(orders.write_csv(order))
    places = {program: order.place for program, order in BUILT.items()}
    fresh = multiprocessing.get_context("spawn")
    ranks = [
        fresh.Process(target=torch_pipeline.run, args=(rank, 4, folder, places, 8), daemon=True) for rank in range(4)
    ]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(100)
    for each in ranks:
        each.kill()
        each.join()
    assert [each.exitcode for each in ranks] == [0] * 4

    return lambda program: {
        stage: its
        for rank in range(4)
        for stage, its in torch.load(folder / f"{program}-{rank}.pt", weights_only=True).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("program", BUILT)
def test_torch_runs_it_with_the_gradients_of_one_process(
    program: str, gradients: Callable[[str], dict[int, Any]]
) -> None:
    torch: Any = pytest.importorskip("torch")
    from tests.analysis.exports import torch_pipeline

    found, expected = gradients(program), torch_pipeline.alone(len(BUILT[program].place), 8)
    assert sorted(found) == list(range(len(expected)))
    for stage, its in enumerate(expected):
        torch.testing.assert_close(found[stage], its, rtol=0, atol=0)

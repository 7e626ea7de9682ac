"""Beside torch: the same module trained by Twinclock's executor and by torch's runtimes, on gloo, one thread a rank.

* `gpipe`, `1f1b`, `interleaved-1f1b` and `zb-v` (two stages a rank) beside `torch.distributed.pipelining`.
* `all-reduce`, with and without `accumulate`, beside `DistributedDataParallel`, with `no_sync` for all but the last.
* `local-sgd` beside `PeriodicModelAverager`, an average after every second step; an even number of steps, so that both
  end with one.
* `petra` has no rival: its speed over that of `1f1b`, simulated and measured (`benchmarks.petra_speed`).

In one run, with the repetitions interleaved: a repetition of the one, then of the other, each from the same start, of
the same steps on the same batches, with a rank's processes of the other asleep meanwhile. What is set up or warmed up
before the first step counts for nobody; then a step takes the time of all of them by their number. `ratio` is ours over
torch's, the median over the pairs of repetitions, with the middle half of these; `ratio_of_fastest` is that of the
fastest ones. Ours is measured twice: as it runs usually, with its trace, and without (`run.trace = false`). The final
parameters must be equal. Where others compute meanwhile (`cores_busy` near 1) the ratios say nothing: what waits less
for its own messages loses less by them.

    python -m benchmarks.against_torch --out benchmarks/results/against_torch.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import petra_speed
from benchmarks._layers import LAYERS, SAMPLES, WIDTH
from benchmarks._shaped_hosts import busy_core_seconds
from executor.launching.launch import Ranks
from schedules.record.origin import host, versions

Case = dict[str, Any]

RANKS, LEARNING_RATE = 2, 0.5
EQUAL = 1e-12
"""How far final parameters may be from torch's, beside the largest of them."""

CASES: Mapping[str, Case] = {
    "gpipe": {"program": "gpipe", "micro_batches": 8},
    "1f1b": {"program": "1f1b", "micro_batches": 8},
    "interleaved-1f1b": {"program": "interleaved-1f1b", "micro_batches": 8, "chunks": 2},
    "zb-v": {"program": "zb-v", "micro_batches": 8},
    "all-reduce": {"program": "all-reduce", "accumulate": 1},
    "all-reduce, accumulate 4": {"program": "all-reduce", "accumulate": 4},
    "local-sgd": {"program": "local-sgd", "local_steps": 2},
}
KERNELS = ("forward", "backward", "backward-input", "backward-weight")
"""For a simulation: here they take what they take."""
VARIANTS: Mapping[str, bool] = {"ours": True, "ours_without_trace": False}
"""Whether there is a trace."""


def scenario(case: Case, steps: int, ranks: int, *, has_trace: bool) -> dict[str, Any]:
    """The case as Twinclock runs it."""
    lengths = {"all-reduce": {"gradients": steps * case.get("accumulate", 1)}, "local-sgd": {"steps": steps}}
    is_copied, length = case["program"] in lengths, lengths.get(case["program"], {"iterations": steps})
    workload: dict[str, Any] = {"module": f"benchmarks._layers:{'copied' if is_copied else 'staged'}"}
    if not is_copied:
        number = num_stages(case, ranks)
        workload["split"] = [stage * LAYERS // number for stage in range(1, number)]
    return {
        "schedule": {**case, **length},
        "topology": {"workers": ranks, **({"graph": "complete"} if is_copied else {})},
        "platform": {} if is_copied else {"kernels": dict.fromkeys(KERNELS, "10 ms")},
        "workload": {**workload, "dtype": "float64"},
        "optimizer": {"learning_rate": LEARNING_RATE},
        "run": {"trace": has_trace, "observations": 0},
    }


def num_stages(case: Case, ranks: int) -> int:
    return 2 * ranks if case["program"] in ("interleaved-1f1b", "zb-v") else ranks


class Repetition(NamedTuple):
    """What came of one.

    Attributes:
        seconds: of a step.
        processor_s: of a step, of all ranks together.
        parameters: of the whole model, at the end.
    """

    seconds: float
    processor_s: float
    parameters: np.ndarray[Any, Any]


class TorchRanks:
    """Processes of torch's runtimes, which sleep between repetitions. A context manager."""

    def __init__(self, ranks: int, directory: Path) -> None:
        self._directory, self._processes = directory, []
        for rank in range(ranks):
            command = [sys.executable, "-m", "benchmarks._torch_rank", str(rank), str(ranks), str(directory / "store")]
            single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            environment = {**os.environ, **single}
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, bufsize=1
                )
            )
        self._lines()

    def __enter__(self) -> TorchRanks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._processes:
            assert each.stdin is not None
            each.stdin.close()
            if error is not None:
                each.kill()
            each.wait()
            assert each.stdout is not None
            each.stdout.close()

    def run(self, case: Case, steps: int) -> Repetition:
        """One repetition."""
        told = {**case, "steps": steps, "learning_rate": LEARNING_RATE, "out": str(self._directory / "x")}
        for each in self._processes:
            assert each.stdin is not None
            each.stdin.write(json.dumps(told) + "\n")
        answers = [json.loads(line) for line in self._lines()]
        begin, end = min(each["begin"] for each in answers), max(each["end"] for each in answers)
        parts: dict[int, torch.Tensor] = {}
        for rank in range(len(self._processes)):
            parts |= torch.load(self._directory / f"x-{rank}.pt")
        processor = sum(each["processor_s"] for each in answers)
        found = torch.cat([parts[stage] for stage in sorted(parts)]).numpy()
        return Repetition((end - begin) / 1e9 / steps, processor / steps, found)

    def _lines(self) -> list[str]:
        found = []
        for rank, each in enumerate(self._processes):
            assert each.stdout is not None
            line = each.stdout.readline()
            if not line:
                raise RuntimeError(f"expected an answer of torch's rank {rank}, found that it has ended")
            found.append(line)
        return found


def ours(ranks: Ranks, case: Case, steps: int, number: int, *, has_trace: bool) -> Repetition:
    """One repetition."""
    run = ranks.execute(scenario(case, steps, number, has_trace=has_trace))
    assert run.parameters is not None
    processor = sum(each["cpu_s"] for each in run.info["ranks"])
    return Repetition(run.summary["makespan_s"] / steps, processor / steps, run.parameters[0])


def measure(case: Case, ranks: Ranks, rivals: TorchRanks, steps: int, repetitions: int, number: int) -> dict[str, Any]:
    """Seconds of a step, their ratios, and how far the final parameters are apart."""
    runs: dict[str, list[Repetition]] = {name: [] for name in ("torch", *VARIANTS)}
    busy, begin = busy_core_seconds(), time.monotonic()
    for _ in range(repetitions):
        runs["torch"].append(rivals.run(case, steps))
        for name, has_trace in VARIANTS.items():
            runs[name].append(ours(ranks, case, steps, number, has_trace=has_trace))
    theirs = runs["torch"][0].parameters
    apart = max(float(abs(each.parameters - theirs).max()) for its in runs.values() for each in its)
    apart /= float(abs(theirs).max())
    assert apart <= EQUAL, f"expected parameters as torch has them, to {EQUAL}, found {apart} between them"
    row: dict[str, Any] = {}
    for name, its in runs.items():
        row[f"{name}_ms"] = 1e3 * statistics.median(each.seconds for each in its)
        row[f"{name}_processor_ms"] = 1e3 * statistics.median(each.processor_s for each in its)
    for name in VARIANTS:
        row[name.replace("ours", "ratio")] = quartiles(runs[name], runs["torch"])
        row[name.replace("ours", "ratio_of_fastest")] = fastest(runs[name]) / fastest(runs["torch"])
    share = (busy_core_seconds() - busy) / (time.monotonic() - begin) / (os.cpu_count() or 1)
    return {**row, "parameters_apart": apart, "cores_busy": share, "load": os.getloadavg()[0]}


def fastest(runs: Sequence[Repetition]) -> float:
    """Seconds of a step where least came between: other load only slows."""
    return min(each.seconds for each in runs)


def quartiles(mine: Sequence[Repetition], theirs: Sequence[Repetition]) -> list[float]:
    """Of the ratios of pairs of repetitions: a quarter, the median, three quarters."""
    ratios = [one.seconds / other.seconds for one, other in zip(mine, theirs, strict=True)]
    return [float(each) for each in np.quantile(ratios, [0.25, 0.5, 0.75])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[*CASES, "petra"], default=[*CASES, "petra"])
    parser.add_argument("--ranks", type=int, default=RANKS)
    parser.add_argument("--steps", type=int, default=10, help="of a repetition")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()
    model = f"{LAYERS} x (Linear({WIDTH}), Tanh), float64, micro-batches of {SAMPLES}, {arguments.ranks} ranks"
    told: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(),
        "command": " ".join(["python -m benchmarks.against_torch", *sys.argv[1:]]),
        "host": host(),
        "versions": versions(),
        "model": model,
        "steps": arguments.steps,
        "repetitions": arguments.repetitions,
        "rows": {},
    }
    with (
        tempfile.TemporaryDirectory() as directory,
        Ranks() as ranks,
        TorchRanks(arguments.ranks, Path(directory)) as rivals,
    ):
        for name in (each for each in arguments.cases if each in CASES):
            row = measure(CASES[name], ranks, rivals, arguments.steps, arguments.repetitions, arguments.ranks)
            told["rows"][name] = row
            show(name, row)
    if "petra" in arguments.cases:
        told["petra_over_1f1b"] = petra_speed.over_1f1b(petra_speed.simulated_speeds(), petra_speed.measured())
        petra_speed.show(told["petra_over_1f1b"])
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def show(name: str, row: Mapping[str, Any]) -> None:
    low, middle, high = row["ratio"]
    print(
        f"{name:<26} torch {row['torch_ms']:6.1f} ms, ours {row['ours_ms']:6.1f} ms, ratio {middle:.3f} "
        f"({low:.3f} to {high:.3f}; of the fastest {row['ratio_of_fastest']:.3f}), "
        f"without trace {row['ratio_without_trace'][1]:.3f}, "
        f"processor time {row['ours_processor_ms']:.0f} and {row['torch_processor_ms']:.0f} ms, "
        f"apart {row['parameters_apart']:.0e}, cores busy {row['cores_busy']:.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()

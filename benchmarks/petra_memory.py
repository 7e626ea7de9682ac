"""What ranks really hold under PETRA and under delayed gradients, whose first stages keep a graph for every tick.

python -m benchmarks.petra_memory [--keep]

Four stages on four ranks of this machine, boundaries of 8 MB (20,000 samples of 100 numbers), streams of 20, 80 and
320 micro-batches. The resident peak of every rank's process (Linux' VmHWM) stands beside the account of memory of the
same run added to an idle process: a rank of the same run whose batch has one sample.

What a process has freed, C's allocator keeps for itself, in pieces, up to some hundred MB (without the setting below
a rank's peak was 200 MB higher): here large pieces go back at once (`MALLOC_MMAP_THRESHOLD_`).

The peaks do not grow with the stream. PETRA's are 32 to 96 MB more than account and idle process: before a run a rank
lays ready two buffers a neighbour of the longest message (16 MB, which PETRA sends back), and it copies what it sends
into one; the account has neither.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from executor.launching.launch import Ranks
from executor.launching.lines import RankEvent

SAMPLES, WIDTH, STAGES = 20_000, 50, 4
LENGTHS = (20, 80, 320)
THRESHOLD = {"MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
"""Bytes from which on glibc gives memory that is freed back to the system."""
RESULT = Path(__file__).parent / "results" / "petra_memory.json"


class Coupling(nn.Module):
    """Two streams: y1 = x1 + f(x2), y2 = x2 + g(y1), and back."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g = (nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(2))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        one, two = value.chunk(2, dim=1)
        one = one + self.f(two)
        return torch.cat((one, two + self.g(one)), dim=1)

    def inverse(self, outputs: torch.Tensor) -> torch.Tensor:
        """The inputs that these are the outputs of."""
        one, two = outputs.chunk(2, dim=1)
        two = two - self.g(one)
        return torch.cat((one - self.f(two), two), dim=1)


class Couplings:
    """Three couplings and a linear layer on random numbers, the same for every micro-batch."""

    def __init__(self, seed: int, samples: int) -> None:
        torch.manual_seed(seed)
        self.stages = [*(Coupling() for _ in range(STAGES - 1)), nn.Linear(2 * WIDTH, 1)]
        self.inputs = torch.randn(samples, 2 * WIDTH)

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The k-th micro-batch."""
        return self.inputs, self.inputs[:, :1]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean squared error."""
        return ((outputs - targets) ** 2).mean()


def large(rank: int, num_workers: int, seed: int) -> Couplings:
    return Couplings(seed, SAMPLES)


def small(rank: int, num_workers: int, seed: int) -> Couplings:
    return Couplings(seed, 1)


def scenario(program: str, num: int, samples: int = SAMPLES) -> dict[str, Any]:
    """A stream of that many micro-batches."""
    boundary = samples * 2 * WIDTH * 4
    return {
        "schedule": {"program": program, "micro_batches": num},
        "topology": {"workers": STAGES},
        "platform": {
            "kernels": {"forward": "1 ms", "backward": "2 ms", "reconstruct": "1 ms"},
            "link": {"bandwidth": "1 GB/s", "latency": "50 us"},
        },
        "workload": {
            "module": f"benchmarks.petra_memory:{'large' if samples == SAMPLES else 'small'}",
            "boundary": f"{boundary} B",
            # What a coupling's graph holds: the inputs, the outputs, and three halves that tanh and linear layers keep.
            "activations": f"{7 * boundary // 2} B",
            "dtype": "float32",
        },
        "optimizer": {"learning_rate": 0.01},
        "execution": {"timeout": "60 s"},
    }


class Peaks:
    """Resident peaks of the processes of a run, in MB, by rank. They are read while it runs: they only grow."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}
        self._pids: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def watch(self, event: RankEvent) -> None:
        """A process has begun."""
        if "pid" in event:
            self._pids[event["rank"]] = event["pid"]

    def _look(self) -> None:
        while not self._over.wait(0.01):
            for rank, pid in list(self._pids.items()):
                peak = _high_water(pid)
                if peak is not None:
                    self.found[rank] = peak


def _high_water(pid: int) -> float | None:
    """The resident peak of a process, MB; None: it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), None)


def measure(ranks: Ranks, program: str, num: int, samples: int = SAMPLES) -> dict[str, list[float]]:
    """Of every rank: its resident peak and its account's, MB."""
    with Peaks() as peaks:
        found = ranks.execute(scenario(program, num, samples), watch=peaks.watch)
    account = [each / 1e6 for each in found.summary["per_rank"]["peak_memory_bytes"]]
    return {"resident_mb": [peaks.found[rank] for rank in range(STAGES)], "account_mb": account}


def measured(lengths: Sequence[int] = LENGTHS) -> list[dict[str, Any]]:
    """A row a program and length."""
    rows = []
    os.environ.update(THRESHOLD)  # the ranks are started with it
    with Ranks() as ranks:
        for program in ("petra", "delayed-gradients"):
            idle = measure(ranks, program, lengths[0], samples=1)["resident_mb"]
            for num in lengths:
                found = measure(ranks, program, num)
                rows.append({"program": program, "micro_batches": num, "idle_mb": idle, **found})
                told = {key: [round(each) for each in value] for key, value in (("idle_mb", idle), *found.items())}
                print(program, num, told, flush=True)
    return rows


def main() -> None:
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "torch": torch.__version__,
        "boundary_mb": SAMPLES * 2 * WIDTH * 4 / 1e6,
        "rows": measured(),
    }
    if "--keep" in sys.argv:
        RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""How fast codecs encode and decode, beside a copy of the same numbers by numpy, in one run.

In MB of float32 numbers a second, on one core. `torch`: the same codec on torch's CPU arrays, one thread, beside a copy
by torch; both give the same bytes, which is checked.

    python -m benchmarks.codecs --out benchmarks/results/codecs.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import torch

from schedules.record.origin import host, versions
from schedules.training.codecs import FRACTION, OURS


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it returns."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def measure(numbers: int, repeats: int) -> dict[str, Any]:
    """Medians over repetitions, which go through all codecs in turn, a copy before each."""
    values = np.random.default_rng(0).normal(size=numbers).astype(np.float32)
    arrays = {"numpy": values, "torch": torch.from_numpy(values)}
    copies: dict[str, Callable[[], Any]] = {"numpy": values.copy, "torch": arrays["torch"].clone}
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for number in range(repeats):
        for name, make in OURS.items():
            codec, encoded = make(FRACTION, False), {}
            for library, array in arrays.items():
                draws = np.random.default_rng(number)
                took = {"copy": timed(copies[library])[0]}
                took["encode"], encoded[library] = timed(partial(codec.encode, array, draws))
                took["decode"], _ = timed(partial(codec.decode, encoded[library], numbers))
                for part, each in took.items():
                    seconds.setdefault((name, library, part), []).append(each)
            assert encoded["numpy"].tobytes() == encoded["torch"].numpy().tobytes()
    found: dict[str, Any] = {}
    for name, make in OURS.items():
        rows: dict[str, Any] = {"bytes": make(FRACTION, False).size(numbers)}
        for library in arrays:
            copied = statistics.median(seconds[name, library, "copy"])
            for part in ("encode", "decode"):
                median = statistics.median(seconds[name, library, part])
                rows[f"{library}_{part}_mb_per_s"] = 4e-6 * numbers / median
                rows[f"{library}_{part}_over_copy"] = copied / median
        found[name] = rows
    return found


def main() -> None:
    """Measure, print, and write with `--out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=100_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    found = {
        "command": "python -m benchmarks.codecs",
        "date": datetime.now(UTC).date().isoformat(),
        "host": host(),
        "load_before": load,
        "versions": versions() | {"torch": torch.__version__},
        "numbers": arguments.numbers,
        "codecs": measure(arguments.numbers, arguments.repeats),
    }
    for name, row in found["codecs"].items():
        told = "  ".join(
            f"{each.replace('_', ' ')} {row[f'{each}_mb_per_s']:6,.0f} MB/s ({row[f'{each}_over_copy']:.2f})"
            for each in ("numpy_encode", "numpy_decode", "torch_encode", "torch_decode")
        )
        print(f"{name:10s} {told}")
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()

"""Samples a second of PETRA beside 1F1B and GPipe: four ranks whose kernels take paced times, simulated and measured.

python -m benchmarks.petra_speed [--keep]

A forward pass takes 20 ms, a backward pass 40 ms, PETRA's reconstruction 20 ms; 48 micro-batches, of which the
pipelines with a flush do 4 an iteration, as many as there are stages; one sample a micro-batch. PETRA runs with one
engine and with two, which do forward and backward passes beside each other. All take turns, three times each; medians.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from executor.launching.launch import Ranks
from simulator import simulate

STAGES, MICRO_BATCHES, ITERATIONS, TURNS = 4, 4, 12, 3
PROGRAMS: dict[str, dict[str, Any]] = {
    "petra": {"program": "petra"},
    "petra, two engines": {"program": "petra", "engines": 2},
    "1f1b": {"program": "1f1b"},
    "gpipe": {"program": "gpipe"},
}
GAINS = ("petra", "petra, two engines")
RESULT = Path(__file__).parent / "results" / "petra_speed.json"


def scenario(program: str) -> dict[str, Any]:
    """Timing only: what passes between the ranks are bytes."""
    return {
        "schedule": {**PROGRAMS[program], "micro_batches": MICRO_BATCHES, "iterations": ITERATIONS},
        "topology": {"workers": STAGES},
        "platform": {
            "kernels": {"forward": "20 ms", "backward": "40 ms", "reconstruct": "20 ms"},
            "link": {"bandwidth": "1 GB/s", "latency": "100 us"},
        },
        "workload": {"boundary": "64 kB"},
        "execution": {"timeout": "60 s"},
    }


def speed(makespan_s: float) -> float:
    """Micro-batches a second."""
    return MICRO_BATCHES * ITERATIONS / makespan_s


def measured() -> dict[str, list[float]]:
    """Of every turn, by program."""
    found: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    with Ranks() as ranks:
        for _ in range(TURNS):
            for program in PROGRAMS:
                found[program].append(speed(ranks.execute(scenario(program)).summary["makespan_s"]))
    return found


def simulated_speeds() -> dict[str, float]:
    """Micro-batches a second, by program."""
    return {program: speed(simulate(scenario(program)).summary["makespan_s"]) for program in PROGRAMS}


def over_1f1b(simulated: Mapping[str, float], turns: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """PETRA's speed over that of 1F1B, simulated and measured."""
    medians = {program: median(each) for program, each in turns.items()}
    return {
        program: {"simulated": simulated[program] / simulated["1f1b"], "measured": medians[program] / medians["1f1b"]}
        for program in GAINS
    }


def show(gains: Mapping[str, Mapping[str, float]]) -> None:
    for program, gain in gains.items():
        print(f"{program} over 1f1b: simulated {gain['simulated']:.3f}, measured {gain['measured']:.3f}")


def main() -> None:
    simulated, load = simulated_speeds(), os.getloadavg()[0]
    turns = measured()
    gains = over_1f1b(simulated, turns)
    for program in PROGRAMS:
        print(f"{program}: simulated {simulated[program]:.2f}/s, measured {median(turns[program]):.2f}/s")
    show(gains)
    if "--keep" in sys.argv:
        told = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} processors",
            "load_before": load,
            "simulated_per_s": simulated,
            "measured_per_s": turns,
            "over_1f1b": gains,
        }
        RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

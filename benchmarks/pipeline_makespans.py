"""Makespans of pipelines, simulated and measured: four ranks whose kernels take 50 ms, paced; how far they lie apart.

python -m benchmarks.pipeline_makespans [--keep]

F, B and W take 50 ms each, a backward pass in one 100 ms, what PETRA computes again 50 ms; 12 micro-batches, flushed
once. All take turns, three times each. The simulation is not calibrated: it knows the kernels, and of messages 1 GB/s
and 100 us. The error is (measured - simulated) / simulated, of every turn.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from executor.launching.launch import Ranks
from simulator import simulate

STAGES, MICRO_BATCHES, TURNS = 4, 12, 3
PROGRAMS = ("gpipe", "1f1b", "zb-h1", "zb-h2", "petra")
KERNELS = dict.fromkeys(("forward", "backward-input", "backward-weight", "reconstruct"), "50 ms")
RESULT = Path(__file__).parent / "results" / "pipeline_makespans.json"


def scenario(program: str) -> dict[str, Any]:
    """Timing only: what passes between the ranks are bytes."""
    return {
        "schedule": {"program": program, "micro_batches": MICRO_BATCHES},
        "topology": {"workers": STAGES},
        "platform": {"kernels": KERNELS, "link": {"bandwidth": "1 GB/s", "latency": "100 us"}},
        "workload": {"boundary": "64 kB"},
        "execution": {"timeout": "60 s"},
    }


def main() -> None:
    simulated = {program: simulate(scenario(program)).summary["makespan_s"] for program in PROGRAMS}
    load = os.getloadavg()[0]
    measured: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    with Ranks() as ranks:
        for _ in range(TURNS):
            for program in PROGRAMS:
                measured[program].append(ranks.execute(scenario(program)).summary["makespan_s"])
    errors = {program: [each / simulated[program] - 1 for each in measured[program]] for program in PROGRAMS}
    for program in PROGRAMS:
        told = ", ".join(f"{error:+.2%}" for error in errors[program])
        print(f"{program}: simulated {simulated[program]:.3f} s, measured {median(measured[program]):.3f} s ({told})")
    if "--keep" in sys.argv:
        told_all = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} processors",
            "load_before": load,
            "simulated_s": simulated,
            "measured_s": measured,
            "error": errors,
        }
        RESULT.write_text(json.dumps(told_all, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

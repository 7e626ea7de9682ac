"""Sweeps that are small enough for tests, and what stands in their directories."""

from pathlib import Path

TIMING = {
    "schedule": {"program": "gossip", "gradients": 5},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"parameters": 1000},
    "sweep": {"schedule.rate": [1, 2], "topology.graph": ["ring", "complete"]},
}
NUMERIC = {
    **TIMING,
    "workload": {"problem": "quadratic", "options": {"dimension": 3}},
    "sweep": {"schedule.program": ["gossip", "a2cid2"]},
}

STUCK = '''"""A program that waits for a message that nobody sends, where it is told to."""

from schedules.operations import Compute, Receive
from schedules.scenario import Count, Table
from schedules.training.state import descend

SOURCE = "a test"


class Settings(Table):
    gradients: Count
    is_stuck: bool


def streams(worker):
    return {"compute": compute(worker)}


def compute(worker):
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient")
        worker.model.apply(descend, gradient)
    if worker.settings.is_stuck:
        yield Receive(worker.neighbours[0], 8)
'''


def case_files(out: Path) -> dict[str, int]:
    """The files of finished cases, and when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in (out / "cases").iterdir()}


def files(out: Path) -> list[str]:
    return sorted(file.name for file in out.iterdir())

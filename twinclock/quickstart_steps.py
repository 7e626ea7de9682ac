"""What `twinclock quickstart` does, step by step: `STEPS`. The numbers are what they come out as; nothing is tuned."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from analysis import Comparison
from analysis import compare as compared
from executor.calibration.calibrate import measure
from executor.launching.launch import Ranks
from schedules.platform.toml import write_platform
from schedules.record.whole import free_places, whole_file
from schedules.result import load_run
from simulator.run import simulate as run
from simulator.sweep import Sweep
from twinclock.null_model import NULL, null_model
from twinclock.printing.comparison_table import comparison_lines
from twinclock.printing.platform_rows import platform_rows
from twinclock.printing.run_summary import rows, title
from twinclock.printing.sweep_figures import draw
from twinclock.printing.sweep_table import sweep_lines
from twinclock.printing.tables import table_lines

WORKERS = 4
"""Processes that are calibrated and executed."""

SIMULATED_WORKERS = 16
"""Workers of the sweep: as many machines like this one."""

GRADIENTS = 100
"""Of every worker."""

DEVICE = {"distribution": "lognormal", "mean": 0.03, "cv": 0.1}
"""How long the virtual device of a worker takes for a gradient, in seconds: until the calibration has measured it."""

SCENARIO = f"""\
# A²CiD² on a ring: accelerated gossip, simulated and executed by `twinclock quickstart`. For instance:
#   twinclock simulate scenario.toml --set schedule.rate=2
#   twinclock execute scenario.toml --set topology.graph=complete
#   twinclock sweep scenario.toml

[schedule]
program = "a2cid2"
gradients = {GRADIENTS}         # of every worker
rate = 1.0              # averagings of a worker per gradient

[topology]
graph = "ring"
workers = {WORKERS}

[workload]
problem = "digits-mlp"  # a small perceptron on the digits that come with scikit-learn

[execution]             # Four processes share the cores of this machine, so each gets a virtual device: the gradient is
compute = "paced"       # really computed, and then waits until the device's time is over. "real" is without.

[sweep]                 # lists multiply
"schedule.program" = ["gossip", "a2cid2"]
"topology.graph" = ["ring", "exponential", "complete"]
"schedule.rate" = [0.5, 1.0, 2.0]
"topology.workers" = [{SIMULATED_WORKERS}]

# Measured on this machine; the same table is in platform.toml.
"""


class Quickstart:
    """A quickstart under way: its directory, its processes, and what the steps have found. A context manager.

    Attributes:
        out: the directory.
        ranks: the processes that are calibrated and executed.
        platform: the calibrated table.
        comparison: of the simulation and the execution.
    """

    ranks: Ranks
    platform: dict[str, Any]
    comparison: Comparison

    def __init__(self, out: Path) -> None:
        self.out = out
        self._exit = ExitStack()

    def __enter__(self) -> Quickstart:
        self.out.mkdir(parents=True, exist_ok=True)
        self.ranks = self._exit.enter_context(Ranks())  # one for both: torch is loaded once
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def scenario(self) -> Path:
        """The file of the scenario."""
        return self.out / "scenario.toml"


def calibrate(quickstart: Quickstart) -> Iterable[str]:
    """Measure this machine; write platform.toml and scenario.toml."""
    assumed = {"platform": {"gradient": DEVICE}}
    quickstart.platform = measure({**tomllib.loads(SCENARIO), **assumed}, ranks=quickstart.ranks).platform
    written = quickstart.out / "platform.toml"
    with whole_file(written) as file:
        write_platform(quickstart.platform, file)
    told = _set_aside(quickstart.scenario)
    with whole_file(quickstart.scenario) as file:
        file.write_text(SCENARIO + written.read_text(encoding="utf-8"), encoding="utf-8")
    return [*table_lines(platform_rows(quickstart.platform)), f"wrote {written}", *told, f"wrote {quickstart.scenario}"]


def _set_aside(scenario: Path) -> list[str]:
    """Keep a scenario that its reader has changed, beside the one that is to be written."""
    if not scenario.exists() or scenario.read_bytes().startswith(SCENARIO.encode()):
        return []
    kept = next(free_places(scenario))
    scenario.rename(kept)
    return [f"kept your {scenario.name} as {kept}"]


def sweep(quickstart: Quickstart) -> Iterable[str]:
    """Simulate every case of the scenario's [sweep]; earlier ones are of an earlier calibration."""
    target = quickstart.out / "sweep"
    for each in (target / "cases").glob("*.json"):
        each.unlink()
    prepared = Sweep(quickstart.scenario, target)
    table = prepared.run()
    files = [*prepared.tables, *draw(table, prepared.series(), target)]
    keys = ["schedule.program", "topology.graph", "schedule.rate"]
    return [*sweep_lines(table, keys), f"wrote {len(files)} tables and figures in {target}"]


def execute(quickstart: Quickstart) -> Iterable[str]:
    """Run the scenario for real."""
    target = quickstart.out / "measured"
    result = quickstart.ranks.execute(quickstart.scenario, out=target)
    return [title(result), *table_lines(rows(result.summary)), f"wrote {target}"]


def simulate(quickstart: Quickstart) -> Iterable[str]:
    """Simulate the same."""
    target = quickstart.out / "simulated"
    result = run(quickstart.scenario)
    result.save(target)
    return [title(result), f"wrote {target}"]


def compare(quickstart: Quickstart) -> Iterable[str]:
    """Lay the two side by side, and beside them the same simulation without a network."""
    out = quickstart.out
    null, _ = null_model(load_run(out / "simulated"))
    quickstart.comparison = compared(out / "simulated", out / "measured", out / "report", null=null)
    assert null is not None  # the scenario is ours
    kept = null.save(out / "report" / NULL)
    return [*comparison_lines(quickstart.comparison), f"wrote {quickstart.comparison.files[0]}", f"wrote {kept}"]


STEPS: tuple[tuple[str, Callable[[Quickstart], Iterable[str]]], ...] = (
    (f"Calibrating: {WORKERS} processes compute gradients and exchange messages", calibrate),
    (f"Simulating A²CiD² and its baseline with {SIMULATED_WORKERS} such workers: 3 graphs, 3 rates", sweep),
    (f"Executing A²CiD² on a ring with {WORKERS} processes", execute),
    ("Simulating the same", simulate),
    ("Comparing the two", compare),
)
"""What is done, in this order."""

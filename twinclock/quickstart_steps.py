"""What `twinclock quickstart` does, step by step: `STEPS`. The numbers are what they come out as; nothing is tuned."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from analysis import Comparison
from analysis import compare as compared
from analysis.deciding.choice import Candidate, Choice, candidates_of, choose, while_training
from analysis.deciding.ranking import SHOWN, Decision, decision
from analysis.figures.bars import save
from analysis.figures.decision import decision_figure
from executor.calibration.calibrate import calibrate as measure
from executor.calibration.calibrate import num_cores
from executor.calibration.processors import ProcessorTimes, exchange_alone_s, processor_times
from executor.launching.launch import Ranks
from schedules.platform.toml import write_platform
from schedules.record.quantities import number, with_unit, words
from schedules.record.whole import free_places, whole_file
from schedules.result import Result, load_run
from schedules.scenario import load
from simulator.run import simulate as run
from simulator.sweep import Sweep
from twinclock.null_model import NULL, null_model
from twinclock.printing.comparison_table import comparison_lines
from twinclock.printing.platform_rows import platform_rows
from twinclock.printing.sweep_figures import draw
from twinclock.printing.sweep_table import sweep_lines
from twinclock.printing.tables import table_lines

WORKERS = 4
"""Processes that are calibrated and executed, and workers of the sweep: what is chosen is what is executed."""

GRADIENTS = 40
"""Of every worker."""

ROUNDS = 4
"""How often the chosen case and its rival are executed, in turns, so that what else the machine does meets both."""

EXCHANGES = 20
"""Of so many exchanges is the time that a virtual device takes for a gradient at least, so that the network matters."""

PROBE = 0.01
"""Any time, in seconds: what a virtual device takes while exchanges are measured that have no kernels beside."""

RATES = (0.5, 4.0)
"""Rates at which the processors are measured, of which none is swept."""

ROOMY = 3.0
"""At this rate the cores are half idle at least: the sweep has one above, which a few cores cannot do."""

SHORT = 30
"""Gradients of every worker of the runs in which the processors are measured."""

CONTENDERS = ("chosen", "rival")
"""Directories of the two cases that are executed."""

KEYS = ("topology.graph", "schedule.pairing", "schedule.rate")
"""What is swept."""

SCENARIO = f"""\
# Accelerated gossip between four workers, swept, chosen from and executed by `twinclock quickstart`. For instance:
#   twinclock simulate scenario.toml --set schedule.rate=2
#   twinclock execute scenario.toml --set topology.graph=complete
#   twinclock sweep scenario.toml

[schedule]
program = "a2cid2"
gradients = {GRADIENTS}          # of every worker
rate = 3.0              # averagings of a worker per gradient
pairing = "edge-clock"  # by clocks, which never hold a gradient up; "first-come": a gradient waits for its averagings

[topology]
graph = "ring"
workers = {WORKERS}

[workload]
problem = "digits-mlp"  # a perceptron on the digits that come with scikit-learn; a message is 0.3 MB
options = {{ hidden = [256, 256], partition = "dirichlet" }}
batch_size = 16

[optimizer]
learning_rate = 0.1

[execution]             # Four processes share the cores of this machine, so each gets a virtual device: the gradient is
compute = "paced"       # really computed, and then waits until the device's time is over. "real" is without.

[sweep]                 # lists multiply
"topology.graph" = ["ring", "star", "complete"]
"schedule.pairing" = ["edge-clock", "first-come"]
"schedule.rate" = [1.0, 3.0, 20.0]

# Measured on this machine; the same table is in platform.toml. A gradient of the virtual device takes as long as
# {EXCHANGES} exchanges, so that the network matters, or longer: so that cores are half idle at a rate of {ROOMY:g}.
"""


class Quickstart:
    """A quickstart under way: its directory, its processes, and what the steps have found. A context manager.

    Attributes:
        out: the directory.
        ranks: the processes that are calibrated and executed.
        processors: what gradients and averagings take of this machine's cores.
        platform: the calibrated table.
        choice: what was chosen of the sweep.
        measured: the executions of the chosen case and its rival, by their names, in the order of the rounds.
        comparison: of the simulation and the executions of the chosen case.
    """

    ranks: Ranks
    processors: ProcessorTimes
    platform: dict[str, Any]
    choice: Choice
    measured: dict[str, list[Result]]
    comparison: Comparison

    def __init__(self, out: Path) -> None:
        self.out = out
        self._exit = ExitStack()

    def __enter__(self) -> Quickstart:
        self.out.mkdir(parents=True, exist_ok=True)
        self.ranks = self._exit.enter_context(Ranks())  # one for all: torch is loaded once
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def scenario(self) -> Path:
        """The file of the scenario."""
        return self.out / "scenario.toml"

    @property
    def contenders(self) -> dict[str, Candidate]:
        """The chosen case and its rival, if there is one, by the names of their directories."""
        cases = zip(CONTENDERS, (self.choice.chosen, self.choice.rival), strict=True)
        return {name: case for name, case in cases if case is not None}


def calibrate(quickstart: Quickstart) -> Iterable[str]:
    """Measure this machine, and the virtual devices that suit it; write platform.toml and scenario.toml."""
    tables = tomllib.loads(SCENARIO)
    device_s, told = _suited(quickstart, tables)
    yield from told
    quickstart.platform = measure({**tables, "platform": _device(device_s)}, ranks=quickstart.ranks)
    yield from table_lines(platform_rows(quickstart.platform))
    yield from _written(quickstart)
    yield from _cores()


def _suited(quickstart: Quickstart, tables: dict[str, Any]) -> tuple[float, list[str]]:
    """Seconds of a gradient of a virtual device that suits the network and the cores, and why so many."""
    exchange_s = exchange_alone_s({**tables, "platform": _device(PROBE)}, quickstart.ranks)
    size = load({**tables, "platform": _device(PROBE)}).parameter_bytes or 0
    crowd = max(1.0, WORKERS / num_cores())
    quickstart.processors = times = _processors(quickstart, tables, crowd * EXCHANGES * exchange_s)
    by_network, by_cores = EXCHANGES * exchange_s, 2 * crowd * times.of(ROOMY)
    why = f"{EXCHANGES} exchanges" if by_network > by_cores else f"the cores are half idle at a rate of {ROOMY:g}"
    device_s = round(max(by_network, by_cores), 3)
    return device_s, [
        f"an exchange of {with_unit(size, 'B', 2)} takes {with_unit(exchange_s, 's', 2)} here with nothing beside",
        f"a gradient takes {with_unit(times.gradient_s, 's', 2)} of a core, an averaging "
        f"{with_unit(times.averaging_s, 's', 2)} at each of its two ends",
        f"so a virtual device takes {with_unit(device_s, 's', 2)} for a gradient: {why}",
    ]


def _processors(quickstart: Quickstart, tables: dict[str, Any], device_s: float) -> ProcessorTimes:
    """By short runs of the scenario that differ in their rate."""
    devices, runs = {**tables, "platform": _device(device_s)}, []
    for rate in RATES:
        fewer = {"schedule.rate": rate, "schedule.gradients": SHORT}
        runs.append(quickstart.ranks.execute(devices, overrides=fewer))
    return processor_times(runs)


def _device(mean_s: float) -> dict[str, Any]:
    return {"gradient": {"distribution": "lognormal", "mean": mean_s, "cv": 0.1}}


def _written(quickstart: Quickstart) -> Iterable[str]:
    written = quickstart.out / "platform.toml"
    with whole_file(written) as file:
        write_platform(quickstart.platform, file)
    told = _set_aside(quickstart.scenario)
    with whole_file(quickstart.scenario) as file:
        file.write_text(SCENARIO + written.read_text(encoding="utf-8"), encoding="utf-8")
    return [f"wrote {written}", *told, f"wrote {quickstart.scenario}"]


def _set_aside(scenario: Path) -> list[str]:
    """Keep a scenario that its reader has changed, beside the one that is to be written."""
    if not scenario.exists() or scenario.read_bytes().startswith(SCENARIO.encode()):
        return []
    kept = next(free_places(scenario))
    scenario.rename(kept)
    return [f"kept your {scenario.name} as {kept}"]


def _cores() -> Iterable[str]:
    """What figures mean on this machine."""
    cores = num_cores()
    if cores < WORKERS:
        shared = f"{WORKERS} processes share {cores} {'cores' if cores > 1 else 'core'} here"
        yield f"{shared}: bandwidth and latency are those of processes that copy"
        yield "messages and wait for a core. They serve to rank cases on this machine, and say nothing of a cluster."
        yield "Gradients/s are those of the virtual devices as long as the cores keep up: whatever else runs here"
        yield "makes measured figures worse."


def sweep(quickstart: Quickstart) -> Iterable[str]:
    """Simulate every case of the scenario's [sweep], and choose one; earlier ones are of an earlier calibration."""
    target = quickstart.out / "sweep"
    for each in (target / "cases").glob("*.json"):
        each.unlink()
    prepared = Sweep(quickstart.scenario, target)
    table, series = prepared.run(), prepared.series()
    assert series is not None  # the scenario is ours, and computes numbers
    settled = while_training(table, series, KEYS)
    busy = settled["gradients_per_s"] * settled["exchange_rate"].map(quickstart.processors.of) / num_cores()
    quickstart.choice = choose(candidates_of(settled.assign(busy=busy), KEYS, WORKERS))
    figures = [*draw(table, series, target), *save(decision_figure(quickstart.choice), target / "decision")]
    return [
        *sweep_lines(settled, list(KEYS)),
        "(consensus: the mean distance in the second half of the time in which all compute; in the files, at the end)",
        f"wrote {len(prepared.tables) + len(figures)} tables and figures in {target}; decision.png shows the choice",
        "",
        quickstart.choice.sentence(),
        *(f"- {reason}" for reason in quickstart.choice.reasons()),
    ]


def simulate(quickstart: Quickstart) -> Iterable[str]:
    """Simulate the chosen case and its rival again, and keep the runs."""
    for name, case in quickstart.contenders.items():
        target = quickstart.out / "simulated" / name
        with threadpool_limits(1):  # as in the sweep: else sums come out a little different
            result = run(quickstart.scenario, overrides=case.settings)
        result.save(target)
        yield f"{case.name}: {number(result.summary['gradients_per_s'])} gradients/s, wrote {target}"


def execute(quickstart: Quickstart) -> Iterable[str]:
    """Run the chosen case and its rival for real, in turns."""
    quickstart.measured = {case.name: [] for case in quickstart.contenders.values()}
    for turn in range(1, ROUNDS + 1):
        for name, case in quickstart.contenders.items():
            target = quickstart.out / "measured" / name / str(turn)
            result = quickstart.ranks.execute(quickstart.scenario, out=target, overrides=case.settings)
            quickstart.measured[case.name].append(result)
        speeds = (f"{number(runs[-1].summary['gradients_per_s'])}" for runs in quickstart.measured.values())
        yield f"round {turn} of {ROUNDS}: {' and '.join(speeds)} gradients/s"
    yield f"wrote {quickstart.out / 'measured'}"


def compare(quickstart: Quickstart) -> Iterable[str]:
    """Lay the chosen case's two worlds side by side, and beside them a simulation without a network; tell whether the
    ranking held."""
    out = quickstart.out
    simulated = {case.name: load_run(out / "simulated" / name) for name, case in quickstart.contenders.items()}
    made = decision(quickstart.choice, simulated, quickstart.measured)
    null, _ = null_model(simulated[quickstart.choice.chosen.name])
    ours, theirs = out / "simulated" / "chosen", out / "measured" / "chosen"
    quickstart.comparison = compared(ours, theirs, out / "report", null=null, decision=made)
    assert null is not None  # the scenario is ours
    kept = null.save(out / "report" / NULL)
    return [
        "the chosen case:",
        *comparison_lines(quickstart.comparison),
        f"wrote {quickstart.comparison.files[0]}",
        f"wrote {kept}",
        "",
        *decision_lines(made),
    ]


def decision_lines(made: Decision) -> list[str]:
    """The executed cases side by side, and whether their ranking held."""
    rows = [list(row.values()) for row in made.rows()]
    head = ("case", "world", *(words(key, is_heading=True) for key in SHOWN), "consensus")
    held = "There was no other case to rank it with." if made.ranking is None else made.ranking.sentence()
    return [*table_lines(rows, header=head, right=(2, 3, 4, 5, 6)), "", held, *made.doubts()]


STEPS: tuple[tuple[str, Callable[[Quickstart], Iterable[str]]], ...] = (
    (f"Calibrating: {WORKERS} processes compute gradients and exchange messages", calibrate),
    ("Simulating A²CiD² on 3 graphs, with 2 pairings, at 3 rates; choosing one", sweep),
    ("Simulating the choice and its rival", simulate),
    (f"Executing both with {WORKERS} processes, {ROUNDS} times in turns", execute),
    ("Comparing", compare),
)
"""What is done, in this order."""

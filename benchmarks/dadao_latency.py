"""What latency does to DADAO, in the clocks' own time and by wall time: the error that is left, and the makespan.

A ring of four, f_i = a_i (x - b_i)^2 / 2 with a from 1 to 10, exact gradients that take one gradient time, and links
whose latency grows until exchanges are slower than their clocks tick. The rate is the least of the theorem.

    python -m benchmarks.dadao_latency --out benchmarks/results/dadao_latency.json --figure dadao-latency.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import DASHES, LINES, MARKERS, new_figure, styled
from schedules.record.origin import versions
from simulator import simulate
from topologies import build, sufficient_rate, with_rates

WORKERS, LENGTH, SEEDS = 4, 200, range(3)
LATENCIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
"""In gradient times."""
CURVATURES, CENTRES = (1.0, 4.0, 7.0, 10.0), (0.0, 1.0, 2.0, 3.0)
MINIMISER = float(np.dot(CURVATURES, CENTRES) / sum(CURVATURES))
FLOWS = ("ticks", "wall")
ENDLESS = 1e6
"""An error that large is one that grows: the figure ends there."""


def scenario(flow: str, latency: float, seed: int) -> dict[str, Any]:
    options = {
        "dimension": 1, "curvatures": CURVATURES, "centres": CENTRES, "start": "spread", "noise": 0,
    }  # fmt: skip
    return {
        "schedule": {"program": "dadao", "gradients": LENGTH, "mu": 1, "smoothness": 10, "flow": flow},
        "topology": {"graph": "ring", "workers": WORKERS},
        "platform": {
            "gradient": {"mean": 1},
            "link": {"latency": latency, "bandwidth": 1e9},
        },
        "workload": {"problem": "quadratic", "dtype": "float64", "options": options},
        "run": {"seed": seed, "trace": False},
    }


def measure(flow: str, latency: float) -> dict[str, Any]:
    """The mean squared error that is left, and the makespan in gradient times, of every seed."""
    errors, spans = [], []
    for seed in SEEDS:
        result = simulate(scenario(flow, latency, seed))
        assert result.parameters is not None
        with np.errstate(over="ignore", invalid="ignore"):
            error = float(((result.parameters - MINIMISER) ** 2).mean())
        errors.append(error if np.isfinite(error) else None)
        spans.append(result.summary["makespan_s"])
    return {"flow": flow, "latency": latency, "errors": errors, "makespans": spans}


def draw(rows: Sequence[Mapping[str, Any]], rate: float, place: Path) -> None:
    """Error and makespan against exchanges a worker is to make in one latency."""
    with styled():
        figure, (left, right) = new_figure(7.4, 3.1, ncols=2)
        for number, flow in enumerate(FLOWS):
            mine = [row for row in rows if row["flow"] == flow]
            x = [rate * row["latency"] for row in mine]
            style: dict[str, Any] = {
                "color": LINES[number], "marker": MARKERS[number], "linestyle": DASHES[0], "label": f'flow = "{flow}"',
            }  # fmt: skip
            errors = np.array([[min(each or np.inf, ENDLESS) for each in row["errors"]] for row in mine])
            left.plot(x, np.exp(np.log(errors).mean(axis=1)), **style)
            left.fill_between(x, errors.min(axis=1), errors.max(axis=1), color=LINES[number], alpha=0.15, linewidth=0)
            right.plot(x, [np.mean(row["makespans"]) for row in mine], **style)
        left.set_yscale("log")
        left.set_ylabel("mean squared error at the end")
        right.set_ylabel("makespan (gradient times)")
        right.set_ylim(bottom=0)
        left.legend(loc="center left")
        for axes in (left, right):
            axes.set_xlabel("rate × latency (exchanges)")
        figure.savefig(place, metadata={"Software": None})  # else the version of matplotlib is in the bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path, help="A PNG file.")
    given = parser.parse_args()
    rate = sufficient_rate(with_rates(build("ring", WORKERS)))
    rows = [measure(flow, latency) for flow in FLOWS for latency in LATENCIES]
    for row in rows:
        print(row["flow"], f"{rate * row['latency']:.3f}", row["errors"], row["makespans"])
    if given.out is not None:
        told = {"date": datetime.now(UTC).date().isoformat(), "versions": versions(), "rate": rate, "rows": rows}
        given.out.write_text(json.dumps(told, indent=1) + "\n")
    if given.figure is not None:
        draw(rows, rate, given.figure)


if __name__ == "__main__":
    main()

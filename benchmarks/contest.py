"""What others measured, and nobody here tuned on: predicted by Twinclock, beside the plain formula that people use.

Measurements lie in `tests/measured`, with their sources. Of every operation one cell calibrates one number (of the
training two cells, of DiLoCo's the runs at two rates, of the bus bandwidths half of the sizes); the others are
predicted. The plain formula is alpha and beta: a ring of 2 (n-1) hops of L + S/(n B), a binomial tree of L + S/B, one
message of L + S/B, with the latency and the bandwidth that the hosts were said to have, and nothing calibrated. A row
that misses stays, and says why.

    python -m benchmarks.contest --out benchmarks/results/contest.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._cells import GBIT, MIB, calibrated, calibrations, cells, plain, table
from schedules.operations import AllReduce
from schedules.platform.protocols.efficiency import default_efficiency
from schedules.platform.transports import gloo_seconds
from simulator import simulate
from twinclock.papers.local import diloco_measured


class Row(NamedTuple):
    """One measurement, and what is said of it.

    Attributes:
        group, cell: what was measured, where.
        unit: of the three numbers: seconds, or a share.
        measured, predicted, plain: plain by the formula that people use.
        is_calibration: whether it is one of those on which the group is calibrated.
    """

    group: str
    cell: str
    unit: str
    measured: float
    predicted: float
    plain: float
    is_calibration: bool

    @property
    def error(self) -> float:
        """Relative, of the prediction."""
        return self.predicted / self.measured - 1

    @property
    def plain_error(self) -> float:
        """The same of the plain formula."""
        return self.plain / self.measured - 1


class Asked(NamedTuple):
    """What a group is to keep, of absolute errors: their mean (of groups in `MEDIAN`, the median) and the worst."""

    middle: float
    worst: float | None = None


BUS, TRAINING, OUTER = "NCCL bus bandwidth", "DDP utilization", "DiLoCo utilization"
MEDIAN = (BUS, OUTER)
"""Groups whose middle is the median, as they have few cells that are far off; of the others it is the mean."""

ASKED = {
    "gloo all-reduce": Asked(0.02, 0.06),
    "gloo broadcast": Asked(0.02, 0.06),
    "gloo reduce": Asked(0.04, 0.10),
    "gloo send": Asked(0.02, 0.06),
    "nccl all-reduce": Asked(0.02, 0.06),
    BUS: Asked(0.08),
}

NO_CHAIN = (
    "128 MiB take more over their bytes than 256 MiB do, in seconds (a broadcast on 4 hosts at 1 Gbit/s 0.37 and "
    "0.20 s): no efficiency and no latency of a chain does that"
)
WHY = {
    "nccl broadcast": NO_CHAIN,
    "nccl reduce": NO_CHAIN,
    "nccl send": "the cell that calibrates, at 5 Gbit/s, has a rate 1 % below the others', which show no latency",
    BUS: "where it is worst, 16 to 128 MiB on 2, 32 and 64 nodes, efficiency does not double with size, as a fixed "
    "time says, but stays (32 nodes: 0.044 and 0.052 at 16 and 32 MiB) or jumps: the protocol changes there",
    TRAINING: "DDP takes a third longer than a ring of its parameters at 1 and 5 Gbit/s alike, which is calibrated; at "
    "200 and 50 Mbit/s it takes 1.5 and 1.8 times as long, which nothing in the faster cells tells",
    OUTER: "an all-reduce has 0.997 of the shaped rate at 1 and 5 Gbit/s, once 21 ms are taken off, and 0.90 and 0.78 "
    "at 200 and 50 Mbit/s, which nothing in the faster runs tells; a first all-reduce without shaping takes 0.7 s "
    "where it takes 0.4 s in them",
}
"""Of groups that miss what is asked, or that are far off where nothing is."""


def shaped_rows() -> Iterator[Row]:
    """Collectives of gloo and NCCL on hosts with shaped links."""
    for (backend, operation), (predict, on, candidates, _) in calibrations().items():
        value = calibrated(predict, on, candidates)
        for each in cells(operation, backend):
            told = predict(each, value), plain(operation, each), each == on
            yield Row(f"{backend} {operation}", each.name, "s", each.measured, *told)


def bus_rows() -> Iterator[Row]:
    """All-reduces of NCCL on nodes of eight GPUs: bus bandwidth over the limit; plainly, they have all of it."""
    found = table("busbw-efficiency.csv")
    sizes = sorted({int(row["size_bytes"]) for row in found})
    for row in found:
        size, nodes = int(row["size_bytes"]), int(row["nodes"])
        told = default_efficiency(size, nodes), 1.0, size in sizes[::2]
        yield Row(BUS, f"{nodes} nodes, {size // MIB} MiB", "share", float(row["busbw_efficiency"]), *told)


PARAMETERS, HOSTS = 30_846_720, 4
CALIBRATES = {"5g": 5e9 / 8, "1g": 1e9 / 8}
PREDICTED = {"200m": 200e6 / 8, "50m": 50e6 / 8}


def training_rows() -> Iterator[Row]:
    """Data-parallel training on four hosts: which part of the time is computation.

    What a gradient takes, and which part of the shaped rate an all-reduce has, are calibrated on the two fast cells.
    """
    rows = {row["bw"]: row for row in table("diloco-measured.csv") if row["alg"] == "ddp"}
    gradient = statistics.mean(float(rows[name]["median_compute_ms"]) / 1e3 for name in CALIBRATES)
    size = 4 * PARAMETERS

    def off(part: float) -> float:
        took = [gloo_seconds(AllReduce, HOSTS, size, part * rate, 0.0) for rate in CALIBRATES.values()]
        told = [float(rows[name]["median_sync_s"]) for name in CALIBRATES]
        return sum(abs(np.log(one / other)) for one, other in zip(took, told, strict=True))

    part = min(np.arange(0.5, 1.0, 1e-3), key=off)
    for name, rate in (CALIBRATES | PREDICTED).items():
        ring = 2 * (HOSTS - 1) / HOSTS * size / rate
        told = trained(gradient, float(part) * rate), gradient / (gradient + ring), name in CALIBRATES
        yield Row(TRAINING, f"{rate / GBIT:g} Gbit/s", "share", float(rows[name]["CU"]), *told)


def trained(gradient: float, bandwidth: float) -> float:
    """The part of the time in which data-parallel training computes, simulated."""
    scenario = {
        "schedule": {"program": "all-reduce", "gradients": 20},
        "topology": {"graph": "complete", "workers": HOSTS},
        "platform": {
            "gradient": {"mean": gradient},
            "transport": "gloo",
            "link": {"bandwidth": bandwidth, "latency": 0.0},
        },
        "workload": {"parameters": PARAMETERS},
    }
    return float(simulate(scenario).summary["utilization_compute"])


def outer_rows() -> Iterator[Row]:
    """DiLoCo and local SGD on the same hosts, run by run: as `twinclock paper diloco-measured` simulates them."""
    names = {"diloco": "diloco", "localsgd": "local-sgd"}
    numbers = {"5g": 5.0, "1g": 1.0, "200m": 0.2, "50m": 0.05, "unshaped": diloco_measured.UNSHAPED}
    simulated_once = cache(lambda method, gbit, H: next(iter(diloco_measured.ours([_window(method, gbit, H)]))))
    for row in table("diloco-measured.csv"):
        if row["alg"] not in names:
            continue
        method, gbit, local_steps = names[row["alg"]], numbers[row["bw"]], int(row["H"])
        found = simulated_once(method, gbit, local_steps)
        shape = f"{gbit:g} Gbit/s" if row["bw"] != "unshaped" else "not shaped"
        run = row["file"].removesuffix(".json").rpartition("-")[2] if row["file"].startswith("cu_grid") else "r0"
        told = float(row["CU"]), found["utilization"].value, found["ring"].value, found["use"] == "calibrates"
        yield Row(OUTER, f"{method}, H = {local_steps}, {shape}, {run}", "share", *told)


def _window(method: str, gbit: float, local_steps: int) -> diloco_measured.ShapedRun:
    steps, syncs = diloco_measured.WINDOWS[local_steps]
    told: dict[str, Any] = {"method": method, "gbit": gbit, "local_steps": local_steps}
    return diloco_measured.ShapedRun(**told, steps=steps, syncs=syncs)


def rows() -> list[Row]:
    """All of them."""
    return [*shaped_rows(), *bus_rows(), *training_rows(), *outer_rows()]


def summary(found: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """By group: how far predictions and the plain formula are off, on the cells that do not calibrate."""
    told: dict[str, dict[str, Any]] = {}
    for group in dict.fromkeys(row.group for row in found):
        scored = [row for row in found if row.group == group and not row.is_calibration]
        errors, others = (np.abs([getattr(row, key) for row in scored]) for key in ("error", "plain_error"))
        middle = np.median if group in MEDIAN else np.mean
        of = {"middle": float(middle(errors)), "worst": float(errors.max())}
        of |= {"plain_middle": float(middle(others)), "plain_worst": float(others.max())}
        calibrate = [row.cell for row in found if row.group == group and row.is_calibration]
        told[group] = {"cells": len(scored), "calibrated_on": calibrate} | of
        asked = ASKED.get(group)
        if asked is not None:
            told[group] |= {"asked": asked._asdict(), "is_kept": is_kept(of["middle"], of["worst"], asked)}
        if group in WHY:
            told[group]["why"] = WHY[group]
    return told


def is_kept(middle: float, worst: float, asked: Asked) -> bool:
    """Whether errors are what is asked."""
    return middle <= asked.middle and (asked.worst is None or worst <= asked.worst)


def markdown(told: dict[str, dict[str, Any]]) -> list[str]:
    """The README's table."""
    lines = [
        "| measured by others | predicted cells | calibrated on | mean error | worst | asked "
        "| plain formula: mean | worst |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for group, each in told.items():
        name = f"{group} (median)" if group in MEDIAN else group
        shares = [f"{each[key]:.1%}".replace("%", " %") for key in ("middle", "worst", "plain_middle", "plain_worst")]
        asked = ", ".join(f"{share * 100:.0f} %" for share in each.get("asked", {}).values() if share is not None)
        asked += " (missed)" * (not each.get("is_kept", True))
        counts = f"{each['cells']} | {len(each['calibrated_on'])}"
        lines.append(f"| {name} | {counts} | {' | '.join(shares[:2])} | {asked or '-'} | {' | '.join(shares[2:])} |")
    return lines


def record(found: Sequence[Row]) -> dict[str, Any]:
    """What is written."""
    each = [row._asdict() | {"error": row.error, "plain_error": row.plain_error} for row in found]
    return {"command": "python -m benchmarks.contest", "summary": summary(found), "cells": each}


def show(found: Sequence[Row]) -> None:
    """Print every row, then every group."""
    for row in found:
        mark = "calibrates" if row.is_calibration else f"{row.error:+.1%}"
        numbers = f"{row.measured:>10.4g} {row.predicted:>10.4g} {row.plain:>10.4g} {row.unit:<5}"
        print(f"{row.group:<19} {row.cell:<36} {numbers}  {mark:>10}  plain {row.plain_error:+.1%}")
    for group, each in summary(found).items():
        asked = each.get("asked")
        told = "" if asked is None else f", asked {asked['middle']:.0%}: {'kept' if each['is_kept'] else 'MISSED'}"
        print(f"{group}: {each['middle']:.2%}, worst {each['worst']:.2%}{told}")
        if "why" in each:
            print(f"  {each['why']}")
    print("\n".join(markdown(summary(found))))


def main() -> int:
    """Predict, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out = Path(__file__).parent / "results" / "contest.json"
    parser.add_argument("--out", type=Path, default=out, help="write all to this JSON file (default %(default)s)")
    options = parser.parse_args()
    found = rows()
    show(found)
    options.out.write_text(json.dumps(record(found), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

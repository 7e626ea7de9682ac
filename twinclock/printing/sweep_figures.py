"""The figures of a sweep's tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.deciding.pareto import LOSS, compared, goals
from analysis.figures.bars import consensus_against_time, rate_overview, save
from analysis.figures.choice import loss_against_seconds

if TYPE_CHECKING:
    import pandas as pd

RATE = "schedule.rate"


def draw(table: pd.DataFrame, series: pd.DataFrame | None, out: Path) -> list[Path]:
    """Draw what can be drawn, as PNG and SVG, and return the paths.

    Where the communication rate varies: throughput, exchange rate, utilization and staleness against it, and how far
    exchanges are behind their clocks. Where there are numbers: consensus distance against time, a figure a rate
    (schedules without one are in each). Where all cases go over as many samples, loss against seconds instead.
    """
    good = table[table["error"] == ""]  # a case that failed has no numbers
    files: list[Path] = []
    if RATE in good and good[RATE].nunique() > 1:
        paced = good[good[RATE].notna()].astype({RATE: float})  # a schedule without a rate has no place on that axis
        files += save(rate_overview(paced), out / "against-rate")
    if LOSS in goals(table) and len(compared(table)):  # many methods, whose curves over time would hide each other
        return [*files, *save(loss_against_seconds(table), out / "loss-against-seconds")]
    for name, rows in _by_rate(series).items():
        # The figure's axis is logarithmic: of zeros alone it would be empty.
        if (rows["consensus_distance"] > 0).any():
            files += save(consensus_against_time(rows), out / name)
    return files


def _by_rate(series: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    if series is None:
        return {}
    if RATE not in series or series[RATE].nunique() < 2:
        return {"consensus": series}
    # Schedules without a rate are to be seen beside those that have one.
    rates, others = series[RATE], series[RATE].isna()
    return {f"consensus-rate-{rate:g}": series[(rates == rate) | others] for rate in sorted(rates.dropna().unique())}

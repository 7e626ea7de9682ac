"""Which rows of a sweep stand in which figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twinclock.printing import sweep_figures

ROWS = pd.DataFrame(
    {
        "schedule.program": ["gossip", "gossip", "all-reduce"],
        "schedule.rate": pd.Series([1, 2, None], dtype=object),
        "time_s": 1.0,
        "consensus_distance": [3.0, 2.0, 1.0],
        "error": "",
    }
)


def test_schedules_without_a_rate_stand_beside_those_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every figure against time; on the axis of rates they have no place."""
    drawn = []
    monkeypatch.setattr(sweep_figures, "consensus_against_time", lambda rows: list(rows["consensus_distance"]))
    monkeypatch.setattr(sweep_figures, "rate_overview", lambda rows: list(rows["schedule.rate"]))
    monkeypatch.setattr(sweep_figures, "save", lambda figure, stem: drawn.append((stem.name, figure)) or [])
    sweep_figures.draw(ROWS, ROWS, tmp_path)
    assert drawn == [
        ("against-rate", [1.0, 2.0]),
        ("consensus-rate-1", [3.0, 1.0]),
        ("consensus-rate-2", [2.0, 1.0]),
    ]

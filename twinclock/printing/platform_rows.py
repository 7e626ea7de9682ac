"""What is printed of a [platform] table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedules.record.quantities import percent, with_unit


def platform_rows(platform: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, for people."""
    gradient, link = platform.get("gradient"), platform.get("link")
    rows = []
    if gradient is not None:
        cv = gradient.get("cv")
        spread = f", {gradient['distribution']}, cv {percent(cv, signed=False)}" if cv else ""
        rows.append(("gradient", with_unit(gradient["mean"], "s", 3) + spread))
    if link is not None:
        rows += [
            ("bandwidth", f"{with_unit(link['bandwidth'], 'B', 3)}/s"),
            ("latency", with_unit(link["latency"], "s", 3)),
            ("message overhead", with_unit(platform.get("overhead", 0.0), "s", 3)),
        ]
    return rows

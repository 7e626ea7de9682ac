"""What is printed of a [platform] table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    if (host := platform.get("host")) is not None:
        rows += list(_host_rows(host))
    return rows


def _host_rows(host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the software costs, and what more while the cores are busy with messages."""
    words = {"start": "taking a kernel up", "waking": "waking", "handing": "handing over", "passing": "passing on"}
    words["meeting"] = "meeting"
    for key, name in words.items():
        if key in host:
            more = host.get("busy", {}).get(key)
            yield name, with_unit(host[key], "s", 3) + (f", {with_unit(more, 's', 3)} more when busy" if more else "")
    if "bandwidth" in host:
        yield "of all messages", f"{with_unit(host['bandwidth'], 'B', 3)}/s"

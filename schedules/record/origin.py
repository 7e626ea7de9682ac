"""Where a run comes from: what `run.json` says of the machine, the versions and the command behind its numbers."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path


@functools.cache  # they do not change while a process lives, and reading them takes longer than a short simulation
def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    found = {"python": platform.python_version()}
    for name in ("twinclock", "numpy", "simpy", "networkx", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a source tree is no installed package, and simulations need no torch
            continue
    return found


@functools.cache
def host() -> dict[str, str | int | None]:
    """The machine that ran it."""
    return {"name": platform.node(), "system": platform.platform(), "cores": os.cpu_count()}


def occasion(took_s: float) -> dict[str, str]:
    """When what ends now and took so many seconds was started, and the command that did it."""
    started = datetime.now(UTC) - timedelta(seconds=took_s)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"started": started.isoformat(timespec="seconds"), "command": command}

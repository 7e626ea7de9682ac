"""The measured world: the same schedules in real time, on `torch.distributed`, one process a rank.

>>> from executor import execute                       # doctest: +SKIP
>>> result = execute("scenario.toml")                  # starts the ranks on this machine, and ends them
>>> result.summary["gradients_per_s"]

`python -m executor SCENARIO` runs one rank under `torchrun` or `srun`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executor.calibration.calibrate import calibrate as calibrate
    from executor.launching.launch import Ranks as Ranks
    from executor.launching.launch import execute as execute

__all__ = ["Ranks", "calibrate", "execute"]

_WHERE = {
    "Ranks": "executor.launching.launch",
    "calibrate": "executor.calibration.calibrate",
    "execute": "executor.launching.launch",
}


def __getattr__(name: str) -> object:
    """Import the public names where they are used."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)

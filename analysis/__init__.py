"""Simulated against measured: reads the run directories of both worlds, compares them or shows one, and draws.

    from analysis import compare, export, load_run

    comparison = compare("runs/simulated", "runs/measured", "report")
    print(comparison.claim)

The names load when they are asked for, and pandas, matplotlib, scipy and jinja2 where they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.alone import Alone
    from analysis.comparing import compare
    from analysis.comparison import Comparison
    from analysis.exports.formats import export
    from analysis.plotting import run_figures
    from analysis.reporting import report_run
    from schedules.result import Result as Run
    from schedules.result import load_run

__all__ = ["Alone", "Comparison", "Run", "compare", "export", "load_run", "report_run", "run_figures"]

# No module here may have one of these names: importing it would put the module in the place of the function.
_PLACES = {
    "Alone": ("analysis.alone", "Alone"),
    "Comparison": ("analysis.comparison", "Comparison"),
    "Run": ("schedules.result", "Result"),
    "compare": ("analysis.comparing", "compare"),
    "export": ("analysis.exports.formats", "export"),
    "load_run": ("schedules.result", "load_run"),
    "report_run": ("analysis.reporting", "report_run"),
    "run_figures": ("analysis.plotting", "run_figures"),
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = globals()[name] = getattr(import_module(module), attribute)  # found there the next time
    return value

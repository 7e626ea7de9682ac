"""Simulated against measured: reads the run directories of both worlds, compares them, and draws.

    from analysis import compare, export, load_run

    comparison = compare("runs/simulated", "runs/measured", "report")
    print(comparison.claim)

pandas, matplotlib, scipy and jinja2 are imported where they are used.
"""

from analysis.compare import compare
from analysis.comparison import Comparison
from analysis.exports.formats import export
from analysis.frames import Run, load_run

__all__ = ["Comparison", "Run", "compare", "export", "load_run"]

"""Exact moments of gossip: how far workers are apart, by linear algebra, for any graph, rates and linear method.

>>> from topologies import build
>>> round(float(second_moment(build("ring", 8), "baseline", 1.0)), 6)
4.13993
>>> round(stationary(build("ring", 8), "baseline"), 6)
16.625
"""

from analysis.moments.exact import (
    abscissa,
    first_moment,
    heterogeneity,
    mean_disagreement,
    second_moment,
    stationary,
)
from analysis.moments.methods import METHODS, LinearMethod, a2cid2, baseline, dadao

__all__ = [
    "METHODS",
    "LinearMethod",
    "a2cid2",
    "abscissa",
    "baseline",
    "dadao",
    "first_moment",
    "heterogeneity",
    "mean_disagreement",
    "second_moment",
    "stationary",
]

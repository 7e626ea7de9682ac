"""Methods of gossip as linear systems with events: what flows, and what exchanges and gradients do to vectors.

Worker i holds p vectors z_i. Between events they flow, d z_i = F z_i dt. At an exchange of an edge (i, j), with the
edge's rate, m = c . (z_i - z_j), z_i -= v m, z_j += v m. At a gradient of worker i, one a unit of time, with the read
h = g_i . z_i and a noise xi of mean 0 and variance 1, z_i -= w h and z_i += q xi. All is Poisson, as in section 2.1 of
the sheet on gossip, and all is linear, so means and second moments obey linear equations of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import Final

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from topologies import a2cid2_parameters, chi_1, chi_2
from topologies.checks import one_of, real_number

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearMethod:
    """A method whose events are linear, for one coordinate; for a reader's own method, make one of these.

    p is the number of vectors of a worker. The first of them is x, the parameters, of which the moments are told.

    Attributes:
        flow: F, float64 [p, p], in 1/gradient time.
        exchange_read: c, float64 [p].
        exchange_jump: v, float64 [p].
        gradient_read: g, float64 [p], or [n, p] where workers differ.
        gradient_jump: w, float64 [p].
        noise: q, float64 [p]: what a gradient's noise of variance 1 adds.
        start: float64 [p]: z_i(0) = start x_i(0).
        mean_counts: bool [p]: False where the mean over the workers is left out, because it is 0 for ever (the sum of
            DADAO's Z), or because it moves without end and no disagreement depends on it (x without curvature).

    Raises:
        ValueError: if a shape does not fit, or something is not finite.
    """

    flow: ArrayLike
    exchange_read: ArrayLike
    exchange_jump: ArrayLike
    gradient_read: ArrayLike
    gradient_jump: ArrayLike
    noise: ArrayLike
    start: ArrayLike
    mean_counts: ArrayLike

    def __post_init__(self) -> None:
        """Turn what was given into arrays, and check their shapes."""
        length = np.asarray(self.exchange_read).size
        shapes = {"flow": ((length, length),), "gradient_read": ((length,), (_workers(self.gradient_read), length))}
        for field in fields(self):
            found = np.array(getattr(self, field.name), dtype=bool if field.name == "mean_counts" else np.float64)
            expected = shapes.get(field.name, ((length,),))
            if found.shape not in expected:
                told = " or ".join(str(list(shape)) for shape in dict.fromkeys(expected))
                raise ValueError(f"{field.name}: expected the shape {told}, found {list(found.shape)}")
            if not np.isfinite(found).all():
                raise ValueError(f"{field.name}: expected finite numbers, found {found.tolist()}")
            object.__setattr__(self, field.name, found)


def _workers(read: ArrayLike) -> int:
    return len(np.atleast_2d(np.asarray(read)))


def baseline(graph: nx.Graph[int], *, momentum: float = 0.0, curvatures: Sequence[float] | None = None) -> LinearMethod:
    """Asynchronous pairwise averaging: x_i, x_j <- (x_i + x_j) / 2, beside gradients.

    Args:
        graph: connected, with the edge attribute `rate` in exchanges per gradient time.
        momentum: of SGD, in [0, 1): m_i <- momentum m_i + xi, x_i -= m_i.
        curvatures: gamma a_i of the quadratics a_i x^2 / 2, n numbers >= 0 without unit; None: none.
    Raises:
        ValueError: if a number is impossible, or both momentum and curvatures are given.
    Source: gossip.md, sections 2.4 and 13; A²CiD² (arXiv:2306.08289), the asynchronous baseline.
    """
    return _averaging(graph, 0.0, None, momentum, curvatures)


def a2cid2(graph: nx.Graph[int], *, momentum: float = 0.0, curvatures: Sequence[float] | None = None) -> LinearMethod:
    """A²CiD²: dx = eta (x~ - x) dt, x -= m / 2, and x~ likewise, with alpha~; gradients change both alike.

    Args:
        graph: connected, with the edge attribute `rate`, from which chi_1, chi_2, eta and alpha~ are.
        momentum: of SGD, in [0, 1): m_i <- momentum m_i + xi, x_i and x~_i -= m_i.
        curvatures: gamma a_i of the quadratics a_i x^2 / 2, n numbers >= 0 without unit; None: none.
    Raises:
        ValueError: if a number is impossible, or both momentum and curvatures are given.
    Source: gossip.md, sections 2.2, 2.5 and 13; A²CiD² (arXiv:2306.08289), equation 4 and Prop. 3.6.
    """
    eta, alpha_tilde = a2cid2_parameters(chi_1(graph), chi_2(graph))
    return _averaging(graph, eta, alpha_tilde, momentum, curvatures)


def _averaging(
    graph: nx.Graph[int],
    eta: float,
    alpha_tilde: float | None,
    momentum: float,
    curvatures: Sequence[float] | None,
) -> LinearMethod:
    """x, then x~ where there is alpha~, then m where there is momentum. The learning rate is the unit of x."""
    factor = real_number("momentum", momentum, 0)
    if factor >= 1:
        raise ValueError(f"momentum: expected a number in [0, 1), found {momentum}")
    sharpness = _curvatures(graph, curvatures, strictly=False)
    if factor and sharpness.any():
        raise ValueError("curvatures: expected none beside momentum, which is of gradients that are noise alone")
    copies = 1 if alpha_tilde is None else 2
    vectors = copies + bool(factor)
    flow = np.zeros((vectors, vectors))
    if alpha_tilde is not None:
        flow[:2, :2] = [[-eta, eta], [eta, -eta]]
    of_copies = np.arange(vectors) < copies
    first = (np.arange(vectors) == 0).astype(float)
    # At a gradient m <- momentum m + xi, so m itself loses (1 - momentum) m, and the copies lose momentum m.
    read = ~of_copies * 1.0 if factor else sharpness[:, None] * first
    jump = np.where(of_copies, factor, 1 - factor) if factor else of_copies * 1.0
    return LinearMethod(
        flow=flow,
        exchange_read=first,
        exchange_jump=[0.5, 0.5 if alpha_tilde is None else alpha_tilde, 0.0][:copies] + [0.0] * (vectors - copies),
        gradient_read=read,
        gradient_jump=jump,
        noise=np.where(of_copies, -1.0, 1.0),
        start=of_copies * 1.0,
        # A common momentum is a disagreement, as workers' gradients come at different times; a common x is none.
        mean_counts=np.full(vectors, True) if sharpness.any() else ~of_copies,
    )


def dadao(graph: nx.Graph[int], *, curvatures: Sequence[float] | None = None) -> LinearMethod:
    """DADAO's error from its fixed point on quadratics a_i (x - b_i)^2 / 2: X, X~, Y, Y~, Z, Z~.

    mu and L are the smallest and the largest of the curvatures. It converges with any rates on which
    2 chi_1 chi_2 <= 1: see `topologies.rates.sufficient_rates`.

    Args:
        graph: connected, with the edge attribute `rate` in exchanges per gradient time, from which chi_1 is.
        curvatures: a_i, n numbers above 0; None: all 1.
    Raises:
        ValueError: if there are not n curvatures above 0, or the graph is disconnected or a rate impossible.
    Source: gossip.md, sections 6.2 to 6.4; DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `optimizers.py`.
    """
    slopes = _curvatures(graph, curvatures, strictly=True)
    mu, smoothness = slopes.min(), slopes.max()
    nu = mu / 2
    s = sqrt(nu / smoothness)
    alpha, eta, theta = s / 4, s / 8, 1 / (2 * s)
    flow = [
        [-eta, eta, 0, 0, 0, 0],
        [eta, -eta, 0, 0, 0, 0],
        [0, 0, -alpha, alpha, 0, 0],
        [0, -theta * nu, -theta, 0, -theta, 0],
        [0, 0, 0, 0, -alpha, alpha],
        [0, 0, 0, 0, eta, -eta],  # alpha~ = eta~ = eta
    ]
    gamma = [1 / (4 * smoothness), 1 / (4 * sqrt(smoothness * nu))]
    jump = np.array([*gamma, 0, -(s / 4 + 1), 0, 0])  # delta + delta~, with which Y~ grows
    return LinearMethod(
        flow=flow,
        exchange_read=[0, 0, 1, 0, 1, 0],
        exchange_jump=[0, 0, 0, 0, 0.5, 2 * chi_1(graph) / s],
        gradient_read=np.outer(slopes - nu, [1, 0, 0, 0, 0, 0]) - np.array([0, 0, 0, 1, 0, 0]),
        gradient_jump=jump,
        noise=-jump,
        start=[1, 0, 0, 0, 0, 0],
        mean_counts=[True, True, True, True, False, False],
    )


def _curvatures(graph: nx.Graph[int], curvatures: Sequence[float] | None, *, strictly: bool) -> Vector:
    """One a worker; None: 1 where they must be above 0, else 0."""
    if curvatures is None:
        return np.full(len(graph), 1.0 if strictly else 0.0)
    if len(curvatures) != len(graph):
        raise ValueError(f"curvatures: expected {len(graph)} numbers, one a worker, found {len(curvatures)}")
    return np.array([real_number("curvatures", each, 0, strictly=strictly) for each in curvatures])


METHODS: Final[Mapping[str, Callable[..., LinearMethod]]] = {"baseline": baseline, "a2cid2": a2cid2, "dadao": dadao}
"""By name: a function of the graph, and of what the method can be told beside it."""


def method_of(graph: nx.Graph[int], method: str | LinearMethod, **options: object) -> LinearMethod:
    """The method of a name, with options other than None; or a reader's own, which has its own.

    Raises:
        ValueError: for an unknown name or an option that the method does not have.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if isinstance(method, LinearMethod):
        if given:
            raise ValueError(f"{next(iter(given))}: expected none beside a method of one's own, which says it itself")
        return method
    if one_of("method", method, METHODS) == "dadao" and "momentum" in given:
        raise ValueError(f"momentum: expected 0 for dadao, found {given['momentum']}")
    return METHODS[method](graph, **given)

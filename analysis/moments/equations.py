"""The linear equations that means and second moments of a whole network obey, applied without forming their matrix.

With z all vectors of all workers, E z' = M E z, and S = E z z^T obeys S' = L S = M S + S M^T + Phi S, in which every
event adds one rank:

    Phi S = sum over edges of lambda_e s_e (v b_e)(v b_e)^T + sum over workers of t_i (w e_i)(w e_i)^T.

Here b_e = e_i - e_j, and s_e = E m_e^2 and t_i = E h_i^2 are the mean squares of what the events read. So L is a
Lyapunov operator and a correction by |E| + n numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
from scipy.linalg import block_diag, helmert, lapack, matrix_balance, schur

from analysis.moments.methods import LinearMethod, Vector
from topologies.parts import is_varying
from topologies.spectral import Edges, active_edges, laplacian_of_edges, on_edges


@dataclass(frozen=True)
class Equations:
    """A network with its method, in coordinates without the means that do not count: float64 everywhere, N of them.

    Attributes:
        edges: ends and rates of the edges that tick.
        drift: M, [N, N].
        x: [n, N]: takes x of every worker out of z.
        reads, jumps: [n, N] each, of exchanges: c . z_i, and v a worker.
        gradient_reads, gradient_jumps, noise: [n, N] each: g_i . z_i, w and q.
        start: [n, N]: z(0) = x(0) @ start.
        step: by how much a gradient's noise of 1 moves x.
    """

    edges: Edges
    drift: Vector
    x: Vector
    reads: Vector
    jumps: Vector
    gradient_reads: Vector
    gradient_jumps: Vector
    noise: Vector
    start: Vector
    step: float

    @cached_property
    def gradients_read(self) -> bool:
        """Whether gradients depend on the vectors at all; where they are noise alone half the work is left out."""
        return bool(self.gradient_reads.any())

    def pushed(self, squares: Vector) -> Vector:
        """Phi, from the mean squares of what events read: s_e, then t_i, [|E| + n] to [N, N]."""
        i, j, rates = self.edges
        weighted = laplacian_of_edges(len(self.x), (i, j, rates * squares[: len(i)]))
        pushed: Vector = self.jumps.T @ weighted @ self.jumps
        if self.gradients_read:
            pushed += self.gradient_jumps.T * squares[len(i) :] @ self.gradient_jumps
        return pushed

    def squares(self, second: Vector) -> Vector:
        """The mean squares of what events read: [N, N] to [|E| + n]."""
        i, j, _ = self.edges
        of_exchanges = on_edges(self.reads @ second @ self.reads.T, i, j)
        if not self.gradients_read:
            return np.concatenate([of_exchanges, np.zeros(len(self.x))])
        return np.concatenate([of_exchanges, ((self.gradient_reads @ second) * self.gradient_reads).sum(axis=1)])

    def change(self, second: Vector) -> Vector:
        """L S, of a symmetric S: [N, N]."""
        flown = self.drift @ second
        changed: Vector = flown + flown.T + self.pushed(self.squares(second))
        return changed

    @cached_property
    def norm(self) -> float:
        """At least the norm of L, between Frobenius norms.

        Phi is completely positive, so its norm is at most the root of |Phi(1)| |Phi*(1)|, here of one part after the
        other, and those are sums like a Laplacian.
        """
        i, j, rates = self.edges
        largest = 2 * float(np.linalg.eigvalsh(laplacian_of_edges(len(self.x), (i, j, rates)))[-1])
        size = [np.linalg.norm(each, 2) ** 2 for each in (self.reads, self.jumps)]
        of_gradients = [(each**2).sum(axis=1).max() for each in (self.gradient_reads, self.gradient_jumps)]
        return float(2 * np.linalg.norm(self.drift, 2) + largest * np.prod(size) + np.prod(of_gradients))

    def disagreement(self, second: Vector) -> float:
        """E ||pi x||^2."""
        of_x = self.x @ second @ self.x.T
        return float(np.trace(of_x) - of_x.mean() * len(of_x))

    @cached_property
    def _schur(self) -> tuple[Vector, Vector]:
        triangle, basis = schur(self.drift, output="real")
        return triangle, basis

    @cached_property
    def slowest(self) -> float:
        """The largest real part of M's eigenvalues: means do not decay slower."""
        return float(np.linalg.eigvals(self.drift).real.max())

    def flown(self, second: Vector, shift: float = 0.0) -> Vector:
        """S in shift S - M S - S M^T = the matrix that is given, [N, N]; by Bartels and Stewart."""
        triangle, basis = self._schur
        shifted = triangle - shift / 2 * np.eye(len(triangle))
        turned = np.asfortranarray(-basis.T @ second @ basis)
        found, scale, _ = lapack.dtrsyl(shifted, shifted, turned, tranb="T")
        back: Vector = basis @ (found / scale) @ basis.T
        return (back + back.T) / 2


def equations(graph: nx.Graph[int], method: LinearMethod) -> Equations:
    """The equations of a graph with rates and a method.

    Raises:
        ValueError: if the graph is disconnected, changes with time or has one worker, a rate is impossible, or the
            method is of other workers.
    """
    if len(graph) < 2:
        raise ValueError(f"graph: expected two workers or more, which can differ, found {len(graph)}")
    if is_varying(graph):
        raise ValueError("graph: expected one whose rates stay, found one that changes with time")
    edges = active_edges(graph)
    workers, given = len(graph), {name: np.asarray(getattr(method, name)) for name in method.__slots__}
    if given["gradient_read"].ndim == 2 and len(given["gradient_read"]) not in (1, workers):
        found = len(given["gradient_read"])
        raise ValueError(f"gradient_read: expected a row for each of {workers} workers, found {found}")
    scale = _scale(given, float(np.trace(laplacian_of_edges(workers, edges))) / workers)
    # Differences of workers: the rows of Helmert's matrix are orthonormal and orthogonal to the constant one.
    parts = [np.eye(workers) if counts else helmert(workers) for counts in given["mean_counts"]]

    def taken(coefficients: Vector) -> Vector:
        """[n, N]: sum over vectors of coefficient times the vector, worker by worker."""
        rows = np.broadcast_to(coefficients, (workers, len(parts)))
        return np.hstack([rows[:, [k]] * part.T for k, part in enumerate(parts)])

    reads, jumps = taken(given["exchange_read"] * scale), taken(given["exchange_jump"] / scale)
    gradient_reads, gradient_jumps = taken(given["gradient_read"] * scale), taken(given["gradient_jump"] / scale)
    full = block_diag(*parts)
    flow = full @ np.kron(given["flow"] * scale / scale[:, None], np.eye(workers)) @ full.T
    return Equations(
        edges=edges,
        drift=flow - jumps.T @ laplacian_of_edges(workers, edges) @ reads - gradient_jumps.T @ gradient_reads,
        x=taken(np.eye(len(parts))[0] * scale),
        reads=reads,
        jumps=jumps,
        gradient_reads=gradient_reads,
        gradient_jumps=gradient_jumps,
        noise=taken(given["noise"] / scale),
        start=taken(given["start"] / scale),
        step=abs(float(given["noise"][0])),
    )


def _scale(given: dict[str, Vector], rate: float) -> Vector:
    """Units of the vectors, [p], in which the equations have small norms: x~ moves by alpha~ where x moves by 1/2."""
    reads = np.abs(np.atleast_2d(given["gradient_read"])).max(axis=0)
    size = np.abs(given["flow"]) + rate * np.abs(np.outer(given["exchange_jump"], given["exchange_read"]))
    _, (scale, _) = matrix_balance(size + np.outer(np.abs(given["gradient_jump"]), reads), permute=False, separate=True)
    return np.asarray(scale, dtype=np.float64)

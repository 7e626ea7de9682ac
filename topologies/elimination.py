"""The inverse of the Laplacian of a large sparse graph, where it is asked for: on the edges, and applied to a vector.

Workers are taken out of the network one by one, the one of fewest neighbours first: the star of v with conductances w_k
(they are the rates) becomes a mesh of its neighbours with w_k w_l / sum w (star-mesh transform, which is Gaussian
elimination). Nothing is ever subtracted, so no digit is lost. What is left where the network has become dense is
inverted as a matrix; then the inverse Z is followed back, only where two workers were neighbours by then:

    Z_vu = sum_k p_k Z_ku,  Z_vv = 1 / sum w + sum_k p_k Z_vk,  with p_k = w_k / sum w.

Source: Erisman & Tinney 1975 (the sparse inverse); Rosen 1924 (the transform).
"""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Network = list[dict[int, float]]
"""Of every worker its neighbours, and the conductance of each edge."""

DENSE: Final = 48
"""From so many neighbours on it is faster to invert what is left as a matrix."""


class Taken(NamedTuple):
    """A worker that was taken out.

    Attributes:
        worker: which.
        peers: its neighbours by then: intp [num_peers].
        shares: p_k of each: float64 [num_peers].
        total: sum of its conductances.
    """

    worker: int
    peers: Ints
    shares: Floats
    total: float


class Elimination:
    """A connected network, taken apart.

    Args:
        workers: number of them.
        i, j: ends of the edges: intp [E], each edge once.
        rates: their conductances, above 0: float64 [E].
    """

    def __init__(self, workers: int, i: Ints, j: Ints, rates: Floats) -> None:
        network: Network = [{} for _ in range(workers)]
        for a, b, rate in zip(i.tolist(), j.tolist(), rates.tolist(), strict=True):
            network[a][b] = network[b][a] = rate
        self._workers = workers
        self._taken = _take_apart(network)
        gone = {each.worker for each in self._taken}
        self._core = np.array([worker for worker in range(workers) if worker not in gone], dtype=np.intp)
        self._inverse = _inverse_of_core(network, self._core)

    def solve(self, b: Floats) -> Floats:
        """The x of mean 0 with Lambda x = b - mean(b): float64 [workers]."""
        y = b - b.mean()
        for worker, peers, shares, _ in self._taken:
            y[peers] += shares * y[worker]  # peers differ, so none is counted once too few
        x = np.zeros(self._workers)
        x[self._core] = self._inverse @ y[self._core]
        for worker, peers, shares, total in reversed(self._taken):
            x[worker] = y[worker] / total + shares @ x[peers]
        centred: Floats = x - x.mean()
        return centred

    def slowest_mode(self) -> Floats:
        """The eigenvector of Lambda's smallest positive eigenvalue, by Lanczos on the inverse: float64 [workers]."""
        from scipy.sparse.linalg import LinearOperator, eigsh  # late: most graphs are small, and it takes a while

        inverse = LinearOperator((self._workers, self._workers), matvec=self.solve, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=self._workers)
        mode: Floats = eigsh(inverse, k=1, which="LA", v0=start - start.mean(), tol=1e-10)[1][:, 0]
        return mode

    def resistances(self, i: Ints, j: Ints) -> Floats:
        """R_ij of edges of the network: float64 [E]."""
        diagonal, beside = self._sparse_inverse()
        place = {worker: at for at, worker in enumerate(self._core.tolist())}
        found = np.empty(len(i))
        for at, (a, b) in enumerate(zip(i.tolist(), j.tolist(), strict=True)):
            between = beside[a][b] if b in beside[a] else beside[b].get(a)
            if between is None:
                between = self._inverse[place[a], place[b]]
            found[at] = diagonal[a] + diagonal[b] - 2 * between
        return found

    def _sparse_inverse(self) -> tuple[list[float], Network]:
        """The diagonal of Z, and Z_vu of every v that was taken out with each of its neighbours by then."""
        diagonal = [0.0] * self._workers
        beside: Network = [{} for _ in range(self._workers)]
        is_core = np.zeros(self._workers, dtype=bool)
        is_core[self._core] = True
        place = np.zeros(self._workers, dtype=np.intp)
        place[self._core] = np.arange(len(self._core))
        for at, worker in enumerate(self._core.tolist()):
            diagonal[worker] = float(self._inverse[at, at])
        for worker, peers, shares, total in reversed(self._taken):
            block = self._block(peers, is_core, place, diagonal, beside)
            row = shares @ block
            beside[worker] = dict(zip(peers.tolist(), row.tolist(), strict=True))
            diagonal[worker] = 1 / total + float(shares @ row)
        return diagonal, beside

    def _block(
        self, peers: Ints, is_core: NDArray[np.bool_], place: Ints, diagonal: list[float], beside: Network
    ) -> Floats:
        """Z among neighbours of one that was taken out: all pairs of them were neighbours afterwards."""
        names = peers.tolist()
        inside = np.flatnonzero(is_core[peers])
        block = np.zeros((len(names), len(names)))
        chosen = place[peers[inside]]
        block[np.ix_(inside, inside)] = self._inverse[np.ix_(chosen, chosen)]
        for at in np.flatnonzero(~is_core[peers]).tolist():
            row, name = beside[names[at]], names[at]
            block[at, at] = diagonal[name]
            for other, peer in enumerate(names):
                if peer in row:  # it was taken out later, or never
                    block[at, other] = block[other, at] = row[peer]
        return block


def _take_apart(network: Network) -> list[Taken]:
    """Take workers out, the one of fewest neighbours first, until all that are left have many; one always is left."""
    queue = [(len(peers), worker) for worker, peers in enumerate(network)]
    heapq.heapify(queue)
    taken: list[Taken] = []
    is_gone = [False] * len(network)
    while queue and len(taken) < len(network) - 1:
        degree, worker = heapq.heappop(queue)
        star = network[worker]
        if is_gone[worker] or degree != len(star):
            continue  # it has another number of neighbours by now, and another place in the queue
        if degree > DENSE:
            break
        is_gone[worker] = True
        taken.append(_take_out(network, worker))
        for peer in star:
            heapq.heappush(queue, (len(network[peer]), peer))
    return taken


def _take_out(network: Network, worker: int) -> Taken:
    star = network[worker]
    total = sum(star.values())
    peers, weights = list(star), list(star.values())
    for peer in peers:
        del network[peer][worker]
    for at, (peer, weight) in enumerate(zip(peers, weights, strict=True)):
        row, share = network[peer], weight / total
        for other, theirs in zip(peers[:at], weights[:at], strict=True):
            row[other] = network[other][peer] = row.get(other, 0.0) + share * theirs
    return Taken(worker, np.array(peers, dtype=np.intp), np.array(weights) / total, total)


def _inverse_of_core(network: Network, core: Ints) -> Floats:
    """Z of those that are left, the last of them held at 0: float64 [num_left, num_left]."""
    size = len(core)
    matrix, place = np.zeros((size, size)), {worker: at for at, worker in enumerate(core.tolist())}
    for worker, at in place.items():
        for peer, weight in network[worker].items():
            matrix[at, place[peer]] = -weight
    matrix[np.diag_indices(size)] = -matrix.sum(axis=1)
    inverse = np.zeros((size, size))
    if size > 1:  # late: most graphs are small, and it takes a while to import
        from scipy.linalg import lapack

        # By Cholesky: half the operations of a general inverse. It comes as one triangle.
        factor, _ = lapack.dpotrf(matrix[:-1, :-1], lower=1)
        triangle, _ = lapack.dpotri(factor, lower=1)
        inverse[:-1, :-1] = np.tril(triangle) + np.tril(triangle, -1).T
    return inverse

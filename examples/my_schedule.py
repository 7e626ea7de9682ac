"""Gossip on a hypercube: step k averages with the neighbour along dimension k, while the gradient is being computed.

x_i <- x_i - gamma g_i(x_i) + (y_j - y_i) / 2, with j = i XOR 2^(k mod d) and the y that were sent.
"""

from schedules import Await, Barrier, Compute, Count, Exchange, Start, Table, descend

SOURCE = "Daily et al. 2018, GossipGraD (arXiv:1803.05880), on a hypercube"


class Settings(Table):
    gradients: Count
    """Gradients per worker."""


def streams(worker):
    return {"compute": steps(worker)}


def steps(worker):
    dimensions = len(worker.neighbours)
    for number in range(worker.settings.gradients):
        mine = worker.model.outgoing()
        exchange, _ = yield Start(Exchange(worker.rank ^ (1 << number % dimensions), mine, tag=number))
        gradient, _ = yield Compute("gradient")
        worker.model.apply(descend, gradient)
        arrivals, _ = yield Await((exchange,))
        worker.model.apply(average, mine, arrivals.results[0])
    yield Barrier()


def average(s, mine, theirs):
    s.x = s.x - (mine - theirs) / 2

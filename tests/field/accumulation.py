"""Data parallel that reduces only every K-th backward pass: the gradients between are added up.

x <- x - gamma (1/nK) sum of the K n gradients.
"""

from schedules import ZERO, AllReduce, Compute, Count, Table

SOURCE = "https://github.com/pytorch/pytorch/issues/43201"
STATE = {"gradient": ZERO}


class Settings(Table):
    gradients: Count
    every: Count = 4


def updates(settings, rank):
    return settings.gradients // settings.every


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    model, every = worker.model, worker.settings.every
    for _ in range(worker.settings.gradients // every):
        added = []
        for _ in range(every):
            gradient, _ = yield Compute("gradient")
            model.change(add, gradient)
            added.append(gradient.rest())
        mean, _ = yield AllReduce(model.payload(mean_of, every), "mean")
        model.apply(step, tuple(added), mean)


def add(s, gradient):
    s.gradient = s.gradient + gradient


def mean_of(s, every):
    return s.gradient / every


def step(s, _, mean):
    s.x, s.gradient = s.x + s.optimizer.delta(s.x, mean), 0 * s.gradient

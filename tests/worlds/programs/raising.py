"""Mistakes in a program's own Python, in a rule, and in what an engine runs for it."""

from schedules import Compute, Count, Table

SOURCE = "a test of mistakes"


class Settings(Table):
    gradients: Count = 1
    case: str


def streams(worker):
    return {"compute": steps(worker)}


def steps(worker):
    yield Compute("gradient")
    if worker.settings.case == "program":
        worker.rank / 0
    if worker.settings.case == "rule":
        worker.model.change(divide, 0)
    if worker.settings.case == "arguments":
        worker.model.change(divide)
    yield Compute("gradient", work=divide, inputs=(0,))


def divide(s, by):
    s.x = s.x + 1 / by

"""One misuse of the state or a verb a case: the line that must be named ends with a comment that has its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedules import ZERO, AllReduce, Compute, Count, Payload, Program, State, Table, Worker, descend

SOURCE = "a test of misuse"
STATE = {"momentum": ZERO}


class Settings(Table):
    gradients: Count = 1
    case: str


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _one(worker, worker.settings.case)}


def subtract(s: State, gradient: Any) -> None:
    s.x -= gradient


def set_an_item(s: State, gradient: Any) -> None:
    s.momentum[0] = 1.0


def write_to_the_argument(s: State, gradient: Any) -> None:
    gradient += s.x


def write_to_a_part(s: State, parts: tuple[Any, ...]) -> None:
    parts[0][:2] = 0


def misspell(s: State, gradient: Any) -> None:
    s.x = s.x - s.momentun  # unknown


def set_a_new_one(s: State, gradient: Any) -> None:
    s.velocity = gradient  # new


def shorten(s: State, gradient: Any) -> None:
    s.x = s.x[:-1]  # shape


def program(s: State, gradient: Any) -> Any:
    yield s.x


def nothing(s: State, *arguments: Any) -> None:
    """It changes nothing."""


def as_it_is(s: State) -> Any:
    return s.x


def _one(worker: Worker, case: str) -> Program:
    model: Any = worker.model
    gradient, _ = yield Compute("gradient")
    if case == "subtract":
        model.apply(subtract, gradient)  # subtract
    elif case == "set an item":
        model.change(set_an_item, gradient)  # set an item
    elif case == "argument":
        model.change(write_to_the_argument, gradient)  # argument
    elif case == "part":
        model.change(write_to_a_part, (gradient, gradient))  # part
    elif case == "of a collective":
        mean, _ = yield AllReduce(gradient)
        model.change(write_to_the_argument, mean)  # of a collective
    elif case == "unknown":
        model.change(misspell, gradient)
    elif case == "new":
        model.change(set_a_new_one, gradient)
    elif case == "shape":
        model.change(shorten, gradient)
    elif case == "yields":
        model.apply(program, gradient)  # yields
    elif case == "worker":
        model.change(nothing, worker)  # worker
    elif case == "size":
        model.payload(as_it_is, size=8)  # size
    elif case == "no version":
        model.apply(descend, Payload(gradient.size, gradient.array))  # no version
    elif case == "mixed":
        model.apply(nothing, (gradient, model.outgoing()))  # mixed
    elif case == "left":
        model.step(gradient)  # left

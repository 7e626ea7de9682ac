"""FedBuff: clients make H local steps and send what they come to; every K of these are one update of the server."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Array, Compute, Count, Program, Put, Receive, Send, State, Table, Take, Worker, descend

SOURCE = "FedBuff (arXiv:2106.06639)"
SERVER = 0


class Settings(Table):
    gradients: Count
    local_steps: Count = 4
    buffer: Count = 2


def streams(worker: Worker) -> Mapping[str, Program]:
    if worker.rank != SERVER:
        return {"compute": _client(worker)}
    clients = [rank for rank in range(worker.num_workers) if rank != SERVER]
    num_changes = len(clients) * rounds(worker)
    worker.capacity("arrived", num_changes)
    served = {f"client-{rank}": _serve(worker, rank) for rank in clients}
    return {"compute": _update(worker, num_changes // worker.settings.buffer), **served}


def rounds(worker: Worker) -> int:
    return int(worker.settings.gradients) // int(worker.settings.local_steps)


def _serve(worker: Worker, client: int) -> Program:
    model = worker.model
    for _ in range(rounds(worker)):
        yield Send(client, model.payload(read, to="theta"))
        change, _ = yield Receive(client, model.size)
        yield Put("arrived", change)


def _update(worker: Worker, number: int) -> Program:
    for _ in range(number):
        changes = []
        for _ in range(worker.settings.buffer):
            change, _ = yield Take("arrived")
            changes.append(change)
        worker.model.apply(update, changes)


def _client(worker: Worker) -> Program:
    model, local_steps = worker.model, worker.settings.local_steps
    for _ in range(rounds(worker)):
        received, _ = yield Receive(SERVER, model.size)
        model.change(adopt, received)
        for _ in range(local_steps):
            gradient, _ = yield Compute("gradient")
            model.change(descend, gradient)
        yield Send(SERVER, model.payload(progress, received, of=received, gradients=local_steps))


def read(s: State) -> Array:
    return s.x


def adopt(s: State, theta: Array) -> None:
    s.x = theta


def progress(s: State, theta: Array) -> Array:
    return s.x - theta


def update(s: State, changes: tuple[Array, ...]) -> None:
    """theta <- theta + the mean of the changes."""
    s.x = s.x + sum(changes[1:], start=changes[0]) / len(changes)

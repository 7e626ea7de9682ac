"""Kernels of its own and no gradient: a prefill, then so many decodes."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Barrier, Cancel, Compute, Count, Program, Start, Table, Worker

SOURCE = "a test of throughput in a program's own units"


class Settings(Table):
    gradients: Count
    cancels: bool = False


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"serve": _serve(worker)}


def _serve(worker: Worker) -> Program:
    yield Compute("prefill")
    for _ in range(worker.settings.gradients):
        yield Compute("decode")
    if worker.settings.cancels:
        handle, _ = yield Start(Compute("prefill"))
        yield Cancel(handle)
    yield Barrier()

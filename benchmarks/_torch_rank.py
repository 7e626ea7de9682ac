"""One rank of torch's own runtimes, which carries out what it is told, line by line, for `benchmarks.against_torch`.

A line is JSON: the contender, its steps, and where rank by rank the final parameters are left. It is answered by when
the rank began and ended, in nanoseconds of the monotonic clock that all processes of a machine share, and by the
processor seconds between. Arguments: rank, number of ranks, file of the store.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleZBVZeroBubble,
)
from torch.nn.parallel import DistributedDataParallel

from benchmarks._layers import DISTINCT, Layers

SINGLE: dict[str, Any] = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
SEVERAL: dict[str, Any] = {"interleaved-1f1b": ScheduleInterleaved1F1B, "zb-v": ScheduleZBVZeroBubble}
TIMEOUT = timedelta(seconds=120)

Step = Callable[[int], None]
"""One step of the optimizer, told its number."""


def pipeline(case: dict[str, Any], rank: int, n: int) -> tuple[Step, dict[int, torch.nn.Module]]:
    """A step of torch's pipeline runtime, and the stages of this rank."""
    model, name, m = Layers(), case["program"], case["micro_batches"]
    number = n if name in SINGLE else 2 * n
    own = [each for each in range(number) if place(name, each, n) == rank]
    modules = {each: model.parts(number)[each] for each in own}
    stages = [PipelineStage(module, each, number, torch.device("cpu")) for each, module in modules.items()]
    schedule: Any = SINGLE[name](stages[0], m, model.loss) if name in SINGLE else SEVERAL[name](stages, m, model.loss)
    optimizer = torch.optim.SGD([each for it in modules.values() for each in it.parameters()], case["learning_rate"])
    period = [[torch.cat(each) for each in zip(*batches, strict=True)] for batches in periods(model, m)]
    has_first, has_last = 0 in own, number - 1 in own

    def step(k: int) -> None:
        inputs, targets = period[k % len(period)]
        schedule.step(*([inputs] if has_first else []), target=targets if has_last else None, return_outputs=False)
        optimizer.step()
        optimizer.zero_grad()

    return step, dict(modules)


def place(program: str, stage: int, n: int) -> int:
    """The rank of a stage: dealt out in turns, or in the shape of a V."""
    return 2 * n - 1 - stage if program == "zb-v" and stage >= n else stage % n


def periods(model: Layers, m: int) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """The micro-batches of steps, until they come again."""
    return [[model.batch(first + each) for each in range(m)] for first in range(0, max(DISTINCT, m), m)]


def copies(case: dict[str, Any], rank: int, n: int) -> tuple[Step, dict[int, torch.nn.Module]]:
    """A step of DistributedDataParallel, whose gradients are added up without a reduction but for the last."""
    model, number = Layers(rank), case["accumulate"]
    whole = DistributedDataParallel(model.module)
    optimizer = torch.optim.SGD(model.module.parameters(), case["learning_rate"])

    def step(k: int) -> None:
        for each in range(number):
            inputs, targets = model.batch(k * number + each)
            with whole.no_sync() if each < number - 1 else nullcontext():
                (model.loss(whole(inputs), targets) / number).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, {0: model.module}


def alone(case: dict[str, Any], rank: int, n: int) -> tuple[Step, dict[int, torch.nn.Module]]:
    """A local step, and after every so many an average of the parameters."""
    model, period = Layers(rank), case["local_steps"]
    optimizer = torch.optim.SGD(model.module.parameters(), case["learning_rate"])
    averager = PeriodicModelAverager(period, warmup_steps=period - 1)  # it counts from 0

    def step(k: int) -> None:
        inputs, targets = model.batch(k)
        optimizer.zero_grad()  # first: parameters without a gradient are not averaged
        model.loss(model.module(inputs), targets).backward()
        optimizer.step()
        averager.step = k
        averager.average_parameters(model.module.parameters())

    return step, {0: model.module}


COPIED = {"all-reduce": copies, "local-sgd": alone}


def carry_out(case: dict[str, Any], rank: int, n: int) -> dict[str, Any]:
    """One repetition: a step to warm up, which is undone, and then those that count."""
    step, modules = COPIED.get(case["program"], pipeline)(case, rank, n)
    start = {number: [each.detach().clone() for each in module.parameters()] for number, module in modules.items()}
    step(0)
    with torch.no_grad():
        for number, module in modules.items():
            for each, was in zip(module.parameters(), start[number], strict=True):
                each.copy_(was)
    dist.barrier()
    begin, processor = time.perf_counter_ns(), time.process_time()
    for k in range(case["steps"]):
        step(k)
    end, processor = time.perf_counter_ns(), time.process_time() - processor
    vectors = {number: torch.cat([each.detach().reshape(-1) for each in module.parameters()])
               for number, module in modules.items()}  # fmt: skip
    torch.save(vectors, f"{case['out']}-{rank}.pt")
    return {"begin": begin, "end": end, "processor_s": processor}


def main() -> None:
    rank, n, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(store, n), rank=rank, world_size=n, timeout=TIMEOUT)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line), rank, n)), flush=True)


if __name__ == "__main__":
    main()

"""The pipelines with a flush, one row each."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Program, Table, Worker
from schedules.programs.pipelines.flushing import iterations
from schedules.programs.pipelines.pipeline import Pipeline
from schedules.programs.pipelines.settings import Capped, Chunked, Flushed, Folded, FromFile
from schedules.programs.pipelines.tracks import Tracks

_ZERO_BUBBLE = "Qi et al. 2023, Zero bubble pipeline parallelism (arXiv:2401.10241)"
_DUALPIPE = "DeepSeek-AI 2024, DeepSeek-V3 (arXiv:2412.19437), and github.com/deepseek-ai/DualPipe"


def _streams(worker: Worker, tracks: Tracks) -> Mapping[str, Program]:
    return {"compute": iterations(worker, tracks)}


def _flushed(program: str, line: str, source: str, keys: type[Table] = Flushed) -> Pipeline:
    return Pipeline(program, line, source, keys, _streams)


_ROWS = (
    _flushed(
        "gpipe",
        "GPipe: all forward passes, then all backward passes.",
        "Huang et al. 2019, GPipe (arXiv:1811.06965)",
    ),
    _flushed(
        "1f1b",
        "1F1B: after the warm-up a backward and a forward pass in turns (PipeDream-Flush, DAPPLE).",
        "Narayanan et al. 2021, Memory-efficient pipeline-parallel DNN training (arXiv:2006.09503)",
    ),
    _flushed(
        "interleaved-1f1b",
        "1F1B with several stages a worker, dealt out in turns: a shorter bubble for more messages.",
        "Narayanan et al. 2021, Megatron-LM (arXiv:2104.04473); the order of torch's ScheduleInterleaved1F1B",
        Chunked,
    ),
    _flushed(
        "looped-bfs",
        "Breadth first: all micro-batches through one stage of a worker, then through its next.",
        "Lamy-Poirier 2022, Breadth-first pipeline parallelism (arXiv:2211.05953); torch's ScheduleLoopedBFS",
        Chunked,
    ),
    _flushed("zb-h1", "Zero bubble H1: weight gradients fill the bubble, in the memory of 1F1B.", _ZERO_BUBBLE),
    _flushed("zb-h2", "Zero bubble H2: no bubble, in twice the memory of 1F1B.", _ZERO_BUBBLE),
    _flushed(
        "zb-v",
        "Zero bubble V: two stages a worker in the shape of a V, no bubble in the memory of 1F1B.",
        f"{_ZERO_BUBBLE}; the order of torch's ScheduleZBVZeroBubble",
        Folded,
    ),
    _flushed(
        "zb-1p",
        "Zero bubble under the memory of 1F1B, found by list scheduling at the times of the steps.",
        _ZERO_BUBBLE,
        Capped,
    ),
    _flushed("zb-2p", "Zero bubble under twice the memory of 1F1B, found likewise.", _ZERO_BUBBLE, Capped),
    _flushed(
        "order",
        "An order of one's own, from a file: torch's compute-only CSV, or as the zero-bubble repository prints it.",
        "torch.distributed.pipelining, _PipelineScheduleRuntime._load_csv",
        FromFile,
    ),
    _flushed(
        "interleaved-zb",
        "Interleaved 1F1B with weight gradients apart.",
        "the order of torch's ScheduleInterleavedZeroBubble",
        Chunked,
    ),
    _flushed(
        "dualpipe",
        "DualPipe: micro-batches from both ends of two copies of the pipeline, a forward with a backward at a time.",
        _DUALPIPE,
    ),
    _flushed(
        "dualpipe-v",
        "DualPipeV: one half of DualPipe, folded: two stages a worker in the shape of a V.",
        f"{_DUALPIPE}; the order of torch's ScheduleDualPipeV",
        Folded,
    ),
)

PROGRAMS: Mapping[str, Pipeline] = {each.program: each for each in _ROWS}

"""The orders by name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, Final

from schedules.errors import nearest
from schedules.orders import chunked, listed, straight, texts, v_blocks, v_shaped
from schedules.orders.order import Order

BUILDERS: Final[dict[str, Callable[..., Order]]] = {
    "gpipe": straight.gpipe,
    "1f1b": straight.one_f_one_b,
    "interleaved-1f1b": chunked.interleaved_1f1b,
    "looped-bfs": chunked.looped_bfs,
    "zb-h1": straight.zb_h1,
    "zb-h2": straight.zb_h2,
    "zb-v": v_shaped.zb_v,
    "interleaved-zb": chunked.interleaved_zb,
    "dualpipe": v_shaped.dualpipe,
    "dualpipe-v": v_shaped.dualpipe_v,
    "pipedream": straight.one_f_one_b,
    "pipedream-2bw": straight.one_f_one_b,
    "delayed-gradients": straight.delayed_gradients,
    "petra": straight.petra,
    "zb-1p": listed.zb_1p,
    "zb-2p": listed.zb_2p,
    "v-half": v_blocks.v_half,
    "v-min": v_blocks.v_min,
    "order": texts.order_of_a_file,
}
"""(workers, micro_batches, **settings) -> order."""

UNSAID: Final[dict[str, object]] = {"chunks": 1, "overlap_last": False, "text": None, "file": None}
"""The settings that decide some orders, as they are where nobody says them."""


def build(program: str, workers: int, micro_batches: int, **settings: Any) -> Order:
    """The order of a program.

    Args:
        workers: number of ranks.
        micro_batches: of one iteration; without a flush, of the whole stream.
        settings: further keys of [schedule] that decide the order, such as `chunks`.
    Raises:
        ValueError: if there is no such program, or it cannot have so many, or has no such setting, with the key first.
    """
    builder = BUILDERS.get(program)
    if builder is None:
        raise ValueError(
            f"schedule.program: expected one of {', '.join(BUILDERS)}, found {program!r}{nearest(program, BUILDERS)}"
        )
    for key, number in (("topology.workers", workers), ("schedule.micro_batches", micro_batches)):
        if number < 1:
            raise ValueError(f"{key}: expected at least 1, found {number}")
    known = signature(builder).parameters
    said = {key: value for key, value in settings.items() if key in known or value != UNSAID.get(key)}
    for key in said.keys() - known.keys():
        raise ValueError(f"schedule.{key}: expected none beside program = {program!r}, found {said[key]!r}")
    if said.get("chunks", 1) < 1:
        raise ValueError(f"schedule.chunks: expected at least 1, found {said['chunks']}")
    return builder(workers, micro_batches, **said)

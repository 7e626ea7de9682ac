"""The orders by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schedules.errors import nearest
from schedules.orders import flushed, listed
from schedules.orders.order import Order

BUILDERS: dict[str, Callable[..., Order]] = {
    "gpipe": flushed.gpipe,
    "1f1b": flushed.one_f_one_b,
    "zb-1p": listed.zb_1p,
    "zb-2p": listed.zb_2p,
}
"""(workers, micro_batches, **settings) -> order."""


def build(program: str, workers: int, micro_batches: int, **settings: Any) -> Order:
    """The order of a program.

    Args:
        workers: number of ranks.
        micro_batches: of one iteration; without a flush, of the whole stream.
        settings: further keys of [schedule] that decide the order, such as `chunks`.
    Raises:
        ValueError: if there is no such program, or it cannot have so many, with the key first.
    """
    builder = BUILDERS.get(program)
    if builder is None:
        raise ValueError(f"expected one of {', '.join(BUILDERS)}, found {program!r}{nearest(program, BUILDERS)}")
    return builder(workers, micro_batches, **settings)

"""What every rank did when: computations in the upper strip of a lane, communications in the lower one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.bands import Bands
from analysis.figures.style import FAINT, PAPER, WAITING, kind_colours, legend_columns, new_figure, styled
from analysis.measures.metrics import num_ranks, span_ns, with_parts
from analysis.measures.under_way import UNDER_WAY, IntMatrix, Unfinished
from schedules.record.quantities import number, time_unit
from schedules.record.rows import BLOCKED, COMPUTE, TRANSFERS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Boxes = dict[str, list[Floats]]
"""Corners of boxes, float64 [num_boxes, 4, 2], in parts by kind."""

_COMPUTE_STRIP = (0.04, 0.56)
_TRANSFER_STRIP = (0.6, 0.96)
_AT_LAST = (UNDER_WAY, "waiting")
_UNITS = ((1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def readable_window(
    traces: Mapping[str, pd.DataFrame], gradient_s: float, unfinished: Mapping[str, Unfinished] | None = None
) -> tuple[int, int]:
    """From 0 to where there is enough to see, in nanoseconds.

    That is ten gradient times, and on until half of the ranks have communicated three times, but not beyond forty
    gradient times or the end of the longest run, which may have been cut with something under way.
    """
    gradient_ns = round(gradient_s * 1e9)
    end = 10 * gradient_ns
    for trace in traces.values():
        ends = trace[trace["op"].isin(TRANSFERS)].groupby("rank")["end_ns"]
        third = [np.sort(each.to_numpy())[2] for _, each in ends if len(each) > 2]
        end = max(end, int(np.median(third)) if third else 0)
    longest = _end(traces, unfinished or {})
    return 0, max(1, min(end, 40 * gradient_ns, longest))  # 1 ns at least: of nothing there is no unit to draw in


def timeline(
    traces: Mapping[str, pd.DataFrame],
    window_ns: tuple[int, int] | None = None,
    *,
    max_ranks: int = 8,
    unfinished: Mapping[str, Unfinished] | None = None,
) -> Figure:
    """The operations of every rank on one time axis, a lane a world.

    A lane shows computations above and communications below: pale while a participant is missing, in the colour of the
    operation while data moves.

    Args:
        traces: by world, `simulated` and `measured`, or only one; in the order of the lanes.
        window_ns: what to show, in nanoseconds; the whole by default.
        max_ranks: show only so many ranks.
        unfinished: by world, of runs that were cut: what was under way then.
    """
    unfinished = unfinished or {}
    begin, end = window_ns or (0, _end(traces, unfinished))
    ranks = max(num_ranks(trace) for trace in traces.values())
    shown = min(ranks, max_ranks)
    bands = Bands(shown, tuple(traces))
    unit_ns, unit = _unit(end - begin)
    with styled():
        figure, (axes,) = new_figure(8.0, 1.1 + 0.24 * bands.height)
        boxes = _boxes(traces, bands, (begin, end), unfinished)
        _draw(axes, boxes, unit_ns)
        bands.label(axes)
        # Of a run whose operations take no time no part of an axis can be shown.
        axes.set_xlim(begin / unit_ns, max(end, begin + 1) / unit_ns)
        axes.set_xlabel(f"time ({unit})")
        axes.set_title(_title(traces, shown, ranks, number((end - begin) / unit_ns, 3) + f" {unit}"), loc="left")
        columns = min(6, legend_columns(figure, list(boxes), frame=0.6, letter=0.075))
        figure.legend(loc="outside lower center", ncols=columns, handlelength=1.2, handleheight=0.9)
    return figure


def _end(traces: Mapping[str, pd.DataFrame], unfinished: Mapping[str, Unfinished]) -> int:
    """Of the longest run, in nanoseconds."""
    return max(span_ns(trace, unfinished.get(world))[1] for world, trace in traces.items())


def _unit(span_ns: int) -> tuple[int, str]:
    """In what so long a time is told: the nanoseconds of a unit, and its name."""
    if span_ns >= 1_000_000_000:
        scale, unit = time_unit(span_ns / 1e9)
        return scale * 1_000_000_000, unit
    return next(each for each in _UNITS if span_ns >= each[0])


def _title(traces: Mapping[str, pd.DataFrame], shown: int, ranks: int, duration: str) -> str:
    whom = f"ranks 0 to {shown - 1} of {ranks}" if shown < ranks else "all ranks"
    return f"{' and '.join(traces).capitalize()}, {whom}, {duration}"


def _boxes(
    traces: Mapping[str, pd.DataFrame], bands: Bands, window: tuple[int, int], unfinished: Mapping[str, Unfinished]
) -> Boxes:
    """Corners of all boxes, float64 [num_boxes, 4, 2] in parts a kind; computations first, waiting last."""
    boxes: Boxes = {}
    for world, trace in traces.items():
        rows = with_parts(trace[trace["rank"] < bands.num_ranks])
        tops = np.array([bands.top(rank, world) for rank in range(bands.num_ranks)])
        is_transfer = rows["op"].isin(TRANSFERS)
        for kind, group in rows[(rows["op"] == COMPUTE) | is_transfer].groupby("kind", sort=True):
            strip = _COMPUTE_STRIP if str(kind).startswith(COMPUTE) else _TRANSFER_STRIP
            boxes.setdefault(str(kind), []).append(_corners(group, "ready_ns", "end_ns", tops, strip, window))
        waits = rows[is_transfer | rows["op"].isin(BLOCKED)]
        boxes.setdefault("waiting", []).append(_corners(waits, "start_ns", "ready_ns", tops, _TRANSFER_STRIP, window))
    for world, each in unfinished.items():
        tops = np.array([bands.top(rank, world) for rank in range(bands.num_ranks)])
        for matrix, strip in ((each.computing, _COMPUTE_STRIP), (each.transferring, _TRANSFER_STRIP)):
            rows = _rows(matrix[:, matrix[0] < bands.num_ranks])
            boxes.setdefault(UNDER_WAY, []).append(_corners(rows, "start_ns", "end_ns", tops, strip, window))
    order = sorted(boxes, key=lambda kind: (kind in _AT_LAST, not kind.startswith(COMPUTE), kind))
    # The legend has what is seen.
    return {kind: boxes[kind] for kind in order if any(len(part) for part in boxes[kind])}


def _rows(intervals: IntMatrix) -> pd.DataFrame:
    """Rank, start and end of intervals as a table."""
    import pandas as pd

    return pd.DataFrame(intervals.T, columns=["rank", "start_ns", "end_ns"])


def _corners(
    rows: pd.DataFrame, start: str, end: str, tops: Floats, strip: tuple[float, float], window: tuple[int, int]
) -> Floats:
    """Corners of the boxes that lie in the window, in nanoseconds and lanes."""
    rows = rows[(rows[end] > rows[start]) & (rows[end] > window[0]) & (rows[start] < window[1])]
    left = rows[start].clip(lower=window[0]).to_numpy(dtype=np.float64)
    right = rows[end].clip(upper=window[1]).to_numpy(dtype=np.float64)
    top = tops[rows["rank"].to_numpy()]
    upper, lower = top + strip[0], top + strip[1]
    return np.stack([np.stack(xy, axis=-1) for xy in ((left, upper), (right, upper), (right, lower), (left, lower))], 1)


def _draw(axes: Axes, boxes: Boxes, unit_ns: int) -> None:
    from matplotlib.collections import PolyCollection

    colours = kind_colours([kind for kind in boxes if kind not in _AT_LAST]) | {"waiting": WAITING, UNDER_WAY: FAINT}
    for kind, parts in boxes.items():
        # An array is drawn much faster than the list of polygons that matplotlib's types ask for.
        corners: Any = np.concatenate(parts) / (unit_ns, 1)
        z_order = 1.5 if kind == "waiting" else 2  # data that move are never hidden
        axes.add_collection(
            PolyCollection(
                corners, facecolor=colours[kind], edgecolor=PAPER, linewidth=0.35, label=kind, zorder=z_order
            )
        )

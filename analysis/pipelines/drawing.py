"""A pipeline's steps by time: a band a rank, a box a step with the number of its micro-batch in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.figures.bands import Bands
from analysis.figures.style import FAINT, IDLE, INK, PAPER, STEP_COLOURS, new_figure, styled
from analysis.pipelines.executed import is_in_pairs
from analysis.pipelines.steps import OTHER, chunk_of
from schedules.record.quantities import time_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

WORDS: Final = {
    "F": "F: forward",
    "D": "D: backward",
    "B": "B: backward, for the input",
    "W": "W: backward, for the weights",
    "R": "forward again",
    "O": "optimizer",
    OTHER: "other kernels",
}
"""The kinds of steps, as a legend has them."""

MARGIN: Final = 0.06
"""Above and below a box, in lanes."""
_LIGHTEST: Final = 0.5
"""How much white there is in the colour of a rank's last stage, where it has several."""
_SIZES: Final = (7.5, 7.0, 6.5, 6.0, 5.5, 5.0)
"""Of numbers, in points: the largest that fits."""
_DIGIT: Final = 0.66
_HIGH: Final = 0.78
"""Width and height of a digit, in its size."""
_UNITS: Final = ((1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


@dataclass(frozen=True)
class _Scale:
    """From nanoseconds and lanes to points on paper.

    Attributes:
        points_per_ns, points_per_lane: what they are long.
    """

    points_per_ns: float
    points_per_lane: float


def stages_figure(
    steps: Mapping[str, pd.DataFrame],
    *,
    window_ns: tuple[int, int] | None = None,
    title: str = "",
    width: float = 8.0,
    lane: float = 0.3,
) -> Figure:
    """The steps of every rank on one time axis.

    Stages of one rank have shades of one colour, the first the darkest. The two of a pair are the halves of a box, and
    the engines of a rank that computes two steps at a time the halves of its band.

    Args:
        steps: by world, as `analysis.pipelines.steps.steps_of_run` returns them; in the order of the lanes.
        window_ns: what to show, in nanoseconds; all by default.
        title: of the figure.
        width: in inches.
        lane: height of a lane in inches.
    """
    begin, end = window_ns or whole_window(steps)
    bands = Bands(1 + max(int(each["rank"].max()) for each in steps.values()), tuple(steps))
    unit_ns, unit = unit_of(end - begin)
    with styled():
        figure, (axes,) = new_figure(width, 1.05 + lane * bands.height)
        for world, each in steps.items():
            _background(axes, bands, world, (begin / unit_ns, end / unit_ns))
            _draw(axes, _placed(each, bands, world, (begin, end)), unit_ns)
        bands.label(axes)
        axes.set_xlim(begin / unit_ns, end / unit_ns)
        axes.set_xlabel(f"time ({unit})")
        axes.set_title(title, loc="left")
        axes.grid(visible=False)
        handles = _legend(steps)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), int(width / 1.6)), handlelength=1.2,
            handleheight=0.9,
        )  # fmt: skip
        figure.draw_without_rendering()  # before, nobody knows how long the axis is on paper
        scale = _scale(figure, axes, (end - begin) / unit_ns, unit_ns)
        for world, each in steps.items():
            _numbers(axes, _placed(each, bands, world, (begin, end)), scale, unit_ns)
    return figure


def whole_window(steps: Mapping[str, pd.DataFrame]) -> tuple[int, int]:
    """From the begin to the end of the longest run, in nanoseconds."""
    begin = min(0, *(int(each["start_ns"].min()) for each in steps.values()))
    return begin, max(begin + 1, *(int(each["end_ns"].max()) for each in steps.values()))


def readable_window(steps: Mapping[str, pd.DataFrame], num_steps: int) -> tuple[int, int]:
    """From the begin on, so long that a rank does about so many steps, or to the end."""
    begin, end = whole_window(steps)
    lengths = [each["end_ns"] - each["start_ns"] for each in steps.values()]
    mean = max(1.0, *(float(each.mean()) for each in lengths))
    return begin, min(end, begin + round(num_steps * mean))


def unit_of(span_ns: int) -> tuple[int, str]:
    """In what so long a time is told on an axis: the nanoseconds of a unit, and its name."""
    if span_ns >= 1_000_000_000:
        scale, unit = time_unit(span_ns / 1e9)
        return scale * 1_000_000_000, unit
    return next(each for each in _UNITS if span_ns >= each[0])


# ---- boxes


def _placed(steps: pd.DataFrame, bands: Bands, world: str, window: tuple[int, int]) -> pd.DataFrame:
    """The steps in the window, with `left` and `right` in nanoseconds, `top` and `bottom` in lanes, and `colour`."""
    found = steps.assign(chunk=chunk_of(steps), part=_part_of(steps))
    found = found[(found["end_ns"] > window[0]) & (found["start_ns"] < window[1])]
    found = found[found["end_ns"] > found["start_ns"]]
    tops = np.array([bands.top(rank, world) for rank in range(bands.num_ranks)])
    top = tops[found["rank"].to_numpy()]
    half = found["part"].to_numpy()
    upper = np.where(half == 1, 0.5, MARGIN)
    lower = np.where(half == 0, 0.5, 1 - MARGIN)
    num_chunks = int(found["chunk"].max()) + 1 if len(found) else 1
    colours = [
        shade(STEP_COLOURS[kind], chunk, num_chunks) for kind, chunk in zip(found["kind"], found["chunk"], strict=True)
    ]
    return found.assign(
        left=found["start_ns"].clip(lower=window[0]),
        right=found["end_ns"].clip(upper=window[1]),
        top=top + upper,
        bottom=top + lower,
        colour=colours,
    )


def _part_of(steps: pd.DataFrame) -> pd.Series[int]:
    """The half of its lane that a step is in: of a pair, or of a rank that does two steps at a time; -1: all of it."""
    whole = steps[steps["half"] < 1]
    before = whole.groupby("rank")["end_ns"].cummax().groupby(whole["rank"]).shift()
    abreast = set(whole.loc[whole["start_ns"] < before, "rank"])
    streams = steps.groupby("rank")["stream"].transform(
        lambda names: names.map({n: i for i, n in enumerate(names.unique())})
    )
    return steps["half"].where(~steps["rank"].isin(abreast), streams.clip(upper=1)).astype("int64")


def shade(colour: str, chunk: int, num_chunks: int) -> str:
    """A colour with the more white in it the later the stage is of those of its rank."""
    from matplotlib.colors import to_hex, to_rgb

    white = _LIGHTEST * chunk / max(1, num_chunks - 1)
    red, green, blue = (each * (1 - white) + white for each in to_rgb(colour))
    return to_hex((red, green, blue))


def _background(axes: Axes, bands: Bands, world: str, span: tuple[float, float]) -> None:
    for rank in range(bands.num_ranks):
        top = bands.top(rank, world)
        axes.fill_between(span, top + MARGIN, top + 1 - MARGIN, color=IDLE, linewidth=0, zorder=1)


def _draw(axes: Axes, placed: pd.DataFrame, unit_ns: int) -> None:
    from matplotlib.collections import PolyCollection

    left, right = placed["left"].to_numpy() / unit_ns, placed["right"].to_numpy() / unit_ns
    top, bottom = placed["top"].to_numpy(), placed["bottom"].to_numpy()
    # An array is drawn much faster than the list of polygons that matplotlib's types ask for.
    corners: Any = np.stack(
        [np.stack(xy, axis=-1) for xy in ((left, top), (right, top), (right, bottom), (left, bottom))], axis=1
    )
    colours = placed["colour"].tolist()
    axes.add_collection(PolyCollection(corners, facecolors=colours, edgecolor=PAPER, linewidth=0.4, zorder=2))


# ---- numbers in boxes


def _scale(figure: Figure, axes: Axes, span: float, unit_ns: int) -> _Scale:
    box = axes.get_window_extent()
    points = 72 / figure.dpi
    low, high = sorted(axes.get_ylim())
    return _Scale(box.width * points / (span * unit_ns), box.height * points / (high - low))


def _numbers(axes: Axes, placed: pd.DataFrame, scale: _Scale, unit_ns: int) -> None:
    """The numbers of micro-batches, where they fit: across, else along."""
    rows = placed[placed["micro_batch"] >= 0]
    if rows.empty:
        return
    texts = rows["micro_batch"].astype(str).tolist()
    wide = (rows["right"] - rows["left"]).to_numpy() * scale.points_per_ns
    high = (rows["bottom"] - rows["top"]).to_numpy() * scale.points_per_lane
    size = _size(texts, wide, high)
    middles = zip(
        ((rows["left"] + rows["right"]) / 2 / unit_ns).tolist(), ((rows["top"] + rows["bottom"]) / 2).tolist(),
        strict=True,
    )  # fmt: skip
    for text, (x, y), width, height, colour in zip(texts, middles, wide, high, rows["colour"], strict=True):
        turned = _rotation(len(text) * _DIGIT * size, _HIGH * size, width, height)
        if turned is not None:
            axes.text(
                x, y, text, fontsize=size, rotation=turned, color=_ink_on(colour), ha="center", va="center_baseline",
                zorder=3,
            )  # fmt: skip


def _size(texts: list[str], wide: Floats, high: Floats) -> float:
    """The largest size in which nine of ten numbers stand across; else the smallest."""
    digits = np.array([len(text) for text in texts])
    for size in _SIZES:
        if np.mean((digits * _DIGIT * size <= wide) & (_HIGH * size <= high)) >= 0.9:
            return size
    return _SIZES[-1]


def _rotation(length: float, height: float, wide: float, high: float) -> int | None:
    """By how many degrees a number is turned; None where it does not fit."""
    if length <= wide and height <= high:
        return 0
    return 90 if length <= high and height <= wide else None


def _ink_on(colour: str) -> str:
    """Dark on a light colour, and light on a dark one."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else PAPER


# ---- the legend


def _legend(steps: Mapping[str, pd.DataFrame]) -> list[Artist]:
    from matplotlib.patches import Patch

    there = {kind for each in steps.values() for kind in each["kind"].unique()}
    return [
        *(Patch(color=STEP_COLOURS[kind], label=words) for kind, words in WORDS.items() if kind in there),
        Patch(color=IDLE, label="idle"),
        *_shades(1 + max(int(chunk_of(each).max()) for each in steps.values())),
        *([Patch(color=PAPER, label="halves: F and D at once")] if any(map(is_in_pairs, steps.values())) else []),
    ]


def _shades(num_chunks: int) -> Iterator[Artist]:
    """One a stage of a rank, where there are several."""
    from matplotlib.patches import Patch

    if num_chunks > 1:
        yield Patch(color=shade(FAINT, 0, num_chunks), label="first stage of a rank")
        yield Patch(color=shade(FAINT, num_chunks - 1, num_chunks), label="its last (lighter)")

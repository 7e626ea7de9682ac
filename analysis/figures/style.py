"""One look for all figures: colours, sizes, and files that are equal when the figures are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK: Final = "#1d242c"
FAINT: Final = "#8a939c"
GRID: Final = "#e3e6e9"
PAPER: Final = "#ffffff"

WORLD_COLOURS: Final = {"simulated": "#0072b2", "measured": "#d55e00"}
"""Of Okabe and Ito's palette, told apart by all common kinds of colour blindness."""

LINES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6a55", "#999999")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Final = ("-", "--", ":", "-.")

IDLE: Final = "#dfe3e6"
PART_COLOURS: Final = {"compute": "#44aa99", "transfer": "#aa4499", "waiting": "#ddcc77", "free": IDLE}
STEP_COLOURS: Final = {
    "F": "#88ccee",
    "D": "#332288",
    "B": "#44aa99",
    "W": "#117733",
    "R": "#bb7755",
    "O": "#999933",
    "other": FAINT,
}
"""Of a pipeline's steps: of Tol's muted palette, too; they and their lighter shades are told apart by all common kinds
of colour blindness."""

_KIND_COLOURS: Final = {
    "Compute gradient": "#44aa99",
    "Compute forward": STEP_COLOURS["F"],
    "Compute backward": STEP_COLOURS["D"],
    "Compute backward-input": STEP_COLOURS["B"],
    "Compute backward-weight": STEP_COLOURS["W"],
    "Compute overlapped": "#5f7fbf",
    "Compute reconstruct": STEP_COLOURS["R"],
    "Compute optimizer": STEP_COLOURS["O"],
    "Exchange": "#aa4499",
    "Send": "#aa4499",
    "Receive": "#cc6677",
    "AllReduce": "#aa4499",
}
"""Of Tol's muted palette."""
_MORE_COMPUTE: Final = ("#88ccee", "#999933", "#117733", "#5f7fbf")
_MORE_TRANSFERS: Final = ("#cc6677", "#9977bb", "#bb7755")
WAITING: Final = PART_COLOURS["waiting"]

_SETTINGS: Final = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.dpi": 160,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.dpi": 160,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # texts stay texts: a page can use its own font, and search them
    "svg.hashsalt": "twinclock",  # else the ids are random, and equal figures differ
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}

_NO_METADATA: Final[dict[str, Any]] = {"Creator": None, "Date": None, "Format": None, "Type": None}
_VARIABLES: Final = {"ink": INK, "faint": FAINT, "grid": GRID, "paper": PAPER, "idle": IDLE, **WORLD_COLOURS}
"""The colours that a page sets anew, for instance where it is dark."""


def utilisation_map() -> Colormap:
    """From idle to full: the middle of plasma, of even steps for all kinds of colour blindness, seen on light and dark
    paper."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    shades = [colormaps["plasma"](0.9 - 0.65 * step / 255) for step in range(256)]
    return ListedColormap(shades, "utilisation")


def kind_colours(kinds: list[str]) -> dict[str, str]:
    """A colour for every kind of operation, the same in every figure for the usual ones."""
    colours = {kind: _KIND_COLOURS[kind] for kind in kinds if kind in _KIND_COLOURS}
    for kind in kinds:
        if kind not in colours:
            more = _MORE_COMPUTE if kind.startswith("Compute") else _MORE_TRANSFERS
            unused = [colour for colour in more if colour not in colours.values()]
            colours[kind] = (unused or more)[0]  # of more kinds than colours the rest have the first
    return {kind: colours[kind] for kind in kinds}


@contextmanager
def styled() -> Iterator[None]:
    """Figures made or written here have the look."""
    import matplotlib as mpl

    settings: Any = _SETTINGS  # matplotlib types its settings as a literal of all their names
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float, **subplots: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with its axes in reading order; `subplots` as matplotlib's `Figure.subplots`.

    It belongs to no window and no global list, so nothing has to be closed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(squeeze=False, **subplots)
    return figure, list(axes.ravel())


def legend_columns(figure: Figure, labels: Sequence[str], *, frame: float = 0.65, letter: float = 0.09) -> int:
    """Into how many columns a legend with these labels goes beside nothing else.

    Args:
        frame: inches of an entry without its label: its line or box, and gaps.
        letter: inches of a letter, on average.
    """
    inches = max(1.3, frame + letter * max(map(len, labels), default=0))
    return max(1, min(len(labels), int(figure.get_figwidth() / inches)))


def save(figure: Figure, stem: str | PathLike[str]) -> tuple[Path, Path]:
    """Write a figure as `stem.png` and `stem.svg`; equal figures give equal bytes.

    Returns:
        the two paths.
    Raises:
        OSError: if they cannot be written.
    """
    png, svg = Path(f"{stem}.png"), Path(f"{stem}.svg")
    layout = figure.get_layout_engine()
    with styled():
        figure.draw_without_rendering()  # lays out once for both files, which takes most of the time
        figure.set_layout_engine(None)
        figure.savefig(png, metadata={"Software": None})  # else the version of matplotlib is in the bytes
        figure.savefig(svg, metadata=_NO_METADATA)
    figure.set_layout_engine(layout)  # the figure may be drawn on, or saved again
    return png, svg


def inline_svg(svg: str, name: str) -> str:
    """A saved figure as an `<svg>` element to stand in a page.

    Its ids begin with `name`, so that figures do not share any; ink, grid, paper and the two worlds take the page's
    colours (`--ink`, `--idle`, ...); the font is the page's; coordinates keep two decimals.

    Args:
        svg: content of a file that `save` wrote.
        name: of the figure, a word.
    """
    svg = svg[svg.index("<svg") :]  # HTML has no place for an XML declaration
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)  # it would hold for the whole page
    svg = re.sub(r"(font(?:-family)?:[^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1inherit", svg)
    svg = re.sub(r'\b(?:d|x|y|transform)="[^"]*"', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), svg)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"| height="[\d.]+pt"| width="[\d.]+pt"', "", svg, count=2)
    for variable, colour in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg

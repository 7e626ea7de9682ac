"""Pictures of pipelines show the steps that there were, with their numbers where they fit."""

import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from analysis.figures.style import STEP_COLOURS
from analysis.picture import draw_run
from analysis.pipelines.drawing import readable_window, shade, stages_figure
from analysis.pipelines.steps import steps_of_run
from schedules.orders import build
from schedules.result import load_run
from tests.analysis.fake_runs import trace_of, write_run
from tests.analysis.pipelines.test_steps import step
from tests.analysis.pipelines.traces import trace_of_order


def boxes(figure):
    """Colour, left, top, right and bottom of every box, without what is idle."""
    return [
        (to_hex(colour), *path.vertices.min(axis=0).tolist(), *path.vertices.max(axis=0).tolist())
        for drawn in figure.axes[0].collections
        if len(drawn.get_facecolor()) > 1
        for colour, path in zip(drawn.get_facecolor(), drawn.get_paths(), strict=True)
    ]


def texts(figure):
    """Numbers of micro-batches where they are: (number, x, y), and by how much each is turned."""
    return {(each.get_text(), *each.get_position()): each.get_rotation() for each in figure.axes[0].texts}


def test_a_box_a_step_with_its_number():
    trace = trace_of(
        step(0, "forward", 0, 10, 5), step(1, "forward", 10, 20, 5), step(1, "backward", 20, 40, 5),
        step(0, "backward-input", 40, 50, 5), step(0, "backward-weight", 50, 60, 5),
    )  # fmt: skip
    figure = stages_figure({"simulated": steps_of_run(trace)})
    colours = {kind: STEP_COLOURS[kind] for kind in "FDBW"}
    assert [(colour, left, right) for colour, left, _, right, _ in boxes(figure)] == [
        (colours["F"], 0, 10), (colours["B"], 40, 50), (colours["W"], 50, 60), (colours["F"], 10, 20),
        (colours["D"], 20, 40),
    ]  # fmt: skip
    assert [key[:2] for key in texts(figure)] == [("5", 5), ("5", 45), ("5", 55), ("5", 15), ("5", 30)]
    assert [each.get_text() for each in figure.legends[0].get_texts()][-1] == "idle"


def test_a_pair_is_two_halves_of_one_box():
    figure = stages_figure({"simulated": steps_of_run(trace_of_order(build("dualpipe", 2, 4)))})
    halves = [box for box in boxes(figure) if box[4] - box[2] < 0.5]
    upper, lower = halves[::2], halves[1::2]
    assert halves
    assert [(box[1], box[3]) for box in upper] == [(box[1], box[3]) for box in lower]
    assert all(above[4] == below[2] for above, below in zip(upper, lower, strict=True))


def test_later_stages_of_a_rank_are_lighter():
    figure = stages_figure({"simulated": steps_of_run(trace_of_order(build("interleaved-1f1b", 2, 2, chunks=3)))})
    forwards = {shade(STEP_COLOURS["F"], chunk, 3) for chunk in range(3)}
    assert len(forwards) == 3
    assert forwards <= {colour for colour, *_ in boxes(figure)}


def test_simulated_stands_above_measured_on_one_axis():
    trace = trace_of_order(build("1f1b", 2, 2))
    figure = stages_figure({"simulated": steps_of_run(trace), "measured": steps_of_run(trace)})
    assert [each.get_text() for each in figure.axes[0].get_yticklabels()] == ["simulated", "measured"] * 2
    simulated, measured = boxes(figure)[:8], boxes(figure)[8:]
    assert [(colour, left, top + 1, right, bottom + 1) for colour, left, top, right, bottom in simulated] == [
        (colour, left, pytest.approx(top), right, pytest.approx(bottom))
        for colour, left, top, right, bottom in measured
    ]


@pytest.mark.parametrize(("program", "keys"), [("1f1b", {}), ("zb-h2", {}), ("interleaved-1f1b", {"chunks": 2})])
def test_every_number_fits_at_8_ranks_and_24_micro_batches(program, keys):
    steps = steps_of_run(trace_of_order(build(program, 8, 24, **keys)))
    figure = stages_figure({"simulated": steps}, width=10.0)
    axes, renderer = figure.axes[0], FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    assert len(axes.texts) == len(steps)
    for text, (_, left, top, right, bottom) in zip(axes.texts, boxes(figure), strict=True):
        own = text.get_window_extent(renderer)
        (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
        # The box of a text has room below its digits for letters such as g.
        assert own.width <= x1 - x0 + (0.3 * own.width if text.get_rotation() else 1)
        assert own.height <= y1 - y0
        assert text.get_fontsize() >= 5


def test_numbers_that_do_not_fit_are_left_out():
    steps = steps_of_run(trace_of_order(build("1f1b", 2, 600)))
    assert len(stages_figure({"simulated": steps}).axes[0].texts) == 0


def test_the_window_has_so_many_steps():
    steps = {"simulated": steps_of_run(trace_of_order(build("gpipe", 2, 50)))}
    assert readable_window(steps, 10) == (0, 15_000)
    assert readable_window(steps, 1000) == (0, 153_000)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_equal_runs_give_equal_pictures_1600_pixels_wide(tmp_path, suffix):
    run = load_run(write_run(tmp_path / "run", trace_of_order(build("1f1b", 4, 8))))
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    told = [draw_run(run, file) for file in files]
    assert told == ["gossip, 4 workers, 8 micro-batches, simulated: 33 µs"] * 2  # the program is the fake run's
    assert files[0].read_bytes() == files[1].read_bytes()
    if suffix == ".svg":
        assert re.search(r'<svg [^>]*width="1600"', files[0].read_text())
    else:
        assert int.from_bytes(files[0].read_bytes()[16:20]) == 1600

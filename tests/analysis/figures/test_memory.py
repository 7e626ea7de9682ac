"""The curve of what is held shows the fullest rank, its kinds and its peak."""

import numpy as np
import pandas as pd
import pytest

from analysis.figures.memory import memory_curve

MS = 10**6


def table(*rows):
    return pd.DataFrame(rows, columns=["rank", "time_ns", "kind", "bytes"])


TWO_RANKS = table(
    (0, 0, "in-flight", 0), (0, 10 * MS, "in-flight", 2000), (0, 30 * MS, "in-flight", 0),
    (0, 0, "parameters", 4000),
    (1, 0, "gradients", 3000), (1, 20 * MS, "gradients", 0),
    (1, 0, "in-flight", 0), (1, 10 * MS, "in-flight", 2000), (1, 40 * MS, "in-flight", 0),
    (1, 0, "parameters", 4000),
)  # fmt: skip


def test_the_fullest_rank_is_stacked():
    figure = memory_curve(TWO_RANKS)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Memory of rank 1: 9 kB at the peak; the others 6 kB"
    assert [each.get_label() for each in axes.collections] == ["parameters", "gradients", "in-flight"]
    assert axes.get_ylabel() == "held (kB)"
    assert axes.get_xlim() == (0, 0.04)
    assert axes.get_ylim()[1] == pytest.approx(1.05 * 9)


def test_areas_are_as_high_as_what_is_held():
    areas = memory_curve(TWO_RANKS).axes[0].collections
    highest = {area.get_label(): area.get_paths()[0].vertices[:, 1].max() for area in areas}
    assert highest == {"parameters": 4, "gradients": 7, "in-flight": 9}


def test_ranks_that_hold_as_much_are_told():
    same = table((0, 0, "parameters", 8), (1, 0, "parameters", 8))
    assert memory_curve(same).axes[0].get_title(loc="left").endswith("8 B at the peak; every rank holds as much")
    only = memory_curve(same.head(1)).axes[0].get_title(loc="left")
    assert only == "Memory of rank 0: 8 B at the peak; the only rank"
    many = table((0, 0, "parameters", 8), (1, 0, "parameters", 7), (2, 0, "stashes", 5), (2, 9, "stashes", 0))
    assert memory_curve(many).axes[0].get_title(loc="left").endswith("; the others 5 B to 7 B")


def test_what_is_held_throughout_is_held_to_the_end():
    axes = memory_curve(table((0, 0, "parameters", 8)), until_ns=40 * MS).axes[0]
    assert axes.get_xlim() == (0, 0.04)
    assert axes.collections[0].get_paths()[0].vertices.max(axis=0).tolist() == [0.04, 8]


def test_a_long_curve_keeps_its_peak():
    generator = np.random.default_rng(0)
    times = np.sort(generator.choice(10**9, 50_000, replace=False))
    times[0] = 0
    sizes = generator.integers(1, 1000, len(times))
    sizes[31_234] = 5000
    figure = memory_curve(pd.DataFrame({"rank": 3, "time_ns": times, "kind": "stashes", "bytes": sizes}))
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert len(corners) < 5000
    assert corners[:, 1].max() == 5
    assert times[31_234] / 1e9 in corners[:, 0]


def test_nothing_held_is_an_empty_figure():
    assert memory_curve(table()).axes[0].get_title(loc="left") == "Memory: nothing was held"

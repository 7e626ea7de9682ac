"""Event files, read back by TensorBoard's own reader; and what is said where it is not installed."""

from importlib.util import find_spec

import pytest

from analysis import export, load_run
from analysis.exports.tensorboard import scalars
from tests.analysis.fake_runs import gossip_trace, series_of, write_run

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")


@pytest.fixture
def run_dir(tmp_path):
    trace = gossip_trace(gradients=10)
    return write_run(tmp_path / "run", trace, series=series_of(trace, points=5))


def test_points_of_a_run(run_dir):
    run = load_run(run_dir)
    points = {}
    for each in scalars(run):
        points.setdefault(each.tag, []).append((each.time_s, each.value))
    assert points["loss"] == list(zip(run.series["time_s"], run.series["loss"], strict=True))
    assert points["gradients"][-1] == (run.summary["makespan_s"], 40)
    assert points["gradients"] == sorted(points["gradients"])
    assert points["summary/gradients"] == [(run.summary["makespan_s"], 40)]
    assert "time" not in points


@needs_tensorboard
@pytest.mark.slow
def test_tensorboard_reads_what_was_written(run_dir, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "new" / "events"
    for _ in range(2):  # the second takes the place of the first
        assert export(run_dir, "tensorboard", out) == out
        (out / "notes.txt").write_text("kept")
    assert sorted(path.suffix for path in out.iterdir()) == [".twinclock", ".txt"]
    reader = EventAccumulator(str(out))
    reader.Reload()
    run = load_run(run_dir)
    loss = reader.Scalars("loss")
    assert [each.value for each in loss] == pytest.approx(run.series["loss"].tolist(), rel=1e-6)  # float32
    assert [each.step for each in loss] == [round(time / run.gradient_s) for time in run.series["time_s"]]
    assert loss[-1].wall_time - loss[0].wall_time == pytest.approx(run.series["time_s"].iloc[-1], abs=1e-5)


def test_where_it_is_not_installed_one_line_says_so(run_dir, monkeypatch):
    monkeypatch.setattr("analysis.exports.tensorboard.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"expected TensorBoard installed \(pip install tensorboard\), found none"):
        export(run_dir, "tensorboard", run_dir / "tensorboard")
    assert not (run_dir / "tensorboard").exists()

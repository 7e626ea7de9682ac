"""What is told of work that takes long."""

from __future__ import annotations

import io
from typing import Any

import pytest

from simulator import simulate
from simulator.course import Seen
from twinclock import progress
from twinclock.progress import Counted, ProgressLine, clock, line

SCENARIO: dict[str, Any] = {
    "schedule": {"program": "all-reduce", "gradients": 6},
    "topology": {"graph": "ring", "workers": 2},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"parameters": 1000},
}


def test_a_line_says_how_far_it_has_come_and_how_long_it_will_take() -> None:
    seen = Seen(0.25, 12_345, 1_500_000_000)
    assert line("simulating", 30, seen) == (
        "simulating: 30 s, 25 %, 12,345 gradients, 1.5 s simulated, about 90 s to go"
    )
    assert "[#####...............] 25 %" in line("simulating", 30, seen, is_bar=True)
    assert line("simulating", 3, Seen(None, 0, 2_000_000)) == "simulating: 3 s, 2 ms simulated"
    assert line("comparing", 3, None) == "comparing: 3 s"
    assert line("simulating", 30, Counted(0.25, 3, 40)) == "simulating: 30 s, 25 %, 3 of 40 runs, about 90 s to go"


@pytest.mark.parametrize(("seconds", "told"), [(2, "2 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_times_are_those_of_a_clock(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def test_what_is_quick_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("simulating"):
        pass
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class OneLook:
    """An end that comes after the first line, whatever the machine is doing meanwhile."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) > 1

    def set(self) -> None:
        pass


@pytest.mark.parametrize(
    ("stream", "waits", "told"),
    [
        (io.StringIO(), [10.0, 10.0], "simulating: 0 s\n"),
        (Terminal(), [2.0, 1.0], "\rsimulating: 0 s\x1b[K\r\x1b[K"),
    ],
)
def test_a_terminal_has_one_line_and_others_a_line_every_ten_seconds(
    stream: io.StringIO, waits: list[float], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.sys, "stderr", stream)
    shown, look = ProgressLine("simulating"), OneLook()
    monkeypatch.setattr(shown, "_is_over", look)
    with shown:
        pass
    assert (look.waits, stream.getvalue()) == (waits, told)


@pytest.mark.parametrize(
    ("run", "share"),
    [({}, 1.0), ({"until": "time", "duration": "30 ms"}, 1.0), ({"until": "precision", "limit": 50}, None)],
)
def test_a_simulation_says_how_far_it_has_come(run: dict[str, Any], share: float | None) -> None:
    looks: list[Any] = []
    simulate({**SCENARIO, "run": run}, watch=looks.append)
    seen = looks[0]()
    assert seen.share == pytest.approx(share) if share is not None else seen.share is None
    assert seen.gradients > 0

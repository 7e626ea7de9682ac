"""What the tests of the command line share."""

import pytest
from click.testing import CliRunner

from twinclock.main import main

BASE = {
    "schedule.program": '"gossip"',
    "schedule.gradients": "5",
    "topology.graph": '"ring"',
    "topology.workers": "4",
    "platform.gradient.mean": '"10 ms"',
    "workload.parameters": "1000",
}
"""A scenario, as the lines of its file."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scenario(here):
    """Write `scenario.toml`: the base, with other lines, or without a line (None)."""

    def write(changes=None, name="scenario.toml"):
        lines = dict(BASE)
        for key, value in (changes or {}).items():
            lines = {each: text for each, text in lines.items() if not f"{each}.".startswith(f"{key}.")}
            if value is not None:
                lines[key] = value
        (here / name).write_text("\n".join(f"{key} = {value}" for key, value in lines.items()) + "\n")
        return name

    return write


@pytest.fixture
def run():
    """Call the command line in this process."""

    def call(*arguments):
        return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="twinclock")

    return call

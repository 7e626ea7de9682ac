"""`--help` answers at once: it imports nothing that is slow; and it says what a newcomer needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twinclock.main import main

ROOT = Path(__file__).parent.parent.parent
SLOW = [
    "torch", "pandas", "matplotlib", "pydantic", "networkx", "numpy", "scipy", "simpy", "pint", "joblib", "pyarrow",
    "sklearn", "tqdm", "jinja2", "distributed",
    "topologies", "schedules", "simulator", "executor", "analysis",
]  # fmt: skip
COMMANDS = ["quickstart", "simulate", "sweep", "execute", "calibrate", "compare", "export", "schedules", "topologies"]

PROGRAM = f"""
import sys
from twinclock.main import main

try:
    main(sys.argv[1:], prog_name="twinclock")
finally:
    print([name for name in {SLOW} if name in sys.modules], file=sys.stderr)
"""


def test_commands_are_listed_in_the_order_of_use():
    assert main.list_commands(None) == COMMANDS


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_slow(arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: twinclock")
    assert done.stderr == "[]\n"


def test_listing_cuts_no_description_off(run):
    listing = run("--help").stdout.partition("Commands:")[2]
    assert "..." not in listing
    for name in COMMANDS:
        assert f"  {name} " in listing


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(run, name):
    """One line that says what it does, examples, and lines no longer than a terminal is wide."""
    text = run(name, "--help").stdout
    assert len((main.commands[name].help or "").splitlines()) == 1
    assert "Examples:\n" in text
    assert f"  twinclock {name}" in text
    assert "--json" in text
    assert max(map(len, text.splitlines())) <= 100


def test_without_a_command_it_is_the_help(run):
    result = run()
    assert result.output.startswith("Usage: twinclock")


def test_version(run):
    assert run("--version").stdout.startswith("twinclock")

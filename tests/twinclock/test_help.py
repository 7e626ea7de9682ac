"""`--help` answers at once: it imports nothing that is slow; and it says what a newcomer needs."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from twinclock.main import COMMANDS, main

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = str(ROOT / "examples" / "ring-gossip.toml")
SLOW = [
    "torch", "pandas", "matplotlib", "pydantic", "networkx", "numpy", "scipy", "simpy", "joblib", "pyarrow",
    "sklearn", "tqdm", "jinja2", "distributed",
]  # fmt: skip
OURS = ["topologies", "schedules", "simulator", "executor", "analysis", "twinclock"]
NEEDED_BY_HELP = ["schedules", "schedules.errors", "twinclock", "twinclock.endings", "twinclock.main"]
DESCRIBING = ["numpy", "networkx", "pydantic", "simpy"]
"""What a command's module imports before it is asked for more than its own help."""
NAMES = [
    "quickstart", "simulate", "sweep", "execute", "calibrate", "compare", "report", "draw", "export", "schedules",
    "topologies", "paper",
]  # fmt: skip

PROGRAM = f"""
import sys
from twinclock.main import main

try:
    main(sys.argv[1:], prog_name="twinclock")
finally:
    print(*(name for name in sys.modules if name in {SLOW} or name.split(".")[0] in {OURS}), file=sys.stderr)
"""


def imported_by(*arguments: str) -> tuple[set[str], str]:
    """The slow modules and our own that a call of `twinclock` has imported when it ends, and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split()), done.stdout


def test_commands_are_listed_in_the_order_of_use():
    assert main.list_commands(None) == list(main.commands) == NAMES


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_slow_and_no_command(arguments):
    imported, text = imported_by(*arguments)
    assert text.startswith(("Usage: twinclock", "twinclock"))
    assert sorted(imported) == NEEDED_BY_HELP


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_imports_this_one_and_nothing_slow(name):
    imported, text = imported_by(name, "--help")
    assert text.startswith(f"Usage: twinclock {name}")
    assert imported & set(SLOW) <= set(DESCRIBING)
    commands = {f"twinclock.commands.{each}" for each in NAMES}
    assert imported & commands == {f"twinclock.commands.{name}"}


def test_simulate_needs_no_torch():
    imported, text = imported_by("simulate", EXAMPLE, "--set", "schedule.gradients=2")
    assert "throughput" in text
    assert {"simpy", "numpy"} <= imported
    assert "torch" not in imported


@pytest.mark.slow
def test_execute_leaves_torch_to_the_ranks(tmp_path):
    shorter = ("--set", "schedule.gradients=2", "--set", "topology.workers=2")
    imported, text = imported_by("execute", EXAMPLE, *shorter, "--out", str(tmp_path / "run"))
    assert "measured" in text
    assert "executor.launching.launch" in imported
    assert imported.isdisjoint({"torch", "simpy"})


@pytest.mark.parametrize("name", NAMES)
def test_table_says_of_a_command_what_it_says_of_itself(name):
    command = main.commands[name]
    assert command.name == name
    assert COMMANDS[name].line == command.help.splitlines()[0]
    assert command is main.get_command(click.Context(main), name)


def test_listing_is_the_one_that_click_would_make():
    """Ours is read from the table; click's own asks every command. They agree in wide and narrow terminals."""
    for width in (40, 72, 100):
        ours, theirs = (click.HelpFormatter(width=width) for _ in range(2))
        main.format_commands(click.Context(main), ours)
        click.Group.format_commands(main, click.Context(main), theirs)
        assert ours.getvalue() == theirs.getvalue()


def test_listing_cuts_no_description_off(run):
    listing = run("--help").stdout.partition("Commands:")[2]
    assert "..." not in listing
    for name in NAMES:
        assert f"  {name} " in listing


@pytest.mark.parametrize("name", NAMES)
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

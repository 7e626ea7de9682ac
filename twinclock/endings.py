"""How a command ends: nothing but what is a defect of ours prints a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click

from schedules.errors import ScenarioError, ScheduleError

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130  # what a shell says of a process that SIGINT has ended: 128 + 2


class Ending(click.ClickException):
    """A message on stderr, and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click has one a class

    def show(self, file: IO[str] | None = None) -> None:
        """Print the message."""
        click.echo(f"twinclock: {self.message}", file=file, err=file is None)


def bad_input(message: str) -> Ending:
    """What the user gave is wrong; nothing was written."""
    return Ending(message, BAD_INPUT)


@contextmanager
def reading() -> Iterator[None]:
    """Around what only reads and checks what the user gave: a ValueError or OSError there is about the input."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise bad_input(str(error)) from None


@contextmanager
def plain_endings() -> Iterator[None]:
    """Around a command: the errors that are expected become an exit status and a message without traceback."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # a UsageError whose message is the whole help, which is not to become one line
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "twinclock"
        raise bad_input(f"{_line(error.format_message())} (see {command} --help)") from None
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        raise Ending("interrupted", INTERRUPTED) from None
    except Exception as error:
        ending = _expected(error)
        if ending is None:
            raise
        raise ending from None


def _expected(error: Exception) -> Ending | None:
    if isinstance(error, ScenarioError):
        return bad_input(_line(str(error)))
    if isinstance(error, ScheduleError):
        # Its notes (where the rest of a failed run is kept) are otherwise shown by a traceback only.
        return Ending("\n".join((str(error), *getattr(error, "__notes__", ()))), FAILED)
    # A broken pipe is `twinclock ... | head`: click ends that in silence. Any other OSError (a full disk, a directory
    # that was taken away) is the machine's, and no defect of ours.
    if isinstance(error, BrokenPipeError) or not isinstance(error, OSError):
        return None
    return Ending(str(error), FAILED)


def _line(text: str) -> str:
    return " ".join(text.split())

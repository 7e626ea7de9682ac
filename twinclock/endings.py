"""How a command ends: nothing but what is a defect of ours prints a traceback."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO

import click

from schedules.errors import ScenarioError, ScheduleError

_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""A full or a broken disk is not wrong input."""

FAILED = 1
BAD_INPUT = 2
SIGNALLED = 128  # what a shell adds to the number of the signal that has ended a process


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


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: what Ctrl-C ends in order, they do, too.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def interrupted(error: KeyboardInterrupt, kept: str = "") -> Ending:
    """Somebody has ended the command: by Ctrl-C, or by a signal of another name.

    Args:
        error: how.
        kept: what is told of what was done until then.
    """
    warnings.simplefilter("ignore")  # what libraries say of things that were not closed helps nobody now
    number = error.number if isinstance(error, Terminated) else signal.SIGINT
    word = "terminated" if isinstance(error, Terminated) else "interrupted"
    return Ending(f"{word}: {kept}" if kept else word, SIGNALLED + number)


@contextmanager
def orderly_signals() -> Iterator[None]:
    """Around the whole command: SIGTERM and SIGHUP become `Terminated`, so that whatever is open is closed."""
    # Only the main thread may ask for signals; a command called from another one is ended by that one.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays ignored: `nohup` has said so.
    caught = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    former = {each: signal.signal(each, _terminate) for each in caught}
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def _terminate(number: int, _: FrameType | None) -> None:
    raise Terminated(number)


def check_streams(*, is_quiet: bool) -> None:
    """Before anything is read: a standard stream that was closed (`>&-`) is the null device for whatever we open.

    Otherwise the next file or pipe that is opened would have its number, and get what is printed.

    Args:
        is_quiet: whether nothing is to be printed.
    Raises:
        Ending: if what is to be printed has nowhere to go.
    """
    is_closed = sys.stdout is None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    # Typed as if they were always there.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if is_closed and not is_quiet:
        raise Ending("the standard output is closed", FAILED)


@contextmanager
def reading() -> Iterator[None]:
    """Around what only reads and checks what the user gave: a ValueError or OSError there is about the input."""
    try:
        yield
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise  # `plain_endings` tells it
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
    except KeyboardInterrupt as error:
        raise interrupted(error) from None
    except BrokenPipeError as error:
        if not _is_output_gone():
            raise Ending(str(error), FAILED) from None
        # `twinclock ... | head`: whoever reads has what was wanted. What is left in buffers goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None
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
    # A full disk, a directory that was taken away: the machine's, and no defect of ours.
    if not isinstance(error, OSError):
        return None
    return Ending(str(error), FAILED)


def _is_output_gone() -> bool:
    """Whether nobody reads the standard output any more."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):  # no file
        return False
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _line(text: str) -> str:
    """An error in one line; the ranks of an order stay below it, a line each."""
    lines = text.splitlines()
    ranks = [each for each in lines if each.startswith("  rank ")]
    return "\n".join((" ".join(" ".join(each for each in lines if each not in ranks).split()), *ranks))

"""Writing so that a failure leaves nothing half written, and nothing of the user's is lost.

What is written goes to a temporary place first and is moved then: beside the final place, since only within one file
system a move is done at once. A link is followed. A device or a pipe is written to, as nothing can take its place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from schedules.errors import ScenarioError

PREFIX = ".twinclock-"
"""What the names of temporary places begin with."""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of writing names the file: a full disk is told by the system without one."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None or isinstance(error, BrokenPipeError):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path, whose file takes the place of `path` when the block ends without an error.

    Raises:
        OSError: if it cannot be written.
    """
    if is_stream(path):
        with _named(path), tempfile.TemporaryDirectory(prefix=PREFIX) as place:
            temporary = Path(place) / path.name
            yield temporary
            with temporary.open("rb") as written, path.open("wb") as stream:
                shutil.copyfileobj(written, stream)
        return
    target = path.resolve()
    with _named(path), _beside(target) as beside:
        # A file of the same name in a directory of its own: writers that look at the suffix see the right one.
        temporary = beside / path.name
        yield temporary
        if target.is_file():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)


@contextmanager
def whole_directory(path: Path, last: str) -> Iterator[Path]:
    """A temporary directory whose files are moved into `path` when the block ends without an error.

    Files of other names that are in `path` already are kept.

    Args:
        path: made if it is not there.
        last: the file that is moved last: where it is new, all are. A directory without it is not yet one of these.
    Raises:
        ValueError: if `path` is a file, or without `last` has a file of a name that is to be written.
        OSError: if it cannot be written.
    """
    target = path.resolve()
    if target.exists() and not target.is_dir():
        raise ValueError(f"{path}: expected a directory to write to, found a file")
    with _named(path), _beside(target) as temporary:
        yield temporary
        made = sorted(temporary.iterdir(), key=lambda each: (each.name == last, each.name))
        taken = [each.name for each in made if (target / each.name).exists()]
        if taken and not (target / last).exists():
            told = f"found {', '.join(taken)} and no {last}"
            raise ValueError(f"{path}: expected a new directory, or one that has {last} already, {told}")
        target.mkdir(exist_ok=True)
        for each in made:
            os.replace(each, target / each.name)


@contextmanager
def new_directory(path: Path, own: Collection[str]) -> Iterator[Path]:
    """A temporary directory that takes the place of `path` when the block ends well.

    Whatever else is in the former directory is moved over. A directory that cannot be moved itself, such as a mounted
    one or the one that the user stands in, gets the new files one by one.

    Args:
        path: the directory, or a link to it.
        own: names of the files that may be written, and that are removed with the former directory.
    Raises:
        OSError: if it cannot be written; then `path` is as it was.
    """
    target = path.resolve()
    is_fixed = is_immovable(target)
    parent = target if is_fixed else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    made, former = place / "new", place / "former"
    made.mkdir()
    try:
        with _named(path):
            yield made
            if is_fixed:
                _fill(target, made, own)
            elif target.exists():
                _exchange(target, made, former, own)
            else:
                os.rename(made, target)
    finally:
        # Never whole trees: should anything of the user's be in there still, it stays.
        for each in (made, former):
            remove_own(each, own)
        with suppress(OSError):
            place.rmdir()


def _exchange(target: Path, made: Path, former: Path, own: Collection[str]) -> None:
    shutil.copymode(target, made)
    moved = []
    try:
        for each in strangers(target, own):
            os.rename(each, made / each.name)
            moved.append(each.name)
        os.rename(target, former)
        os.rename(made, target)
    except BaseException:  # Ctrl-C, too
        if former.exists():
            os.rename(former, target)
        for name in moved:
            os.rename(made / name, target / name)
        raise


def _fill(target: Path, made: Path, own: Collection[str]) -> None:
    written = [each.name for each in made.iterdir()]
    for name in written:
        os.replace(made / name, target / name)
    for name in set(own).difference(written):
        (target / name).unlink(missing_ok=True)


def strangers(directory: Path, own: Collection[str]) -> list[Path]:
    """What is in a directory beside the files of these names; empty where there is no directory."""
    if not directory.is_dir():
        return []
    found = (each for each in directory.iterdir() if each.name not in own or (each.is_dir() and not each.is_symlink()))
    return sorted(each for each in found if not each.name.startswith(PREFIX))


def remove_own(directory: Path, own: Collection[str]) -> None:
    """Remove the files of these names from a directory, and the directory where it is empty then."""
    with suppress(OSError):
        for name in own:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or an open file of this process: something to be written to as it is."""
    if not os.path.exists(path) or path.is_dir():  # `Path.exists` raises where a name is too long
        return False
    return not path.is_file() or path.absolute().parts[1] in ("dev", "proc")


def is_immovable(directory: Path) -> bool:
    """Whether a directory can only be written into: it is mounted, its parent is locked, or this process stands in it.

    Args:
        directory: resolved.
    """
    if not directory.is_dir():
        return False
    here = Path.cwd()
    is_underfoot = directory == here or directory in here.parents
    return is_underfoot or os.path.ismount(directory) or not os.access(directory.parent, os.W_OK | os.X_OK)


def check_place(path: Path, *, is_directory: bool = False) -> None:
    """Refuse, before anything is run, a place that cannot be written to.

    Args:
        path: of what is to be written.
        is_directory: whether that is a directory; else it is a file.
    Raises:
        ScenarioError: if nothing can be written there.
    """
    if is_stream(path) and not is_directory:
        if not os.access(path, os.W_OK):
            raise ScenarioError(f"{path}: expected something that can be written to, found what cannot")
        return
    try:
        target = path.resolve()
        target.exists()  # here a name that is too long is told
        above = next((each for each in target.parents if each.exists()), None)
    except (OSError, RuntimeError) as error:  # a RuntimeError is a link that leads to itself
        raise ScenarioError(f"{path}: expected a place to write to, found: {error}") from None
    if above is None:
        raise ScenarioError(f"{path}: expected a place in a directory, found the root of all")
    if not above.is_dir():
        raise ScenarioError(f"{path}: expected a place in a directory, found the file {above}")
    if is_directory and is_immovable(target):
        above = target
    try:
        # Tried, not asked for: what may be written says nothing of a full or a strange file system.
        os.rmdir(tempfile.mkdtemp(prefix=PREFIX, dir=above))
    except OSError as error:
        reason = error.strerror or error
        told = f"expected a directory that can be written to, found {above}, which cannot"
        raise ScenarioError(f"{path}: {told} ({reason})") from None


def free_places(path: Path) -> Iterator[Path]:
    """Where something may be kept instead: the first free `NAME-2`, `NAME-3`, ... beside it, then a temporary place."""
    target = path.resolve()
    numbered = (target.with_stem(f"{target.stem}-{number}") for number in range(2, 1000))
    yield next(each for each in numbered if not os.path.lexists(each))
    yield Path(tempfile.mkdtemp(prefix="twinclock-kept-")) / target.name


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """An empty directory beside `path`, which is removed in the end if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=PREFIX, dir=path.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

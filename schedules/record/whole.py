"""Writing so that a failure leaves nothing half written: to a temporary place first, then moved.

The temporary place lies beside the final one, since only within one file system a move is done at once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without an error.

    Raises:
        OSError: if it cannot be written.
    """
    with _beside(path) as place:
        # A file of the same name in a directory of its own: writers that look at the suffix see the right one.
        temporary = place / path.name
        yield temporary
        os.replace(temporary, path)


@contextmanager
def whole_directory(path: Path, last: str) -> Iterator[Path]:
    """A temporary directory whose files are moved into `path` when the block ends without an error.

    Files of other names that are in `path` already are kept.

    Args:
        path: made if it is not there.
        last: the file that is moved last: where it is new, all are.
    Raises:
        ValueError: if `path` is a file.
        OSError: if it cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: expected a directory to write to, found a file")
    with _beside(path) as temporary:
        yield temporary
        path.mkdir(exist_ok=True)
        for each in sorted(temporary.iterdir(), key=lambda each: (each.name == last, each.name)):
            os.replace(each, path / each.name)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that takes the place of `path`, and of all that was in it, when the block ends well.

    Raises:
        OSError: if it cannot be written.
    """
    with _beside(path) as temporary:
        yield temporary
        temporary.chmod(0o755)  # a temporary directory is for its owner only
        if path.exists():
            shutil.rmtree(path)  # a directory that is not empty cannot be moved over
        os.replace(temporary, path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """An empty directory beside `path`, which is removed in the end if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

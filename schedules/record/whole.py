"""Writing so that a failure leaves nothing half written: to a temporary place first, then moved."""

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
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as place:
        temporary = Path(place) / path.name
        yield temporary
        os.replace(temporary, path)


@contextmanager
def whole_directory(path: Path, last: str) -> Iterator[Path]:
    """A temporary directory whose files are moved into `path` when the block ends without an error.

    Args:
        path: made if it is not there.
        last: the file that is moved last: where it is new, all are.
    Raises:
        ValueError: if `path` is a file.
        OSError: if it cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: expected a directory to write to, found a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        path.mkdir(exist_ok=True)
        for each in sorted(temporary.iterdir(), key=lambda each: (each.name == last, each.name)):
            os.replace(each, path / each.name)
    finally:
        shutil.rmtree(temporary)

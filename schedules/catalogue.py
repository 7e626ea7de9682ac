"""The schedules by name. Each is a file of `schedules.programs`; this table is all that knows them all."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pydantic import BaseModel

from schedules.errors import nearest
from schedules.operations import Program

if TYPE_CHECKING:
    from schedules.worker import Worker


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Attributes:
        name: as in `program = "..."`.
        summary: one line.
        source: the paper.
        settings: pydantic model of the keys of [schedule].
        streams: worker -> its programs by stream name, in the order in which they begin.
        has_tilde: whether the workers keep a second copy x~ of the parameters (A²CiD²).
        survives: whether the others go on when a worker fails: an exchange with it is answered None.
    """

    name: str
    summary: str
    source: str
    settings: type[BaseModel]
    streams: Callable[[Worker], Mapping[str, Program]]
    has_tilde: bool = False
    survives: bool = False


MODULES = {
    "all-reduce": "schedules.programs.synchronous.all_reduce",
    "d-psgd": "schedules.programs.synchronous.d_psgd",
    "gossip": "schedules.programs.gossip.pairwise",
    "a2cid2": "schedules.programs.gossip.a2cid2",
}


def names() -> list[str]:
    """All names, in the catalogue's order."""
    return list(MODULES)


def find(name: object) -> Schedule:
    """The schedule of that name; `package.module` or a path `file.py` gives the user's own.

    A schedule is a module with a docstring, `SOURCE`, `Settings` and `streams(worker)`; `HAS_TILDE` and
    `SURVIVES_FAILURES`, if it has them, say what `Schedule` says.

    Raises:
        ValueError: if there is none, with the nearest names.
    """
    module = _module(name)
    missing = [each for each in ("SOURCE", "Settings", "streams") if not hasattr(module, each)]
    if missing:
        raise ValueError(
            f"expected a module with SOURCE, Settings and streams, found {name!r} without {', '.join(missing)}"
        )
    if "gradients" not in module.Settings.model_fields:  # the clocks' horizon is in it
        raise ValueError(f"expected Settings with the key gradients, found {name!r} without")
    return Schedule(
        name=str(name),
        summary=(module.__doc__ or str(name)).strip().splitlines()[0],
        source=module.SOURCE,
        settings=module.Settings,
        streams=module.streams,
        has_tilde=getattr(module, "HAS_TILDE", False),
        survives=getattr(module, "SURVIVES_FAILURES", False),
    )


def _module(name: object) -> ModuleType:
    text = str(name)
    # Without a dot it must be ours: a program "json" would otherwise be imported, and refused for the wrong reason.
    if not isinstance(name, str) or (name not in MODULES and "." not in name):
        raise ValueError(f"expected one of {', '.join(MODULES)}; found {name!r}{nearest(text, MODULES)}")
    try:
        return _from_file(Path(text)) if text.endswith(".py") else importlib.import_module(MODULES.get(text, text))
    except (ImportError, OSError) as error:
        raise ValueError(
            f"expected one of {', '.join(MODULES)}, or your own module or file; found {name!r} ({error})"
        ) from None


def _from_file(path: Path) -> ModuleType:
    """The user's own file as a module; the same file gives the same module."""
    key = f"schedules.programs.own.{path.resolve()}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, path)  # not by its bare name, which may be another's
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[key] = importlib.util.module_from_spec(spec)  # pydantic looks for Settings' names there
        try:
            spec.loader.exec_module(module)
        except BaseException:  # half a module must not be found the next time
            del sys.modules[key]
            raise
    return sys.modules[key]

"""The schedules by name. Each is a file of `schedules.programs`; this table is all that knows them all."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from schedules.errors import MisuseError, nearest
from schedules.misuse.values import FUNCTION, Sort, an, derived_from, or_none, raised, short, text
from schedules.operations import Program
from schedules.training.readout import ReadOut
from schedules.training.state import is_free
from schedules.training.vectors import Vector, Vectors

if TYPE_CHECKING:
    from schedules.worker import Worker


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Attributes:
        name: as in `program = "..."`.
        summary: one line.
        source: the paper.
        family: what it is one of: the folder of ours, "your own" of others.
        staleness: how old what it applies is, in words; empty where nobody has said.
        ours: what of it is not the paper's, in words; empty: nothing.
        settings: pydantic model of the keys of [schedule].
        streams: worker -> its programs by stream name, in the order in which they begin.
        vectors: what the workers keep beside x; or settings -> these, where it depends on a key.
        optimizer: SHARD where the optimizer works on the rank's part of x; None: on all of it.
        constants: worker -> further names that rules see, with their values at the start.
        read_out: (state, time) -> the parameters to be looked at; None: x as it is.
        place: (settings, number of workers) -> for every stage its rank, or a tuple of ranks; None: no stages.
        edges: (settings, number of workers) -> pairs of ranks that have something for each other, where [topology] has
            no graph; None: it must have one.
        is_pipeline: whether its stages hand on micro-batches, see `schedules.programs.pipelines`: activations are
            entered by the program, and a kernel's one value is shared by the chunks of a worker.
        kernels: (settings, number of workers) -> names of the kernels that a pipeline cannot do without.
        keeps: settings -> what a stage's forward pass keeps for its backward pass: "graph", "inputs" (it is computed
            again from these) or "nothing" (from its outputs, where it has an inverse); None: its graph.
        length: (settings, rank) -> gradients of a worker; None: the key `gradients`.
        length_key: the key of [schedule] that says how long a run is; None: there is no such key.
        needs_decay: whether it follows a learning rate that changes, so that a constant one is a mistake.
        is_layered: whether a step goes through the layers of the model one by one, where it has such.
        is_in_step: whether every rank makes the same steps, so that no count may cut a run.
        updates: (settings, rank) -> steps of its optimizer; None: as many.
        role: (settings, rank) -> "worker" or "server"; None: all are workers.
        shards: (settings, number of workers) -> among how many the data of a problem are spread; None: all workers.
        work: settings -> what its kernels make, by unit and kernel: {"tokens": {"decode": 1}}; None: gradients, or
            where there are none the kernels themselves.
        told: run -> further keys of its summary; the module's function `summary`.
        survives: whether the others go on when a worker fails: an exchange with it is answered None.
        is_varying: whether it may run on a graph that changes with time: it meets others by the ticks of the edges
            alone, which follow the graph in force.
    """

    name: str
    summary: str
    source: str
    settings: type[BaseModel]
    streams: Callable[[Worker], Mapping[str, Program]]
    family: str = "your own"
    staleness: str = ""
    ours: str = ""
    vectors: Vectors | Callable[[Any], Vectors] = field(default_factory=dict)
    optimizer: Vector | None = None
    constants: Callable[[Worker], Mapping[str, Any]] | None = None
    read_out: ReadOut | None = None
    place: Callable[[Any, int], Sequence[int | tuple[int, ...]]] | None = None
    edges: Callable[[Any, int], Collection[tuple[int, int]]] | None = None
    is_pipeline: bool = False
    kernels: Callable[[Any, int], Collection[str]] | None = None
    keeps: Callable[[Any], str] | None = None
    length: Callable[[Any, int], int] | None = None
    length_key: str | None = None
    needs_decay: bool = False
    is_layered: bool = False
    is_in_step: bool = False
    updates: Callable[[Any, int], int] | None = None
    role: Callable[[Any, int], str] | None = None
    shards: Callable[[Any, int], int] | None = None
    work: Callable[[Any], Mapping[str, Mapping[str, int]]] | None = None
    told: Callable[[Any], Mapping[str, Any]] | None = None
    survives: bool = False
    is_varying: bool = False

    def vectors_of(self, settings: Any) -> Vectors:
        """What the workers keep beside x under these settings.

        Raises:
            ValueError: if the module's function `STATE` raises, or returns what are no vectors.
        """
        if not callable(self.vectors):
            return self.vectors
        try:
            found = self.vectors(settings)
        except Exception as error:
            raise ValueError(f"STATE: expected vectors by name, found an error ({raised(error)})") from None
        if not isinstance(found, Mapping):
            raise ValueError(f"STATE: expected vectors by name, found {short(found)}")
        return _checked(found, self.name)


_FUNCTIONS = (
    "constants", "read_out", "place", "edges", "kernels", "keeps", "length", "updates", "role", "shards", "work",
)  # fmt: skip
"""What a module may have beside `streams`: see `Schedule`."""

_DECLARED = {
    **dict.fromkeys(("SOURCE", "STALENESS", "OURS"), Sort("text", text)),
    "Settings": Sort("a class that is derived from Table", derived_from(BaseModel)),
    "STATE": Sort("a dict of vectors by name", lambda value: value if callable(value) else an(Mapping)(value)),
    "OPTIMIZER": or_none(Sort("SHARD, or another Vector", an(Vector))),
    "NEEDS_DECAY": Sort("True or False", an(bool)),
    "LAYERED": Sort("True or False", an(bool)),
    "SURVIVES_FAILURES": Sort("True or False", an(bool)),
    "VARYING_GRAPHS": Sort("True or False", an(bool)),
    "PIPELINE": Sort("True or False", an(bool)),
    **dict.fromkeys(("streams", "summary", *_FUNCTIONS), FUNCTION),
}
"""What a module may have."""

MODULES = {
    "all-reduce": "schedules.programs.synchronous.all_reduce",
    "d-psgd": "schedules.programs.synchronous.d_psgd",
    "gossip": "schedules.programs.gossip.pairwise",
    "a2cid2": "schedules.programs.gossip.a2cid2",
    "dadao": "schedules.programs.gossip.dadao",
    "local-sgd": "schedules.programs.local.local_sgd",
    "qsr": "schedules.programs.local.qsr",
    "diloco": "schedules.programs.local.diloco",
    "lookahead": "schedules.programs.local.lookahead",
    "streaming-diloco": "schedules.programs.local.streaming_diloco",
    "eager-diloco": "schedules.programs.local.eager_diloco",
    "co2": "schedules.programs.local.co2",
    "slowmo": "schedules.programs.local.slowmo",
    "proxskip": "schedules.programs.local.proxskip",
    "des-loc": "schedules.programs.local.des_loc",
    **dict.fromkeys(("gpipe", "1f1b", "interleaved-1f1b", "looped-bfs"), "schedules.programs.pipelines.flushed"),
    **dict.fromkeys(("zb-h1", "zb-h2", "zb-v", "interleaved-zb"), "schedules.programs.pipelines.flushed"),
    **dict.fromkeys(("zb-1p", "zb-2p", "v-half", "v-min"), "schedules.programs.pipelines.flushed"),
    **dict.fromkeys(("dualpipe", "dualpipe-v", "order"), "schedules.programs.pipelines.flushed"),
    **dict.fromkeys(
        ("pipedream", "pipedream-2bw", "delayed-gradients", "petra"), "schedules.programs.pipelines.streamed"
    ),
    "cdp-v1": "schedules.programs.cyclic.v1",
    "cdp-v2": "schedules.programs.cyclic.v2",
}
"""By name, the module; or one with a table `PROGRAMS` of what stands for modules, by name."""


def names() -> list[str]:
    """All names, in the catalogue's order."""
    return list(MODULES)


def find(name: object) -> Schedule:
    """The schedule of that name; `package.module` or a path `file.py` gives the user's own.

    A schedule is a module with a docstring, `SOURCE`, `Settings` and `streams(worker)`; what else it may have
    (`STATE`, `OPTIMIZER`, `LENGTH`, `LAYERED`, `IN_STEP`, `SURVIVES_FAILURES`, `VARYING_GRAPHS` and functions) says
    `Schedule`.

    Raises:
        ValueError: if there is none, with the nearest names.
    """
    module = _module(name)
    missing = [each for each in ("SOURCE", "Settings", "streams") if not hasattr(module, each)]
    if missing:
        raise ValueError(
            f"expected a module with SOURCE, Settings and streams, found {name!r} without {', '.join(missing)}"
        )
    _check_declared(module, name)
    if "gradients" not in module.Settings.model_fields and not hasattr(module, "length"):  # the clocks' horizon
        raise ValueError(f"expected Settings with the key gradients, or length(settings, rank), found {name!r} without")
    return Schedule(
        name=str(name),
        summary=(module.__doc__ or str(name)).strip().splitlines()[0],
        source=module.SOURCE,
        family=_family(name),
        staleness=getattr(module, "STALENESS", ""),
        ours=getattr(module, "OURS", ""),
        settings=module.Settings,
        streams=module.streams,
        vectors=_vectors(module, name),
        optimizer=getattr(module, "OPTIMIZER", None),
        **{each: getattr(module, each, None) for each in _FUNCTIONS},
        length_key=_length_key(module, name),
        needs_decay=getattr(module, "NEEDS_DECAY", False),
        is_layered=getattr(module, "LAYERED", False),
        is_in_step=getattr(module, "IN_STEP", False),
        told=getattr(module, "summary", None),
        survives=getattr(module, "SURVIVES_FAILURES", False),
        is_varying=getattr(module, "VARYING_GRAPHS", False),
        is_pipeline=getattr(module, "PIPELINE", False),
    )


def _family(name: object) -> str:
    """The folder of ours: "schedules.programs.local.qsr" is of the family "local"."""
    path = MODULES.get(str(name))
    return "your own" if path is None else path.split(".")[-2]


def families() -> dict[str, str]:
    """Of every family of ours what its package says of it, in the catalogue's order."""
    found = dict.fromkeys(path.rpartition(".")[0] for path in MODULES.values())
    docs = {path: importlib.import_module(path).__doc__ or "" for path in found}
    return {path.rpartition(".")[2]: doc.strip().splitlines()[0] for path, doc in docs.items()}


def _check_declared(module: ModuleType, name: object) -> None:
    """Refuse what a module declares and cannot be meant: all but the entries of `STATE`."""
    for key, sort in _DECLARED.items():
        if hasattr(module, key):
            try:
                sort.of(getattr(module, key), f"{name!r}: {key}")
            except MisuseError as error:
                raise ValueError(str(error)) from None


def _vectors(module: ModuleType, name: object) -> Vectors | Callable[[Any], Vectors]:
    found = getattr(module, "STATE", {})
    return found if callable(found) else _checked(found, name)


def _checked(vectors: Mapping[str, Any], name: object) -> Vectors:
    for key, vector in vectors.items():
        if not isinstance(vector, Vector) or not is_free(key):
            raise ValueError(
                f"expected STATE with COPY, ZERO, SHARD, ZERO_SHARD or a Vector by name, found {name!r} with "
                f"{key!r}: {vector!r}"
            )
    return dict(vectors)


def _length_key(module: ModuleType, name: object) -> str | None:
    known = module.Settings.model_fields
    found = getattr(module, "LENGTH", "gradients" if "gradients" in known else None)
    if found is not None and found not in known:
        raise ValueError(f"expected LENGTH, a key of Settings ({', '.join(known)}), found {name!r} with {found!r}")
    return found


def own_text(name: str) -> str | None:
    """The text of the user's own schedule, whether its file or its module is named; None of one of ours.

    Raises:
        ValueError: as `find`.
    """
    file = None if name in MODULES else _module(name).__file__
    return None if file is None else Path(file).read_text(encoding="utf-8-sig")


def _module(name: object) -> ModuleType:
    named = str(name)
    # Without a dot it must be ours: a program "json" would otherwise be imported, and refused for the wrong reason.
    if not isinstance(name, str) or (name not in MODULES and "." not in name):
        raise ValueError(f"expected one of {', '.join(MODULES)}; found {name!r}{nearest(named, MODULES)}")
    try:
        if named.endswith(".py"):
            return _from_file(Path(named))
        found = importlib.import_module(MODULES.get(named, named))
        return found.PROGRAMS[named] if named in MODULES and hasattr(found, "PROGRAMS") else found
    except (ImportError, OSError) as error:
        raise ValueError(
            f"expected one of {', '.join(MODULES)}, or your own module or file; found {name!r} ({error})"
        ) from None
    except Exception as error:  # whatever a user's file may raise when it is run
        raise ValueError(f"expected a module that can be imported, found {name!r} ({raised(error)})") from None


def _from_file(path: Path) -> ModuleType:
    """The user's own file as a module; the same file gives the same module until somebody writes to it.

    In a notebook the text that a fingerprint is of must be the one that runs.
    """
    key = f"schedules.programs.own.{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.{path.resolve()}"
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

"""The keys of a table of the scenario, in words: type, default, what for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schedules import units
from schedules.platform import computing, tables, transports
from schedules.scenario import Scenario
from schedules.settings import CountOfRank
from schedules.training.codecs import NONE
from schedules.training.coding import CodecKey, CodecTable


@dataclass(frozen=True)
class SettingDoc:
    """One key.

    Attributes:
        name: as in the file.
        type: in words.
        is_required: whether there is no default.
        default: as in the file, or None where there is none.
        doc: one sentence, or "".
    """

    name: str
    type: str
    is_required: bool
    default: object
    doc: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return dataclasses.asdict(self)

    def cells(self) -> tuple[str, str, str, str]:
        """For a table: name, type, default, doc."""
        default = "required" if self.is_required else "" if self.default is None else shown(self.default)
        return self.name, self.type, default, self.doc


def setting_docs(model: type[BaseModel]) -> list[SettingDoc]:
    """All keys of a pydantic model, in its order."""
    return [_doc(name, field) for name, field in model.model_fields.items()]


def scenario_tables() -> dict[str, type[BaseModel]]:
    """The tables of a scenario beside [schedule], and the tables within them."""
    fields = {name: field.annotation for name, field in Scenario.model_fields.items()}
    del fields["schedule"]  # its keys depend on the program: `twinclock schedules NAME` shows them
    found = {name: model for name, annotation in fields.items() for model in _models(annotation)}
    for name, table in list(found.items()):
        for key, field in table.model_fields.items():
            found |= {f"{name}.{key}": inner for inner in _models(field.annotation)}
    return found


def _models(annotation: object) -> list[type[BaseModel]]:
    """The model that a field holds, be it optional; a table with any names (`dict`) is none."""
    kinds = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    return [each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)]


def shown(value: object) -> str:
    """A value as it would stand in the file."""
    value = _plain(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {shown(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, float):
        # As people write it: neither 0.30000000000000004 nor 1250000000.0.
        return f"{value:.15g}"
    return json.dumps(value)


def _plain(value: object) -> object:
    if value == CodecTable():
        return NONE  # as one writes it
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value


def _doc(name: str, field: FieldInfo) -> SettingDoc:
    default = None if field.is_required() else _plain(field.default)
    doc = " ".join((field.description or "").split())
    return SettingDoc(name, _type(field), field.is_required(), default, doc)


def _type(field: FieldInfo) -> str:
    return _known(field.metadata) or _words(field.annotation) + _bounds(field.metadata)


QUANTITIES: dict[object, str] = {
    units.Seconds: 'seconds, or text like "50 us"',
    units.BytesPerSecond: 'bytes/s, or text like "10 Gbit/s"',
    units.Bytes: 'bytes, or text like "25 MB"',
    units.Flop: 'FLOP, or text like "4.1 TFLOP"',
    units.FlopPerSecond: 'FLOP/s, or text like "312 TFLOP/s"',
    computing.Speeds: "table by rank | list",
    CountOfRank: "whole number >= 1 | list",
    CodecKey: "name | table",
}
"""The words for a quantity, or another type that is told by how it is read."""


def _known(metadata: Sequence[object]) -> str | None:
    # pydantic takes an Annotated type apart, so a quantity is recognised by its reader, the first of its metadata.
    # Transports are asked for here, not in the table: one may have been added since.
    known = QUANTITIES | {tables.TransportName: " | ".join(json.dumps(name) for name in transports.TRANSPORTS)}
    return next((words for kind, words in known.items() if get_args(kind)[1] in metadata), None)


def _words(annotation: object) -> str:
    kinds: dict[object, str] = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    if annotation in kinds:
        return kinds[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(json.dumps(each) for each in inner)
    if origin is Annotated:
        return _known(inner[1:]) or _words(inner[0]) + _bounds(getattr(inner[1], "metadata", []))
    if origin is list:
        return "list"
    others = [each for each in inner if each is not type(None)]
    # `X | None` has another origin where X is Annotated (Union) than where it is a class (UnionType).
    words = [_words(each) for each in others] if origin in (UnionType, Union) else ["table"]
    return "table" if "table" in words else " | ".join(words)


def _bounds(metadata: Sequence[object]) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = [(sign, getattr(each, name)) for each in metadata for name, sign in signs.items() if hasattr(each, name)]
    return " " + ", ".join(f"{sign} {bound:g}" for sign, bound in bounds) if bounds else ""

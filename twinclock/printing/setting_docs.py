"""The keys of a table of the scenario, in words: type, default, what for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin


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


def setting_docs(model: Any) -> list[SettingDoc]:
    """All keys of a pydantic model, in its order."""
    return [_doc(name, field) for name, field in model.model_fields.items()]


def tables() -> Mapping[str, Any]:
    """The tables of a scenario beside [schedule], and the tables within them."""
    from schedules.scenario import Scenario

    fields = Scenario.model_fields
    found: dict[str, Any] = {name: field.annotation for name, field in fields.items()}
    del found["program"], found["schedule"]
    for name, table in list(found.items()):
        for key, field in table.model_fields.items():
            found |= {f"{name}.{key}": inner for inner in _models(field.annotation)}
    return found


def _models(annotation: Any) -> list[Any]:
    """The model that a field holds, be it optional; a table with any names (`dict`) is none."""
    from pydantic import BaseModel

    kinds = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    return [each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)]


def shown(value: object) -> str:
    """A value as it would stand in the file."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {shown(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, float):
        return f"{value:.15g}"
    return json.dumps(value)


def _doc(name: str, field: Any) -> SettingDoc:
    from pydantic import BaseModel

    default = None if field.is_required() else field.default
    if isinstance(default, BaseModel):
        default = default.model_dump(exclude_defaults=True)
    doc = " ".join((field.description or "").split())
    return SettingDoc(name, _type(field), field.is_required(), default, doc)


def _type(field: Any) -> str:
    return _known(field.metadata) or _words(field.annotation) + _bounds(field.metadata)


def _known(metadata: Any) -> str | None:
    """The words for a quantity, or another type that is told by how it is read."""
    from schedules import units
    from schedules.platform import computing, tables, transports

    words: dict[Any, str] = {
        units.Seconds: 'seconds, or text like "50 us"',
        units.BytesPerSecond: 'bytes/s, or text like "10 Gbit/s"',
        units.Bytes: 'bytes, or text like "25 MB"',
        units.Flop: 'FLOP, or text like "4.1 TFLOP"',
        units.FlopPerSecond: 'FLOP/s, or text like "312 TFLOP/s"',
        computing.Speeds: "table by rank | list",
        tables.TransportName: " | ".join(json.dumps(name) for name in transports.TRANSPORTS),
    }
    return next((told for kind, told in words.items() if kind.__metadata__[0] in metadata), None)


def _words(annotation: Any) -> str:
    kinds = {int: "whole number", float: "number", bool: "true or false", str: "text"}
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
    return _words(others[0]) if origin in (UnionType, Union) and len(others) == 1 else "table"


def _bounds(metadata: list[Any]) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = [(sign, getattr(each, name)) for each in metadata for name, sign in signs.items() if hasattr(each, name)]
    return " " + ", ".join(f"{sign} {bound:g}" for sign, bound in bounds) if bounds else ""

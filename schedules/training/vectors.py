"""The vectors that a schedule keeps beside x: what its module declares as `STATE`."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from array_api_compat import array_namespace

from schedules.errors import MisuseError
from schedules.misuse.values import Sort, an, one_of, or_none
from schedules.operations import Array
from schedules.training.parts import part, size_of_part

ITEM_SIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of one number."""

FIELDS = ("name", "shape")
"""Of a file of tensors."""

GRADIENT = "gradient"
"""The vector that gradients are added up in: with it, no computed gradient takes room of its own."""


_SORTS = {
    "start": Sort("'copy' or 'zero'", one_of("copy", "zero")),
    "is_shard": Sort("True or False", an(bool)),
    "dtype": or_none(Sort(f"one of {', '.join(ITEM_SIZE)}", one_of(*ITEM_SIZE))),
}


@dataclass(frozen=True)
class Vector:
    """One vector of the state.

    Attributes:
        start: "copy" of x, or "zero".
        is_shard: whether a rank keeps its part of it only: as many parts as ranks hold the model.
        dtype: of its numbers, such as "float32"; None: that of x.
    """

    start: Literal["copy", "zero"] = "copy"
    is_shard: bool = False
    dtype: str | None = None

    def __post_init__(self) -> None:
        for name, sort in _SORTS.items():
            sort.of(getattr(self, name), f"Vector: {name}")

    def initial(self, x: Array, index: int, count: int) -> Array:
        """Its array at the start on the `index`-th of `count` ranks: [length of x, or of the rank's part of it]."""
        array = x[part(len(x), index, count)] if self.is_shard else x
        namespace: Any = array_namespace(x)
        if self.dtype is not None:
            if not hasattr(namespace, self.dtype):
                raise MisuseError(f"STATE: expected numbers that {namespace.__name__} has, found {self.dtype!r}")
            array = namespace.astype(array, getattr(namespace, self.dtype))
        return namespace.zeros_like(array) if self.start == "zero" else array

    def num_bytes(self, length: int, item_size: int, index: int, count: int) -> int:
        """Bytes of it on the `index`-th of `count` ranks, beside an x of `length` numbers of `item_size` bytes."""
        width = item_size if self.dtype is None else ITEM_SIZE[self.dtype]
        return size_of_part(length * width, index, count, width) if self.is_shard else length * width


COPY = Vector("copy")
ZERO = Vector("zero")
SHARD = Vector("copy", is_shard=True)
ZERO_SHARD = Vector("zero", is_shard=True)

Vectors = Mapping[str, Vector]
"""Those of a schedule, by name."""


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies in the vector of the parameters.

    Attributes:
        shape: of the tensor.
        offset, size: of its numbers in the vector.
    """

    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class Tie:
    """Parameters that several stages share: each has a copy in its own vector.

    Attributes:
        stages: ascending.
        size: bytes of one copy.
        where: by stage, where they lie in its vector, in one order; nothing in a timing-only run.
    """

    stages: tuple[int, ...]
    size: int
    where: Mapping[int, tuple[slice, ...]] = field(default_factory=dict, compare=False)


def tensors_of(tensors: Mapping[str, Tensor], held: slice) -> dict[str, Tensor]:
    """Those that lie as a whole in a part of the vector, where they lie there."""
    inside = {
        name: each
        for name, each in tensors.items()
        if held.start <= each.offset and each.offset + each.size <= held.stop
    }
    return {name: replace(each, offset=each.offset - held.start) for name, each in inside.items()}


def tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Tensors of these shapes, one behind the other."""
    found: dict[str, Tensor] = {}
    offset = 0
    for name, shape in shapes.items():
        found[name] = Tensor(shape, offset, math.prod(shape))
        offset += found[name].size
    return found


def parse_tensors(text: str, where: str) -> Mapping[str, Tensor]:
    """The tensors by name, one behind the other as the rows are.

    Args:
        text: of a CSV file whose first row has `FIELDS`; a shape is such as 64x3x3x3. Further columns may be there.
        where: the file, for errors.
    Raises:
        ValueError: for a column that is missing, a shape that is none, or a name that is there already.
    """
    rows = csv.DictReader(text.splitlines())
    found = rows.fieldnames or ()
    if not set(FIELDS) <= set(found):
        raise ValueError(f"{where}: expected the columns {' and '.join(FIELDS)}, found {', '.join(found) or 'none'}")
    shapes: dict[str, tuple[int, ...]] = {}
    for row in rows:
        name, line = row["name"], f"{where}, line {rows.line_num}"
        if None in row:  # a shape with commas, say
            raise ValueError(f"{line}: expected {len(found)} fields, found {len(found) + len(row[None])}")
        if not name or name in shapes:
            raise ValueError(f"{line}: expected a name of its own, found {name!r}")
        shapes[name] = _shape(row["shape"], line)
    if not shapes:
        raise ValueError(f"{where}: expected at least one tensor, found none")
    return tensors(shapes)


def _shape(text: str | None, where: str) -> tuple[int, ...]:
    sizes = (text or "").strip().split("x")
    # isdigit alone lets superscripts through, which int refuses.
    if not all(each.isascii() and each.isdigit() and 0 < int(each) < 2**48 for each in sizes):
        raise ValueError(f"{where}: expected a shape such as 64x3x3x3, found {text!r}")
    return tuple(map(int, sizes))

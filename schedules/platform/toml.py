"""Tables of a scenario as TOML: what `twinclock calibrate`, the quickstart, the report and `twinclock paper` write.

Numbers are in SI units, so that what is read again is what was written, to the last bit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def platform_toml(platform: Mapping[str, object], comments: Iterable[str] = ()) -> str:
    """The table [platform] with a line a key, tables within it inline; comments stand above them."""
    lines = ["[platform]", *(f"# {comment}" for comment in comments), *_lines(platform)]
    return "\n".join(lines) + "\n"


def tables_toml(tables: Mapping[str, Mapping[str, object]], comments: Iterable[str] = ()) -> str:
    """A scenario's tables, each with a line a key; comments stand above them all."""
    lines = [f"# {comment}" for comment in comments]
    for name, table in tables.items():
        lines += [f"[{_key(name)}]", *_lines(table)]
    return "\n".join(lines) + "\n"


def write_platform(platform: Mapping[str, object], path: str | Path, comments: Iterable[str] = ()) -> Path:
    """Write it to a file, to be put into a scenario or given as `--platform`."""
    target = Path(path)
    target.write_text(platform_toml(platform, comments), encoding="utf-8")
    return target


def _lines(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    """A value on one line.

    Raises:
        TypeError: if TOML has no such thing.
    """
    match value:
        case bool():  # above int, which a bool is, too
            return str(value).lower()
        case str():
            return _text(value)
        case int() | float():
            return repr(value)  # the shortest text that is read as this very number
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_value(each) for each in value) + "]"
    raise TypeError(f"expected what TOML can say, found {value!r}")


def _text(value: str) -> str:
    # JSON escapes as TOML does, but for DEL, which it lets through, and for characters beyond 16 bits, which it would
    # write as two surrogates if it had to escape them.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

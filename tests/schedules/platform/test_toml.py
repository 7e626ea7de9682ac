"""Tables [platform] as TOML: what is written is what is read."""

import tomllib
from typing import Any

import pytest

from schedules.platform.tables import PlatformTable
from schedules.platform.toml import platform_toml, write_platform


def again(table: dict[str, Any]) -> Any:
    return tomllib.loads(platform_toml(table))["platform"]


def test_a_platform_is_written_as_a_table_of_a_scenario(tmp_path) -> None:
    platform = {
        "gradient": {"distribution": "lognormal", "mean": 0.001, "cv": 0.1},
        "transport": "gloo",
        "link": {"bandwidth": 1e9, "latency": 5e-05},
        "overhead": 0.0001,
    }
    found = tomllib.loads(write_platform(platform, tmp_path / "platform.toml").read_text())["platform"]
    assert found == platform
    assert PlatformTable.model_validate(found).overhead == 1e-4


def test_a_line_a_key_and_tables_within_it_inline() -> None:
    table = {"kernels": {"F": {"mean": 0.5}}, "speed": {"3": 0.25}, "transport": "ideal", "samples": [1, 2.5]}
    assert platform_toml(table, ["Measured."]).splitlines() == [
        "[platform]",
        "# Measured.",
        "kernels = { F = { mean = 0.5 } }",
        "speed = { 3 = 0.25 }",
        'transport = "ideal"',
        "samples = [1, 2.5]",
    ]


AWKWARD = [
    *('say "no"', "back\\slash", "two\nlines", "tab\t", "nul\x00", "del\x7f", "Müller", "\U0001f600", "", "a.b"),
    *(1e300, 5e-324, 1e16, -0.0, 0.1 + 0.2, 2**62, True, False, [], {}, ["x", [1]], {"a": {"b": "c"}}),
]


@pytest.mark.parametrize("value", AWKWARD)
def test_values_and_keys_are_read_again_as_they_were(value: Any) -> None:
    name = value if isinstance(value, str) else "key"
    found = again({name: value})
    assert found == {name: value}
    assert type(found[name]) is type(value)


def test_what_toml_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="expected what TOML can say, found None"):
        platform_toml({"network": None})

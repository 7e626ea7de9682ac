"""Quantities as people write them; nothing is evaluated, and no letter's case makes a quiet difference of 10^9."""

import pytest

from schedules.units import ACCEPTED, EXAMPLES, quantity

TIMES = {
    "3 ps": 3e-12, "3 ns": 3e-9, "3 us": 3e-6, "3 µs": 3e-6, "3 μs": 3e-6, "3 ms": 3e-3, "3 s": 3, "3 min": 180,
    "3 h": 10800,
    "3 d": 259200, "3 US": 3e-6, "3 seconds": 3, "3 milliseconds": 3e-3, "3ms": 3e-3, " 3 ms ": 3e-3, "3e3 ms": 3,
    ".3 s": 0.3,
    "3. s": 3, "-3 s": -3,
}  # fmt: skip
RATES = {
    "8 bit/s": 1, "8 bps": 1, "8 kbit/s": 1e3, "8 Mbit/s": 1e6, "8 mbit/s": 1e6, "8 MBit/s": 1e6, "8 Gbit/s": 1e9,
    "8 gbit/s": 1e9, "8 GBIT/S": 1e9, "8 Gb/s": 1e9, "8 Gbps": 1e9, "8 gbps": 1e9, "8 Kb/s": 1e3, "8 kbps": 1e3,
    "8 Tbps": 1e12,
    "8 Mibit/s": 2**20, "8 gigabit/s": 1e9, "8 Gbits / sec": 1e9, "8 B/s": 8, "8 kB/s": 8e3, "8 KB/s": 8e3,
    "8 MB/s": 8e6,
    "8 mB/s": 8e6, "8 GB/s": 8e9, "8 GBps": 8e9, "8 GB/S": 8e9, "8 Mbyte/s": 8e6, "8 KiB/s": 8 * 2**10,
    "8 MiB/s": 8 * 2**20,
    "8 GiB/s": 8 * 2**30, "8 GiBps": 8 * 2**30, "8 TB/s": 8e12, "8 MB/ms": 8e9, "8 megabytes/second": 8e6,
}  # fmt: skip
SIZES = {
    "8 B": 8, "8 bytes": 8, "8 kB": 8e3, "8 KB": 8e3, "8 MB": 8e6, "8 MiB": 8 * 2**20, "8 mebibytes": 8 * 2**20,
    "8 Mb": 1e6,
    "8 Gbit": 1e9, "8 PB": 8e15,
}  # fmt: skip
OPERATIONS = {"4.1 TFLOP": 4.1e12, "4.1 TFLOPs": 4.1e12, "4.1 gflop": 4.1e9, "41 FLOP": 41}
OPERATION_RATES = {"312 TFLOP/s": 3.12e14, "312 TFLOPS": 3.12e14, "312 TFLOPs": 3.12e14, "312 tflop/s": 3.12e14}
ALL = {
    "second": TIMES, "byte/second": RATES, "byte": SIZES, "FLOP": OPERATIONS, "FLOP/second": OPERATION_RATES,
}  # fmt: skip

REFUSED = [
    # by the dimension that is wanted: no such unit, another dimension, or one that may be meant in two ways
    *(("second", text) for text in ("3", "s", "3 m", "3 Ms", "3 MS", "3 MB", "3 s s", "3 ms/s", "3,5 s", "٣ s", "")),
    *(("second", text) for text in ("9**9**9 s", "(3) s", "3 + 4 s", "__import__('os') s", "3 s ** 2", "1_000 s")),
    *(("byte/second", text) for text in (
        "3 Gbit", "3 gb/s", "3 b/s", "3 GBPS", "3 mb/s", "3 TFLOP/s", "3 /s", "3 MB/", "3 MB/b"
    )),
    *(("byte", text) for text in ("3 mb", "3 gb", "3 kib", "3 MB/s", "3 MHz", "3 FLOP", "3 MM")),
    *(("FLOP", text) for text in ("3 TFLOP/s", "3 B")),
    *(("FLOP/second", text) for text in ("3 TFLOP", "3 B/s")),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "text"), [(unit, text) for unit, found in ALL.items() for text in found])
def test_units_as_people_write_them(unit, text):
    assert quantity(text, unit) == pytest.approx(ALL[unit][text], rel=1e-15)


@pytest.mark.parametrize(("unit", "text"), REFUSED)
def test_what_is_no_such_quantity_names_what_is_accepted(unit, text):
    with pytest.raises(ValueError, match="expected a quantity") as refused:
        quantity(text, unit)
    assert EXAMPLES[unit] in str(refused.value)
    assert ACCEPTED[unit] in str(refused.value)


@pytest.mark.parametrize("unit", ACCEPTED)
def test_what_the_message_names_is_read(unit):
    for listed in ACCEPTED[unit].replace(" or ", ", ").split(", "):
        assert quantity(f"1 {listed}", unit) > 0


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("25 mb", "mb may be bits or bytes: Mbit or MB"), ("1 gb/s", "gb may be bits or bytes: Gbit or GB"),
        ("1 GBPS", "GBPS may be bits or bytes: Gbit/s or GB/s"), ("25 mib", "mib may be bits or bytes: Mibit or MiB"),
    ],
)  # fmt: skip
def test_a_unit_in_doubt_is_told(text, doubt):
    with pytest.raises(ValueError, match=doubt):
        quantity(text, "byte/second")


def test_milliseconds_in_capitals_are_no_megaseconds():
    with pytest.raises(ValueError, match="Ms may be meant as ms"):
        quantity("10 Ms", "second")


@pytest.mark.parametrize(
    "value", ["inf s", "nan s", "1e400 s", "1e99999999999 s", "9" * 10_000 + " s", 10**400, float("nan")]
)
def test_numbers_that_are_none(value):
    with pytest.raises(ValueError, match='expected a finite quantity such as "50 us"'):
        quantity(value, "second")

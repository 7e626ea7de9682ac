"""The line on memory: the peak, and whose it is."""

import pytest

from twinclock.printing.run_summary import rows


@pytest.mark.parametrize(
    ("peaks", "line"),
    [
        ([3_000_000, 412_000_000, 9], "412 MB at the peak (rank 1)"),
        ([412_000_000] * 3, "412 MB at the peak of every rank"),
        ([5, 7, 7], "7 B at the peak (rank 1)"),
    ],
)
def test_whose_peak_it_is(peaks, line):
    summary = {"peak_memory_bytes": max(peaks), "per_rank": {"peak_memory_bytes": peaks}}
    assert rows({**summary, "peak_memory_by_kind": {"parameters": 7}}) == [("memory", line)]

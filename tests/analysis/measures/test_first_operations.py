"""First operations that stand out, in traces made by hand."""

from analysis.measures.first_operations import Outstanding, first_operations
from tests.analysis.fake_runs import exchange, trace_of


def exchanges(first_took, *, peers=(0, 1), number=9, size=1000):
    """So many exchanges of two ranks, each of 1 us, the first of which takes that long; both ends."""
    low, high = peers
    rows = []
    for tag in range(number):
        took = first_took if tag == 0 else 1000
        begin = tag * 100_000
        rows += [
            exchange(a, b, begin, begin + 10, begin + 10 + took, tag=tag, size=size)
            for a, b in ((low, high), (high, low))
        ]
    return rows


def test_the_worst_is_told_once_a_kind():
    trace = trace_of(*exchanges(2600), *exchanges(9000, peers=(1, 2)), *exchanges(2599, peers=(0, 2)))
    assert first_operations(trace) == [Outstanding("Exchange", 2, 9e-6, 1e-6)]


def test_operations_of_another_size_are_nothing_to_compare_with():
    assert first_operations(trace_of(*exchanges(9000, size=8, number=2), *exchanges(1000))) == []


def test_only_the_first_of_an_edge_counts():
    rows = exchanges(1000)
    rows[-1]["at"] = (800_000, 800_010, 900_000)
    assert first_operations(trace_of(*rows)) == []


def test_collectives_go_by_group():
    def reduced(rank, number, took, group):
        begin = number * 100_000
        return {"rank": rank, "op": "AllReduce", "group": group, "bytes": 64, "at": (begin, begin, begin + took)}

    rows = [reduced(rank, number, 1000, "all") for rank in range(2) for number in range(5)]
    rows += [reduced(rank, 7, 5000, "0,1") for rank in range(2)]
    assert first_operations(trace_of(*rows)) == [Outstanding("AllReduce", 1, 5e-6, 1e-6)]

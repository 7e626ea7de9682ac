"""Which operations programs name."""

import pytest

from executor.wire.named import named
from schedules import catalogue, operations
from schedules.operations import AllGather, AllReduce, Barrier, Exchange, Meet, Receive, Send


@pytest.mark.parametrize(
    ("program", "kinds"),
    [
        ("gossip", {Exchange, Meet, Barrier}),
        ("d-psgd", {Exchange, Barrier}),
        ("all-reduce", {AllReduce, AllGather, Barrier}),  # through a codec it gathers
    ],
)
def test_what_a_method_of_the_catalogue_passes(program: str, kinds: set[type]) -> None:
    passing = {Exchange, Send, Receive, Meet, *operations.COLLECTIVES}
    assert named(catalogue.find(program).streams) & passing == kinds


def inner():
    yield operations.Send(1, None)


TABLE = {"inner": inner}


def by_a_table():
    return TABLE["inner"]()


def in_a_nested_function():
    def nested():
        yield Receive(0, 8)

    return nested()


def test_a_name_is_found_behind_a_module_a_table_and_a_nested_function():
    assert named(by_a_table) == {Send}
    assert named(in_a_nested_function) == {Receive}
    assert named(len) == set()

"""`twinclock topologies`: which graphs and networks there are, and their numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path

import click

from topologies import GRAPHS, NETWORKS
from topologies.checks import AnyGraph
from topologies.files import SUFFIXES
from topologies.physical import places
from topologies.registry import Entry
from twinclock.endings import bad_input, reading
from twinclock.options import PATH, json_option, settings_option, values
from twinclock.printing import topology_facts as facts
from twinclock.printing.tables import print_json, print_table, print_written
from twinclock.printing.topology_drawing import draw as draw_graph
from twinclock.targets import check_file

EXAMPLES = """\b
Examples:
  twinclock topologies                                  all of them
  twinclock topologies ring --workers 16                degrees, chi_1, chi_2, eta, alpha_tilde
  twinclock topologies watts_strogatz --workers 32 --set k=6 --set p=0.2
  twinclock topologies barbell --weights optimal        the best edge rates, and their gain
  twinclock topologies random_geometric --set count=50  graphs that change with time
  twinclock topologies a.graphml b.graphml --set period=0.5
                                                        graphs of files, in turn
  twinclock topologies exponential --draw exponential.svg
  twinclock topologies fat_tree --network --workers 16  hosts, switches, routes
  twinclock topologies Abilene.graphml --draw map.svg   a graph from a file
  twinclock topologies Abilene.graphml --set bandwidth="10 Gbit/s" --set latency=coordinates
                                                        a network from a file, with what it lacks
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME|FILE...]")
@click.option("--workers", type=int, metavar="N", help="How many workers. Default: 16, or those of a file.")
@click.option("--rate", type=float, default=1.0, show_default=True, help="Averagings per worker and gradient.")
@click.option(
    "--weights", default="uniform", show_default=True, help="How rates are spread: uniform, neighbour or optimal."
)
@settings_option("An option of the graph, e.g. degree=4. Can be given several times.")
@click.option("--network", is_flag=True, help="NAME is a physical network.")
@click.option("--draw", type=PATH, metavar="FILE", help="Draw it: a .svg or .png.")
@json_option
def topologies(
    names: tuple[str, ...],
    workers: int | None,
    rate: float,
    weights: str,
    settings: tuple[str, ...],
    network: bool,
    draw: Path | None,
    as_json: bool,
) -> None:
    """List graphs and networks, or show the numbers of one."""
    if not names:
        if draw is not None or settings or network:
            raise bad_input("topologies: expected the NAME of a graph or network beside these options, found none")
        _list(as_json)
        return
    if draw is not None:
        _check_drawing(draw)  # before the numbers, which take a while for a large graph
    with reading():
        graph, numbers = _numbers(names, workers, values(settings), None if network else (rate, weights))
    files = [draw_graph(graph, draw)] if draw is not None else []
    if as_json:
        print_json({**numbers, "files": files})
        return
    print_table([(key, _shown(value)) for key, value in numbers.items()])
    print_written(files)


def _numbers(
    names: tuple[str, ...], workers: int | None, options: dict[str, object], rates: tuple[float, str] | None
) -> tuple[AnyGraph, facts.Numbers]:
    """A graph with these rates, or, without any, a network; and its numbers."""
    if len(names) > 1:
        return _numbers_of_files(names, workers, options, rates)
    (name,) = names
    if name.lower().endswith(SUFFIXES):
        return _numbers_of_file(name, workers, options, rates)
    workers = 16 if workers is None else workers
    if rates is None:
        network = facts.build_network(name, workers, options)
        return network, facts.network_facts(network)
    rate, weights = rates
    graph = facts.build_graph(name, workers, options, rate=rate, weights=weights)
    return graph, facts.facts_of(graph, weights)


def _numbers_of_files(
    files: tuple[str, ...], workers: int | None, options: dict[str, object], rates: tuple[float, str] | None
) -> tuple[AnyGraph, facts.Numbers]:
    """Graphs that are there in turn."""
    name = next((each for each in files if not each.lower().endswith(SUFFIXES)), None)
    if name is not None or rates is None:
        what = "--network" if name is None else repr(name)
        raise ValueError(f"topologies: expected one name, or files of graphs that are there in turn, found {what} too")
    graph = facts.graphs_in(files, *rates, options)
    if workers is not None and workers != len(graph):
        raise ValueError(f"--workers: expected {len(graph)}, as {files[0]} has nodes, or none, found {workers}")
    return graph, facts.facts_of(graph, rates[1])


def _numbers_of_file(
    file: str, workers: int | None, options: dict[str, object], rates: tuple[float, str] | None
) -> tuple[AnyGraph, facts.Numbers]:
    """A file is a network where its nodes say what they are, or where what a network's file lacks is given."""
    if rates is None or options or facts.is_network(file):
        graph, numbers = facts.network_in(file, options)
        ends, what = len(places(graph)), "places for workers"
    else:
        graph, numbers = facts.graph_in(file, *rates)
        ends, what = len(graph), "nodes"
    if workers is not None and workers != ends:
        raise ValueError(f"--workers: expected {ends}, as {file} has {what}, or none, found {workers}")
    return graph, numbers


def _check_drawing(file: Path) -> None:
    if file.suffix not in (".svg", ".png"):
        raise bad_input(f"--draw: expected a file name ending in .svg or .png, found {str(file)!r}")
    check_file(file)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _list(as_json: bool) -> None:
    if as_json:
        print_json({"graphs": _described(GRAPHS), "networks": _described(NETWORKS)})
        return
    click.echo("Communication graphs, for topology.graph:\n")
    _print_entries(GRAPHS)
    click.echo("Physical networks:\n")
    _print_entries(NETWORKS)
    click.echo("twinclock topologies NAME --workers N shows the numbers of one; NAME may be a GraphML or JSON file.")


def _print_entries(entries: Mapping[str, Entry]) -> None:
    for name, entry in entries.items():
        click.echo(f"{', '.join((name, *entry.aliases))}\n  {entry.summary}\n  Source: {entry.source}")
        if entry.options:
            click.echo(textwrap.fill(entry.signature, 100, initial_indent="  Options: ", subsequent_indent=" " * 11))
        click.echo()


def _described(entries: Mapping[str, Entry]) -> list[dict[str, object]]:
    return [_entry(name, entry) for name, entry in entries.items()]


def _entry(name: str, entry: Entry) -> dict[str, object]:
    options = {key: "required" if each is Parameter.empty else each for key, each in entry.options.items()}
    told = {"name": name, "aliases": entry.aliases, "summary": entry.summary, "source": entry.source}
    return {**told, "options": options}

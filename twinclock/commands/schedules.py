"""`twinclock schedules`: what can be run."""

from __future__ import annotations

import textwrap

import click

from schedules import catalogue
from schedules.catalogue import Schedule
from twinclock.endings import bad_input, reading
from twinclock.options import json_option
from twinclock.printing.setting_docs import scenario_tables, setting_docs, shown
from twinclock.printing.tables import print_json, table_lines
from twinclock.schedule_list import schedule_list

EXAMPLES = """\b
Examples:
  twinclock schedules              all of them
  twinclock schedules a2cid2       one, with every key of its [schedule] table
  twinclock schedules --tables     the keys of the scenario's other tables
  twinclock schedules --markdown   what is simulated and what is executed
"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@click.option("--tables", is_flag=True, help="Describe the other tables of a scenario.")
@click.option("--markdown", is_flag=True, help="Say by family what is simulated and what is executed, as a table.")
@json_option
def schedules(name: str | None, tables: bool, markdown: bool, as_json: bool) -> None:
    """List the schedules, or describe one and its keys."""
    if markdown and (name or tables or as_json):
        raise bad_input("--markdown: expected no NAME and no other option beside it, it is one table of all schedules")
    if markdown:
        click.echo("\n".join(schedule_list()))
        return
    if name and tables:
        raise bad_input("--tables: expected no NAME beside it, the tables are the same for all schedules")
    if tables:
        _show_tables(as_json)
    elif name:
        _show_one(_find(name), as_json)
    else:
        _show_all(as_json)


def _find(name: str) -> Schedule:
    with reading():
        return catalogue.find(name)


def _show_all(as_json: bool) -> None:
    entries = [catalogue.find(each) for each in catalogue.names()]
    if as_json:
        print_json([_described(entry) for entry in entries])
        return
    for family, doc in catalogue.families().items():
        click.echo(f"{family}: {doc}\n")
        for entry in (each for each in entries if each.family == family):
            lines = [entry.name, entry.summary, *_told(entry), f"Keys: {_keys(entry)}"]
            click.echo("\n  ".join(lines) + "\n")
    click.echo("twinclock schedules NAME explains the keys.")


def _told(entry: Schedule) -> list[str]:
    """Where it is from, how old what it applies is, and what of it is ours."""
    told = {"Source": entry.source, "Staleness": entry.staleness, "Ours": entry.ours}
    return [f"{name}: {words}" for name, words in told.items() if words]


def _keys(entry: Schedule) -> str:
    docs = setting_docs(entry.settings)
    return ", ".join(each.name if each.is_required else f"{each.name} = {shown(each.default)}" for each in docs)


def _show_one(entry: Schedule, as_json: bool) -> None:
    if as_json:
        print_json(_described(entry))
        return
    click.echo("\n".join([f"{entry.name}: {entry.summary}", *_told(entry)]) + "\n")
    click.echo(f'[schedule]\nprogram = "{entry.name}"')
    _print_docs([each.cells() for each in setting_docs(entry.settings)])


def _show_tables(as_json: bool) -> None:
    found = {name: setting_docs(model) for name, model in scenario_tables().items()}
    if as_json:
        print_json({name: [each.as_dict() for each in docs] for name, docs in found.items()})
        return
    for name, docs in found.items():
        click.echo(f"[{name}]")
        _print_docs([each.cells() for each in docs])
        click.echo()
    click.echo("A plain number is in SI units. twinclock topologies lists the options of a graph.")


def _print_docs(rows: list[tuple[str, str, str, str]]) -> None:
    """Name, type and default in columns, and what a key is for below it."""
    lines = table_lines([(f"  {name}", type_, default) for name, type_, default, _ in rows])
    for line, (_, _, _, doc) in zip(lines, rows, strict=True):
        click.echo(line)
        if doc:
            click.echo(textwrap.fill(doc, width=100, initial_indent=" " * 6, subsequent_indent=" " * 6))


def _described(entry: Schedule) -> dict[str, object]:
    told = {"name": entry.name, "summary": entry.summary, "source": entry.source, "family": entry.family}
    told |= {"staleness": entry.staleness, "ours": entry.ours}
    return {**told, "settings": [each.as_dict() for each in setting_docs(entry.settings)]}

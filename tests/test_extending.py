"""The recipes of docs/extending.md: applied to a copy of the packages as they stand there, their commands run."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from analysis import load_run
from schedules.result import Result

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PACKAGES = ("topologies", "schedules", "simulator", "executor", "analysis", "twinclock")
RECIPES = {
    heading.removeprefix("A ").partition("\n")[0]: heading
    for heading in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
}
BLOCK = re.compile(r"^\*\*`(?P<file>\S+)`\*\*, (?P<where>[^\n]+):\n\n```python\n(?P<code>.*?)^```$", re.M | re.S)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)

pytestmark = pytest.mark.slow


# ---- applying a recipe


class Insertion(NamedTuple):
    """A block of code, and where it goes."""

    file: str
    where: str
    code: str


def insertions(recipe: str) -> list[Insertion]:
    found = [Insertion(**match.groupdict()) for match in BLOCK.finditer(RECIPES[recipe])]
    assert len(found) == RECIPES[recipe].count("```python"), "every block of code is put somewhere"
    return found


def apply(recipe: str, place: Path) -> None:
    for file, where, code in insertions(recipe):
        path = place / file
        if where == "a new file":
            assert not path.exists()
            path.write_text(code, encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        at, indent, space = position("".join(lines), where)
        comma = ",\n" if where.startswith("a row of") else "\n"
        lines[at:at] = [space, textwrap.indent(code.rstrip("\n"), indent), comma]
        path.write_text("".join(lines), encoding="utf-8")


def position(source: str, where: str) -> tuple[int, str, str]:
    """After how many lines, how far to the right, and after how many empty lines the code goes."""
    body = ast.parse(source).body
    if where == "among the imports":
        return max(each.end_lineno or 0 for each in body if isinstance(each, ast.Import | ast.ImportFrom)), "", ""
    match = re.fullmatch(r"(after|a row of|a field of) `(\w+)`", where)
    assert match is not None, where
    kind, name = match.groups()
    (found,) = (each for each in body if name in names(each))
    assert found.end_lineno is not None
    if kind == "after":
        return found.end_lineno, "", "\n\n"
    if kind == "a row of":
        return found.end_lineno - 1, "    ", ""  # in front of the closing bracket
    assert isinstance(found, ast.ClassDef)
    last = max(number for number, each in enumerate(found.body) if isinstance(each, ast.AnnAssign))
    doc = found.body[last + 1]
    assert isinstance(doc, ast.Expr), "a field has its description below it"
    return doc.end_lineno or 0, "    ", ""


def names(statement: ast.stmt) -> set[str]:
    """What a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {each.id for each in targets if isinstance(each, ast.Name)}


Applied = Callable[[str], dict[str, str]]
"""Applies a recipe, and returns what each of its commands has printed."""


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Applied:
    """To a copy of the packages, in which the test stands then."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (scenario,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, flags=re.M | re.S)
    (tmp_path / "try.toml").write_text(scenario, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(words: list[str]) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def of(recipe: str) -> dict[str, str]:
        apply(recipe, tmp_path)
        run(["ruff", "check", "--fix", "--quiet", "."])  # as `make format` does
        assert run(["ruff", "format", "--diff", "--quiet", "."]) == ""
        (text,) = COMMANDS.findall(RECIPES[recipe])
        return {line: run(shlex.split(line)) for line in text.splitlines()}

    return of


def trace(directory: str) -> pd.DataFrame:
    return load_run(directory).kept_trace


def parameters(run: Result) -> np.ndarray:
    assert run.parameters is not None
    return run.parameters


# ---- the recipes


def test_the_recipes_are_those_that_the_beginning_names() -> None:
    assert list(RECIPES) == ["graph", "transport", "figure", "fault", "codec", "schedule"]
    assert re.findall(r"\(#a-(\w+)\)", TEXT.partition("\n## ")[0]) == list(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_touches_at_most_two_files(recipe: str) -> None:
    assert 1 <= len({each.file for each in insertions(recipe)}) <= 2


def test_a_graph_is_listed_and_simulated_on(applied: Applied) -> None:
    listing, numbers, _ = applied("graph").values()
    assert "wheel\n  Worker 0 is the hub and meets all others, which are a ring: 2 (n - 1) edges." in listing
    assert re.search(r"^edges +14$", numbers, flags=re.MULTILINE)
    exchanges = trace("runs/wheel").query("op == 'Exchange'")
    hub, ring = {(0, peer) for peer in range(1, 8)}, {(rank, rank % 7 + 1) for rank in range(1, 8)}
    met = {(min(ends), max(ends)) for ends in zip(exchanges["rank"], exchanges["peer"], strict=True)}
    assert met == {(min(ends), max(ends)) for ends in hub | ring}


def test_a_transport_takes_the_time_of_its_formula(applied: Applied) -> None:
    applied("transport")
    reduced = trace("runs/in-switch").query("op == 'AllReduce'")
    (size,) = set(reduced["bytes"])
    assert len(reduced) == 4 * 20
    assert set(reduced["end_ns"] - reduced["ready_ns"]) == {round(1e6 + 0.5e6 + size / 12.5e6 * 1e9)}
    assert load_run("runs/in-switch").tables["platform"]["transport"] == "in-switch"


def test_a_figure_stands_in_the_report(applied: Applied) -> None:
    applied("figure")
    page = Path("report/report.html").read_text(encoding="utf-8")
    assert "How long gradients took" in page
    assert "Share of all gradients that took at most as long." in page
    assert 'id="gradients-' in page
    assert "duration of a gradient (ms)" in page
    assert {"gradients.svg", "gradients.png"} <= {path.name for path in Path("report").iterdir()}


def test_a_fault_takes_ranks_away(applied: Applied) -> None:
    """Rank r is away from 50 + 20 r ms for 20 ms: the gradient that it computes then begins anew when it is back."""
    applied("fault")
    summary = json.loads(Path("runs/updated/summary.json").read_text(encoding="utf-8"))
    assert (summary["outages"], summary["away_s"]) == (4, pytest.approx(0.08))
    rows = trace("runs/updated")
    for rank in range(4):
        begin, back = (50 + 20 * rank) * 10**6, (70 + 20 * rank) * 10**6
        mine = rows[rows["rank"] == rank]
        assert not ((mine["end_ns"] > begin) & (mine["end_ns"] < back)).any()


def test_a_codec_is_used_by_both_worlds(applied: Applied) -> None:
    applied("codec")
    simulated, measured = load_run("runs/halves"), load_run("runs/halves-measured")
    assert simulated.summary["bytes_sent"] == measured.summary["bytes_sent"] > 0
    np.testing.assert_allclose(parameters(measured), parameters(simulated), rtol=0, atol=1e-12)


def test_a_schedule_is_listed_and_ends_alike_in_both_worlds(applied: Applied) -> None:
    listing, *_ = applied("schedule").values()
    assert "alternating\n  Gossip on a ring in alternating pairs" in listing
    simulated, followed = load_run("runs/simulated"), load_run("runs/followed")
    exchanges = simulated.kept_trace.query("op == 'Exchange' and rank == 2")
    assert exchanges["peer"].tolist() == [3, 1] * 10
    assert followed.world == "measured"
    np.testing.assert_allclose(parameters(followed), parameters(simulated), rtol=0, atol=1e-9)

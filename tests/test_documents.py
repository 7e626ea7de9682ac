"""What the documents say is run: snippets, scenarios, commands, the example schedule; links and names exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import schedules
from executor import execute
from schedules import catalogue
from schedules.operations import OPERATIONS, parse
from schedules.record.trace import COLUMNS
from schedules.scenario import load
from schedules.training.model import Model
from schedules.worker import Worker
from simulator import simulate, simulate_jobs
from simulator.sweep import plan
from twinclock.main import main
from twinclock.schedule_list import schedule_list

ROOT = Path(__file__).parent.parent
NAMES = [
    "README.md",
    "CHANGELOG.md",
    "docs/design.md",
    "docs/extending.md",
    "docs/vocabulary.md",
    "docs/scenario.md",
    "docs/paper-tables.md",
    "docs/papers/a2cid2-doubling.md",
    "docs/wide-area.md",
    "docs/pipelines.md",
    "docs/low-communication.md",
]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
ALL = "\n".join(TEXTS.values())
README, VOCABULARY = TEXTS["README.md"], TEXTS["docs/vocabulary.md"]
FOLDERS = "topologies|schedules|simulator|executor|analysis|twinclock|examples|benchmarks|docs"
EXAMPLE = "examples/my_schedule.py"
SCENARIO = "examples/my_schedule.toml"
FEW = {"schedule.gradients": 8, "workload.dtype": "float64"}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language; "" for those without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for each, block in fenced if each == language]


def shell_lines() -> list[str]:
    """Every command line of the README, without its comment."""
    lines = [line for block in blocks(README, "sh") for line in block.replace("\\\n", " ").splitlines()]
    typed = [line[2:] for block in blocks(README, "console") for line in block.splitlines() if line.startswith("$ ")]
    return [" ".join(shlex.split(line, comments=True)) for line in [*lines, *typed] if line.strip()]


def words_after(program: str) -> list[list[str]]:
    return [line.split()[1:] for line in shell_lines() if line.split()[:1] == [program]]


@pytest.fixture
def at_readers_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what the README tells its reader to save there."""
    (tmp_path / "scenario.toml").write_text(blocks(README, "toml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


# ---- the README's snippets


def test_readme_shows_the_example_schedule_as_it_is() -> None:
    assert blocks(README, "python").count((ROOT / EXAMPLE).read_text(encoding="utf-8")) == 1


def test_readme_scenario_is_swept_in_as_many_cases_as_it_says(at_readers_desk: Path) -> None:
    (said,) = {int(number) for number in re.findall(r"(\d+) (?:simulations|cases)", README)}
    assert len(plan("scenario.toml")) == said == len(plan(at_readers_desk / "scenario.toml"))


def test_sweeps_of_the_scenario_page_have_the_cases_that_it_says() -> None:
    base = {key: table for key, table in tomllib.loads(blocks(README, "toml")[0]).items() if key != "sweep"}
    base["schedule"] = {"gradients": 200}
    groups, impossible = (
        plan({**base, **tomllib.loads(each)})
        for each in blocks(TEXTS["docs/scenario.md"], "toml")
        if each.startswith("[sweep]")
    )
    assert len(groups) == 12
    assert groups[0].swept == {"schedule.program": "gossip", "schedule.rate": 1, "topology.graph": "ring"}
    assert [case.reason is None for case in impossible] == [True, True, False, False]


def test_jobs_of_the_scenario_page_lose_what_it_says() -> None:
    block = next(each for each in blocks(TEXTS["docs/scenario.md"], "toml") if "[[job]]" in each)
    at_once = {"job.b.start": 0, "job.b.schedule.gradients": 3}
    for overrides, together in ((at_once, 0.78), ({**at_once, "job.b.start": "100 ms"}, 0.54)):
        found = simulate_jobs(tomllib.loads(block), overrides=overrides)
        assert [each.alone.summary["makespan_s"] for each in found] == [0.54, 0.54]
        assert [each.together.summary["makespan_s"] for each in found] == [together, together]


def test_readme_python_snippets_run(at_readers_desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snippets = [each for each in blocks(README, "python") if "def streams" not in each]
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out
    assert (at_readers_desk / "runs" / "half-rate" / "summary.json").is_file()


@pytest.mark.usefixtures("at_readers_desk")
def test_readme_console_output_is_what_comes() -> None:
    for block in blocks(README, "console"):
        command, _, expected = block.partition("\n")
        result = CliRunner().invoke(main, command.removeprefix("$ twinclock ").split())
        assert (result.exit_code, result.output) == (0, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("at_readers_desk")
def test_readme_sweep_table_is_of_what_comes() -> None:
    (shown,) = (block for block in blocks(README, "") if block.startswith("schedule.rate"))
    result = CliRunner().invoke(main, ["sweep", "scenario.toml"])
    assert result.exit_code == 0
    assert set(shown.splitlines()) <= set(result.output.splitlines())


# ---- the commands that are named


@pytest.mark.parametrize("words", words_after("twinclock"), ids=" ".join)
def test_twinclock_commands_of_the_readme_exist(words: list[str]) -> None:
    command = main.commands[words[0]]
    options = {name for each in command.params if isinstance(each, click.Option) for name in each.opts}
    assert {word for word in words if word.startswith("--")} <= options
    assert all((ROOT / word).is_file() for word in words if word.startswith("examples/"))


@pytest.mark.slow
def test_commands_of_the_page_on_paper_tables_run(at_readers_desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinclock.progress.ELSEWHERE_S", 1e6)  # however slow the machine, nothing is told meanwhile
    page = TEXTS["docs/paper-tables.md"]
    (mine,), commands = blocks(page, "csv"), "".join(blocks(page, "sh"))
    (at_readers_desk / "mine.csv").write_text(mine, encoding="utf-8")
    for line in commands.splitlines():
        result = CliRunner().invoke(main, shlex.split(line.removeprefix("twinclock ")))
        assert (result.exit_code, result.stderr) == (0, ""), line


def test_readme_says_of_all_schedules_what_is_simulated_and_executed() -> None:
    """As the catalogue has it; a new schedule changes the table, and `twinclock schedules --markdown` prints it."""
    told = "\n".join(schedule_list())
    assert f"\n{told}\n" in README
    assert all(f"`{name}`" in told for name in catalogue.names())


def test_readme_names_only_commands_that_exist() -> None:
    named = set(re.findall(r"`twinclock ([a-z]+)", ALL))
    assert named
    assert named <= set(main.commands)


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {line.split()[1] for line in shell_lines() if line.startswith("make ")} | set(
        re.findall(r"`make ([a-z-]+)`", ALL)
    )
    assert {"quickstart", "test"} <= named <= targets


def test_modules_that_the_readme_runs_exist() -> None:
    named = set(re.findall(r"-m ((?:benchmarks|executor)[\w.]*)", README))
    assert named
    for name in named:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name


# ---- links, figures, names


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    headings = re.findall(r"^#+ (.*)", TEXTS[name], flags=re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub("<!--.*?-->", "", TEXTS[name], flags=re.DOTALL)):
        is_here = target in anchors if target.startswith("#") else ((ROOT / name).parent / target).exists()
        assert is_here or target.startswith("https://"), target


def test_files_that_are_named_exist() -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", ALL)
    assert named
    new = set(re.findall(r"^\*\*`(\S+)`\*\*, a new file:$", ALL, flags=re.MULTILINE))  # of docs/extending.md
    assert [name for name in named if not (ROOT / name).exists() and name not in new] == []


def test_folders_of_the_map_are_the_folders() -> None:
    """Every package, and every room of one but those of the programs, which are families."""
    (code_map,) = (block for block in blocks(README, "") if block.startswith("topologies/"))
    named, house = [], ""
    for indent, name in re.findall(r"^( *)(\w+)/  ", code_map, flags=re.MULTILINE):
        house = house if indent else f"{name}/"
        named.append(f"{house}{name}" if indent else name)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    rooms = {
        path.parent.relative_to(ROOT).as_posix() for name in packages for path in ROOT.glob(f"{name}/*/__init__.py")
    }
    assert {name for name in named if "/" in name} == rooms
    assert packages <= set(named)
    assert [name for name in named if not (ROOT / name).is_dir()] == []


# ---- docs/vocabulary.md


def test_vocabulary_lists_every_operation() -> None:
    table = VOCABULARY.partition("## Operations")[2].partition("\n\nWhat else")[0]
    listed = [name for line in table.splitlines() for name in re.findall(r"`(\w+)\(", line.partition(" | ")[0])]
    assert listed == list(OPERATIONS)


def test_vocabulary_names_the_face_of_schedules() -> None:
    """One import line that works, and every name that there is: operations in their table, the others in the first."""
    (line,) = blocks(VOCABULARY, "python")
    exec(compile(line, "docs/vocabulary.md", "exec"), {})
    table = VOCABULARY.partition("| what for | names |")[2].partition("\n\n")[0]
    named = {name for name in re.findall(r"`(\w+)`", table) if hasattr(schedules, name)}
    assert named.isdisjoint(OPERATIONS)
    assert named | set(OPERATIONS) == set(schedules.__all__)


def test_vocabulary_shows_operations_as_they_print() -> None:
    kinds = "|".join(OPERATIONS)
    rows = [line.split("|") for line in VOCABULARY.splitlines() if re.match(rf"\| `(?:{kinds})\(", line)]
    shown = [row[4].strip().strip("`") for row in rows]
    assert len(shown) == len(OPERATIONS) - 1  # Join and Leave share a row
    assert [str(parse(text)) for text in shown] == shown


def test_vocabulary_explains_every_column_of_the_trace() -> None:
    assert set(COLUMNS) <= set(re.findall(r"`(\w+)`", VOCABULARY.partition("## The trace")[2]))


def test_vocabulary_names_what_workers_and_models_have() -> None:
    table = VOCABULARY.partition("| method of the model |")[2].partition("\n\n")[0]
    methods = re.findall(r"`(\w+)\(", table)
    assert methods
    assert all(hasattr(Model, name) for name in methods)
    named = set(re.findall(r"`worker\.(\w+)", VOCABULARY))
    assert named == {name for name in dir(Worker) if not name.startswith("_")}


# ---- the example schedule


@pytest.mark.usefixtures("at_root")
def test_example_meets_its_neighbours_dimension_by_dimension() -> None:
    trace = simulate(SCENARIO, overrides=FEW).trace
    assert trace is not None
    peers = trace[(trace["op"] == "Exchange") & (trace["rank"] == 2)].sort_values("tag")["peer"].tolist()
    assert peers == [3, 0] * 4


@pytest.mark.usefixtures("at_root")
def test_example_by_module_name_is_the_same_schedule() -> None:
    by_file = simulate(SCENARIO, overrides=FEW)
    by_name = simulate(SCENARIO, overrides={**FEW, "schedule.program": "examples.my_schedule"})
    np.testing.assert_array_equal(by_file.parameters, by_name.parameters)


@pytest.mark.usefixtures("at_root")
def test_example_computes_what_its_formula_says() -> None:
    """The same recursion in numpy, step by step, for all workers at once."""
    from schedules.scenario import build_problem

    scenario = load(SCENARIO, FEW)
    problem, rate = build_problem(scenario), scenario.optimizer.learning_rate
    x = np.stack([problem.initial(scenario.run.seed)] * 4)
    for step in range(8):
        gradients = np.stack([problem.gradient(x[rank], rank, step) for rank in range(4)])
        partners = [rank ^ (1 << step % 2) for rank in range(4)]
        x = x - rate * gradients + (x[partners] - x) / 2
    np.testing.assert_allclose(simulate(scenario).parameters, x, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("at_root")
def test_example_in_a_timing_only_run_takes_as_long() -> None:
    numeric_run, timing_run = (simulate(SCENARIO, overrides={**FEW, "run.numerics": on}) for on in (True, False))
    assert numeric_run.summary["makespan_s"] == timing_run.summary["makespan_s"]


@pytest.mark.slow
@pytest.mark.usefixtures("at_root")
def test_example_ends_with_the_same_parameters_in_the_other_world() -> None:
    simulated = simulate(SCENARIO, overrides=FEW)
    measured = execute(SCENARIO, overrides=FEW, replay=simulated)
    np.testing.assert_allclose(measured.parameters, simulated.parameters, rtol=0, atol=1e-12)

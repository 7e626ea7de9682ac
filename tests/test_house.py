"""The house stays as it is (docs/design.md, "The house"): sizes, names, who knows what, and documents that exist.

A limit may be passed where the result is plainer. Then it stands in a table here, and the reason as a comment in that
file, which is looked for, too.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("topologies", "schedules", "simulator", "executor", "analysis", "twinclock")

LINES_OF_A_FILE: Final = 330
LINES_OF_A_CLASS: Final = 200
METHODS_OF_A_CLASS: Final = 16
FILES_OF_A_FOLDER: Final = 12
IMPORTS_IN_FUNCTIONS: Final = 20
SHARE_OF_ANY: Final = 0.04
LINES_OF_A_WORLD: Final = 200

LONG_FILES: Final = {
    "schedules/operations.py": "The file is long because",
    "simulator/network/fair_sharing_numba.py": "The file is long because",
}
"""With the words in which the file begins to say why."""
LARGE_CLASSES: Final = {
    "schedules/result.py Result": "More methods than our classes have, because",
    "schedules/scenario/resolved.py Scenario": "More methods than our classes have, because",
}
FULL_FOLDERS: Final = {"topologies", "twinclock/commands"}
"""It stays flat: its files are families of graphs and what is worked out of a graph, all of one kind."""

SHARED_NAMES: Final = {
    "World": "each world has its own; the driver's is what it needs of one",
    "Settings": "a schedule's keys, in its file",
    **dict.fromkeys(
        ("Computing", "Exchanges", "Sends", "Collectives", "Meetings", "Sleeps"),
        "a service has one name in both worlds",
    ),
}
"""Names that more than one class has, on purpose."""

ELSEWHERE: Final = {"doc/PERFORMANCE.md"}
"""Documents that are cited and are other projects'."""


@cache
def files() -> dict[str, ast.Module]:
    """The sources of the packages, by path."""
    found = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(text(path)) for path in found}


def text(path: Path | str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...], under: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind, with its file, of the files whose path begins so."""
    for name, tree in files().items():
        if name.startswith(under):
            yield from ((name, node) for node in ast.walk(tree) if isinstance(node, kind))


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for name, node in nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        yield name, node


# ---- sizes


def test_files_are_short() -> None:
    lines = {name: len(text(name).splitlines()) for name in files()}
    assert {name for name, number in lines.items() if number > LINES_OF_A_FILE} == set(LONG_FILES)


def test_classes_are_small() -> None:
    large = {
        f"{name} {node.name}"
        for name, node in classes()
        if lines_of(node) > LINES_OF_A_CLASS
        or sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body) > METHODS_OF_A_CLASS
    }
    assert large == set(LARGE_CLASSES)


def lines_of(node: ast.ClassDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize(("place", "reason"), [*LONG_FILES.items(), *LARGE_CLASSES.items()])
def test_what_is_larger_says_why(place: str, reason: str) -> None:
    assert reason in text(place.split()[0])


def test_folders_are_not_full() -> None:
    numbers = Counter(Path(name).parent.as_posix() for name in files())
    assert {name for name, number in numbers.items() if number > FILES_OF_A_FOLDER} == FULL_FOLDERS


@pytest.mark.parametrize("world", ["simulator", "executor"])
def test_a_world_only_joins_its_services(world: str) -> None:
    assert len(text(f"{world}/world.py").splitlines()) < LINES_OF_A_WORLD


# ---- imports and types


def test_few_of_our_imports_stand_in_functions() -> None:
    """What loads late does so by a table: `twinclock.main`, `schedules`."""
    found = {
        (name, each.lineno)
        for name, function in nodes((ast.FunctionDef, ast.AsyncFunctionDef))
        for each in ast.walk(function)
        if isinstance(each, ast.Import | ast.ImportFrom) and imported(each) & set(PACKAGES)
    }
    assert len(found) <= IMPORTS_IN_FUNCTIONS, sorted(found)


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The top-level packages of an import."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
    return {name.partition(".")[0] for name in names}


def test_few_annotations_are_any() -> None:
    said = [ast.unparse(each) for _, node in nodes(ast.AST) for each in annotated(node)]
    number = sum(bool(re.search(r"\bAny\b", each)) for each in said)
    assert number / len(said) < SHARE_OF_ANY


def annotated(node: ast.AST) -> Iterator[ast.expr]:
    """Of arguments, results and variables."""
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
        yield node.annotation
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
        yield node.returns


# ---- names


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for name, node in classes():
        places[node.name].append(name)
    assert {name for name, found in places.items() if len(found) > 1} == set(SHARED_NAMES)


@pytest.mark.parametrize("service", ["Computing", "Exchanges", "Sends", "Collectives", "Meetings", "Sleeps"])
def test_a_service_is_in_both_worlds(service: str) -> None:
    assert [name.partition("/")[0] for name, node in classes() if node.name == service] == ["executor", "simulator"]


@pytest.mark.parametrize("world", ["simulator", "executor"])
def test_to_schedule_is_not_to_call_later(world: str) -> None:
    """Nothing that is defined there is called so; SimPy's environment has a method of that name, in `events`."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.arg, ast.Name, ast.Attribute)
    defined = {(name, what) for name, node in nodes(kinds, f"{world}/") if (what := defines(node))}
    found = {(name, what) for name, what in defined if "schedule" in what.lower().split("_")}
    assert found == ({("simulator/events.py", "schedule")} if world == "simulator" else set())


def defines(node: ast.AST) -> str | None:
    """The name that a node gives to something."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else None


# ---- who knows what


def test_only_the_events_know_simpy_and_its_private_names() -> None:
    importers = {name for name, node in nodes((ast.Import, ast.ImportFrom)) if "simpy" in imported(node)}  # type: ignore[arg-type]
    assert importers == {"simulator/events.py"}
    private = {"_queue", "_eid", "_now"}
    users = {name for name, node in nodes(ast.Attribute) if isinstance(node, ast.Attribute) and node.attr in private}
    assert users == {"simulator/events.py"}


def test_the_driver_has_nothing_of_simpys_shape() -> None:
    words = set(re.findall(r"\w+", text("schedules/driving/driver.py")))
    assert words & {"_ok", "callbacks", "on_end", "simpy"} == set()


def test_no_transport_is_asked_for_by_its_name() -> None:
    """Its row says what it is like; the row itself and `[execution] backend` are where names stand."""
    from schedules.platform.transports import TRANSPORTS

    compared = [
        f"{name}:{node.lineno}"
        for name, node in nodes(ast.Compare)
        if isinstance(node, ast.Compare) and "transport" in ast.unparse(node)
        for each in [node.left, *node.comparators]
        if isinstance(each, ast.Constant) and each.value in TRANSPORTS
    ]
    assert compared == []


# ---- documents


def test_documents_that_code_cites_exist() -> None:
    """`gossip.md`, `docs/design.md`: a path from the top, or the last part of one."""
    there = {path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*")]}
    cited = {
        match
        for folder in (*PACKAGES, "tests", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for match in re.findall(r"(?<![\w/.])[\w./-]+\.md\b|\bdocs/[\w./-]*\w", text(path))
    } - ELSEWHERE
    assert {"gossip.md", "docs/design.md"} <= cited
    assert {name for name in cited if not any(f"/{each}".endswith(f"/{name}") for each in there)} == set()

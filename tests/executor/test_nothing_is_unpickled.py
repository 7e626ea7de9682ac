"""What comes over a network or from a file is read as numbers and text: unpickling it would run what it says."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("analysis", "executor", "schedules", "simulator", "topologies", "twinclock")
MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "multiprocessing"}
HARMLESS = {"simulator/pool.py": ["multiprocessing"]}  # its resource tracker is told names of files, a line each
CALLS = {"read_pickle", "send_object_list", "recv_object_list", "broadcast_object_list", "all_gather_object"}


def unpickles(tree: ast.AST) -> list[str]:
    """What unpickles in a module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif ast.unparse(node) in ("torch.load", "allow_pickle=True"):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            found.append(node.attr)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_unpickled(package: str) -> None:
    found = {
        str(path.relative_to(ROOT)): told
        for path in (ROOT / package).rglob("*.py")
        if (told := unpickles(ast.parse(path.read_text())))
    }
    assert found == {name: told for name, told in HARMLESS.items() if name.startswith(f"{package}/")}


def test_what_unpickles_is_found() -> None:
    code = "from multiprocessing.connection import Client\nimport pickle\ntorch.load(p)\nnp.load(p, allow_pickle=True)"
    assert unpickles(ast.parse(code)) == ["multiprocessing.connection", "pickle", "torch.load", "allow_pickle=True"]

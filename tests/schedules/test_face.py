"""`schedules` is the face for authors of programs: every name is there, and none is imported before it is asked for."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import schedules
from schedules.operations import OPERATIONS

ROOT = Path(__file__).parent.parent.parent
OWN_SCHEDULE = '''
"""Gradients, and a barrier."""

from schedules import Barrier, Bytes, Compute, Count, Program, Table, Worker, descend, field_validator

SOURCE = "nobody"


class Settings(Table):
    gradients: Count
    bucket: Bytes = 4.0

    @field_validator("bucket")
    @classmethod
    def check(cls, bucket: float) -> float:
        if bucket < 4:
            raise ValueError("expected a number's bytes at least")
        return bucket


def streams(worker: Worker) -> dict[str, Program]:
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient")
        worker.model.apply(descend, gradient)
    yield Barrier()
'''
SCENARIO = {
    "schedule": {"program": "own.py", "gradients": 3},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"parameters": 1000},
}


def of_type_checkers() -> list[str]:
    """The names that the `if TYPE_CHECKING` of the face imports."""
    tree = ast.parse((ROOT / "schedules" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (each for each in tree.body if isinstance(each, ast.If))
    return [name.name for line in block.body if isinstance(line, ast.ImportFrom) for name in line.names]


@pytest.mark.parametrize("name", schedules.__all__)
def test_name_is_that_of_its_module(name):
    assert getattr(schedules, name) is getattr(importlib.import_module(schedules._PLACES[name]), name)


def test_checkers_editors_and_programs_see_the_same_names():
    assert sorted(of_type_checkers()) == sorted(schedules._PLACES) == sorted(schedules.__all__)
    assert set(schedules.__all__) <= set(dir(schedules))
    assert len(schedules.__all__) == len(set(schedules.__all__))


def test_every_operation_is_in_the_face():
    assert set(OPERATIONS) <= set(schedules.__all__)


def test_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="module 'schedules' has no attribute 'Compote'"):
        schedules.Compote  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Compote'"):
        from schedules import Compote  # noqa: F401


def test_import_costs_nothing():
    """Of other people's modules and of our own, nothing but the package itself."""
    program = "import sys; before = set(sys.modules); import schedules; print(*sorted(set(sys.modules) - before))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    imported = result.stdout.split()
    foreign = {each.partition(".")[0] for each in imported} - set(sys.stdlib_module_names)
    assert foreign == {"schedules"}
    assert [each for each in imported if each.startswith("schedules")] == ["schedules"]


def test_schedule_is_written_with_one_import(tmp_path, monkeypatch):
    from simulator import simulate

    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN_SCHEDULE, encoding="utf-8")
    assert simulate(SCENARIO).summary["gradients"] == 12
    with pytest.raises(ValueError, match=r"schedule\.bucket: .*expected a number's bytes at least"):
        simulate(SCENARIO, overrides={"schedule.bucket": 2})

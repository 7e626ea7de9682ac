"""The file of tensors of a scenario: what it gives, and what is wrong with one."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from schedules.runs.followed import _differences
from schedules.scenario import Scenario, ScenarioError, load
from schedules.setup import Setup
from schedules.training.model import Model
from schedules.training.vectors import Tensor
from schedules.worker import Worker
from simulator import simulate

ROOT = Path(__file__).parents[3]
TWO_STAGES = ROOT / "tests/worlds/programs/two_stages.py"
SMALL = "name,shape\nfc.weight,4x3\nfc.bias,4\nhead,2\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text(SMALL)
    return path


def scenario(file: Path | str, **changes: Any) -> Scenario:
    tables = {
        "schedule": {"program": "all-reduce", "gradients": 3},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {"gradient": {"mean": 0.1}},
        "workload": {"tensors": str(file)},
    }
    return load(tables, {key.replace("__", "."): value for key, value in changes.items()})


def resnet18() -> list[tuple[int, ...]]:
    """Shapes of He et al. 2016 for images of 32 x 32: a 3x3 convolution, four groups of two blocks, a linear layer."""
    norm = lambda width: [(width,), (width,)]  # noqa: E731
    shapes = [(64, 3, 3, 3), *norm(64)]
    before = 64
    for width in (64, 128, 256, 512):
        for _ in range(2):
            shapes += [(width, before, 3, 3), *norm(width), (width, width, 3, 3), *norm(width)]
            shapes += [(width, before, 1, 1), *norm(width)] if before != width else []
            before = width
    return [*shapes, (10, 512), (10,)]


def test_resnet_18_is_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    resolved = load("examples/resnet18.toml")
    assert [each.shape for each in (resolved.tensors or {}).values()] == resnet18()
    assert resolved.num_parameters == sum(map(math.prod, resnet18())) == 11_173_962
    assert Setup(resolved).worker(0).model.size == 4 * 11_173_962


def test_a_timing_only_model_has_the_tensors_of_the_file(file: Path) -> None:
    model = Setup(scenario(file, workload__dtype="float64")).worker(1).model
    assert model.size == 8 * 18
    assert model.tensors == {
        "fc.weight": Tensor((4, 3), 0, 12), "fc.bias": Tensor((4,), 12, 4), "head": Tensor((2,), 16, 2)
    }  # fmt: skip


def held(worker: Worker) -> list[Model]:
    return list((worker.stages or {}).values())


def test_stages_cut_them(file: Path) -> None:
    resolved = scenario(file, schedule__program=str(TWO_STAGES), workload__parameters=[12, 4, 2])
    first, second = held(Setup(resolved).worker(0))
    (third,) = held(Setup(resolved).worker(1))
    assert [first.tensors, second.tensors, third.tensors] == [
        {"fc.weight": Tensor((4, 3), 0, 12)}, {"fc.bias": Tensor((4,), 0, 4)}, {"head": Tensor((2,), 0, 2)}
    ]  # fmt: skip
    evenly = held(Setup(scenario(file, schedule__program=str(TWO_STAGES))).worker(1))
    assert [each.tensors for each in evenly] == [{"fc.bias": Tensor((4,), 0, 4), "head": Tensor((2,), 4, 2)}]


def test_names_of_what_does_not_decay_are_known(file: Path) -> None:
    scenario(file, optimizer__no_decay=["*.bias"])
    with pytest.raises(ScenarioError, match=r"optimizer\.no_decay: .*\*\.bais"):
        scenario(file, optimizer__no_decay=["*.bais"])


def test_the_fingerprint_is_of_the_text(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(SMALL)
    assert scenario(file).fingerprint() == scenario(other).fingerprint()
    other.write_text(SMALL.replace("head", "tail"))
    assert scenario(file).fingerprint() != scenario(other).fingerprint()
    plain = load(scenario(file), {"workload.tensors": None, "workload.parameters": 18})
    assert scenario(file).fingerprint() != plain.fingerprint()


def test_a_run_of_another_text_is_not_followed(file: Path, tmp_path: Path) -> None:
    run = simulate(scenario(file)).save(tmp_path / "run")
    file.write_text(SMALL.replace("head", "tail"))
    with pytest.raises(ScenarioError, match=r"expected a trace of .*, found one of .*small\.csv with another text"):
        simulate(scenario(file), replay=run)


@pytest.mark.parametrize("changed", [["small.csv"], ["own.py"], ["own.py", "small.csv"]])
def test_the_file_that_has_changed_is_named(file: Path, tmp_path: Path, changed: list[str]) -> None:
    """On disk, in memory, and of a run that an older version has left, which says less."""
    own = tmp_path / "own.py"
    own.write_text((ROOT / "schedules/programs/synchronous/all_reduce.py").read_text())
    original = simulate(scenario(file, schedule__program=str(own)))
    run = original.save(tmp_path / "run")
    for name in changed:
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("head", "tail") + "\n")
    followed = scenario(file, schedule__program=str(own))
    told = " or ".join(rf"\S*{re.escape(each)}" for each in changed)
    for source in (run, original):
        with pytest.raises(ScenarioError, match=rf"expected a .*, found one of {told} with another text$"):
            simulate(followed, replay=source)
    info = {key: value for key, value in original.info.items() if key != "texts"}
    assert _differences(info, followed) == f"one of {own} or {file} with another text"


def test_a_resolved_scenario_can_be_read_again(file: Path) -> None:
    resolved = scenario(file)
    assert load(resolved.tables()).tables() == load(resolved.said()).tables() == resolved.tables()
    assert resolved.model_copy().tensors == resolved.tensors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected the columns name and shape, found none$"),
        ("name,size\na,3\n", r"expected the columns name and shape, found name, size$"),
        ("name,shape\n", r"expected at least one tensor, found none$"),
        ("name,shape\na,3\nb,3xx4\n", r"line 3: expected a shape such as 64x3x3x3, found '3xx4'$"),
        ("name,shape\na,0\n", r"line 2: expected a shape such as 64x3x3x3, found '0'$"),
        ("name,shape\na,-3\n", r"line 2: expected a shape such as 64x3x3x3, found '-3'$"),
        ("name,shape\na\n", r"line 2: expected a shape such as 64x3x3x3, found None$"),
        ("name,shape\na,3\n,3\n", r"line 3: expected a name of its own, found ''$"),
        ("name,shape\na,3\na,3\n", r"line 3: expected a name of its own, found 'a'$"),
    ],
)
def test_what_is_no_list_of_tensors_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=rf"^scenario: workload\.tensors: .*bad\.csv[:,] {message}"):
        scenario(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere.csv"):
        with pytest.raises(ScenarioError, match=r"^scenario: workload\.tensors: .*: expected a file, found none \("):
            scenario(place)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match=r"bytes\.csv: expected a text in UTF-8, found other bytes"):
        scenario(tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workload__parameters": 17}, r"workload\.parameters: expected 18, as .*small\.csv has, or none; found 17"),
        (
            {"workload__parameters": [17]},
            r"workload\.parameters: expected 18 parameters in all, as the model has, found 17",
        ),
        ({"workload__problem": "quadratic"}, r"workload\.tensors: expected none beside workload\.problem, found .*"),
        ({"workload__module": "a:b"}, r"workload\.tensors: expected none beside workload\.module, found .*"),
    ],
)
def test_what_the_file_contradicts_is_refused(file: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario(file, **changes)
    assert scenario(file, workload__parameters=18).num_parameters == 18

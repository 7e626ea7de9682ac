"""What a user installs is what the repository says: every package whole, every dependency pinned, nothing local."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from itertools import chain
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
BUILT_BY_MAKE = ["pyproject.toml", "constraints.txt", "Makefile", ".ci/run"]


def name_of(requirement: str) -> str:
    """The normalised name: `Jinja2>=3` -> `jinja2`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", requirement)[0]).lower()


def pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return set(ZipFile(built).namelist())


def test_wheel_holds_the_packages_whole_and_nothing_else(wheel):
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if ".dist-info/" not in name} == sources


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


def test_every_folder_of_sources_is_a_package():
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_command_exists():
    module, function = PROJECT["project"]["scripts"]["twinclock"].split(":")
    assert callable(getattr(import_module(module), function))


def test_tools_are_told_of_the_same_packages():
    tools = PROJECT["tool"]
    assert tools["mypy"]["packages"] == PACKAGES
    assert tools["importlinter"]["root_packages"] == PACKAGES


def test_every_pin_is_exact():
    assert [line for line in pins() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []


def test_every_dependency_is_pinned():
    wanted = {name_of(each) for each in chain(PROJECT["project"]["dependencies"], *EXTRAS.values())}
    assert wanted - {name_of(each) for each in pins()} == {"torch", "twinclock"}


def test_no_pin_depends_on_the_hardware():
    assert [line for line in pins() if line.startswith(("torch", "nvidia", "triton", "cuda"))] == []


@pytest.mark.parametrize("file", BUILT_BY_MAKE)
def test_set_up_names_no_host_and_no_place_of_one_machine(file):
    text = (ROOT / file).read_text()
    assert re.findall(r"https?://|file://|index-url|find-links|/(?:opt|work|root|home|tmp)/", text) == []

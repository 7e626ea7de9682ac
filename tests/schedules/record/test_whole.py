"""What is written is whole or not there, and a failure leaves nothing beside it."""

import errno
import os
from pathlib import Path

import pytest

from schedules.errors import ScenarioError
from schedules.record.whole import check_place, new_directory, whole_directory, whole_file


def test_a_file_takes_its_place_at_the_end(tmp_path):
    target = tmp_path / "made" / "table.csv"
    with whole_file(target) as temporary:
        temporary.write_text("1")
        assert temporary.suffix == ".csv"
        assert not target.exists()
    assert target.read_text() == "1"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_former_file(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("former")
    with pytest.raises(IsADirectoryError), whole_file(target) as temporary:
        temporary.with_name("half").write_text("new") and temporary.parent.read_text()
    assert target.read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_keeps_what_it_is_not_given_anew(tmp_path):
    target = tmp_path / "report"
    target.mkdir()
    (target / "notes").write_text("mine")
    with whole_directory(target, "report.html") as temporary:
        (temporary / "report.html").write_text("new")
    assert sorted(each.name for each in target.iterdir()) == ["notes", "report.html"]


OWN = ("old", "new")
"""The files of such a directory; others in it are the user's."""


def written(target, *, is_failing=False):
    with new_directory(target, OWN) as temporary:
        (temporary / "new").write_text("new")
        if is_failing:
            raise RuntimeError


def names(place):
    return sorted(each.name for each in place.iterdir())


@pytest.fixture
def former(tmp_path):
    target = tmp_path / "run"
    (target / "mine").mkdir(parents=True)
    (target / "mine" / "notes").write_text("mine")
    (target / "old").write_text("")
    return target


def test_a_new_directory_takes_the_place_of_the_former_but_for_what_is_not_its_own(tmp_path, former):
    former.chmod(0o750)
    number = former.stat().st_ino
    written(former)
    assert names(former) == ["mine", "new"]
    assert (former / "mine" / "notes").read_text() == "mine"
    assert former.stat().st_ino != number  # exchanged as a whole
    assert former.stat().st_mode & 0o777 == 0o750
    assert names(tmp_path) == ["run"]


def test_a_failure_leaves_the_former_directory(tmp_path, former):
    with pytest.raises(RuntimeError):
        written(former, is_failing=True)
    assert names(former) == ["mine", "old"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failure_while_things_are_moved_leaves_the_former_directory(tmp_path, former, monkeypatch, failing):
    """Of the three moves (what is the user's, the former away, the new one there) one fails."""
    move, calls = os.rename, iter(range(1, 100))

    def failing_once(*places):
        if next(calls) == failing:
            raise OSError("busy")
        move(*places)

    monkeypatch.setattr(os, "rename", failing_once)
    with pytest.raises(OSError, match="busy"):
        written(former)
    assert names(former) == ["mine", "old"]
    assert (former / "mine" / "notes").read_text() == "mine"
    assert names(tmp_path) == ["run"]


def test_a_link_to_a_directory_is_followed(tmp_path, former):
    link = tmp_path / "link"
    link.symlink_to(former)
    written(link)
    assert link.is_symlink()
    assert names(former) == ["mine", "new"]
    assert names(tmp_path) == ["link", "run"]


def test_a_directory_that_somebody_stands_in_is_filled(tmp_path, former, monkeypatch):
    monkeypatch.chdir(former / "mine")
    number = former.stat().st_ino
    written(former)
    assert names(former) == ["mine", "new"]
    assert former.stat().st_ino == number
    assert names(tmp_path) == ["run"]


def test_a_link_to_a_file_is_followed(tmp_path):
    link, target = tmp_path / "link.csv", tmp_path / "there" / "table.csv"
    target.parent.mkdir()
    target.write_text("former")
    target.chmod(0o640)
    link.symlink_to(target)
    with whole_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(pipe) as temporary:
        temporary.write_text("new")
    assert os.read(reading, 10) == b"new"
    os.close(reading)
    assert pipe.is_fifo()


def test_a_device_is_written_to():
    with whole_file(Path("/dev/null")) as temporary:
        temporary.write_text("new")
    assert Path("/dev/null").is_char_device()


def test_a_file_of_the_name_is_not_replaced_where_there_is_no_such_directory_yet(tmp_path):
    (tmp_path / "settings.csv").write_text("mine")

    def write():
        with whole_directory(tmp_path, "report.html") as temporary:
            (temporary / "report.html").write_text("new")
            (temporary / "settings.csv").write_text("new")

    with pytest.raises(ValueError, match=r"found settings\.csv and no report\.html"):
        write()
    assert names(tmp_path) == ["settings.csv"]
    assert (tmp_path / "settings.csv").read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / ("x" * 300), loop, tmp_path / "file" / "run", Path("/proc/run")):
        for is_directory in (False, True):
            with pytest.raises(ScenarioError, match="expected a"):
                check_place(place, is_directory=is_directory)
    assert names(tmp_path) == ["file", "loop"]


@pytest.mark.parametrize(
    "write", [whole_file, lambda path: whole_directory(path, "last"), lambda path: new_directory(path, [])]
)
def test_a_full_disk_is_told_with_the_place(tmp_path, write):
    """The system's error has no name where it is raised by writing to an open file."""
    with pytest.raises(OSError, match=r"No space left on device: '.*/out'"), write(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []

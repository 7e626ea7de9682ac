"""What is written is whole or not there, and a failure leaves nothing beside it."""

import pytest

from schedules.record.whole import new_directory, whole_directory, whole_file


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


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_new_directory_takes_the_place_of_the_former_as_a_whole(tmp_path, is_failing):
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").write_text("")
    try:
        with new_directory(target) as temporary:
            (temporary / "new").write_text("")
            if is_failing:
                raise RuntimeError
    except RuntimeError:
        assert is_failing
    assert [each.name for each in target.iterdir()] == ["old" if is_failing else "new"]
    assert list(tmp_path.iterdir()) == [target]
    assert is_failing or target.stat().st_mode & 0o777 == 0o755

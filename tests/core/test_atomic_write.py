"""A file that somebody reads is never half written."""

import pytest

from uniavgen_core.atomic_write import atomic_write


def test_the_file_gets_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.json"
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_write_that_raises_leaves_the_old_file_and_no_temporary_one(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_and_fail():
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_makes_nothing_raises_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_text() == "old"


def test_two_writers_at_once_do_not_meet_and_the_last_ones_file_stays(tmp_path):
    path = tmp_path / "a.json"
    with atomic_write(path) as first:
        with atomic_write(path) as second:
            assert first != second
            second.write_text("second")
        first.write_text("first")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]

"""Whose file it is: what is not the memory's is refused, and not a byte of it is changed."""

import sqlite3

import pytest

from builders.store import address, entry
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.file_schema import APPLICATION_ID
from plimsoll.store.levels.protocol import LevelError


def told(path, *statements):
    db = sqlite3.connect(path, isolation_level=None)
    for each in statements:
        db.execute(each)
    db.close()


@pytest.mark.parametrize("data", [b'{"my": "json"}', b"x" * 5000, b"SQLite format 3\0 and no more"])
def test_a_file_that_is_no_sqlite_stays_where_it_is(tmp_path, data):
    path = tmp_path / "mine.json"
    path.write_bytes(data)
    with pytest.raises(LevelError, match="no memory of Plimsoll"):
        FileLevel(path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE shop (x)",),
        ("CREATE TABLE records (x)",),
        (
            "CREATE TABLE records (digest)",
            "CREATE TABLE blobs (x)",
            "CREATE TABLE meta (x)",
            "CREATE TABLE y (x)",
        ),
        ("PRAGMA application_id = 7",),
    ],
)
def test_another_programs_sqlite_stays_as_it_is(tmp_path, statements):
    path = tmp_path / "other.db"
    told(path, *statements)
    before = path.read_bytes()
    with pytest.raises(LevelError, match="another program's"):
        FileLevel(path)
    assert path.read_bytes() == before


def test_no_regular_file_is_refused(tmp_path):
    with pytest.raises(LevelError, match="no regular file"):
        FileLevel(tmp_path)


def test_a_memory_from_before_the_mark_is_taken_and_marked(tmp_path):
    path = tmp_path / "m.db"
    file = FileLevel(path)
    file.put(entry(), 0)
    file.close()
    told(path, "PRAGMA application_id = 0")
    again = FileLevel(path)
    assert again.get(address()) == entry()
    again.close()
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID


def test_the_mark_is_in_the_file_itself_while_the_rest_is_still_in_its_log(tmp_path):
    file = FileLevel(tmp_path / "m.db")
    assert int.from_bytes((tmp_path / "m.db").read_bytes()[68:72], "big") == APPLICATION_ID
    FileLevel(tmp_path / "m.db").close()
    file.close()


def test_an_unsound_record_hides_no_other(tmp_path):
    path = tmp_path / "m.db"
    file = FileLevel(path)
    file.put(entry("good"), 0)
    file.put(entry("bad"), 0)
    file.close()
    told(path, "UPDATE records SET said = '{}' WHERE hash = '" + address("bad").hashed + "'")
    file = FileLevel(path)
    assert [each.address for each in file.records()] == [address("good")]
    assert any("cannot be read" in each for each in file.problems())
    assert file.remove_damaged() == 1
    assert file.problems() == []
    file.close()

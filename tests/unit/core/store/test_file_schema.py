"""Whose file it is: what is not the memory's is refused, and not a byte of it is changed."""

import random
import sqlite3

import pytest

from builders.store import address, entry
from plimsoll.store.levels.file import FileLevel, State
from plimsoll.store.levels.file_schema import APPLICATION_ID
from plimsoll.store.levels.protocol import LevelError

PAGE = 4096


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


def filled(path, many=200):
    file = FileLevel(path)
    for number in range(many):
        file.keep(entry(f"k{number}", b"%d" % number * 200), 0)
    file.close()
    return file


def ruin(path, *pages):
    with path.open("r+b") as held:
        for page in pages:
            held.seek(page * PAGE)
            held.write(b"\xa5" * PAGE)


@pytest.mark.parametrize("seed", range(8))
def test_pages_that_are_damaged_beneath_a_sound_header_cost_what_they_held_and_no_more(tmp_path, seed):
    path = tmp_path / "m.db"
    filled(path)
    page = random.Random(seed).randrange(
        7, path.stat().st_size // PAGE
    )  # the first ones are the tables' roots
    ruin(path, page)
    ruined = path.read_bytes()
    file = FileLevel(path)
    assert file.set_aside == tmp_path / "m.db.damaged-1"
    assert file.set_aside.read_bytes() == ruined
    kept = {each.record.address for each in file.in_state(State.PENDING, 1000)}
    assert kept == {each.address for each in file.records()}, "what waits for Redis goes on waiting"
    file.remove_damaged()
    whole = [each for each in file.records() if file.get(each.address) is not None]
    assert len(whole) >= 200 * 3 // 4
    assert file.problems() == []
    file.put(entry("new"), 0)
    assert file.get(address("new")) == entry("new")
    file.close()
    assert sorted(each.name for each in tmp_path.glob("*-shm")) == []


def test_with_a_root_that_is_damaged_a_new_file_begins(tmp_path):
    path = tmp_path / "m.db"
    filled(path)
    ruin(path, 1, 2, 3, 4, 5, 6)
    file = FileLevel(path)
    assert file.set_aside is not None
    file.put(entry("new"), 0)
    assert [each.address for each in file.records()] == [address("new")]
    file.close()


def test_who_asks_for_no_repair_is_told_of_the_file_and_nothing_is_moved(tmp_path):
    path = tmp_path / "m.db"
    filled(path)
    ruin(path, *range(1, 12))
    ruined = path.read_bytes()
    with pytest.raises(LevelError, match=r"m\.db is damaged"):
        FileLevel(path, set_aside=False).counts()
    assert path.read_bytes() == ruined
    assert not [*tmp_path.glob("*.damaged-*")]


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

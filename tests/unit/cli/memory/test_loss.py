"""What must never cost anybody a file, and what must not pass for whole: `plimsoll memory` on bad ground."""

import errno
import json
import os
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plimsoll.store.memory import open_memory
from plimsoll_cli.failure import FileError
from plimsoll_cli.traces.sample import sample_directory
from plimsoll_cli.written import write_whole

REDIS_IS_DOWN = "redis://127.0.0.1:1"


@pytest.fixture
def kept(path, now):
    """Three incidents."""
    memory = open_memory(str(path))
    for number in range(3):
        memory.store("incident", f"k{number}", {"text": f"number {number}"}, now)
    memory.close()
    return path


def records(told):
    return told("status")["kinds"]


@pytest.mark.parametrize(
    "name", ["memory.db", "link.db", "hard.db", "memory.db-wal", "./memory.db", "other.db"]
)
def test_an_export_overwrites_no_memory_and_no_database(kept, plimsoll, told, name):
    Path("link.db").symlink_to(kept)
    Path("hard.db").hardlink_to(kept)
    with sqlite3.connect("other.db") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    before = kept.read_bytes()
    said = plimsoll("export", name, status=2).stderr
    assert ("holds a database" if name == "other.db" else "would be overwritten") in said
    assert kept.read_bytes() == before
    assert records(told) == {"incident": 3}


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.parquet"])
def test_an_export_replaces_only_an_earlier_export(kept, plimsoll, name):
    Path(name).write_bytes(b"")
    for _ in range(2):
        plimsoll("export", name)
    recording = {"series_id": ["a"], "timestamp": [0], "memory_bytes": [1.0]}
    pq.write_table(pa.table(recording), "recording.parquet")
    for content in (b'{"a": 1}\n', Path("recording.parquet").read_bytes(), b"PAR1 and no more"):
        Path(name).write_bytes(content)
        assert f"{name}: holds " in plimsoll("export", name, status=2).stderr
        assert Path(name).read_bytes() == content


@pytest.mark.parametrize(
    "words", [("status",), ("patterns",), ("learn",), ("check",), ("clean", "--age", "1d")]
)
@pytest.mark.parametrize("content", [b'{"a": 1}', b"SQLite format 3\0 and no more"])
def test_no_command_moves_a_file_that_is_no_memory(path, plimsoll, words, content):
    path.write_bytes(content)
    assert "is no memory of Plimsoll" in plimsoll(*words, status=2).stderr
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_damaged_memory_is_moved_only_by_a_repair(kept, plimsoll):
    kept.write_bytes(kept.read_bytes()[:5000])
    for words in (("status",), ("patterns",), ("export", "x.jsonl"), ("check",)):
        assert "is damaged" in plimsoll(*words, status=2).stderr
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]
    assert "set aside as" in plimsoll("check", "--repair", status=1).stdout
    assert Path(f"{kept}.damaged-1").stat().st_size == 5000
    plimsoll("status")


def test_a_foreign_database_stays_as_it_is(path, plimsoll):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE records (x)")
    db.close()
    before = path.read_bytes()
    assert "another program's" in plimsoll("status", status=2).stderr
    assert path.read_bytes() == before


def test_an_export_that_fails_leaves_the_one_before(kept, plimsoll, monkeypatch):
    plimsoll("export", "keep.jsonl")
    before = Path("keep.jsonl").read_bytes()

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert "No space left" in plimsoll("export", "keep.jsonl", status=2).stderr
    monkeypatch.undo()
    assert Path(kept.parent, "keep.jsonl").read_bytes() == before
    assert sorted(each.name for each in kept.parent.iterdir()) == ["keep.jsonl", "memory.db"]


def test_a_file_that_is_written_anew_keeps_its_mode_and_its_link(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"before")
    file.chmod(0o640)
    link.symlink_to(file)
    write_whole(link, b"after")
    assert (file.read_bytes(), file.stat().st_mode & 0o777, link.is_symlink()) == (b"after", 0o640, True)
    with pytest.raises(FileError, match="nowhere"):
        write_whole(tmp_path / "nowhere" / "file", b"")


@pytest.mark.parametrize("lines", [0, 1, 3, -1])
def test_an_export_that_was_cut_off_at_a_line_is_seen(kept, plimsoll, lines, tmp_path):
    plimsoll("export", "m.jsonl")
    held = Path("m.jsonl").read_text().splitlines(keepends=True)
    Path("cut.jsonl").write_text("".join(held[:lines]))
    assert "cut off" in plimsoll("import", "cut.jsonl", "--store", "new.db", status=2).stderr
    Path("thin.jsonl").write_text("".join(held[1:]))
    assert "is no export" in plimsoll("import", "thin.jsonl", "--store", "new.db", status=2).stderr
    assert "3 records were taken in" in plimsoll("import", "m.jsonl", "--store", "new.db").stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samples", "1e400"), ("samples", "-1"), ("samples", '"x"'), ("made", "1e400"), ("made", "NaN"),
        ("made", "1e13"), ("version", "-4"), ("version", "0"), ("version", "1e23"), ("version", "1e400"),
        ("nodes", '"abc"'), ("node_count", "1.5"), ("schema", "[" * 100_000),
    ],
)  # fmt: skip
def test_a_record_of_impossible_numbers_is_refused(kept, plimsoll, told, name, value):
    plimsoll("export", "m.jsonl")
    lines = Path("m.jsonl").read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if "record" in json.loads(line))
    said = json.loads(lines[place])
    (said if name == "version" else said["record"])[name] = "HERE"
    lines[place] = json.dumps(said).replace('"HERE"', value)
    Path("bad.jsonl").write_text("\n".join(lines) + "\n")
    assert "is no export" in plimsoll("import", "bad.jsonl", "--store", "new.db", status=2).stderr
    assert told("status", "--store", "new.db")["kinds"] == {}
    plimsoll("analyze", "--store", "new.db")


def test_a_directory_of_snapshots_that_is_not_there_proves_nothing(kept, plimsoll):
    where = ("--snapshots", "nosuch")
    assert "no such directory" in plimsoll("check", *where, status=1).stdout
    done = plimsoll("forget", "--pattern", "k0", *where, status=2)
    assert "NOT proven" in done.stdout
    assert "no such directory" in plimsoll("status", *where, status=2).stderr
    assert not Path("nosuch").exists()


@pytest.mark.parametrize("manifest", ['{"format": 1}', "nonsense", "[]", None])
def test_a_snapshot_without_a_sound_manifest_is_found_and_proves_nothing(kept, plimsoll, manifest):
    plimsoll("backup", "kept")
    file = Path("kept/000001/manifest.json")
    file.unlink() if manifest is None else file.write_text(manifest)
    assert "snapshot 1" in plimsoll("check", "--snapshots", "kept", "-o", "csv", status=1).stdout
    assert "1 not whole" in plimsoll("status", "--snapshots", "kept").stdout
    assert "NOT proven" in plimsoll("forget", "--pattern", "k0", "--snapshots", "kept", status=2).stdout


def test_values_of_a_manifest_are_looked_at(kept, plimsoll):
    plimsoll("backup", "kept")
    file = Path("kept/000001/manifest.json")
    sound = json.loads(file.read_text())
    for name, value in (("made_seconds", "x"), ("made_seconds", 1e300), ("records", None), ("number", 7)):
        file.write_text(json.dumps(sound | {name: value}))
        assert "none yet; 1 not whole" in plimsoll("status", "--snapshots", "kept").stdout
    file.write_text(json.dumps(sound))
    Path("kept/000001/records.jsonl").unlink()
    said = plimsoll("check", "--snapshots", "kept", "-o", "csv", status=1).stdout
    assert "its records.jsonl is missing" in said
    assert "Errno" not in said
    assert "is missing" in plimsoll("restore", "kept", status=2).stderr


def test_an_altered_snapshot_is_no_answer(kept, plimsoll):
    plimsoll("backup", "kept")
    Path("kept/000001/records.jsonl").write_text("altered")
    assert "checksum" in plimsoll("restore", "kept", status=2).stderr


def test_a_backup_of_nothing_is_refused(plimsoll):
    plimsoll("learn")
    assert "nothing is remembered" in plimsoll("backup", "kept", status=1).stderr
    assert not Path("kept").exists()


def test_status_without_redis_is_no_answer_of_it(kept, plimsoll):
    done = plimsoll("status", "--redis", REDIS_IS_DOWN, "-o", "json", status=2)
    assert [each["level"] for each in json.loads(done.stdout)["levels"]] == ["file", "redis"]
    assert "redis: down" in done.stderr


def test_a_recording_is_remembered_in_no_future(plimsoll, told, path, now):
    plimsoll("import", "--traces", str(next(sample_directory().glob("*.parquet"))))
    memory = open_memory(str(path))
    from plimsoll.store.outlook import last_seen_seconds

    seen = [last_seen_seconds(each) for each in memory.histories().values()]
    memory.close()
    assert seen
    assert all(now - 9 * 86_400 < each <= now + 60 for each in seen)
    assert {each["note"] for each in told("optimize") if each["target_bytes"]} == {
        "as of the end of its recording"
    }

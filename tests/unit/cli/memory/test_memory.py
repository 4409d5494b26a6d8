"""`plimsoll memory`, in-process, on a file of the test's own."""

import csv

import numpy as np
import pytest

from plimsoll.store.incidents import Incident, IncidentBook
from plimsoll.store.learning import learn_some
from plimsoll.store.memory import open_memory
from plimsoll.store.outlook import history_document
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity
from plimsoll_cli.memory.command import app as memory_app

MIB = 2**20


def usage(now, hours, mib):
    """A container's checkpoint: `mib(hours ago)` each five minutes."""
    history = History(Quantity.USAGE, 1)
    rows = history.add_rows(1)
    history.advance(now)
    ago = np.arange(12 * hours) / 12
    history.append(np.full(len(ago), rows[0]), now - 3600 * ago, MIB * mib(ago), now)
    return history.checkpoint(int(rows[0]))


@pytest.fixture
def filled(path, now):
    """A flat container with far too high a limit, one whose limit is too low, one that grows."""
    memory = open_memory(str(path))
    rng = np.random.default_rng(2)
    shapes = {
        "demo/Deployment/flat:app": (lambda ago: 100 + rng.random(len(ago)), 4000),
        "demo/Deployment/tight:app": (lambda ago: 500 + 100 * rng.random(len(ago)), 520),
        "demo/Deployment/leaky:app": (lambda ago: 900 - 5 * ago, 2000),
    }
    for key, (mib, limit) in shapes.items():
        document = history_document(usage(now, 100, mib), Quantity.USAGE, limit * MIB)
        memory.store("history", key, document, now, kube_nodes=["worker-1"], samples=1200)
    memory.store("incident", "demo/Deployment/leaky", {"text": "killed at night, it was leaking"}, now)
    memory.close()


READS = {
    "status": (),
    "patterns": (),
    "search": ("web",),
    "analyze": (),
    "predict": (),
    "suggest": (),
    "optimize": (),
    "forget": ("--pattern", "demo/*"),
    "clean": ("--age", "1d"),
    "backup": ("snapshots",),
    "export": ("memory.jsonl",),
    "check": (),
    "debug": ("history", "demo/Deployment/flat:app"),
    "trace": ("history", "demo/Deployment/flat:app"),
    "profile": ("--duration", "1s"),
}
MAKES = {"learn", "restore", "import"}


def test_every_command_reads_or_makes():
    assert {*READS, *MAKES} == {each.name for each in memory_app.registered_commands}


@pytest.mark.parametrize("command", READS)
def test_a_command_that_brings_nothing_refuses_a_file_that_is_not_there(plimsoll, tmp_path, command):
    typed = tmp_path / "nowhere" / "memroy.db"
    said = plimsoll(command, *READS[command], "--store", typed, status=2).stderr
    assert f"{typed}: there is no such memory" in said
    assert not typed.parent.exists()
    assert [*tmp_path.iterdir()] == []


def test_repair_of_a_file_that_is_not_there_makes_none(plimsoll, path):
    assert f"{path}: there is no such memory" in plimsoll("check", "--repair", status=2).stderr
    assert not path.exists()


def test_a_command_that_brings_something_makes_the_file(plimsoll, tmp_path, filled):
    plimsoll("export", "memory.jsonl")
    made = tmp_path / "new" / "memory.db"
    assert "4 records were taken in" in plimsoll("import", "memory.jsonl", "--store", made).stdout
    assert made.exists()
    assert "0 patterns" in plimsoll("learn", "--store", tmp_path / "other.db").stdout


def test_an_empty_memory_says_so(plimsoll, tmp_path, monkeypatch):
    monkeypatch.delenv("PLIMSOLL_MEMORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for command in ("patterns", "predict", "optimize", "analyze"):
        assert "Nothing has been learned yet." in plimsoll(command).stdout
    assert "Nothing is worth a look" in plimsoll("suggest").stdout
    assert "Nothing is like" in plimsoll("search", "web").stdout
    assert "Nothing is wrong." in plimsoll("check").stdout
    assert not (tmp_path / "state").exists(), "asking leaves nothing behind"


def test_status_counts(filled, told):
    said = told("status")
    assert said["learning"] is True
    assert said["kinds"] == {"history": 3, "incident": 1}
    (level,) = said["levels"]
    assert (level["level"], level["records"], level["waiting"]) == ("file", 4, 0)


def test_learning_makes_patterns_that_can_be_found(filled, plimsoll, told):
    assert "3 patterns" in plimsoll("learn").stdout
    assert "0 patterns" in plimsoll("learn").stdout
    shapes = {each["key"]: each["shape"] for each in told("patterns")}
    assert shapes["demo/Deployment/leaky:app"] == "growth"
    assert shapes["demo/Deployment/flat:app"] == "flat"
    names = [each["name"] for each in told("search", "crash")]
    assert names[0] == "incident demo/Deployment/leaky"
    assert told("search", "lekay")[0]["name"].endswith(("leaky", "leaky:app"))


def test_learning_can_be_turned_off(filled, plimsoll):
    plimsoll("learn", "--disable")
    assert "learning is off" in plimsoll("learn", status=1).stderr
    plimsoll("learn", "--enable")
    plimsoll("learn")


def test_status_tells_whether_and_when_an_operator_learned(filled, plimsoll, told, path, now):
    assert "Learning is on. No operator has learned patterns yet." in plimsoll("status").stdout
    operator = open_memory(str(path))
    learn_some(operator, now - 600, None, 2)
    assert (
        "Patterns are being learned since 10m: 2 histories were new, 2 patterns" in plimsoll("status").stdout
    )
    learn_some(operator, now - 300)
    said = plimsoll("status").stdout
    assert "Learning is on. Patterns were last learned 5m ago: 3 histories were new, 3 patterns" in said
    assert told("status")["patterns"]["ended_seconds"] == now - 300
    plimsoll("learn", "--disable")
    assert learn_some(operator, now + 7200).of is None
    assert "Learning is off: operators remember and learn nothing" in plimsoll("status").stdout
    assert told("status")["learning"] is False


def test_incidents_are_counted_noted_and_suggested(filled, told, plimsoll, path, now):
    flat, day = "demo/Deployment/flat:app", 86_400.0
    wrong = [
        Incident("oom-kill", flat, now - 300, "killed at its limit"),
        Incident("leak", flat, now - 3 * day, "it grew"),
        Incident("oom-kill", "demo/Deployment/tight:app", now - 20 * day, "long ago"),
    ]
    IncidentBook(open_memory(str(path))).record(wrong, now)
    assert told("analyze", "--timeframe", "1d")["incidents"] == {"oom-kill": 1}
    assert "Incidents of the last 7d: 1 leak, 1 oom-kill." in plimsoll("analyze").stdout
    notes = {each["key"]: each["note"] for each in told("predict")}
    assert notes[flat] == "oom-kill 5m ago"
    assert notes["demo/Deployment/tight:app"] is None
    first, *others = told("suggest")
    assert first["key"] == flat
    assert first["suggestion"].startswith("2 incidents, the last ")
    assert first["suggestion"].endswith(": oom-kill: killed at its limit")
    assert not any("incident" in each["suggestion"] for each in others)
    assert "1 incident" in plimsoll("clean", "--age", "15d").stdout
    assert "tight:app oom-kill" not in plimsoll("search", "long ago").stdout
    assert "3 records are forgotten" in plimsoll("forget", "--pattern", f"{flat}*").stdout


def test_analyze_tells_what_is_new(filled, told, plimsoll):
    said = told("analyze", "--timeframe", "1h")
    assert (said["records"], said["lately"]) == ({"history": 3, "incident": 1},) * 2
    assert (said["kube_nodes"], said["samples"]) == (1, 3600)
    assert "not a duration" in plimsoll("analyze", "--timeframe", "soon", status=2).stderr


def test_predict_is_the_pipelines_word(filled, told, plimsoll):
    (flat,) = told("predict", "demo/Deployment/flat:app")
    assert 100 * MIB < flat["p50_bytes"] <= flat["p99.9_bytes"] < 200 * MIB
    assert flat["note"] is None
    hour, day = (told("predict", "demo/Deployment/tight:app", "--horizon", each)[0] for each in ("1h", "24h"))
    assert hour["p99_bytes"] <= day["p99_bytes"]
    assert "nothing is remembered" in plimsoll("predict", "nobody", status=1).stderr
    assert "between 5m and 24h" in plimsoll("predict", "--horizon", "3d", status=2).stderr


def test_suggest_and_optimize(filled, told, plimsoll):
    said = {each["key"]: each["suggestion"] for each in told("suggest")}
    assert "below" in said["demo/Deployment/tight:app"]
    assert "leak" in said["demo/Deployment/leaky:app"]
    assert "lower by" in said["demo/Deployment/flat:app"]
    rows = {each["key"]: each for each in told("optimize", "--target", "slack:0.2")}
    flat = rows["demo/Deployment/flat:app"]
    assert flat["saved_bytes"] == flat["limit_bytes"] - flat["target_bytes"] > 3000 * MIB
    assert rows["demo/Deployment/tight:app"]["saved_bytes"] < 0
    tight, loose = (told("optimize", "--target", each) for each in ("slack:0.1", "slack:0.5"))
    assert sum(each["target_bytes"] for each in tight) < sum(each["target_bytes"] for each in loose)
    assert "--target" in plimsoll("optimize", "--target", "nonsense", status=2).stderr


@pytest.mark.parametrize(("form", "file"), [("json", "m.jsonl"), ("parquet", "m.parquet")])
def test_backup_and_export_bring_everything_elsewhere(
    filled, plimsoll, told, form, file, monkeypatch, tmp_path
):
    before = told("predict")
    assert "Snapshot 1: 4 records" in plimsoll("backup", "snaps", "--form", form).stdout
    plimsoll("export", file)
    for number, command in enumerate((("restore", "snaps"), ("import", file))):
        monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / f"other-{number}.db"))
        assert "4 records were taken in, 0" in plimsoll(*command).stdout
        assert "0 records were taken in, 4" in plimsoll(*command).stdout
        assert [each["key"] for each in told("predict")] == [each["key"] for each in before]


def test_what_nobody_remembers_has_no_trace(filled, plimsoll):
    result = plimsoll("trace", "history", "nope", status=1)
    assert (result.stdout, "nothing is remembered of history nope" in result.stderr) == ("", True)


def test_a_backup_makes_no_directories_above_its_own(filled, plimsoll, tmp_path):
    away = tmp_path / "nope" / "snap"
    assert f"{away}: there is no directory {away.parent}" in plimsoll("backup", away, status=2).stderr
    assert not away.parent.exists()


def test_what_cannot_be_read_is_said(filled, plimsoll, tmp_path):
    (tmp_path / "nonsense").write_text("nonsense\n")
    assert "no export" in plimsoll("import", "nonsense", status=2).stderr
    (tmp_path / "other").write_text('{"a": 1}\n')
    assert "line 1 has no 'packed'" in plimsoll("import", "other", status=2).stderr
    assert "cannot be read" in plimsoll("import", "nowhere", status=2).stderr
    assert "no whole snapshot" in plimsoll("restore", "nowhere", status=2).stderr
    assert "name a file, or --traces" in plimsoll("import", status=1).stderr
    assert "json or parquet" in plimsoll("backup", "x", "--form", "csv", status=2).stderr
    assert "redis://" in plimsoll("status", "--redis", "http://x", status=2).stderr


def test_forgetting_is_proven(filled, plimsoll, told, path):
    plimsoll("learn")
    plimsoll("backup", "snaps")
    said = told("forget", "--pattern", "demo/Deployment/leaky*", "--snapshots", "snaps")
    assert sorted(said["forgotten"]) == [
        "history demo/Deployment/leaky:app",
        "incident demo/Deployment/leaky",
        "pattern demo/Deployment/leaky:app",
    ]
    assert said["proven"] is True
    assert {each["level"]: each["traces_after"] for each in said["levels"]} == {
        "process": 0,
        "file": 0,
        "snapshots": 0,
    }
    assert b"leaky" not in path.read_bytes()
    assert "leaky" not in plimsoll("patterns").stdout


def test_a_pattern_that_nothing_is_like_is_said_and_an_empty_one_refused(filled, plimsoll):
    assert "Nothing that is remembered is like 'typo/*'" in plimsoll("forget", "--pattern", "typo/*").stdout
    assert "--pattern: is empty" in plimsoll("forget", "--pattern", " ", status=2).stderr


def test_without_redis_nothing_is_proven_of_it(filled, plimsoll):
    done = plimsoll("forget", "--pattern", "*leaky*", "--redis", "redis://127.0.0.1:1", status=2)
    assert "NOT proven" in done.stdout
    assert "redis: down" in done.stdout + done.stderr


def test_clean_removes_what_is_old_but_no_switch_and_no_model_in_use(filled, plimsoll, told, path, now):
    memory = open_memory(str(path))
    memory.store("incident", "old", {"text": "long ago"}, now - 100 * 86_400)
    memory.set_learning(now - 200 * 86_400, enabled=True)
    memory.store("release", "pages web", {"generation": 2}, now - 200 * 86_400)
    memory.close()
    said = plimsoll("clean", "--age", "90d", "--dry-run").stdout
    assert said.strip() == "1 of 7 records were older than 90d and would go: 1 incident."
    assert told("status")["kinds"]["incident"] == 2
    said = plimsoll("clean", "--age", "90d").stdout
    assert said.strip() == "1 of 7 records were older than 90d and are gone: 1 incident."
    assert told("status")["kinds"] == {"control": 1, "history": 3, "incident": 1, "release": 1}


def test_damage_is_found_and_repaired(filled, plimsoll, path):
    import sqlite3

    with sqlite3.connect(path) as db:
        db.execute("UPDATE blobs SET packed = x'00' WHERE digest = (SELECT min(digest) FROM blobs)")
    db.close()
    assert "1 findings" in plimsoll("check", status=1).stderr
    assert "1 things were put right" in plimsoll("check", "--repair").stdout
    plimsoll("check")


def test_a_file_with_damaged_pages_names_its_mending_and_is_mended(filled, plimsoll, path, told):
    with path.open("r+b") as held:  # the root of the records' table, beneath a sound header
        held.seek(4096)
        held.write(b"\xa5" * 4096)
    done = plimsoll("export", "all.jsonl", status=2)
    assert f"{path} is damaged" in done.stderr
    assert "check --repair" in done.stderr
    mended = plimsoll("check", "--repair", status=1)
    assert "set aside as" in " ".join(mended.stdout.split())
    plimsoll("check")
    assert told("status")["kinds"] == {}
    assert path.with_name(f"{path.name}.damaged-1").stat().st_size > 4096


def test_debug_trace_and_profile(filled, plimsoll, told):
    said = told("debug", "history", "demo/Deployment/flat:app")
    assert (said["kube_nodes"], said["samples"], said["state"]) == (["worker-1"], 1200, "clean")
    assert said["content"]["checkpoint"]["type"] == "uint8"
    levels = {each["level"]: each["version"] for each in told("trace", "history", "demo/Deployment/flat:app")}
    assert levels == {"process": None, "file": 1, "answer": 1}
    assert "nothing is remembered" in plimsoll("debug", "history", "x", status=1).stderr
    assert "kind 'X'" in plimsoll("trace", "X", "x", status=1).stderr
    before = told("status")["kinds"]
    rows = [*csv.DictReader(plimsoll("profile", "--duration", "0s", "-o", "csv").stdout.splitlines())]
    assert [(each["level"], each["operation"]) for each in rows] == [
        ("process", "read"), ("file", "write"), ("file", "read"),
    ]  # fmt: skip
    assert all(float(each["worst_microseconds"]) > 0 for each in rows)
    assert told("status")["kinds"] == before


def test_a_profile_that_is_broken_off_leaves_no_record(filled, plimsoll, told, monkeypatch):
    def broken_off(*_):
        raise KeyboardInterrupt

    before = told("status")["kinds"]
    monkeypatch.setattr("plimsoll_cli.memory.looking._measured", broken_off)
    plimsoll("profile", status=130)
    assert told("status")["kinds"] == before

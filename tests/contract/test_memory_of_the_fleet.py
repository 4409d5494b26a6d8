"""`plimsoll memory` beside a real Redis: what is listed is the fleet's, not what one file happens to have.

In: a redis-server that another process has filled, and a file that is new, older or newer. Out: the same
answers as at the process that learned it all; where Redis is away, the file's, and a sentence that says so.
"""

import json

import pytest
from typer.testing import CliRunner

from builders.redis_server import MISSING, binaries, redis_server
from plimsoll.store.memory import Memory, open_memory
from plimsoll_cli.main import app
from plimsoll_cli.memory.recordings import remember
from plimsoll_cli.traces.sample import sample_directory

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
NOW = 1_800_000_000.0
AWAY = "redis://127.0.0.1:1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """The address of a Redis that has an operator's memory: histories, their patterns, an incident."""
    directory = tmp_path_factory.mktemp("fleet")
    with redis_server(directory / "redis") as server:
        memory = open_memory(str(directory / "operator.db"), f"redis://{server.host}/0")
        remember(memory, [sample_directory()], NOW)
        memory.learn(NOW)
        memory.store("incident", "demo/Deployment/web", {"text": "killed twice after the release"}, NOW)
        sent_whole(memory)
        memory.close()
        yield server


def sent_whole(memory: Memory) -> None:
    while memory.send(NOW).taken:
        pass


@pytest.fixture
def asked(fleet, tmp_path, monkeypatch):
    monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / "mine.db"))
    monkeypatch.setenv("COLUMNS", "200")
    open_memory(str(tmp_path / "mine.db")).close()

    def run(*words, redis=f"redis://{fleet.host}/0", status=0):
        done = CliRunner().invoke(app, ["memory", *map(str, words), "--redis", redis])
        assert done.exit_code == status, f"{done.output} {done.exception!r}"
        return done

    return run


def held(fleet, tmp_path):
    """How many records of a kind the fleet has."""
    memory = open_memory(str(tmp_path / "counted.db"), f"redis://{fleet.host}/0")
    assert memory.gather(NOW) == ""
    found = memory.analyze(NOW, 0.0).records
    memory.close()
    return found


def test_what_is_listed_is_what_the_fleet_has(asked, fleet, tmp_path):
    kinds = held(fleet, tmp_path)
    assert kinds["history"] == kinds["pattern"] > 50
    assert len(json.loads(asked("patterns", "-o", "json").stdout)) == kinds["pattern"]
    assert json.loads(asked("analyze", "-o", "json").stdout)["records"] == dict(kinds)
    assert "killed twice" in asked("search", "killed after release").stdout
    assert len(json.loads(asked("predict", "-o", "json").stdout)) == kinds["history"]
    assert len(json.loads(asked("optimize", "-o", "json").stdout)) == kinds["history"]
    assert "Nothing is worth a look" not in asked("suggest").stdout


def test_a_backup_and_an_export_have_all_of_it(asked, fleet, tmp_path):
    many = sum(held(fleet, tmp_path).values())
    assert f"{many} records" in asked("backup", tmp_path / "snapshots").stdout
    assert f"{many} records" in asked("export", tmp_path / "all.jsonl").stdout


def test_what_is_newer_here_stays_and_comes_to_the_fleet(asked, fleet, tmp_path):
    memory = open_memory(str(tmp_path / "mine.db"), f"redis://{fleet.host}/0")
    assert memory.gather(NOW) == ""
    memory.store("incident", "demo/Deployment/web", {"text": "and once more"}, NOW + 60)
    memory.tiers.close()
    assert "and once more" in asked("search", "once more").stdout
    assert "and once more" in asked("search", "once more", redis=f"redis://{fleet.host}/0").stdout


@pytest.mark.parametrize("words", [("patterns",), ("analyze",), ("suggest",), ("search", "web")])
def test_without_redis_the_file_answers_and_it_is_said(asked, words):
    assert "not all that the fleet shares is here: redis: down" in asked(*words, redis=AWAY).stderr


def test_a_command_that_brings_much_sends_all_of_it(asked, tmp_path, monkeypatch):
    """The last rounds had waited for a next command, and nobody said so."""
    monkeypatch.setattr("plimsoll.store.sending.SENT_AT_ONCE", 3)
    with redis_server(tmp_path / "other") as other:
        address = f"redis://{other.host}/0"
        whole = open_memory(str(tmp_path / "whole.db"))
        for number in range(10):
            whole.store("incident", f"demo/Deployment/w{number}", {"text": "killed"}, NOW)
        whole.close()
        monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / "whole.db"))
        asked("export", tmp_path / "all.jsonl", redis="")
        monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / "mine.db"))
        asked("import", tmp_path / "all.jsonl", redis=address)
        reader = open_memory(str(tmp_path / "reader.db"), address)
        assert reader.gather(NOW) == ""
        assert reader.analyze(NOW, 0.0).records["incident"] == 10
        reader.close()

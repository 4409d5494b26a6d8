"""A memory of the test's own, and `plimsoll memory` in-process on it."""

import json
import time

import pytest
from typer.testing import CliRunner

from plimsoll_cli.main import app


@pytest.fixture
def now():
    return time.time()


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.delenv("PLIMSOLL_REDIS", raising=False)
    monkeypatch.delenv("PLIMSOLL_SNAPSHOTS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / "memory.db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "memory.db"


@pytest.fixture
def plimsoll(path):
    def run(*words, status=0):
        done = CliRunner().invoke(app, ["memory", *map(str, words)])
        assert done.exit_code == status, f"{done.output} {done.exception!r}"
        return done

    return run


@pytest.fixture
def told(plimsoll):
    return lambda *words: json.loads(plimsoll(*words, "-o", "json").stdout)

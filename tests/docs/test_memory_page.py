"""The commands of docs/memory.md, in their order, on a memory of the test's own and a real Redis.

In: the page. What stands for the reader's machine: a state directory, and the port of the test's own server.
"""

import asyncio
import re
import shlex
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from builders.redis_server import MISSING, binaries, redis_server
from builders.remembered_shop import Shop
from builders.shown.cluster import DOCS, shown_commands
from plimsoll.store.levels.shared import CLUSTER_COMMANDS, COMMANDS, CONNECTING
from plimsoll_cli.main import app
from plimsoll_cli.memory.command import app as memory_app

PAGE = DOCS / "memory.md"
ANSWERS = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(binaries() is None, reason=MISSING)
def test_every_command_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("PLIMSOLL_MEMORY", "PLIMSOLL_REDIS", "PLIMSOLL_SNAPSHOTS"):
        monkeypatch.delenv(name, raising=False)
    shown = set()
    with redis_server(tmp_path / "redis") as server:
        for command in shown_commands(PAGE):
            words = shlex.split(command.replace(">secret", "'>secret'"))
            if words[0] == "redis-cli":
                assert server.tell(*words[1:])
            elif words[0] == "export":
                name, _, value = words[1].partition("=")
                monkeypatch.setenv(name, value.replace("127.0.0.1:6379", server.host))
            else:
                assert words[:2] == ["plimsoll", "memory"], command
                done = CliRunner().invoke(app, words[1:])
                assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"
                assert done.stdout.strip(), f"{command} says nothing"
                shown.add(words[2])
    registered = {each.name for each in memory_app.registered_commands}
    assert shown == registered, "a command that the page does not show"


def test_the_rights_that_the_page_gives_are_the_ones_that_are_used():
    text = PAGE.read_text("utf-8")
    (line,) = [each for each in text.splitlines() if "ACL SETUSER" in each]
    assert re.findall(r"[+]([a-z|]+)", line.partition("-@all")[2]) == [*COMMANDS, *CONNECTING]
    (line,) = [each for each in text.splitlines() if each.startswith("A Cluster's client")]
    assert re.findall(r"[+]([a-z|]+)", line) == [*CLUSTER_COMMANDS]


@pytest.mark.skipif(binaries() is None, reason=MISSING)
def test_what_the_page_shows_is_what_an_operators_memory_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The page's answers, of two days that an operator was run for (`builders.remembered_shop`)."""
    with redis_server(tmp_path / "redis") as server:
        shop = Shop(tmp_path, f"redis://{server.host}/0")
        asyncio.run(shop.days())
        monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / "operator-1.db"))
        monkeypatch.setenv("PLIMSOLL_REDIS", shop.redis_url)
        monkeypatch.setenv("COLUMNS", "140")
        clock = SimpleNamespace(time=lambda: shop.now_seconds, perf_counter=time.perf_counter)
        for module in ("opening", "asking"):
            monkeypatch.setattr(f"plimsoll_cli.memory.{module}.time", clock)
        asked = [block for block in ANSWERS.findall(PAGE.read_text("utf-8")) if block.startswith("$ ")]
        said = [_answered(block) for block in asked]
    assert asked, "the page shows no answer"
    assert said == asked


def _answered(block: str) -> str:
    """A block with each of its commands answered anew."""
    lines = []
    for command in (line for line in block.splitlines() if line.startswith("$ ")):
        done = CliRunner().invoke(app, shlex.split(command)[2:])
        assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"
        lines += [command, *(line.rstrip() for line in done.stdout.splitlines() if line.strip())]
    return "\n".join(lines) + "\n"

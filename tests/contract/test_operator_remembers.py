"""What `plimsoll memory` says of a memory that a running operator has written, and nobody's hand beside it.

In: two days of an operator with its real loop, engine and memory, a change of leader in them, and a real
redis-server (`builders.remembered_shop`). Out: the commands' answers, from a file that knew nothing.
"""

import asyncio
import json
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from builders.redis_server import MISSING, binaries, redis_server
from builders.remembered_shop import HOURS, Shop
from plimsoll.store.memory import open_memory
from plimsoll_cli.main import app

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
WEB, CART = "shop/StatefulSet/web:app", "shop/StatefulSet/cart:app"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shop")
    with redis_server(directory / "redis") as server:
        made = Shop(directory, f"redis://{server.host}/0")
        asyncio.run(made.days())
        yield made


@pytest.fixture
def asked(shop, tmp_path, monkeypatch):
    """`plimsoll memory` of somebody who has but the address of Redis, when the two days are over."""
    monkeypatch.setenv("PLIMSOLL_MEMORY", str(tmp_path / "mine.db"))
    monkeypatch.setenv("COLUMNS", "200")
    open_memory(str(tmp_path / "mine.db")).close()
    clock = SimpleNamespace(time=lambda: shop.now_seconds, perf_counter=time.perf_counter)
    for module in ("opening", "asking"):
        monkeypatch.setattr(f"plimsoll_cli.memory.{module}.time", clock)

    def run(*words):
        done = CliRunner().invoke(app, ["memory", *words, "--redis", shop.redis_url, "-o", "json"])
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        return json.loads(done.stdout)

    return run


def metric(operator, name, **labels):
    return operator.rig.metrics.value(name, **labels)


def test_the_hours_were_learned_once_each_by_one_of_the_two(shop):
    first, second = shop.operators
    steps = [metric(each, "plimsoll_memory_learn_steps_total", outcome="done") for each in (first, second)]
    assert steps[0] > 30
    assert HOURS - 2 <= sum(steps) <= HOURS + 1
    assert metric(second, "plimsoll_memory_learn_steps_total", outcome="failed") == 0
    last = metric(second, "plimsoll_memory_learned_timestamp_seconds")
    assert 0 <= shop.now_seconds - last < 2 * 3600


def test_the_kill_that_both_operators_saw_is_one_incident(shop):
    first, second = shop.operators
    assert first.count("oom-kill") == 1
    assert (second.count("oom-kill"), second.count("oom-kill", "known")) == (0, 1)


def test_status_says_that_it_is_learned_and_when(asked):
    said = asked("status")
    assert said["learning"] is True
    assert said["patterns"]["ended_seconds"] is not None
    assert said["patterns"]["failed"] == 0


def test_patterns_are_those_of_both_containers(asked):
    rows = {each["key"]: each for each in asked("patterns")}
    assert set(rows) == {WEB, CART}
    assert rows[CART]["shape"] == "growth"
    assert "1 OOM kill" in rows[WEB]["pattern"]
    assert rows[WEB]["samples"] >= HOURS - 2


def test_search_finds_patterns_and_incidents(asked, shop):
    found = {each["name"]: each["says"] for each in asked("search", "oom killed")}
    (kill,) = [says for name, says in found.items() if name.startswith(f"incident {WEB} oom-kill")]
    assert "the kernel killed it at its limit of" in kill
    assert "its limit went from" in kill
    leaks = asked("search", "leak")
    assert any(each["name"].startswith(f"incident {CART} leak") for each in leaks)


def test_analyze_counts_both_within_the_time(asked):
    week, minute = asked("analyze", "--timeframe", "7d"), asked("analyze", "--timeframe", "1m")
    assert week["records"]["pattern"] == week["records"]["history"] == 2
    assert week["incidents"] == {"leak": 1, "oom-kill": 1}
    assert (week["lately"]["incident"], minute["incidents"]) == (2, {})
    assert week["kube_nodes"] == 1


def test_predict_and_suggest_tell_of_both(asked):
    rows = {each["key"]: each for each in asked("predict", "--horizon", "1h")}
    assert rows[CART]["note"].startswith("leak ")
    assert rows[WEB]["note"].startswith("oom-kill ")
    assert rows[CART]["p50_bytes"] > 900 * 2**20
    said = asked("suggest")
    assert {each["key"] for each in said[:2]} == {WEB, CART}
    assert any("oom-kill: the kernel killed it" in each["suggestion"] for each in said)

"""Redis is killed (SIGKILL) at each command of a writer that sends: before it, and before its answer.

The second is the harder one: Redis has done what nobody was told that it did. What was written is in Redis
in the end, once, whatever was cut off where.
"""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
import redis

from builders.redis_server import MISSING, RedisServer, binaries, redis_server
from builders.store import NOW
from builders.waiting import wait_for
from plimsoll.store.content import decode, encode
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link, connected
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.memory import Memory
from plimsoll.store.record import Address, Provenance
from plimsoll.store.sending import send
from plimsoll.store.tiered import TieredStore

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
KEYS = 6
COMMANDS = 12  # of a writer that sends `KEYS` records anew: more of them repeat what these do


class Fatal:
    """A link whose n-th command is Redis' last; it counts on, and nothing else is killed."""

    def __init__(self, server: RedisServer, number: int, *, answered: bool) -> None:
        self._server, self._left, self._answered = server, number, answered
        self.killed = False

    def connect(self, address) -> Link:
        made = connected(address)
        for client in {id(each): each for each in (made.client, made.writer("any"))}.values():
            client.execute_command = self._counting(client.execute_command)
            client.pipeline = self._counting_pipelines(client.pipeline)
        return made

    def _counting_pipelines(self, pipeline: Callable) -> Callable:
        """What goes in one pipeline is one command here."""

        def make(*words: object, **more: object) -> object:
            made = pipeline(*words, **more)
            made.execute = self._counting(made.execute)
            return made

        return make

    def _counting(self, command: Callable) -> Callable:
        def execute(*words: object, **more: object) -> object:
            if self.killed:
                return command(*words, **more)
            self._left -= 1
            if self._left:
                return command(*words, **more)
            if self._answered:
                command(*words, **more)
            self._server.kill()
            self.killed = True
            raise redis.ConnectionError("the server went away")

        return execute


@pytest.mark.parametrize("answered", [False, True], ids=["before the command", "before its answer"])
def test_redis_killed_at_any_command_loses_nothing_and_doubles_nothing(tmp_path, counted, answered):
    killed, lost, of = 0, 0, 0
    with ExitStack() as ending:
        server = ending.enter_context(
            redis_server(tmp_path / "redis", appendonly="yes", appendfsync="always")
        )
        for number in range(1, COMMANDS + 1):
            server.tell("FLUSHALL")
            fatal = Fatal(server, number, answered=answered)
            shared = SharedLevel(parse_redis_address(f"{server.url}?timeout=5"), fatal.connect)
            store = TieredStore(FileLevel(tmp_path / f"{number}.db"), shared=shared, fresh_seconds=1.0)
            ending.callback(store.close)
            missing = sent_through(store, server, fatal)
            killed, lost, of = killed + fatal.killed, lost + len(missing), of + KEYS + 1
            assert missing == []
        assert killed == COMMANDS
    what = "Redis killed (SIGKILL) before " + ("the answer to a command" if answered else "a command")
    counted(what, injected=killed, survived=killed, lost=lost, of=of, what="records")


def sent_through(store: TieredStore, server: RedisServer, fatal: Fatal) -> list[str]:
    """Write and send until all is in Redis, which is started again where it died; what is not there then."""
    now_seconds = NOW
    for key in range(KEYS):
        said = Provenance.of({"worker-1"}, 1, now_seconds)
        store.store(Address("history", f"k{key}"), encode({"number": key}), said)
    Memory(store).store("pattern", "shared", {"by": 1}, now_seconds, samples=3)

    def all_there() -> bool:
        nonlocal now_seconds
        now_seconds += 61
        result = send(store, now_seconds)
        for key in range(KEYS):
            store.retrieve(Address("history", f"k{key}"), now_seconds)
        if server.process is None:
            server.start()
        return result.waiting == 0 and fatal.killed

    wait_for(all_there, "everything to be in Redis", seconds=60)
    records = [each.address for each in store.shared.records()]
    assert len(records) == len(set(records))
    found = {
        each.address.key: decode(store.shared.with_content(each).content)["number"]
        for each in store.shared.records()
        if each.address.kind == "history"
    }
    missing = [f"k{key}" for key in range(KEYS) if found.get(f"k{key}") != key]
    newest = store.retrieve(Address("pattern", "shared"), now_seconds + 100)
    return missing if newest is not None and decode(newest.content) == {"by": 1} else [*missing, "shared"]

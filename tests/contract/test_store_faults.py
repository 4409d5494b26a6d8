"""What a real Redis can do to the store: killed, empty, slow, full, read-only, closed, cut off, failed over.

Each test writes before, during and after the fault, and counts: what was written, what Redis has in the
end. Lost: 0. Time is told to the store; only Redis' own time passes.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from builders.partition import line_to
from builders.redis_server import (
    MISSING,
    RedisServer,
    binaries,
    redis_cluster,
    redis_sentinel,
    redis_server,
)
from builders.store import NOW, entry
from builders.waiting import wait_for
from plimsoll.store.care import check, repair
from plimsoll.store.content import decode, encode
from plimsoll.store.forgetting import forget
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.levels.shared import CLUSTER_COMMANDS, COMMANDS, CONNECTING, SharedLevel
from plimsoll.store.levels.work import WORK_COMMANDS, WorkStream
from plimsoll.store.memory import Memory
from plimsoll.store.record import Address, Provenance
from plimsoll.store.sending import Sent, send
from plimsoll.store.tiered import TieredStore

WRITER = """
import sys
from plimsoll.store.content import encode
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.record import Address, Provenance
from plimsoll.store.tiered import TieredStore
store = TieredStore(FileLevel(sys.argv[1]), shared=SharedLevel(parse_redis_address("redis://127.0.0.1:1")))
for number in range(100000):
    store.store(Address("history", f"k{number}"), encode({"number": number}), Provenance())
    print(number, flush=True)
"""
pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
KEYS = 40
USER, PASSWORD = "plimsoll", "of-the-store"


class Writer:
    """One process with its file, writing numbers; its clock goes on by a minute a look."""

    def __init__(self, path: Path, url: str, timeout: float = 5.0) -> None:
        more = "&" if "?" in url else "?"
        shared = SharedLevel(parse_redis_address(f"{url}{more}timeout={timeout}"))
        self.store = TieredStore(FileLevel(path), shared=shared, fresh_seconds=1.0)
        self.now_seconds = NOW
        self.written: dict[str, int] = {}

    def write(self, first: int, count: int, name: str = "k") -> None:
        for number in range(first, first + count):
            key = f"{name}{number}"
            said = Provenance.of({"worker-1"}, 1, self.now_seconds)
            self.written[key] = self.written.get(key, 0) + 1
            content = encode({"key": key, "number": self.written[key]})
            self.store.store(Address("history", key), content, said)

    def send(self) -> Sent:
        self.now_seconds += 61
        return send(self.store, self.now_seconds)

    def settle(self) -> None:
        """Send until Redis has everything and everything was read back."""
        wait_for(lambda: self.send().waiting == 0, "everything to be in Redis", seconds=60)

    def lost(self) -> list[str]:
        """What was written and is not in Redis as it was written last."""
        found = {}
        for record in self.store.shared.records():
            if record.address.kind == "history":
                found[record.address.key] = decode(self.store.shared.with_content(record).content)["number"]
        return [key for key, number in self.written.items() if found.get(key) != number]

    def goes_on(self) -> bool:
        """What is written now comes to Redis, and whatever was written can be read."""
        self.write(0, 1, name=f"afterwards-{id(self)}-")
        self.settle()
        return self.lost() == [] and self.readable() == len(self.written)

    def readable(self) -> int:
        """How many keys can be read now, from wherever."""
        keys = [Address("history", key) for key in self.written]
        return sum(self.store.retrieve(each, self.now_seconds) is not None for each in keys)


@pytest.fixture
def writer(tmp_path):
    """Makes writers that are closed in the end."""
    with ExitStack() as stack:
        numbers = iter(range(100))

        def make(url: str, **more) -> Writer:
            made = Writer(tmp_path / f"{next(numbers)}.db", url, **more)
            stack.callback(made.store.close)
            return made

        yield make


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", appendonly="yes", appendfsync="always") as made:
        yield made


def through(server: RedisServer, mine: Writer, begin, end) -> list[str]:
    """Write before, during and after; everything can be read meanwhile. Returns why sending failed."""
    mine.write(0, KEYS // 2)
    mine.settle()
    begin()
    failures = []
    for step in range(4):
        mine.write(KEYS // 2 + 5 * step, 5)
        mine.write(step, 1)  # and something that Redis has already
        failures.append(mine.send().failure)
        assert mine.readable() == len(mine.written)
    end()
    mine.write(KEYS, 5)
    mine.settle()
    assert len(mine.written) == KEYS + 5
    assert mine.lost() == []
    return failures


def told(counted, fault: str, *writers: Writer) -> None:
    """Write down what became of a fault that was made once: survived is what everybody goes on after."""
    lost, written = sum(len(each.lost()) for each in writers), sum(len(each.written) for each in writers)
    going_on = sum(each.goes_on() for each in writers)
    goes_on = going_on == len(writers)
    counted(fault, injected=1, survived=int(goes_on), lost=lost, of=written, what="records")
    assert goes_on
    assert lost == 0


def test_killed(server, writer, counted):
    mine = writer(server.url)
    failures = through(server, mine, server.kill, server.start)
    assert all(failures)
    assert "down" in failures[0]
    told(counted, "Redis killed", mine)


def test_restarted_empty(server, writer, counted):
    mine = writer(server.url)
    through(server, mine, server.restart_empty, lambda: None)
    assert mine.store.measures.counts["redis", "taken"] >= KEYS + 5
    told(counted, "Redis restarted empty", mine)


def test_restarted_empty_while_nobody_looked(server, writer):
    mine = writer(server.url)
    mine.write(0, KEYS)
    mine.settle()
    server.restart_empty()
    mine.send()
    mine.settle()
    assert mine.lost() == []


def test_two_seconds_slow(server, writer, counted):
    """It answers everybody two seconds late, for that long: what is waited for shorter goes on from here."""
    hasty, patient = writer(server.url, timeout=0.3), writer(server.url, timeout=10.0)
    for mine in (hasty, patient):
        mine.write(0, KEYS, name=f"of-{id(mine)}-")
        mine.settle()
        mine.write(KEYS, 5, name=f"of-{id(mine)}-")
    server.tell("CLIENT", "PAUSE", "2000", "ALL")
    assert "slow" in hasty.send().failure
    assert hasty.readable() == KEYS + 5
    assert patient.send().failure == ""
    for mine in (hasty, patient):
        mine.settle()
        assert mine.lost() == []
    told(counted, "Redis slow (2 s)", hasty, patient)


def test_slow(server, writer, counted):
    """It stands still: each try costs a time-out, and readings in between cost none."""
    mine = writer(server.url, timeout=0.3)
    mine.write(0, KEYS)
    wait_for(lambda: mine.send().waiting == 0, "everything to be in Redis")
    server.freeze()
    try:
        assert "slow" in mine.send().failure
        errors = mine.store.measures.counts["redis", "error-slow"]
        assert mine.readable() == KEYS
        assert mine.store.measures.counts["redis", "stale"] == KEYS
        assert mine.store.measures.counts["redis", "error-slow"] == errors, "the breaker is open"
        mine.write(KEYS, 5)
    finally:
        server.thaw()
    mine.settle()
    assert mine.lost() == []
    told(counted, "Redis stands still", mine)


def test_full(server, writer, counted):
    def fill() -> None:
        server.tell("CONFIG", "SET", "maxmemory", "1")

    mine = writer(server.url)
    failures = through(server, mine, fill, lambda: server.tell("CONFIG", "SET", "maxmemory", "0"))
    assert all("full" in each for each in failures)
    told(counted, "Redis full (OOM reply)", mine)


def test_read_only(server, writer, counted):
    def replica() -> None:
        server.tell("REPLICAOF", "127.0.0.1", "1")

    mine = writer(server.url)
    failures = through(server, mine, replica, lambda: server.tell("REPLICAOF", "NO", "ONE"))
    assert all("read-only" in each for each in failures)
    told(counted, "Redis read-only", mine)


def test_records_that_cannot_be_read(server, writer, counted):
    """Bit rot, a bug, or somebody with our password: what stands there in a record's place is no record."""
    mine = writer(server.url)

    def spoil() -> None:
        hashes = [Address("history", f"k{number}").hashed for number in range(KEYS + 5)]
        for number, hashed in enumerate(hashes):
            key = f"plimsoll:r:{hashed}"
            if number % 3 == 0:
                server.tell("HSET", key, "v", "5", "d", "abc", "m", "no record")
            elif number % 3 == 1:
                server.tell("DEL", key)
                server.tell("SET", key, "no hash")
        nobodys = Address("history", "of-nobody").hashed
        server.tell("HSET", f"plimsoll:r:{nobodys}", "v", "1", "d", "a", "m", "b")

    def repaired() -> None:
        assert len(check(mine.store, None, mine.now_seconds)) > 1
        repair(mine.store, mine.now_seconds)

    assert through(server, mine, spoil, repaired) == [""] * 4
    assert mine.store.measures.counts["redis", "unsound"] == 0
    assert mine.store.shared.survey().unreadable == {}
    told(counted, "records in Redis that cannot be read", mine)


def acl(server: RedisServer, password: str, *more: str) -> None:
    rights = [*(f"+{each}" for each in (*COMMANDS, *CONNECTING)), *more]
    server.tell("ACL", "SETUSER", USER, "reset", "on", f">{password}", "~plimsoll:*", *rights)


def test_wrong_password(server, writer, tmp_path, counted):
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    acl(server, PASSWORD)
    url = f"redis://{USER}@{server.host}/0?password_file={file}"
    mine = writer(url)

    def rotate() -> None:
        acl(server, "another")
        server.tell("CLIENT", "KILL", "USER", USER)

    failures = through(server, mine, rotate, lambda: file.write_text("another"))
    assert all("denied" in each or "down" in each for each in failures)
    assert any("denied" in each for each in failures)
    told(counted, "wrong password of Redis", mine)


@pytest.mark.parametrize("login", ["", f"{USER}:guessed@", f"{USER}:@", "nobody:x@"])
def test_who_has_no_password_reads_and_writes_nothing(server, login):
    """On a server whose user `default` is switched off, as docs/memory.md says."""
    acl(server, PASSWORD)
    server.tell("SET", "plimsoll:mine", "what was learned")
    server.tell("ACL", "SETUSER", "default", "off")
    client = redis.Redis.from_url(f"redis://{login}{server.host}/0", protocol=2)
    for words in (("GET", "plimsoll:mine"), ("SET", "plimsoll:mine", "x"), ("FLUSHALL",)):
        with pytest.raises(
            (redis.AuthenticationError, redis.ResponseError), match=r"WRONGPASS|NOAUTH|uthent|invalid"
        ):
            client.execute_command(*words)
    client.close()
    assert "what was learned" in str(server.tell("GET", "plimsoll:mine"))


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "another:key"), ("SET", "another:key", "x"), ("KEYS", "*"), ("MONITOR",), ("FLUSHALL",),
        ("EVAL", "return redis.call('GET', 'another:key')", "0"), ("SCRIPT", "FLUSH"), ("FUNCTION", "LIST"),
        ("CONFIG", "GET", "requirepass"), ("CONFIG", "SET", "maxmemory", "1"), ("SHUTDOWN",),
        ("ACL", "LIST"), ("ACL", "SETUSER", USER, "allcommands"), ("REPLICAOF", "127.0.0.1", "1"),
        ("MIGRATE", "127.0.0.1", "1", "plimsoll:x", "0", "9"),
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_the_acl_user_is_refused_what_is_not_its_own(server, words):
    acl(server, PASSWORD)
    server.tell("SET", "another:key", "somebody's")
    client = redis.Redis.from_url(f"redis://{USER}:{PASSWORD}@{server.host}/0")
    assert client.set("plimsoll:mine", "x") is True
    with pytest.raises(redis.ResponseError, match=r"no permissions|NOPERM|can't access"):
        client.execute_command(*words)
    client.close()
    assert "somebody's" in str(server.tell("GET", "another:key"))


@pytest.mark.parametrize("form", ["single", "sentinel", "cluster"])
def test_a_password_that_is_rotated_under_a_running_process_is_found(tmp_path, form):
    """Neither level nor worker is made anew: a new connection reads the file."""
    with ExitStack() as stack:
        if form == "single":
            servers = [stack.enter_context(redis_server(tmp_path / "redis"))]
            url = f"redis://{USER}@{servers[0].host}/0"
        elif form == "sentinel":
            made = stack.enter_context(redis_sentinel(tmp_path / "redis", replicas=1))
            servers, url = made.servers, made.url.replace("://", f"://{USER}@")
        else:
            servers = stack.enter_context(redis_cluster(tmp_path / "redis"))
            url = f"redis+cluster://{USER}@{servers[0].host}"
        file = tmp_path / "password"
        rights = [f"+{each}" for each in CLUSTER_COMMANDS] if form == "cluster" else []

        def rotate(password: str) -> None:
            for each in servers:
                acl(each, password, *rights, *(f"+{word}" for word in WORK_COMMANDS))
                each.tell("CLIENT", "KILL", "USER", USER)

        address = parse_redis_address(f"{url}?password_file={file}&timeout=5")
        level, stream = SharedLevel(address), WorkStream(address)
        stack.callback(level.close)
        stack.callback(stream.close)
        for number, password in enumerate(("first", "second", "third")):
            rotate(password)
            if number:
                with pytest.raises(LevelError):
                    level.ping()
                with pytest.raises(LevelError):
                    stream.counts()
            file.write_text(password + "\n")
            level.ping()
            assert level.put(entry(f"k{number}"), 0).stored
            stream.offer(f"job-{number}", b"payload")
        file.unlink()
        for each in servers:
            each.tell("CLIENT", "KILL", "USER", USER)
        with pytest.raises(LevelError, match="cannot be read") as raised:
            level.ping()
        assert raised.value.reason is Reason.DOWN
        file.write_text("third")
        assert len([*level.records()]) == 3


def test_a_partition_between_half_of_the_writers_and_redis(server, writer, counted):
    with line_to(server.port) as line:
        near, far = writer(server.url), writer(f"redis://127.0.0.1:{line.port}/0")
        for mine in (near, far):
            mine.write(0, 10, name=f"of-{id(mine)}-")
            mine.settle()
        line.cut()
        for number, mine in enumerate((near, far)):
            mine.write(0, 20, name=f"of-{id(mine)}-")
            Memory(mine.store).store("pattern", "shared", {"by": number}, mine.now_seconds, samples=number)
        near.settle()
        assert far.send().failure
        assert far.readable() == 20
        line.mend()
        far.settle()
        near.settle()
        assert near.lost() == far.lost() == []
        newest = far.store.retrieve(Address("pattern", "shared"), far.now_seconds + 100)
        assert decode(newest.content) == {"by": 1}, "of both the one from more samples"
        told(counted, "half of the writers cut off from Redis", near, far)


def test_sentinel_fails_over(tmp_path, writer, counted):
    settings = {"min_replicas_to_write": "1", "min_replicas_max_lag": "10"}
    with redis_sentinel(tmp_path / "redis", replicas=2, **settings) as made:
        mine = writer(f"{made.url}?replicas=1")
        mine.write(0, KEYS // 2)
        mine.settle()
        mine.write(KEYS // 2, KEYS // 2)
        acknowledged = mine.send().taken
        before = made.master()
        before.kill()
        mine.write(KEYS, 10)
        wait_for(lambda: made.master() is not before, "another master", seconds=60)
        mine.settle()
        assert acknowledged == KEYS // 2
        assert len(mine.written) == KEYS + 10
        assert mine.lost() == []
        told(counted, "Redis failed over (Sentinel)", mine)


def test_writes_without_a_replica_are_not_acknowledged(server, writer):
    mine = writer(f"{server.url}?replicas=1")
    mine.write(0, 3)
    assert "unacknowledged" in mine.send().failure
    assert mine.store.file.counts()["pending"] == 3


def test_a_writer_that_is_killed_loses_nothing_it_was_told_is_kept(tmp_path):
    """SIGKILL in the middle of writing: every write that had returned is there, and the file is sound."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "m.db")], stdout=subprocess.PIPE, text=True
    ) as child:
        told = [int(child.stdout.readline()) for _ in range(60)]
        child.kill()
        told += [int(line) for line in child.stdout if line.endswith("\n")]
    file = FileLevel(tmp_path / "m.db")
    kept = {decode(file.get(each.address).content)["number"] for each in file.records()}
    assert set(told) <= kept
    assert len(kept) - len(told) <= 1, "one may have been written and not told"
    assert file.problems() == []
    assert file.counts()["pending"] == len(kept)
    file.close()


def test_the_acl_user_has_the_rights_it_uses_and_no_other(server, writer, tmp_path):
    acl(server, PASSWORD)
    server.tell("CONFIG", "RESETSTAT")
    mine = writer(f"redis://{USER}:{PASSWORD}@{server.host}/0?replicas=0")
    mine.write(0, 3)
    mine.settle()
    mine.store.shared.ping()
    forget(mine.store, None, "k1", mine.now_seconds)
    assert check(mine.store, None, mine.now_seconds) == []
    with writer_of_replicas(server, mine) as other:
        other.write(5, 1, name="x")
        other.send()
    used = {each.removeprefix("cmdstat_") for each in server.tell("INFO", "commandstats")}
    ours = {"config", "config|resetstat", "info", "acl", "acl|setuser", "hello", "client", "client|setinfo"}
    assert used - ours <= set(COMMANDS) | set(CONNECTING)
    assert set(COMMANDS) <= used
    assert server.tell("ACL", "LOG") == []


def writer_of_replicas(server: RedisServer, like: Writer):
    from contextlib import contextmanager

    @contextmanager
    def made() -> Iterator[Writer]:
        more = Writer(
            Path(like.store.file.path).with_suffix(".2"),
            f"redis://{USER}:{PASSWORD}@{server.host}/0?replicas=1",
        )
        try:
            yield more
        finally:
            more.store.close()

    return made()

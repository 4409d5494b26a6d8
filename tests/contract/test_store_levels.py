"""What every level of the store must do: the same suite on the process, a file, fakeredis and real Redis
servers.

Real: one server, one over TLS with an ACL user, a Cluster of three, and the master that Sentinel names.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest

from builders.certificates import loopback_pair
from builders.redis_server import MISSING, binaries, redis_cluster, redis_sentinel, redis_server
from builders.store import address, entry
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.process import ProcessLevel
from plimsoll.store.levels.shared import COMMANDS, CONNECTING, SharedLevel
from plimsoll.store.record import Address, DamagedError, Entry, tombstone

REAL = ("server", "tls", "cluster", "sentinel")
ACL_USER = "plimsoll"
PASSWORD = "of-the-store"


def acl_rule(prefix: str = "plimsoll") -> str:
    """The user of docs/memory.md: these keys, these commands, nothing else."""
    rights = " ".join(f"+{each}" for each in (*COMMANDS, *CONNECTING))
    return f"on >{PASSWORD} resetkeys ~{prefix}:* resetchannels -@all {rights}"


def fake_link(_address) -> Link:
    client = fakeredis.FakeRedis(protocol=2)
    return Link(client, lambda _key: client, lambda: None, client.close)


@pytest.fixture(scope="module", params=["process", "file", "memory-file", "fakeredis", *REAL])
def make(request, tmp_path_factory) -> Iterator:
    """A function that makes an empty level of this form."""
    form, directory = request.param, tmp_path_factory.mktemp(request.param)
    numbers = iter(range(1000))
    if form == "process":
        yield ProcessLevel
    elif form == "file":
        yield lambda: FileLevel(directory / f"{next(numbers)}.db")
    elif form == "memory-file":
        yield FileLevel
    elif form == "fakeredis":
        yield lambda: SharedLevel(parse_redis_address("redis://nowhere"), fake_link)
    elif binaries() is None:
        pytest.skip(MISSING)
    else:
        with real(form, directory) as url:
            yield lambda: SharedLevel(parse_redis_address(f"{url}prefix=t{next(numbers)}&timeout=5"))


def real(form: str, directory: Path):
    from contextlib import contextmanager

    @contextmanager
    def serving() -> Iterator[str]:
        if form == "cluster":
            with redis_cluster(directory) as servers:
                for each in servers:
                    each.tell("ACL", "SETUSER", "default", "on", "nopass", "+@all", "~*")
                yield f"redis+cluster://{servers[0].host}?"
        elif form == "sentinel":
            with redis_sentinel(directory, replicas=1) as made:
                yield f"{made.url}?replicas=1&"
        elif form == "tls":
            pair = loopback_pair(directory)
            rule = acl_rule("t*")
            with redis_server(directory / "data", tls=pair, **{f"user {ACL_USER}": rule}) as server:
                yield server.url.replace("://", f"://{ACL_USER}:{PASSWORD}@") + "&"
        else:
            with redis_server(directory) as server:
                yield f"{server.url}?"

    return serving()


@pytest.fixture
def level(make):
    made = make()
    yield made
    made.close()


def test_nothing_is_there_at_first(level):
    assert level.head(address()) is None
    assert level.get(address()) is None
    assert list(level.records()) == []


def test_what_is_put_is_got(level):
    given = entry(content=b"x" * 100_000, kube_nodes=("b", "a"))
    assert level.put(given, 0).stored
    assert level.get(address()) == given
    assert level.head(address()) == given.record
    assert [*level.records()] == [given.record]


@pytest.mark.parametrize(("held", "expected", "offered", "stored"), [
    (0, 0, 1, True), (0, 1, 2, False), (3, 3, 4, True), (3, 2, 4, False), (3, 4, 5, False),
    (3, 3, 3, False), (3, None, 4, True), (3, None, 3, False), (3, None, 2, False), (0, None, 7, True),
])  # fmt: skip
def test_compare_and_set(level, held, expected, offered, stored):
    if held:
        assert level.put(entry(content=b"before", version=held), 0).stored
    put = level.put(entry(content=b"after", version=offered), expected)
    assert (put.stored, put.version) == (stored, offered if stored else held)
    found = level.get(address())
    assert (found.content if found else None) == (b"after" if stored else (b"before" if held else None))


def test_a_tombstone_takes_the_content_and_stops_older_writes(level):
    level.put(entry(version=1), 0)
    assert level.put(Entry(tombstone(address(), 2), b""), 1).stored
    assert level.head(address()).forgotten
    assert level.get(address()).content == b""
    assert [*level.records()] == []
    assert not level.put(entry(version=2), 1).stored
    assert level.put(entry(version=3), 2).stored
    assert level.get(address()).record.version == 3


def test_equal_contents_are_kept_once_and_swept_when_nobody_has_them(level):
    first, second = entry("one", b"same"), entry("two", b"same")
    digest = first.record.digest
    level.put(first, 0)
    level.put(second, 0)
    level.put(entry("one", b"other", version=2), 1)
    level.sweep()
    assert level.get(address("two")).content == b"same"
    level.put(entry("two", b"other", version=2), 1)
    level.sweep([digest])
    assert level.traces_of([], [digest]) == 0
    assert level.get(address("one")).content == level.get(address("two")).content == b"other"


def test_a_content_goes_with_the_last_that_used_it(level):
    one, other = entry("one", b"same"), entry("two", b"same")
    for each in (one, other):
        level.put(each, 0)
    assert not level.put(entry("one", b"refused", version=9), 5).stored
    level.put(entry("one", b"other", version=2), 1)
    assert level.get(address("two")).content == b"same"
    level.put(Entry(tombstone(address("two"), 2), b""), 1)
    gone = [one.record.digest, entry("one", b"refused").record.digest]
    assert sum(level.has_content(each) if isinstance(level, SharedLevel) else 0 for each in gone) == 0
    assert level.sweep() == 0
    assert level.get(address("one")).content == b"other"


def test_traces_tell_what_is_still_there(level):
    given = entry("secret-name", b"secret content")
    level.put(given, 0)
    assert level.traces_of([given.record.address], [given.record.digest]) >= 2
    level.put(Entry(tombstone(given.record.address, 2), b""), 1)
    level.sweep([given.record.digest])
    assert level.traces_of([given.record.address], [given.record.digest]) == 0


def test_kinds_and_keys_do_not_run_together(level):
    given = [
        entry(key, f"{kind} {key}".encode(), kind=kind)
        for kind in ("history", "oom")
        for key in ("a", "a b", "ä/é:ü")
    ]
    for each in given:
        assert level.put(each, 0).stored
    assert sorted(level.records(), key=str) == sorted((each.record for each in given), key=str)
    for each in given:
        assert level.get(each.record.address) == each


def test_of_many_writers_of_one_version_one_wins(make):
    levels = [make()]
    given = [entry(content=f"writer {number}".encode()) for number in range(8)]

    async def race():
        return await asyncio.gather(*(asyncio.to_thread(levels[0].put, each, 0) for each in given))

    taken = [each.stored for each in asyncio.run(race())]
    assert sum(taken) == 1
    assert levels[0].get(address()) == given[taken.index(True)]
    levels[0].close()


def test_another_record_in_its_place_is_damage(level):
    if not isinstance(level, SharedLevel):
        pytest.skip("only Redis' keys can be written by somebody else")
    mine, other = Address("history", "mine"), entry("other")
    level.put(other, 0)
    keys = [f"{level.address.prefix}:r:{each.hashed}" for each in (other.record.address, mine)]
    link = level._link.get()
    held = link.client.hgetall(keys[0]) if level.address.user == "" else None
    if held is None:
        pytest.skip("this user may not read a whole hash")
    link.client.hset(keys[1], mapping=held)
    with pytest.raises(DamagedError, match="in its place"):
        level.head(mine)
    assert set(level.survey().unreadable) == {mine.hashed}
    assert level.remove_unreadable(mine.hashed)
    assert [*level.records()] == [other.record]


UNREADABLE = ({"v": 5, "d": "abc", "m": "garbage"}, {"v": "five", "d": b"\xff", "m": "{}"}, None)


@pytest.mark.parametrize("damage", UNREADABLE, ids=["words", "version", "no-hash"])
def test_what_cannot_be_read_is_damage_and_the_next_write_takes_its_place(level, damage):
    if not isinstance(level, SharedLevel):
        pytest.skip("only Redis' keys can be written by somebody else")
    mine, good, nobodys = address("mine"), entry("good"), address("nobodys")
    level.put(good, 0)
    for each in (mine, nobodys):
        key = f"{level.address.prefix}:r:{each.hashed}"
        client = level._link.get().client
        client.hset(key, mapping=damage) if damage else client.set(key, "no hash")
        with pytest.raises(DamagedError):
            level.head(each)
    survey = level.survey()
    assert survey.records == [good.record]
    assert set(survey.unreadable) == {mine.hashed, nobodys.hashed}
    assert level.traces_of([mine], []) == 1
    held = level.put(entry("mine", version=1), 9)
    assert not held.stored
    assert level.put(entry("mine", version=held.version + 1), held.version).stored
    assert level.get(mine).record.version == held.version + 1
    assert level.remove_unreadable(nobodys.hashed)
    assert not level.remove_unreadable(mine.hashed)
    assert level.survey().unreadable == {}
    assert len([*level.records()]) == 2

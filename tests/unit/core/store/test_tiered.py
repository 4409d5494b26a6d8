"""The levels as one store: reads through, writes behind, joins, forgetting, repair. Redis is fakeredis."""

import errno
from pathlib import Path

import fakeredis
import numpy as np
import pytest

from builders.store import NOW, address, entry, said_by
from plimsoll.store import contributions
from plimsoll.store.care import check, repair
from plimsoll.store.content import decode, encode
from plimsoll.store.forgetting import forget
from plimsoll.store.kinds import KINDS, Kind
from plimsoll.store.levels.address import RedisAddressError, parse_redis_address
from plimsoll.store.levels.breaker import Breaker
from plimsoll.store.levels.connect import Link
from plimsoll.store.levels.file import Bounds, FileLevel, State
from plimsoll.store.levels.process import ProcessLevel
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.memory import Memory, open_memory
from plimsoll.store.record import Address, DamagedError, Entry, Provenance, RecordError, entry_of, tombstone
from plimsoll.store.sending import SETTLE_SECONDS, send, send_while
from plimsoll.store.tiered import TieredStore

LATER = NOW + SETTLE_SECONDS + 1
SAID = Provenance.of({"worker-1"}, 10, NOW)


@pytest.fixture
def redis():
    return fakeredis.FakeServer()


def store_on(redis, path=":memory:", **more):
    client = fakeredis.FakeRedis(server=redis, protocol=2)
    shared = SharedLevel(
        parse_redis_address("redis://nowhere"),
        lambda _: Link(client, lambda _k: client, lambda: None, client.close),
    )
    return TieredStore(FileLevel(path), shared=shared, fresh_seconds=10.0, **more)


@pytest.fixture
def two(redis):
    """Two processes that share one Redis."""
    return store_on(redis), store_on(redis)


def content(number):
    return encode({"number": number})


def number_in(store, key="x", now=NOW, kind="history"):
    found = store.retrieve(Address(kind, key), now)
    return None if found is None else decode(found.content)["number"]


def settled(store, now=NOW):
    """Send, and read back."""
    first = send(store, now)
    return first, send(store, now + SETTLE_SECONDS + 1)


UNREADABLE = (
    {"v": 5, "d": "abc", "m": "garbage"},
    {"v": 5, "d": "abc", "m": b"\xff\xfe"},
    {"v": 5, "d": b"\xff", "m": "{}"},
    {"v": 5, "d": "abc"},
    {"v": "five", "d": "abc", "m": "{}"},
    {"v": "nan", "d": "abc", "m": "{}"},
    {"v": "-1", "d": "abc", "m": "{}"},
    {"v": "1e300", "d": "abc", "m": "{}"},
    {"v": "9007199254740992", "d": "", "m": ""},
    {"v": b"9" * 5000, "d": "abc", "m": "{}"},
    "no hash",
)


def put_down(redis, key, damage):
    """Something at a record's key that is none."""
    name, client = f"plimsoll:r:{Address('history', key).hashed}", fakeredis.FakeRedis(server=redis)
    client.delete(name)
    if isinstance(damage, str):
        client.set(name, damage)
    else:
        client.hset(name, mapping=damage)


# Without Redis


def test_without_redis_everything_is_in_the_file(tmp_path):
    store = TieredStore(FileLevel(tmp_path / "m.db"))
    store.store(Address("history", "x"), content(1), SAID)
    assert send(store, NOW).waiting == 0
    store.close()
    again = TieredStore(FileLevel(tmp_path / "m.db"))
    assert number_in(again) == 1
    assert (again.measures.counts["process", "hit"], again.measures.counts["process", "miss"]) == (0, 1)
    assert number_in(again) == 1
    assert (again.measures.counts["process", "hit"], again.measures.counts["process", "miss"]) == (1, 1)
    assert again.measures.latencies["file", "get"].count == 1


def test_equal_content_is_not_written_again():
    store = TieredStore(FileLevel())
    first = store.store(Address("history", "x"), content(1), SAID)
    assert store.store(Address("history", "x"), content(1), SAID) == first
    assert store.store(Address("history", "x"), content(2), SAID).version == 2


# With Redis


def test_what_one_has_learned_the_other_reads(two):
    here, there = two
    assert number_in(there) is None
    here.store(Address("history", "x"), content(1), SAID)
    first, second = settled(here)
    assert (first.taken, first.waiting, second.confirmed, second.waiting) == (1, 1, 1, 0)
    assert number_in(there, now=NOW + 5) is None, "looked a moment ago"
    assert number_in(there, now=NOW + 60) == 1
    assert there.file.counts()["records"] == 1


def test_a_newer_version_invalidates_what_is_here(two):
    here, there = two
    for number in range(4):
        here.store(Address("history", "x"), content(number), Provenance.of({"a"}, 1, NOW + number))
        settled(here, NOW + 100 * number)
        assert number_in(there, now=NOW + 100 * number) == number


def test_writers_in_each_others_way_lose_nothing(two):
    here, there = two
    for name, store in zip(("a", "b"), two, strict=True):
        memory = Memory(store)
        for sequence in (1, 2):
            memory.contribute("pages", "cache", said_by(name, sequence=sequence), NOW)
    for turn in range(4):
        for store in two:
            settled(store, NOW + 100 * turn)
    for store in two:
        said = contributions.read(decode(store.retrieve(Address("pages", "cache"), NOW + 1000).content))
        assert {name: each.sequence for name, each in said.items()} == {"a": 2, "b": 2}
    assert send(here, NOW + 2000).waiting == send(there, NOW + 2000).waiting == 0


def test_a_redis_that_comes_back_empty_gets_everything_again(two, redis):
    here, there = two
    for number in range(20):
        here.store(Address("history", f"k{number}"), content(number), SAID)
    settled(here)
    fakeredis.FakeRedis(server=redis).flushall()
    assert sum(1 for _ in there.shared.records()) == 0
    send(here, NOW + 100)
    send(here, NOW + 200)
    assert send(here, NOW + 300).waiting == 0
    assert {number_in(there, f"k{number}", NOW + 400) for number in range(20)} == set(range(20))


def test_what_a_fail_over_has_lost_is_sent_again(two, redis):
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    assert send(here, NOW).taken == 1
    client = fakeredis.FakeRedis(server=redis)
    client.delete(*client.scan_iter("plimsoll:r:*"))
    done = send(here, LATER)
    assert (done.again, done.taken) == (1, 1)
    assert number_in(there, now=LATER) == 1
    assert send(here, LATER + SETTLE_SECONDS + 1).confirmed == 1


def test_a_content_that_was_lost_is_sent_again(two, redis):
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    send(here, NOW)
    client = fakeredis.FakeRedis(server=redis)
    client.delete(*client.scan_iter("plimsoll:b:*"))
    assert number_in(there) is None
    assert there.measures.counts["redis", "damaged"] == 1
    send(here, LATER)
    assert number_in(there, now=LATER) == 1


def test_what_changes_while_it_is_sent_goes_on_waiting(redis):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    put = store.shared.put

    def put_and_write(given, expected):
        done = put(given, expected)
        store.store(Address("history", "x"), content(2), Provenance.of(set(), 1, NOW + 1))
        return done

    store.shared.put = put_and_write
    send(store, NOW)
    assert store.file.held(Address("history", "x")).state is State.PENDING
    store.shared.put = put
    settled(store, NOW + 1)
    assert number_in(store_on(redis), now=NOW + 99) == 2


def test_forgotten_elsewhere_is_forgotten_here(two):
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    settled(here)
    assert number_in(there) == 1
    proof = forget(here, None, "x", NOW + 50)
    assert proof.proven
    assert [str(each) for each in proof.addresses] == ["history x"]
    assert number_in(there, now=NOW + 100) is None
    there.store(Address("history", "x"), content(2), SAID)
    settled(there, NOW + 200)
    assert number_in(here, now=NOW + 300) == 2, "learned anew after it"


def test_what_was_written_before_it_was_forgotten_comes_too_late(two):
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    settled(here)
    assert number_in(there) == 1
    there.store(Address("history", "x"), content(2), SAID)
    forget(here, None, "x", NOW + 50)
    assert send(there, NOW + 60).buried == 1
    assert number_in(there, now=NOW + 100) is None
    assert sum(1 for _ in there.shared.records()) == 0


def test_a_tombstone_of_the_version_that_somebody_else_has_written_meanwhile_is_not_lost(two, redis):
    """As older versions left it in their files: one above what was known, and so is what came meanwhile."""
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    settled(here)
    number_in(there)
    there.store(Address("history", "x"), content(2), SAID)
    settled(there)
    here.file.keep(Entry(tombstone(Address("history", "x"), 2), b""), 1, State.PENDING)
    assert send(here, NOW + 60).buried == 1
    assert here.shared.head(Address("history", "x")).forgotten
    assert number_in(there, now=NOW + 100) is None
    assert number_in(store_on(redis), now=NOW + 100) is None


def test_a_tombstone_whose_answer_was_lost_is_told_again_and_stays_as_it_is(two):
    here, _ = two
    here.store(Address("history", "x"), content(1), SAID)
    settled(here)
    here.forget(Address("history", "x"))
    hashed, version = Address("history", "x").hashed, here.file.held(Address("history", "x")).record.version
    assert here.shared.bury(hashed, version).stored
    assert send(here, NOW + 60).buried == 1
    assert here.shared.head(Address("history", "x")).version == version
    assert here.file.held(Address("history", "x")).state is State.CLEAN


def test_who_writes_between_two_attempts_to_forget_is_forgotten_too(two):
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    settled(here)
    number_in(there)
    here.forget(Address("history", "x"))
    bury, turns = here.shared.bury, []

    def late(hashed, version):
        if len(turns) < 3:  # another's write, above whatever is asked for
            turns.append(version)
            there.shared.put(entry("x", content(7), version=version), None)
        return bury(hashed, version)

    here.shared.bury = late
    assert send(here, NOW + 60).buried == 1
    assert here.shared.head(Address("history", "x")).forgotten
    assert len(turns) == 3


def test_what_is_forgotten_before_it_was_read_back_is_forgotten_here_too(two):
    here, there = two
    here.store(Address("history", "x"), content(1), SAID)
    send(here, NOW)
    assert number_in(there) == 1
    forget(there, None, "x", NOW + 10)
    assert send(here, LATER).buried == 1
    assert number_in(here, now=LATER) is None
    here.store(Address("history", "y"), content(2), SAID)
    settled(here, LATER + 60)
    assert here.shared.head(Address("history", "x")).forgotten


def test_what_was_learned_anew_is_sent_again_where_a_fail_over_left_the_tombstone_from_before(two):
    here, there = two
    x = Address("history", "x")
    here.store(x, content(1), SAID)
    settled(here)
    number_in(there)
    forget(there, None, "x", NOW + 50)
    buried = there.file.held(x).record.version
    number_in(here, now=NOW + 100)
    here.store(x, content(2), SAID)
    send(here, NOW + 100)
    here.shared._do(
        lambda link: link.client.hset(
            here.shared._record_key(x.hashed), mapping={"v": buried, "d": "", "m": ""}
        )
    )
    assert send(here, NOW + 200).again == 1
    settled(here, NOW + 300)
    assert number_in(there, now=NOW + 500) == 2


def test_the_mark_of_what_was_forgotten_stands_for_ninety_days(redis):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    client = fakeredis.FakeRedis(server=redis)
    (key,) = client.scan_iter("plimsoll:r:*")
    assert client.ttl(key) == -1, "a record stands for good"
    forget(store, None, "x", NOW + 50)
    assert 90 * 86_400 - 600 < client.ttl(key) <= 90 * 86_400


def test_of_a_redis_that_came_back_empty_what_one_forgets_nobody_brings_back(two, redis):
    """Versions begin anew there; who knows an older one forgets what others have gone on writing."""
    here, there = two
    x = Address("history", "x")
    here.store(x, content(1), SAID)
    settled(here)
    number_in(there)
    for number in range(2, 7):
        here.store(x, content(number), SAID)
        settled(here, NOW + 100 * number)
    fakeredis.FakeRedis(server=redis).flushall()
    forget(there, None, "x", NOW + 1000)
    settled(here, NOW + 1000)
    settled(here, NOW + 1100)
    assert number_in(here, now=NOW + 1200) is None
    assert number_in(store_on(redis), now=NOW + 1200) is None


def test_forgetting_reaches_every_level_and_is_looked_for(two, tmp_path, redis):
    here = store_on(redis, tmp_path / "m.db")
    snapshots = Snapshots(str(tmp_path / "snapshots"))
    memory = Memory(here, snapshots)
    memory.store("incident", "secret/web", {"text": "unique-content-of-a-tenant"}, NOW)
    memory.store("incident", "other", {"text": "stays"}, NOW)
    memory.store("incident", "secret/twin", {"text": "stays"}, NOW)  # the same content as another's
    settled(here)
    snapshots.write(memory.entries(), NOW)
    proof = forget(here, snapshots, "secret/*", NOW + 100)
    assert proof.proven
    found = {each.level: (each.before > 0, each.after) for each in proof.levels}
    assert found == dict.fromkeys(("process", "file", "redis", "snapshots"), (True, 0))
    here.close()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"secret/web" not in path.read_bytes(), path
    assert memory.snapshots.all()[0].records == 1
    assert fakeredis.FakeRedis(server=redis).dbsize() > 0


def test_without_an_answer_nothing_is_proven(two, redis):
    here, _ = two
    here.store(Address("history", "x"), content(1), SAID)
    settled(here)
    redis.connected = False
    proof = forget(here, None, "x", NOW)
    assert not proof.proven
    assert number_in(here) is None
    redis.connected = True
    send(here, NOW + 100)
    assert forget(here, None, "x", NOW + 200).proven
    assert sum(1 for _ in here.shared.records()) == 0


# Bounds and damage


def test_a_file_that_is_full_of_waiting_records_refuses_new_ones_and_loses_none(redis):
    store = store_on(redis)
    store.file = FileLevel(bounds=Bounds(most_records=20))
    refused = []
    for number in range(30):
        try:
            store.store(Address("history", f"k{number}"), content(number), SAID)
        except LevelError as error:
            refused.append(error.reason)
    assert refused == [Reason.FULL] * 10
    store.store(Address("history", "k3"), content(333), Provenance.of(set(), 1, NOW + 1))
    settled(store)
    assert sum(1 for _ in store.shared.records()) == 20
    store.store(Address("history", "new"), content(1), SAID)
    assert store.file.evicted > 0, "what Redis has may go here"
    assert number_in(store, "k3", NOW + 100) == 333


@pytest.mark.parametrize("state", [State.CLEAN, State.PENDING])
def test_a_file_holds_no_more_bytes_than_it_may(state):
    """New keys that were sent make room; those that wait are refused, and may change up to twice as much."""
    file, refused = FileLevel(bounds=Bounds(most_bytes=1 << 20)), []
    noise = np.random.default_rng(1)
    for size in (1 << 15, 1 << 17):
        for number in range(100):
            entry = entry_of(Address("pages", f"k{number}"), noise.bytes(size), SAID, version=size)
            try:
                file.keep(entry, 0, state)
            except LevelError as error:
                refused.append(error.reason)
            assert file.counts()["bytes"] <= (1 << 20 if state is State.CLEAN else 2 << 20) + (1 << 12)
    assert set(refused) == ({Reason.FULL} if state is State.PENDING else set())
    assert (file.evicted > 0) == (state is State.CLEAN)


def test_what_was_never_tried_is_sent_whatever_the_clock_says(redis):
    store = store_on(redis)
    store.store(Address("history", "k"), content(1), SAID)
    assert send(store, 1.0).taken == 1


def test_what_cannot_be_sent_keeps_nobody_from_being_sent(redis, monkeypatch):
    """As many as a round takes, each time at the front, and all of them unsound."""
    monkeypatch.setattr("plimsoll.store.sending.SENT_AT_ONCE", 3)
    store = store_on(redis)
    for number in range(6):
        store.store(Address("history", f"k{number}"), content(number), SAID)
    put = store.shared.put

    def refuses(entry, expected_version):
        if entry.record.address.key in {"k0", "k1", "k2"}:
            raise RecordError("it is too large")
        return put(entry, expected_version)

    monkeypatch.setattr(store.shared, "put", refuses)
    rounds = iter([True, True, True, False])
    done = send_while(store, NOW, lambda: next(rounds))
    assert (done.taken, done.unsound) == (3, 3)
    monkeypatch.undo()
    assert send_while(store, NOW + 1.0, lambda: False).taken == 0
    assert send_while(store, NOW + 40.0, lambda: False).taken == 3


def test_the_process_keeps_what_is_used(redis):
    level = ProcessLevel(most_bytes=6000)
    for number in range(5):
        level.put(entry(f"k{number}", bytes([number]) * 500), 0)
        level.get(address("k0"))
    assert level.get(address("k0")) is not None
    level.put(entry("large", b"x" * 7000), 0)
    assert level.head(address("large")) is None
    assert level.bytes_ <= 6000


def test_a_damaged_file_is_set_aside_and_begun_anew(tmp_path, redis):
    path = tmp_path / "m.db"
    store = store_on(redis, path)
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    store.close()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LevelError, match="is damaged"):
        FileLevel(path, set_aside=False)
    assert path.stat().st_size == 5000
    again = store_on(redis, path)
    assert again.file.set_aside.name == "m.db.damaged-1"
    assert number_in(again) == 1, "from Redis"
    assert "set aside" in check(again, None, NOW)[0].what


def test_damage_in_the_file_is_found_and_read_again_from_redis(tmp_path, redis):
    store = store_on(redis, tmp_path / "m.db")
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    store.process.close()
    store.file._db.execute("UPDATE blobs SET packed = x'00'")
    assert any("cannot be unpacked" in each.what for each in check(store, None, NOW))
    assert repair(store, NOW) >= 1
    assert check(store, None, NOW) == []
    assert number_in(store, now=NOW + 100) == 1


def test_damage_in_redis_is_found_and_sent_again(redis):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    client = fakeredis.FakeRedis(server=redis)
    (key,) = client.scan_iter("plimsoll:b:*")
    client.set(key, b"garbage")
    client.set("plimsoll:b:{" + "0" * 64 + "}", b"nobody's")
    findings = [each.what for each in check(store, None, NOW)]
    assert len(findings) == 2
    with pytest.raises(DamagedError):
        store.shared.get(Address("history", "x"))
    repair(store, NOW)
    settled(store, NOW + 100)
    assert check(store, None, NOW + 300) == []


@pytest.mark.parametrize("damage", UNREADABLE, ids=lambda each: str(each)[:40])
def test_a_record_that_cannot_be_read_in_redis_holds_up_no_other_and_is_written_over(redis, damage):
    store = store_on(redis)
    put_down(redis, "bad", damage)
    for name in ("bad", "good", "better"):
        store.store(Address("history", name), content(1), SAID)
    first, second = settled(store)
    assert (first.taken, first.unsound, first.failure) == (3, 0, "")
    assert (second.confirmed, second.waiting) == (3, 0)
    assert number_in(store_on(redis), "bad", LATER) == 1
    assert check(store, None, LATER) == []


@pytest.mark.parametrize("damage", UNREADABLE, ids=lambda each: str(each)[:40])
def test_what_became_unreadable_in_redis_is_sent_again_by_who_sent_it(redis, damage):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    assert send(store, NOW).taken == 1
    put_down(redis, "x", damage)
    done = send(store, LATER)
    assert (done.again, done.taken, done.failure) == (1, 1, "")
    assert send(store, LATER + SETTLE_SECONDS + 1).confirmed == 1


@pytest.mark.parametrize("damage", UNREADABLE, ids=lambda each: str(each)[:40])
def test_repair_writes_over_what_cannot_be_read_in_redis(redis, damage):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    put_down(redis, "x", damage)
    assert number_in(store, "x", NOW + 100) == 1, "from the file"
    found, unused = check(store, None, NOW + 100)
    assert found.repairable
    assert "is in the file" in found.what
    assert "no record refers to" in unused.what
    assert repair(store, NOW + 100) == 2
    settled(store, NOW + 200)
    assert check(store, None, NOW + 300) == []
    assert number_in(store_on(redis), "x", NOW + 300) == 1


@pytest.mark.parametrize("damage", UNREADABLE, ids=lambda each: str(each)[:40])
def test_nothing_is_proven_forgotten_until_what_cannot_be_read_is_repaired(redis, damage):
    store = store_on(redis)
    store.store(Address("history", "mine"), content(1), SAID)
    settled(store)
    put_down(redis, "whose", damage)
    proof = forget(store, None, "mine", NOW + 100)
    assert not proof.proven
    assert [each.problem for each in proof.levels if "1 records cannot be read" in each.problem]
    assert number_in(store_on(redis), "mine", NOW + 100) is None, "it is done all the same"
    (found,) = check(store, None, NOW + 100)
    assert "nowhere else" in found.what
    assert repair(store, NOW + 100) >= 1
    assert check(store, None, NOW + 100) == []
    assert forget(store, None, "mine", NOW + 100).proven


@pytest.mark.parametrize("damage", UNREADABLE, ids=lambda each: str(each)[:40])
def test_what_cannot_be_read_is_forgotten_by_its_name(redis, damage):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    put_down(redis, "x", damage)
    assert forget(store, None, "x", NOW + 100).proven
    assert store.shared.head(Address("history", "x")).forgotten


@pytest.mark.parametrize("pattern", ["plimsoll:b:*", "plimsoll:u:*", "plimsoll:epoch"])
def test_a_value_of_another_type_at_any_key_of_ours_stops_nobody(redis, pattern):
    store = store_on(redis)
    store.store(Address("history", "x"), content(1), SAID)
    settled(store)
    client = fakeredis.FakeRedis(server=redis)
    (key,) = client.scan_iter(pattern)
    client.delete(key)
    client.rpush(key, "no value of ours")
    store.store(Address("history", "y"), content(1), SAID)
    done = send(store, NOW + 100)
    assert (done.failure, done.taken) == ("", 1)
    repair(store, NOW + 100)
    settled(store, NOW + 200)
    assert check(store, None, NOW + 300) == []
    assert number_in(store_on(redis), "y", NOW + 300) == 1


def test_what_is_damaged_in_the_file_while_it_waits_holds_up_no_other(tmp_path, redis):
    store = store_on(redis, tmp_path / "m.db")
    store.store(Address("history", "x"), content(1), SAID)
    store.store(Address("history", "y"), content(2), SAID)
    digest = store.file.head(Address("history", "x")).digest
    store.file._db.execute("UPDATE blobs SET packed = x'00' WHERE digest = ?", (digest,))
    done = send(store, NOW)
    assert (done.taken, done.waiting) == (1, 1)
    assert store.measures.counts["file", "damaged"] == 1


def test_a_record_of_a_kind_that_nobody_knows_holds_up_no_other(redis):
    kinds = {**KINDS, "former": Kind("", schema=1)}
    before, store = store_on(redis, kinds=kinds), store_on(redis)
    before.store(Address("former", "x"), content(1), SAID)
    settled(before)
    store.file.keep(entry("x", content(2), kind="former"), 0)
    store.store(Address("history", "y"), content(1), SAID)
    done = send(store, NOW + 100)
    assert (done.taken, done.unsound, done.waiting) == (1, 1, 2)


def test_older_schemas_are_read_and_migrated(redis):
    store = store_on(redis)
    store.store(Address("history", "x"), encode({"old": 1}), SAID)
    settled(store)
    kinds = {**KINDS, "history": Kind("", schema=2, migrations={1: lambda said: {"number": said["old"] + 1}})}
    newer = store_on(redis, kinds=kinds)
    assert number_in(newer) == 2
    assert [each.repairable for each in check(newer, None, NOW)] == [True]
    assert repair(newer, NOW) == 1
    assert check(newer, None, NOW) == []
    settled(newer, NOW + 100)
    assert number_in(store, now=NOW + 300) is None, "an older program does not guess"
    assert store.measures.counts["file", "newer-schema"] == 1
    assert store.file.head(Address("history", "x")).schema == 2


# Snapshots


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_snapshot_holds_everything_once(tmp_path, form):
    memory = open_memory()
    for number in range(10):
        memory.store(
            "incident", f"k{number}", {"text": f"of {number // 2}", "x": np.arange(50)}, NOW, kube_nodes=["a"]
        )
    snapshots = Snapshots(str(tmp_path / "s"), form)
    made = snapshots.write(memory.entries(), NOW)
    assert (made.number, made.records, made.contents) == (1, 10, 5)
    assert [*snapshots.read()] == [*memory.entries()]
    other = open_memory()
    assert other.take_in(snapshots.read()) == (10, 0)
    assert other.take_in(snapshots.read()) == (0, 10)


def test_old_snapshots_go_and_interrupted_ones_are_passed_over(tmp_path):
    snapshots = Snapshots(str(tmp_path / "s"))
    for number in range(5):
        snapshots.write([entry(content=b"%d" % number)], NOW + number, kept=3)
    assert [each.number for each in snapshots.all()] == [5, 4, 3]
    (tmp_path / "s" / "000005" / "manifest.json").unlink()
    assert next(iter(snapshots.read())).content == b"3"
    (tmp_path / "s" / "000004" / "records.jsonl").write_text("altered")
    with pytest.raises(DamagedError, match="checksum"):
        next(iter(snapshots.read()))
    assert next(iter(snapshots.read(3))).content == b"2"
    with pytest.raises(LevelError, match="no whole snapshot 9"):
        next(iter(snapshots.read(9)))


def test_a_snapshot_that_cannot_be_written_anew_stays_as_it_was(tmp_path, monkeypatch):
    snapshots = Snapshots(str(tmp_path / "s"))
    snapshots.write([entry("one"), entry("two")], NOW)

    def full(path, value, **_settings):
        Path(path).write_bytes(value[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshots._files, "pipe_file", full)
    with pytest.raises(LevelError, match="No space left"):
        snapshots.erase([address("one")])
    monkeypatch.undo()
    assert len([*snapshots.read()]) == 2
    assert snapshots.erase([address("one")]) == 1
    assert [each.record.address for each in snapshots.read()] == [address("two")]
    made = snapshots.all()[0]
    assert {each.name for each in (tmp_path / "s" / "000001").iterdir()} == {"manifest.json", made.data}


def test_interrupted_and_empty_snapshots_do_not_push_out_whole_ones(tmp_path):
    snapshots = Snapshots(str(tmp_path / "s"))
    snapshots.write([entry(content=b"precious")], NOW)
    for number in range(2, 9):
        (tmp_path / "s" / f"{number:06d}").mkdir()
    for _ in range(9):
        snapshots.write([], NOW)
    snapshots.write([entry(content=b"later")], NOW + 1)
    assert next(iter(snapshots.read(1))).content == b"precious"
    for _ in range(6):
        snapshots.write([entry(content=b"later")], NOW + 1)
    assert len(snapshots.all()) == 7
    assert snapshots.unsound() == {}, "what is older than the oldest kept goes with it"


# Small parts


def test_who_fails_is_asked_less_and_less_often():
    breaker, asked, now = Breaker(), [], 0.0
    while now < 300:
        if breaker.allows(now):
            asked.append(now)
            breaker.failed("down", now)
        now += 1.0
    assert asked[:6] == [0, 1, 3, 7, 15, 31]
    assert max(np.diff(asked)) <= 60
    assert breaker.allows(breaker.until_seconds - 3600), "a clock that was set back locks nothing"
    breaker.succeeded()
    assert breaker.allows(0.0)


@pytest.mark.parametrize(("url", "form", "hosts"), [
    ("redis://me:p%40ss@one:7000/2", "single", (("one", 7000),)),
    ("rediss://one", "single", (("one", 6379),)),
    ("redis+sentinel://one,two:1/models/0?replicas=1&timeout=2", "sentinel", (("one", 26379), ("two", 1))),
    ("rediss+cluster://one,two?ca_file=/ca.crt", "cluster", (("one", 6379), ("two", 6379))),
])  # fmt: skip
def test_addresses(url, form, hosts):
    made = parse_redis_address(url)
    assert (made.form, made.hosts, made.tls) == (form, hosts, url.startswith("rediss"))
    assert "p@ss" not in f"{made} {made!r}"


def test_a_password_comes_from_its_file_each_time(tmp_path):
    file = tmp_path / "password"
    made = parse_redis_address(f"redis://me@one?password_file={file}")
    for word in ("first", "second"):
        file.write_text(f"{word}\n")
        assert made.secret() == word


@pytest.mark.parametrize(
    "url",
    [
        "http://x", "redis://", "redis+sentinel://one", "redis://x:y", "redis://x?color=red", "redis://x/y",
        "redis://h?timeout=-1", "redis://h?timeout=nan", "redis://h?timeout=1e400", "redis://h?timeout=0",
        "redis://[::1", "redis://h?replicas=-1", "redis://h:99999", "redis://h:0", "redis://h/-3", "redis://h/0/1",
        "redis://u:geheim/ab@host", "redis://u:geheim?ab@host", "redis://u:ge?heim=1@host", "redis://u:geheim#x@host",
        "redis://u:x@geheim:geheim", "redis://h/" + "9" * 5000,
    ],
)  # fmt: skip
def test_addresses_that_are_none(url):
    with pytest.raises(RedisAddressError) as refused:
        parse_redis_address(url)
    assert not any(each in str(refused.value) for each in ("geheim", "heim"))


def test_an_ipv6_host_has_brackets():
    made = parse_redis_address("redis+cluster://[::1]:7000,[fe80::1],h")
    assert made.hosts == (("::1", 7000), ("fe80::1", 6379), ("h", 6379))
    assert str(made).endswith("[::1]:7000,[fe80::1]:6379,h:6379")


def test_sentinels_that_do_not_answer_are_said_in_a_sentence():
    level = SharedLevel(parse_redis_address("redis+sentinel://127.0.0.1:1,127.0.0.1:2/models"))
    with pytest.raises(LevelError) as refused:
        level.ping()
    said = str(refused.value)
    assert "'models'" in said
    assert "<" not in said
    assert len(said) < 150
    level.close()

"""Level 3: Redis, shared by all nodes; compare-and-set in Lua, contents by their digest.

In: entries. Out: whether they were taken, at which version. Keys: `PREFIX:r:HASH` a record (version,
digest, what is said of it), `PREFIX:b:{DIGEST}` a content packed by zstd and `PREFIX:u:{DIGEST}` the
records that use it, `PREFIX:epoch` a word that is gone when the data is. A content is held before the
record that names it is written, and released by whom it was replaced; no two of these need a common slot,
so a Cluster may spread them. With `replicas` a write counts when so many have said that they have it
(WAIT). What stands at a key of ours and cannot be read is damage (`DamagedError`), never a failure of Redis,
and the next write takes its place. `COMMANDS` is all that an ACL user needs; a test runs everything with no
other right.
"""

import contextlib
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis
from redis.exceptions import RedisClusterException
from redis.sentinel import MasterNotFoundError

from plimsoll.store.levels.address import RedisAddress
from plimsoll.store.levels.connect import Link, SharedLink, connected
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.levels.protocol import LevelError, Put, Reason
from plimsoll.store.record import MOST_COUNT, Address, DamagedError, Entry, Record, RecordError, tombstone

T = TypeVar("T")
Fields = tuple[bytes | None, bytes | None, bytes | None]  # version, digest, what is said

COMMANDS = (
    *("ping", "eval", "hmget", "hset", "get", "set", "exists", "expire", "persist"),
    *("sadd", "srem", "scard", "scan", "unlink", "wait"),
)
"""All that is sent, or called within Lua."""
CONNECTING = ("auth", "select")
CLUSTER_COMMANDS = ("cluster|slots", "command", "readonly", "info")
TOMBSTONE_SECONDS = 90 * 86_400
SCAN_AT_ONCE = 500
_WAIT_SHARE = 0.8  # of the time-out that WAIT may take

# KEYS[1] the record. ARGV: expected version (-1: any older), version, digest ("" for a tombstone), what is
# said, seconds that a tombstone stays. Returns whether it was taken, the version after, the digest before.
# What is no hash, or has no version that could be one, holds nothing.
COMPARE_AND_SET = """
local found = redis.pcall('HMGET', KEYS[1], 'v', 'd')
local foreign = found.err ~= nil
local held = not foreign and tonumber(found[1] or '0') or 0
local before = not foreign and found[2] or ''
if not (held >= 0 and held < 9007199254740992 and held == math.floor(held)) then
  held = 0
end
local expected = tonumber(ARGV[1])
if tonumber(ARGV[2]) <= held or (expected >= 0 and expected ~= held) then
  return {0, held, before}
end
if foreign then
  redis.call('UNLINK', KEYS[1])
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'd', ARGV[3], 'm', ARGV[4])
if ARGV[3] == '' then
  redis.call('EXPIRE', KEYS[1], ARGV[5])
else
  redis.call('PERSIST', KEYS[1])
end
return {1, tonumber(ARGV[2]), before}
"""
# KEYS: a content and the set of those that use it, in one slot. ARGV: who; the content. It is written
# even where it is: what is there may be damaged.
HOLD = """
if type(redis.pcall('SADD', KEYS[2], ARGV[1])) == 'table' then
  redis.call('UNLINK', KEYS[2])
  redis.call('SADD', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
RELEASE = """
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('SCARD', KEYS[2]) == 0 then
  redis.call('UNLINK', KEYS[1], KEYS[2])
end
return 1
"""

FENCE = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'f', ARGV[1])
end
return {1, 0}
"""


@dataclass(slots=True)
class Survey:
    """All that stands at the keys of records."""

    records: list[Record] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why, by the hash of an address that nobody can tell."""


class SharedLevel:
    """One Redis, Sentinel's master or Cluster. Connects when first asked; threads may share it."""

    name = "redis"

    def __init__(self, address: RedisAddress, connect: Callable[[RedisAddress], Link] = connected) -> None:
        self.address = address
        self._link = SharedLink(address, connect)

    # The protocol

    def head(self, address: Address) -> Record | None:
        """The record, or its tombstone."""
        record = _record(self._fields(self._record_key(address.hashed)), address)
        if record is not None and record.address != address:
            raise DamagedError(f"{address}: Redis has {record.address} in its place")
        return record

    def get(self, address: Address) -> Entry | None:
        """Record and content. Raises `DamagedError` where the content is not what the record names."""
        record = self.head(address)
        if record is None:
            return None
        return self.with_content(record)

    def with_content(self, record: Record) -> Entry:
        """The content that a record names."""
        if record.forgotten:
            return Entry(record, b"")
        data = self._do(lambda link: link.client.get(self._content_key(record.digest)))
        if data is None:
            raise DamagedError(f"{record.address}: its content is not in Redis")
        return Entry(record, unpacked(data))

    def put(self, entry: Entry, expected_version: int | None) -> Put:
        """Compare and set; raises `LevelError` unacknowledged where too few replicas have taken it."""
        record = entry.record
        if not record.forgotten:
            self._hold(record.digest, record.address.hashed, packed(entry.content))
        said = "" if record.forgotten else record.to_json()
        return self._set(record.address.hashed, record.version, expected_version, (record.digest, said))

    def bury(self, hashed: str, version: int) -> Put:
        """A tombstone for the hash of an address, where it is newer than what is held."""
        return self._set(hashed, version, None, ("", ""))

    def fence(self, address: Address) -> None:
        """Wait until what was written to this record before is where it has to be.

        Another writing of the same connection's, after it in the stream to the replicas: WAIT speaks of that.
        """
        if self.address.replicas:
            key = self._record_key(address.hashed)
            self._write(key, ("EVAL", FENCE, 1, key, secrets.token_hex(4)))

    def has_content(self, digest: str) -> bool:
        """True where a content is there."""
        return bool(self._do(lambda link: link.client.exists(self._content_key(digest))))

    def records(self) -> Iterator[Record]:
        """All records that can be read, by SCAN."""
        yield from self.survey().records

    def survey(self) -> Survey:
        """All records, by SCAN, and what cannot be read of them."""
        found = Survey()
        for key in self._scan("r"):
            hashed = key.decode(errors="surrogateescape").removeprefix(self._record_key(""))
            try:
                record = self._found(hashed)
            except DamagedError as error:
                found.unreadable[hashed] = str(error)
                continue
            if record is not None:
                found.records.append(record)
        return found

    def remove_unreadable(self, hashed: str) -> bool:
        """Take away what stands at a record's key, where it still cannot be read; returns whether."""
        try:
            self._found(hashed)
        except DamagedError:
            return bool(self._do(lambda link: link.client.unlink(_bytes(self._record_key(hashed)))))
        return False

    def sweep(self, digests: Collection[str] | None = None) -> int:
        """Remove contents without a record. A writer between its two steps notices when it reads back."""
        found = self._contents() if digests is None else set(digests)
        unused = found - {each.digest for each in self.records()}
        return sum(self._do(self._unlinking(each)) > 0 for each in sorted(unused))

    def traces_of(self, addresses: Sequence[Address], digests: Collection[str]) -> int:
        """Records and contents of these that are there."""
        return sum(map(self._named, addresses)) + sum(map(self.has_content, digests))

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    # Of its own

    def ping(self) -> None:
        """Raises `LevelError` where nobody answers."""
        self._do(lambda link: link.client.ping())

    def epoch(self) -> str:
        """A word that stays as long as the data does; a Redis that comes back empty has another one."""
        key = f"{self.address.prefix}:epoch"
        try:
            held = self._do(lambda link: link.client.get(key))
        except DamagedError:
            held = None
            self._do(lambda link: link.client.unlink(key))
        if held is None:
            self._do(lambda link: link.client.set(key, secrets.token_hex(8), nx=True))
            held = self._do(lambda link: link.client.get(key))
        return held.decode(errors="replace") if held else ""

    def content_count(self) -> int:
        """How many contents there are."""
        return len(self._contents())

    # Within

    def _set(self, hashed: str, version: int, expected: int | None, held: tuple[str, str]) -> Put:
        key, digest = self._record_key(hashed), held[0]
        numbers = (-1 if expected is None else expected, version)
        answer = self._write(key, ("EVAL", COMPARE_AND_SET, 1, key, *numbers, *held, TOMBSTONE_SECONDS))
        taken, before = bool(answer[0]), answer[2].decode(errors="replace")
        if unused := (before if taken else digest) if before != digest else "":
            self._release(unused, hashed)
        version = int(answer[1])
        return Put(taken, version, forgotten=version > 0 and not (digest if taken else before))

    def _hold(self, digest: str, hashed: str, data: bytes) -> None:
        """A content, and who is about to use it."""
        keys = (self._content_key(digest), self._users_key(digest))
        self._write(keys[0], ("EVAL", HOLD, 2, *keys, hashed, data))

    def _release(self, digest: str, hashed: str) -> None:
        """A record uses it no longer; the last one takes it away. What fails here is swept some day."""
        keys = (self._content_key(digest), self._users_key(digest))
        with contextlib.suppress(LevelError, DamagedError):
            self._write(keys[0], ("EVAL", RELEASE, 2, *keys, hashed))

    def _write(self, key: str, command: tuple[str | bytes | int, ...]) -> Any:  # noqa: ANN401  (Redis' answer)
        """One write and, where replicas are to have it, WAIT on the same connection."""
        wanted = self.address.replicas
        wait_milliseconds = int(self.address.timeout_seconds * _WAIT_SHARE * 1000)

        def send(link: Link) -> list[Any]:
            pipe = link.writer(key).pipeline(transaction=False)
            pipe.execute_command(*command)
            if wanted:
                pipe.execute_command("WAIT", wanted, wait_milliseconds)
            done: list[Any] = pipe.execute(raise_on_error=True)
            return done

        result, *waited = self._do(send)
        if waited and waited[0] < wanted:
            raise LevelError(
                self.name, Reason.UNACKNOWLEDGED, f"{waited[0]} of {wanted} replicas have taken a write"
            )
        return result

    def _do(self, action: Callable[[Link], T]) -> T:
        """Do it; where a server says that it is not the one any more, ask who is and do it once more.

        Raises `LevelError`, and `DamagedError` where somebody put another type of value at a key of ours.
        """
        try:
            return action(self._link.get())
        except (redis.ReadOnlyError, redis.exceptions.MovedError):
            try:
                self._link.get().renew()
                return action(self._link.get())
            except (redis.RedisError, RedisClusterException, OSError) as error:
                raise _raised(error) from error
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise _raised(error) from error

    def _fields(self, key: str | bytes) -> Fields:
        version, digest, said = self._do(lambda link: link.client.hmget(key, "v", "d", "m"))
        return version, digest, said

    def _named(self, address: Address) -> bool:
        """True where something stands under a name; what cannot be read does."""
        try:
            head = self.head(address)
        except DamagedError:
            return True
        return head is not None and not head.forgotten

    def _found(self, hashed: str) -> Record | None:
        """The record at a key; None where there is none, or a tombstone. Raises `DamagedError`."""
        record = _record(self._fields(_bytes(self._record_key(hashed))))
        if record is not None and record.address.hashed != hashed:
            raise DamagedError(f"{record.address} stands in another's place")
        return record

    def _contents(self) -> set[str]:
        return {key.decode(errors="replace").rpartition(":")[2].strip("{}") for key in self._scan("b")}

    def _unlinking(self, digest: str) -> Callable[[Link], int]:
        keys = (self._content_key(digest), self._users_key(digest))

        def unlink(link: Link) -> int:
            return int(link.writer(keys[0]).unlink(*keys))

        return unlink

    def _scan(self, part: str) -> Iterator[bytes]:
        pattern = f"{self.address.prefix}:{part}:*"
        found = self._do(lambda link: list(link.client.scan_iter(match=pattern, count=SCAN_AT_ONCE)))
        yield from sorted(set(found))  # SCAN may give a key twice

    def _record_key(self, hashed: str) -> str:
        return f"{self.address.prefix}:r:{hashed}"

    def _content_key(self, digest: str) -> str:
        return f"{self.address.prefix}:b:{{{digest}}}"

    def _users_key(self, digest: str) -> str:
        return f"{self.address.prefix}:u:{{{digest}}}"


def _record(fields: Fields, address: Address | None = None) -> Record | None:
    """The record in a hash; None where there is none, or a tombstone whose name is not known.

    Raises `DamagedError`.
    """
    version, digest, said = fields
    if version is None:
        return None
    try:
        number = int(version)
        if not 0 < number < MOST_COUNT:
            raise RecordError(f"version {number}: want 1 to {MOST_COUNT - 1}")
        if not digest:
            return None if address is None else tombstone(address, number)
        return Record.from_json((said or b"").decode(), number, digest.decode())
    except ValueError as error:  # of a RecordError too
        what = "a record" if address is None else str(address)
        raise DamagedError(f"{what}: what Redis has of it cannot be read: {error}"[:400]) from error


def _bytes(key: str) -> bytes:
    """A key as Redis has it; one that somebody else has made need not be text."""
    return key.encode(errors="surrogateescape")


_BY_TEXT = (
    ("OOM ", Reason.FULL),
    ("READONLY", Reason.READ_ONLY),
    ("MISCONF", Reason.READ_ONLY),
    ("NOREPLICAS", Reason.UNACKNOWLEDGED),
    ("WRONGPASS", Reason.DENIED),
    ("NOAUTH", Reason.DENIED),
    ("NOPERM", Reason.DENIED),
    ("permissions", Reason.DENIED),
    ("executing the script can't", Reason.DENIED),
)


def _raised(error: Exception) -> Exception:
    """What redis-py raised, as ours: a value of another type is one key's damage, not Redis'."""
    if isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error):
        return DamagedError("Redis has a value of another type at a key of a record")
    return level_error(error)


def level_error(error: Exception) -> LevelError:
    """What redis-py raised, as one of the reasons."""
    text = str(error) or type(error).__name__
    if isinstance(error, MasterNotFoundError):  # behind the first colon it prints the clients it has asked
        text = f"{text.partition(' : ')[0]}: no Sentinel that answers knows it"
    if isinstance(error, (redis.TimeoutError, TimeoutError)):
        reason = Reason.SLOW
    elif isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
        reason = Reason.DENIED
    elif isinstance(error, redis.ReadOnlyError):
        reason = Reason.READ_ONLY
    elif isinstance(error, redis.exceptions.OutOfMemoryError):
        reason = Reason.FULL
    else:
        reason = next((each for word, each in _BY_TEXT if word in text), Reason.DOWN)
    return LevelError("redis", reason, text)

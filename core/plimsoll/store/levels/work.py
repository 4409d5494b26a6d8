"""Work for others: Redis Streams with a consumer group, at least once, bounded, and nothing twice by intent.

In: jobs by an ident that says what they are (equal jobs have equal idents). Out: to workers jobs, to
whoever offered them answers. A job that is known or answered is not taken again; one whose worker died is
given to another after its time; one that has killed `MOST_TRIES` workers is set aside with its reason and
answered as failed, so that it cannot kill all of them. All keys of a stream share a slot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

import redis
from redis.exceptions import RedisClusterException

from plimsoll.store.levels.address import RedisAddress
from plimsoll.store.levels.connect import Link, SharedLink, connected
from plimsoll.store.levels.shared import level_error

T = TypeVar("T")

WORK_COMMANDS = (
    *("eval", "exists", "set", "mget", "del", "xadd", "xlen", "xack", "xdel"),
    *("xgroup|create", "xreadgroup", "xautoclaim", "xpending", "xrange"),
)
"""What an ACL user needs beyond connecting."""
GROUP = "workers"
MOST_TRIES = 3
MOST_JOBS = 10_000  # waiting or under way; more are not taken
MOST_ASIDE = 1_000  # jobs that are kept for people to look at
MOST_ASIDE_BYTES = 64 << 10  # of a payload that is kept with them; a larger one is not
KNOWN_SECONDS = 6 * 3600
ANSWER_SECONDS = 3600

# What a job says lies beside the stream and expires there: one that nobody has taken for hours is wanted by
# nobody any more, and refits are megabytes.
# KEYS: jobs, known, answer, payload. ARGV: ident, payload, most jobs, seconds. Returns an `Offer`.
OFFER = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 2 end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[4]) then return 2 end
redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[4])
redis.call('XADD', KEYS[1], '*', 'i', ARGV[1])
return 1
"""
# KEYS: jobs, known, answer, payload, aside. ARGV: group, entry, answer, seconds, why it is set aside ("": it
# is not), ident, payload, most that are kept aside.
FINISH = """
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2], KEYS[4])
if ARGV[5] ~= '' then
  redis.call('XADD', KEYS[5], 'MAXLEN', ARGV[8], '*', 'i', ARGV[6], 'p', ARGV[7], 'w', ARGV[5])
end
return 1
"""


class Offer(IntEnum):
    """What became of an offer."""

    FULL = 0
    TAKEN = 1
    KNOWN = 2


@dataclass(frozen=True, slots=True)
class Job:
    """One job in a worker's hands."""

    entry: str  # its place in the stream
    ident: str
    payload: bytes
    tries: int  # workers that have had it, this one included


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """How a stream is doing: what an autoscaler looks at, and a person."""

    jobs: int  # waiting or under way
    under_way: int
    aside: int


class WorkStream:
    """One stream of jobs. All methods raise `LevelError`; threads may share it."""

    def __init__(
        self, address: RedisAddress, name: str = "fits", connect: Callable[[RedisAddress], Link] = connected
    ) -> None:
        self._base = f"{address.prefix}:{{work-{name}}}"
        self._link = SharedLink(address, connect)

    def offer(self, ident: str, payload: bytes, most: int = MOST_JOBS) -> Offer:
        """Hand a job over, once."""
        numbers = (ident, payload, most, KNOWN_SECONDS)
        return Offer(self._do(lambda client: client.eval(OFFER, 4, *self._keys(ident), *numbers)))

    def take(self, worker: str, most: int = 1, idle_seconds: float = 300.0) -> list[Job]:
        """Jobs for a worker: first those that another one has had for so long, then new ones. Never waits."""
        return self._do(lambda client: self._taken(client, worker, most, int(idle_seconds * 1000)))

    def finish(self, job: Job, answer: bytes, why_aside: str = "") -> None:
        """A job is done, or set aside for a reason; either way it is answered."""
        keys = (*self._keys(job.ident), f"{self._base}:aside")
        said = job.payload if len(job.payload) <= MOST_ASIDE_BYTES else b""
        numbers = (GROUP, job.entry, answer, ANSWER_SECONDS, why_aside, job.ident, said, MOST_ASIDE)
        self._do(lambda client: client.eval(FINISH, 5, *keys, *numbers))

    def answers(self, idents: Sequence[str]) -> dict[str, bytes]:
        """What has been answered of these."""
        if not idents:
            return {}
        found = self._do(lambda client: client.mget([f"{self._base}:answer:{each}" for each in idents]))
        return {ident: answer for ident, answer in zip(idents, found, strict=True) if answer is not None}

    def aside(self) -> list[tuple[str, str]]:
        """(ident, why) of the jobs that were set aside, the oldest first."""
        rows = self._do(lambda client: client.xrange(f"{self._base}:aside"))
        return [(fields[b"i"].decode(), fields[b"w"].decode()) for _, fields in rows]

    def counts(self) -> WorkCounts:
        """How many there are."""

        def ask(client: Any) -> WorkCounts:  # noqa: ANN401  (redis-py's)
            pending = client.xpending(f"{self._base}:jobs", GROUP)["pending"]
            return WorkCounts(client.xlen(f"{self._base}:jobs"), pending, client.xlen(f"{self._base}:aside"))

        return self._do(ask)

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    # Within

    def _taken(self, client: Any, worker: str, most: int, idle_milliseconds: int) -> list[Job]:  # noqa: ANN401
        stream = f"{self._base}:jobs"
        _, old, *_ = client.xautoclaim(stream, GROUP, worker, idle_milliseconds, count=most)
        tries = {}
        for entry, fields in old:
            if fields:
                (said,) = client.xpending_range(stream, GROUP, entry, entry, 1)
                tries[entry] = int(said["times_delivered"])
        found = [(entry, fields) for entry, fields in old if fields]
        if len(found) < most:
            new = client.xreadgroup(GROUP, worker, {stream: ">"}, count=most - len(found))
            found += new[0][1] if new else []
        idents = [fields[b"i"].decode() for _, fields in found]
        said = client.mget([self._keys(each)[3] for each in idents]) if idents else []
        jobs = []
        for (entry, fields), ident, apart in zip(found, idents, said, strict=True):
            payload = fields.get(b"p") if apart is None else apart  # versions before had it in the stream
            if payload is None:  # it expired, or its equal was done meanwhile
                client.xack(stream, GROUP, entry)
                client.xdel(stream, entry)
            else:
                jobs.append(Job(entry.decode(), ident, payload, tries.get(entry, 1)))
        return jobs

    def _do(self, action: Callable[[Any], T]) -> T:
        """Do it; where there is no group yet, or no longer, make it and do it once more."""
        try:
            client = self._link.get().client
            try:
                return action(client)
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                _make_group(client, f"{self._base}:jobs")
                return action(client)
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise level_error(error) from error

    def _keys(self, ident: str) -> tuple[str, str, str, str]:
        """Jobs; known, answer and payload of one."""
        base = self._base
        return f"{base}:jobs", f"{base}:known:{ident}", f"{base}:answer:{ident}", f"{base}:payload:{ident}"


def _make_group(client: Any, stream: str) -> None:  # noqa: ANN401
    try:
        client.xgroup_create(stream, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):  # another worker was faster
            raise

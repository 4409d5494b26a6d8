"""Usage-aware shrink on the node: reclaim towards what the operator wants, and say what is left.

In: requests, once a second a look. Out: reports. How much and how fast is `plimsoll.coordinate.towards`; the
act goes through the agent's `Reclaimer`, so that it is in the container's refault account as all that is
taken, and its law rests meanwhile. A container that owes more than it can pay is paused; one that nobody
allowed to be reclaimed is only looked at: what it uses is reported, and the operator decides by that. A clock
that is set meanwhile ends nothing and prolongs nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plimsoll.coordinate.messages import ShrinkReport, ShrinkRequest, ShrinkStage
from plimsoll.coordinate.steady import SteadyClock
from plimsoll.coordinate.towards import Towards, TowardsReading, TowardsTarget
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.reclaiming import Reclaimer
from plimsoll_nodeagent.control.taking import NOT_FILE_ONLY, moved_bytes
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.sample.formats import (
    UNLIMITED,
    parse_bytes,
    parse_flat_keyed,
    parse_limit,
    parse_pressure,
    parsed,
)

SAID_AFTER_END_SECONDS = 15.0  # a stop is said again for so long, then the request is forgotten
OBSERVED_SECONDS = 90.0  # how long what the kernel holds is reported after the write
Find = Callable[[str, str], Container | None]
"""Pod uid and container id to a container of this node."""


@dataclass(slots=True)
class _Shrinking:
    request: ShrinkRequest
    container: Container
    towards: TowardsTarget
    began_seconds: float
    polled: tuple[float, float] | None = None
    ended_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    usage_bytes: int | None
    memory_max_bytes: int | None  # 0: max
    stall_seconds: float | None
    oom_kills: int


class Shrinking:
    """All shrinks of a node."""

    def __init__(self, fs: KernelFs, reclaimer: Reclaimer, find: Find) -> None:
        self._fs, self._reclaimer, self._find = fs, reclaimer, find
        self._by_id: dict[int, _Shrinking] = {}
        self._clock = SteadyClock()

    def __len__(self) -> int:
        return len(self._by_id)

    def ask(self, request: ShrinkRequest, now_seconds: float) -> None:
        """Hear a request, perhaps not for the first time."""
        now_seconds = self._clock.read(now_seconds)
        known = self._by_id.get(request.shrink_id)
        if known is not None:
            if request.written and not known.request.written:
                known.began_seconds, known.ended_seconds = now_seconds, None
            known.request = request
            return
        container = self._find(request.pod_uid, request.container_id)
        if container is None:
            return  # it is gone: the operator's own time ends the shrink
        controlled = self._reclaimer.controlled.get(container.key)
        bound = 0.0 if controlled is None else controlled.law.policy.max_pressure_ratio
        towards = TowardsTarget(request, bound, now_seconds)
        self._by_id[request.shrink_id] = _Shrinking(request, container, towards, now_seconds)

    def cancel(self, shrink_id: int) -> None:
        """Let go."""
        self._by_id.pop(shrink_id, None)

    def step(self, now_seconds: float) -> Iterator[ShrinkReport]:
        """One look at each, and one step where more is to be taken. Call about once a second."""
        now_seconds = self._clock.read(now_seconds)
        self._reclaimer.shrinking = frozenset(each.container.key for each in self._under_way())
        for shrink_id, each in list(self._by_id.items()):
            looked = self._look(each.container)
            if looked is None:
                del self._by_id[shrink_id]
                continue
            yield (
                self._observe(each, looked) if each.request.written else self._take(each, looked, now_seconds)
            )
            if self._over(each, now_seconds):
                del self._by_id[shrink_id]

    def _under_way(self) -> Iterator[_Shrinking]:
        """Those that still take: not written yet, and not ended."""
        for each in self._by_id.values():
            if not each.request.written and each.ended_seconds is None:
                yield each

    def _observe(self, each: _Shrinking, looked: _Looked) -> ShrinkReport:
        return _report(each, looked, Towards(0, ShrinkStage.OBSERVED))

    def _take(self, each: _Shrinking, looked: _Looked, now_seconds: float) -> ShrinkReport:
        controlled = self._reclaimer.controlled.get(each.container.key)
        if controlled is None:
            enough = (looked.usage_bytes or 0) <= each.request.target_bytes
            stage = ShrinkStage.STOPPED
            why = "" if enough else "no policy lets this container be reclaimed"
            each.ended_seconds = each.ended_seconds or now_seconds
            return _report(each, looked, Towards(0, stage, why))
        reading = TowardsReading(now_seconds, looked.usage_bytes, self._pressure(each, looked, now_seconds))
        if reading.pressure_ratio is None and each.polled is not None and looked.stall_seconds is not None:
            return _report(each, looked, Towards(0, ShrinkStage.RECLAIMING, "first look"))
        now = each.towards.step(reading)
        if now.reclaim_bytes and (why := self._rests(controlled)):
            return _report(each, looked, Towards(0, now.stage, f"paused: {why}"))
        if now.reclaim_bytes:
            done = self._reclaimer.take_in_order(controlled, now.reclaim_bytes)
            if not controlled.stopped:  # in the middle of it: the next look says what that was
                each.towards.settle(now.reclaim_bytes, sum(map(moved_bytes, done)))
        if now.stage is ShrinkStage.STOPPED and each.ended_seconds is None:
            each.ended_seconds = now_seconds
        return _report(each, looked, now)

    def _rests(self, controlled: Controlled) -> str:
        """Why nothing may be taken of it now; "" where it may."""
        if controlled.fault:
            return controlled.fault
        if controlled.law.budget.is_deep_in_debt:
            return "more came back than its refault budget can pay"
        return "" if self._reclaimer.taker.keeps(controlled) else NOT_FILE_ONLY

    def _pressure(self, each: _Shrinking, looked: _Looked, now_seconds: float) -> float | None:
        """The share of time that tasks stalled since the last look; None at the first."""
        before = each.polled
        each.polled = None if looked.stall_seconds is None else (now_seconds, looked.stall_seconds)
        if before is None or looked.stall_seconds is None or now_seconds <= before[0]:
            return None
        return max(0.0, (looked.stall_seconds - before[1]) / (now_seconds - before[0]))

    def _over(self, each: _Shrinking, now_seconds: float) -> bool:
        if each.request.written:
            return not 0.0 <= now_seconds - each.began_seconds <= OBSERVED_SECONDS
        return each.ended_seconds is not None and now_seconds - each.ended_seconds > SAID_AFTER_END_SECONDS

    def _look(self, container: Container) -> _Looked | None:
        """What the kernel says of a container; None where it is gone."""
        with opened(self._fs, container) as cgroup:
            if isinstance(cgroup, Answer):
                return None
            kills = parsed(cgroup.read("memory.events"), parse_flat_keyed) or {}
            pressure = parsed(cgroup.read("memory.pressure"), parse_pressure)
            return _Looked(
                parsed(cgroup.read("memory.current"), parse_bytes),
                parsed(cgroup.read("memory.max"), _memory_max),
                None if pressure is None else pressure.some.total_seconds,
                kills.get("oom_kill", 0),
            )


def _memory_max(text: str) -> int:
    limit = parse_limit(text)
    return 0 if limit == UNLIMITED else int(limit)


def _report(each: _Shrinking, looked: _Looked, now: Towards) -> ShrinkReport:
    remaining = each.request.limit_bytes if looked.usage_bytes is None else looked.usage_bytes
    return ShrinkReport(
        each.request.shrink_id, now.stage, remaining, looked.memory_max_bytes, now.reason, looked.oom_kills
    )

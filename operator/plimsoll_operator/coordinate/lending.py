"""Leases: a node's agent asks for room, and gets it at once where the node has it.

In: lease requests. Out: a raise through the guards and the actor, as every raise, without waiting for the
loop; the answer to the agent. `plimsoll.coordinate.lease` says how much and how long. Headroom is what the
node gives to pods, less what every container on it is expected to reach, and never more than what is
available there now by the agent's own fresh word; without one nothing is lent. What is lent and not in use
yet is taken from both, so that many who burst at once are not promised the same memory. Requests of one
container are answered one after the other, each with the limit that the one before it has left. What stands
is noted in profiles (`lease_notes`): who leads next takes it over, and ends it.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from plimsoll.coordinate.lease import (
    ContainerUid,
    Granted,
    LeaseAsk,
    LeaseBook,
    Lent,
    Refused,
    headroom_bytes,
)
from plimsoll.coordinate.messages import LeaseAnswer, LeaseRequest
from plimsoll.guard.decision import Decision
from plimsoll.guard.state import Ask, Purpose
from plimsoll_operator.asks import Asks
from plimsoll_operator.coordinate.lease_notes import LeaseNotes
from plimsoll_operator.coordinate.views import Views
from plimsoll_operator.membership import Group, Membership, container_of
from plimsoll_operator.planning import UNANSWERED
from plimsoll_operator.records import ContainerRecord, PodRecord
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)

REASON = "BurstLease"
KEPT_SECONDS = 900.0  # that a lease was refused, or has ended
REFUSED_SECONDS, ENDED_SECONDS = 60.0, 600.0  # a kill so long after it is put down to it
SKEW_SECONDS = 5.0  # a kill is told by the kube node's clock, in whole seconds
ENDED_ASK_SECONDS = 3600.0  # how long a lease that has ended is asked back
# A predecessor's leases last so long at least: by then there are forecasts again, which know better than what
# was before.
TAKEN_OVER_SECONDS = 300.0
Raise = Callable[[ContainerUid, Ask, float], Awaitable[Decision]]
Overlaid = Callable[[PodRecord, float], PodRecord]
"""A pod with our own writes that the watch has not brought back yet (`Expectations.overlaid`)."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """One container of a node."""

    uid: ContainerUid
    expected_bytes: float | None
    used_bytes: float | None  # without the page cache that counts as available


@dataclass(frozen=True, slots=True)
class _Container:
    pod: PodRecord
    record: ContainerRecord
    group: Group


class Lending:
    """Leases of one operator. `raise_now` decides and writes one raise (`Loop.raise_now`)."""

    def __init__(
        self,
        membership: Membership,
        asks: Asks,
        views: Views,
        raise_now: Raise,
        overlaid: Overlaid,
        notes: LeaseNotes,
    ) -> None:
        self._membership, self._asks, self._views = membership, asks, views
        self._raise_now, self._overlaid, self._notes = raise_now, overlaid, notes
        self.book = LeaseBook()
        self._taken_over = False
        self._taking_back: dict[ContainerUid, tuple[float, Lent]] = {}  # until when it is asked back
        # Leases that have ended while their limit is still up, and until when that counts as lent.
        self._not_back: dict[ContainerUid, tuple[float, Lent]] = {}
        self._turns: WeakValueDictionary[ContainerUid, asyncio.Lock] = WeakValueDictionary()
        self._noting: set[asyncio.Task[None]] = set()  # else nobody would hold them
        self._refused: dict[ContainerUid, tuple[float, str]] = {}  # when last, and why
        self._ended: dict[ContainerUid, float] = {}
        self._by_kube_node: tuple[World | None, dict[str, list[PodRecord]]] = (None, {})

    async def answer(
        self, kube_node: str, request: LeaseRequest, world: World, now_seconds: float
    ) -> LeaseAnswer:
        """Decide, write, and say what came of it."""
        entry = self._views.entry(kube_node, request.index)
        self._take_over(world, now_seconds)
        turn = ("", "") if entry is None else (entry.pod_uid, entry.container_id)
        async with self._turns.setdefault(turn, asyncio.Lock()):
            return await self._answered(kube_node, request, world, now_seconds)

    async def _answered(
        self, kube_node: str, request: LeaseRequest, world: World, now_seconds: float
    ) -> LeaseAnswer:
        found = self._find(kube_node, request.index, now_seconds)
        if found is None:
            return LeaseAnswer(request.lease_id, 0, 0.0, "no policy speaks for this container")
        uid = (found.pod.uid, found.record.spec.name)
        policy = found.group.container_policy(uid[1])
        ask = LeaseAsk(
            request.lease_id,
            uid,
            kube_node,
            request.wanted_bytes,
            found.record.spec.limit_bytes,
            None if policy is None else policy.max_bytes,
            self._headroom(kube_node, world, now_seconds),
            request.memory_max_bytes if request.memory_max_bytes > 0 else None,
        )
        answer = self.book.decide(ask, now_seconds)
        if isinstance(answer, Granted):
            answer = await self._written(uid, answer, now_seconds)
        if isinstance(answer, Refused):
            self._refused[uid] = (now_seconds, answer.reason)
            return LeaseAnswer(request.lease_id, 0, 0.0, answer.reason)
        return LeaseAnswer(request.lease_id, answer.limit_bytes, answer.until_seconds - now_seconds)

    def drop(self) -> None:
        """Forget all leases: whoever leads now has its own."""
        self._refused.clear()
        self._ended.clear()
        self._taking_back.clear()
        self._not_back.clear()
        self.book = LeaseBook(self.book.settings)
        self._taken_over = False
        self._notes.drop()

    async def note(self, world: World, now_seconds: float) -> None:
        """Once a loop, by the leader: take over what a predecessor has lent, note what stands."""
        self._take_over(world, now_seconds)
        await self._notes.tell(self._standing_leases())

    def asks(self, now_seconds: float) -> dict[ContainerUid, Ask]:
        """Limits of leases that have ended, where the forecast says nothing: back to what was before the
        first, as long as the limit is above that.

        A container with a forecast needs none: its limit is compared with the target in every loop.
        """
        self._refused = {u: each for u, each in self._refused.items() if now_seconds - each[0] < KEPT_SECONDS}
        self._ended = {u: each for u, each in self._ended.items() if now_seconds - each < KEPT_SECONDS}
        for lent in self.book.expired(now_seconds):
            self._ended[lent.uid] = now_seconds
            self._not_back[lent.uid] = (now_seconds + ENDED_ASK_SECONDS, lent)
            _, known = self._taking_back.get(lent.uid, (0.0, lent))
            least = min(known.before_bytes, lent.before_bytes)
            self._taking_back[lent.uid] = (now_seconds + ENDED_ASK_SECONDS, replace(lent, before_bytes=least))
        self._taking_back = {
            uid: (until, lent)
            for uid, (until, lent) in self._taking_back.items()
            if now_seconds < until and self.unforeseen(uid, now_seconds)
        }
        self._not_back = {
            uid: (until, lent)
            for uid, (until, lent) in self._not_back.items()
            if now_seconds < until and self._limit(uid) > lent.before_bytes
        }
        return {
            lent.uid: Ask(lent.before_bytes, None, reason="LeaseEnded", made_seconds=now_seconds)
            for lent in self._above()
            if not self.book.holds(lent.uid, now_seconds)
        }

    def _above(self) -> list[Lent]:
        """Leases that have ended and are not taken back yet."""
        return [lent for _, lent in self._taking_back.values() if self._limit(lent.uid) > lent.before_bytes]

    def _take_over(self, world: World, now_seconds: float) -> None:
        """Before anything is lent: a new lease must know what was before the predecessor's."""
        if self._taken_over:
            return
        self._taken_over = True
        for lent in self._notes.recall(world.profiles):
            pod = self._membership.pod(lent.uid[0])
            if pod is not None:
                self.book.restore(lent, pod.kube_node, now_seconds + TAKEN_OVER_SECONDS)

    def _standing_leases(self) -> list[Lent]:
        standing = self.book.standing()
        again = {each.uid for each in standing}
        return [*standing, *(lent for lent in self._above() if lent.uid not in again)]

    def _limit(self, uid: ContainerUid) -> int:
        pod = self._membership.pod(uid[0])
        container = None if pod is None else container_of(pod, uid[1])
        return 0 if container is None else container.spec.limit_bytes or 0

    def ended_before(self, uid: ContainerUid, at_seconds: float) -> tuple[str, str] | None:
        """How a container's lease ended shortly before a moment, in a word and in words; None: none did."""
        refused, why = self._refused.get(uid, (math.inf, ""))
        if -SKEW_SECONDS <= at_seconds - refused <= REFUSED_SECONDS:
            late = max(0.0, at_seconds - refused)
            return "lease-refused", f"{late:.0f} s after a burst lease was refused: {why}"
        ended = self._ended.get(uid, math.inf)
        if -SKEW_SECONDS <= at_seconds - ended <= ENDED_SECONDS:
            return "lease-expired", f"{max(0.0, at_seconds - ended):.0f} s after its burst lease had ended"
        return None

    def unforeseen(self, uid: ContainerUid, now_seconds: float) -> bool:
        """True where nothing says what a container's limit should be."""
        row = self._membership.row_in_group(uid)
        return row is not None and self._asks.for_row(row, now_seconds) is None

    async def _written(self, uid: ContainerUid, granted: Granted, now_seconds: float) -> Granted | Refused:
        book, decision = self.book, None
        ask = Ask(granted.limit_bytes, None, purpose=Purpose.URGENT, reason=REASON)
        # Both leave together, the note first: neither the burst nor its answer waits for it.
        noting = asyncio.create_task(self._note_of(uid))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)
        await asyncio.sleep(0)
        try:
            decision = await self._raise_now(uid, ask, now_seconds)
        finally:
            if decision is None:
                book.unanswered(uid, granted.lease_id, "not granted for a fault of ours")
        limit = decision.limit_bytes
        if limit is not None and (decision.acts or limit >= granted.limit_bytes):  # or: heard twice
            return book.wrote(uid, granted, limit)
        if decision.reason == UNANSWERED:
            return book.unanswered(uid, granted.lease_id, f"{decision.reason}: {decision.message}")
        return book.refuted(uid, granted.lease_id, f"{decision.reason}: {decision.message}")

    async def _note_of(self, uid: ContainerUid) -> None:
        lent = self.book.lent(uid)
        if lent is not None:
            await self._notes.tell_of(lent)

    def _find(self, kube_node: str, index: int, now_seconds: float) -> _Container | None:
        """The container that a node calls by an index: on that node, and under a policy."""
        entry = self._views.entry(kube_node, index)
        pod = None if entry is None else self._membership.pod(entry.pod_uid)
        if entry is None or pod is None or pod.kube_node != kube_node:
            return None
        group, pod = self._membership.group_of_pod(pod.uid), self._overlaid(pod, now_seconds)
        record = next((each for each in pod.containers if each.container_id == entry.container_id), None)
        if group is None or record is None or group.container_policy(record.spec.name) is None:
            return None
        return _Container(pod, record, group)

    def _headroom(self, kube_node: str, world: World, now_seconds: float) -> int | None:
        node = world.kube_nodes.get(kube_node)
        if node is None:
            return None
        standing = list(self._standing(self._pods(world).get(kube_node, ())))
        expected = {each.uid: each.expected_bytes for each in standing}
        forecast = headroom_bytes(node.allocatable_bytes, expected.values(), self.book.settings)
        available = self._views.available_bytes(kube_node, now_seconds)
        if forecast is None or available is None:
            return None
        used = {each.uid: each.used_bytes for each in standing}
        return min(
            forecast - self.unused_bytes(kube_node, expected),
            available - self.unused_bytes(kube_node, used),
        )

    def unused_bytes(self, kube_node: str, reached_bytes: Mapping[ContainerUid, float | None]) -> int:
        """What is lent on a kube node and not taken: by leases in force, and by such as have ended while the
        limit is still where they raised it to.
        """
        lent_bytes = self.book.unused_bytes(kube_node, reached_bytes)
        for uid, (_, lent) in self._not_back.items():
            pod = self._membership.pod(uid[0])
            if pod is not None and pod.kube_node == kube_node:
                limit_bytes = min(self._limit(uid), lent.limit_bytes)
                lent_bytes += max(0, limit_bytes - max(lent.before_bytes, int(reached_bytes.get(uid) or 0)))
        return lent_bytes

    def _standing(self, pods: Iterable[PodRecord]) -> Iterable[_Standing]:
        for pod in pods:
            group = self._membership.group_of_pod(pod.uid)
            for each in pod.containers:
                name = each.spec.name
                row = -1 if group is None else group.rows.get(name, -1)
                view = self._asks.view(row) if row >= 0 else None
                seen = self._views.container(pod.kube_node, pod.uid, each.container_id)
                usage, used = (None, None) if seen is None else (seen.usage_bytes, seen.working_set_bytes)
                expected = _expected(each, None if view is None else view.target_bytes, usage)
                yield _Standing((pod.uid, name), expected, usage if used is None else used)

    def _pods(self, world: World) -> dict[str, list[PodRecord]]:
        known, pods = self._by_kube_node
        if known is not world:
            pods = {}
            for pod in world.pods:
                if pod.live:
                    pods.setdefault(pod.kube_node, []).append(pod)
            self._by_kube_node = (world, pods)
        return pods


def _expected(container: ContainerRecord, target_bytes: int | None, used_bytes: int | None) -> float | None:
    """What a container will reach: by forecast, else the larger of its request and what it uses now."""
    if target_bytes is not None:
        return max(float(target_bytes), float(used_bytes or 0))
    known = [each for each in (container.spec.request_bytes, used_bytes) if each is not None]
    return float(max(known)) if known else None

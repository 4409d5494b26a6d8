"""Shrinks under way: which lowering waits for an agent, which may be written now, which is taken back.

In: choices of the planner, reports of agents, loops. Out: a choice to be written or the reason why it waits,
requests to agents, asks that take a limit back. The rules are `plimsoll.coordinate.shrink`; nothing is
written here: a choice goes on to the same actor as every other, and a roll-back is an ask like any raise.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from plimsoll.coordinate.attendance import Presence
from plimsoll.coordinate.degradation import lowered_with_care
from plimsoll.coordinate.messages import OperatorBody, ShrinkCancel, ShrinkReport
from plimsoll.coordinate.shrink import (
    Shrink,
    ShrinkSettings,
    Step,
    Subject,
    asked,
    heard,
    may_write,
    rolled_back,
    superseded,
    ticked,
    tried,
    written,
)
from plimsoll.guard.decision import DecisionKind
from plimsoll.guard.state import Ask, Purpose
from plimsoll_operator.engine.messages import PodContainer
from plimsoll_operator.membership import container_of
from plimsoll_operator.planning import Choice
from plimsoll_operator.records import ContainerRecord, PodRecord

logger = logging.getLogger(__name__)

REST_SECONDS = (
    900.0  # after one that failed, until the next is tried: what stood against it takes time to pass
)
SAME_TARGET_FRACTION = 0.02  # of the old limit; forecasts move a little each hour
ROLLED_BACK_REASON = "ShrinkRolledBack"


@dataclass(frozen=True, slots=True)
class Waits:
    """A choice that is not written now."""

    reason: str
    text: str


@dataclass(slots=True)
class Around:
    """What the desk knows of the world: looked up when it is needed."""

    pod: Callable[[str], PodRecord | None]
    presence: Callable[[str, float], Presence]
    offer: Callable[[str, OperatorBody], bool]
    draw_id: Callable[[], int]
    ended: Callable[[Shrink], None]


class Shrinks:
    """All shrinks of one operator."""

    def __init__(self, around: Around, settings: ShrinkSettings | None = None) -> None:
        self._around, self._settings = around, settings or ShrinkSettings()
        self._by_uid: dict[PodContainer, Shrink] = {}
        self._resting: dict[PodContainer, tuple[float, str]] = {}  # until when, and why

    def __len__(self) -> int:
        return len(self._by_uid)

    def gate(self, pod: PodRecord, choice: Choice, name: str, now_seconds: float) -> Choice | Waits:
        """Let a choice pass, or say why it waits. What is no lowering passes."""
        to_bytes, from_bytes = choice.decision.limit_bytes, choice.from_bytes
        if not _lowers(choice) or to_bytes is None or from_bytes is None:
            return choice
        presence = self._around.presence(pod.kube_node, now_seconds)
        if presence is not Presence.PRESENT:
            # Below present use nobody has seen the room: what is needed was told by an agent that has gone.
            least = max(to_bytes, choice.decision.room_below_bytes or 0)
            if least >= from_bytes:
                return Waits("AgentAway", f"the agent of {pod.kube_node} is away: nothing can be reclaimed")
            return _lowered_to(choice, lowered_with_care(presence, from_bytes, least))
        uid = (pod.uid, name)
        if (why := self._rests(uid, now_seconds)) is not None:
            return Waits("ShrinkFailed", why)
        shrink = self._begun(uid, pod, from_bytes, to_bytes, now_seconds)
        if may_write(shrink, now_seconds, self._settings):
            return _lowered_to(choice, max(to_bytes, shrink.target_bytes))
        left = "" if shrink.remaining_bytes is None else f", {shrink.remaining_bytes >> 20} MiB are left"
        return Waits("ShrinkUnderWay", f"the agent of {pod.kube_node} reclaims first{left}")

    def stands(self, pod: PodRecord, choice: Choice, name: str, now_seconds: float) -> Waits | None:
        """None where a choice that `gate` let pass may still be written, and is from here on under way; else
        what it waits for.
        """
        to_bytes = choice.decision.limit_bytes
        if not _lowers(choice) or to_bytes is None:
            return None
        shrink = self._by_uid.get((pod.uid, name))
        if shrink is None and self._around.presence(pod.kube_node, now_seconds) is not Presence.PRESENT:
            return None  # nobody who could have seen the room
        if (
            shrink is not None
            and may_write(shrink, now_seconds, self._settings)
            and to_bytes >= shrink.target_bytes
        ):
            self._by_uid[pod.uid, name] = tried(shrink, to_bytes)
            return None
        return Waits("ShrinkUnderWay", f"the room that the agent of {pod.kube_node} had seen is gone, or old")

    def hear(self, report: ShrinkReport, kube_node: str, now_seconds: float) -> bool:
        """Take an agent's report in; True where the loop should not wait for its interval."""
        for uid, shrink in self._by_uid.items():
            if shrink.shrink_id == report.shrink_id and shrink.of.kube_node == kube_node:
                return self._set(uid, heard(shrink, report, now_seconds, self._settings), now_seconds)
        return False

    def wrote(self, uid: PodContainer, limit_bytes: int | None, now_seconds: float) -> None:
        """A limit was written: of a shrink, or of something else that ends it."""
        shrink = self._by_uid.get(uid)
        if shrink is None:
            return
        if shrink.step is Step.ROLL_BACK:
            self._set(uid, rolled_back(shrink, now_seconds), now_seconds)
        elif limit_bytes is not None and limit_bytes < shrink.from_bytes:
            shrink = written(replace(shrink, target_bytes=limit_bytes), now_seconds)
            self._set(uid, shrink, now_seconds)
            self._around.offer(shrink.of.kube_node, shrink.request)
        else:
            self._set(uid, superseded(shrink, "the limit was raised meanwhile", now_seconds), now_seconds)

    def failed(self, uid: PodContainer) -> None:
        """A limit was not written, for certain."""
        shrink = self._by_uid.get(uid)
        if shrink is not None:
            self._by_uid[uid] = tried(shrink, None)

    def tick(self, now_seconds: float) -> None:
        """Let time pass for every shrink."""
        self._resting = {uid: each for uid, each in self._resting.items() if now_seconds < each[0]}
        for uid, shrink in list(self._by_uid.items()):
            container = self._container(uid)
            if container is None:
                self._set(uid, superseded(shrink, "the container is gone", now_seconds), now_seconds)
                continue
            present = self._around.presence(shrink.of.kube_node, now_seconds) is Presence.PRESENT
            now = ticked(
                shrink,
                now_seconds,
                self._settings,
                present=present,
                limit_bytes=container.spec.limit_bytes,
                in_force_bytes=container.actual_limit_bytes if container.reported else None,
            )
            self._set(uid, now, now_seconds)

    def drop(self) -> None:
        """Forget all: whoever leads now goes by what it finds."""
        self._by_uid.clear()
        self._resting.clear()

    def asks(self) -> Mapping[PodContainer, Ask]:
        """Limits that are to be taken back."""
        return {
            uid: Ask(each.from_bytes, None, purpose=Purpose.URGENT, reason=ROLLED_BACK_REASON)
            for uid, each in self._by_uid.items()
            if each.step is Step.ROLL_BACK
        }

    def repeat(self, kube_node: str) -> None:
        """A node's agent attends anew, perhaps another process: ask again for what is under way."""
        for shrink in self._by_uid.values():
            if shrink.of.kube_node == kube_node and shrink.step is not Step.ROLL_BACK:
                self._around.offer(kube_node, shrink.request)

    def _begun(
        self, uid: PodContainer, pod: PodRecord, from_bytes: int, to_bytes: int, now_seconds: float
    ) -> Shrink:
        known = self._by_uid.get(uid)
        if known is not None:
            moved = abs(known.wanted_bytes - to_bytes) > SAME_TARGET_FRACTION * from_bytes
            if known.step not in (Step.ASKED, Step.ROOM) or not moved:
                return known
            self._around.offer(pod.kube_node, ShrinkCancel(known.shrink_id, "another target"))
        container = self._container(uid)
        container_id = "" if container is None else container.container_id
        of = Subject(pod.uid, uid[1], container_id, pod.kube_node)
        shrink = asked(self._around.draw_id(), of, from_bytes, to_bytes, now_seconds)
        shrink = tried(shrink, None if known is None else known.tried_bytes)
        self._by_uid[uid] = shrink
        self._around.offer(pod.kube_node, shrink.request)
        return shrink

    def _set(self, uid: PodContainer, shrink: Shrink, now_seconds: float) -> bool:
        """Take a shrink's next state over; True where it now waits for the loop."""
        before = self._by_uid[uid]
        if not shrink.ended:
            self._by_uid[uid] = shrink
            return shrink.step is not before.step and shrink.step in (Step.ROOM, Step.ROLL_BACK)
        del self._by_uid[uid]
        if shrink.step is not Step.DONE:
            self._resting[uid] = (now_seconds + REST_SECONDS, shrink.reason)
            self._around.offer(shrink.of.kube_node, ShrinkCancel(shrink.shrink_id, shrink.reason))
        logger.info(
            "shrink of %s %s: %s",
            "/".join(uid),
            shrink.step.value,
            shrink.reason or "the kernel holds it",
            extra={"from_bytes": shrink.from_bytes, "limit_bytes": shrink.target_bytes},
        )
        self._around.ended(shrink)
        return False

    def _rests(self, uid: PodContainer, now_seconds: float) -> str | None:
        until, why = self._resting.get(uid, (float("-inf"), ""))
        return why if now_seconds < until else None

    def _container(self, uid: PodContainer) -> ContainerRecord | None:
        pod = self._around.pod(uid[0])
        return None if pod is None else container_of(pod, uid[1])


def _lowers(choice: Choice) -> bool:
    """True where a limit falls, not where a request alone does."""
    to_bytes, from_bytes = choice.decision.limit_bytes, choice.from_bytes
    if choice.decision.kind is not DecisionKind.LOWER or to_bytes is None or from_bytes is None:
        return False
    return to_bytes < from_bytes


def _lowered_to(choice: Choice, limit_bytes: int) -> Choice:
    """The choice with a limit that falls less; its request stays below it."""
    decision = choice.decision
    if limit_bytes == decision.limit_bytes:
        return choice
    text = f"{decision.message}; only to {limit_bytes >> 20} MiB"
    return replace(choice, decision=replace(decision, limit_bytes=limit_bytes, message=text))

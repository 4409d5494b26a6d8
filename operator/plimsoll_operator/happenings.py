"""What goes wrong in the loop and at the desk, in words, for the fleet's memory.

In: kills, findings on leaks, shrinks that ended, ticks. Out: `Incident`s to be noted (`incidents`), each with
whose it is and what was done. Nothing here waits, writes or fails the loop; without a memory nothing is told.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from plimsoll.coordinate.shrink import Shrink
from plimsoll.forecast.prophet import FIT_FAILED
from plimsoll.guard.proposal import say
from plimsoll.store.incidents import Incident
from plimsoll.workload import ContainerKey
from plimsoll_operator.engine.messages import Event, OomEvent, PodContainer, Tick
from plimsoll_operator.leaking import Projection
from plimsoll_operator.membership import Group
from plimsoll_operator.parts import Parts
from plimsoll_operator.planning import Choice, Plans

logger = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0
LEAK_QUIET_SECONDS = 7 * DAY_SECONDS  # another process tells a leak anew, since when it has found it
SILENT_SECONDS = 900.0  # a container without a forecast for so long, though it had one


@dataclass(slots=True)
class Happenings:
    """Tells the memory's incidents, where there is a memory."""

    parts: Parts
    _silent: dict[int, tuple[float, str]] = field(default_factory=dict)  # row -> since when, why
    _told: set[int] = field(default_factory=set)  # of these, who was told of

    def looped(self, events: Iterable[Event], plans: Plans, tick: Tick) -> None:
        """A loop is over."""
        self.kills(events, plans)
        with _harmless():
            self._broken_off(tick)

    def kills(self, events: Iterable[Event], plans: Plans | None = None) -> None:
        """OOM kills, as they are seen; with plans, told again with what was done about them."""
        with _harmless():
            for each in events:
                if isinstance(each, OomEvent):
                    self._kill(each, plans)

    def leak(self, group: Group, leak: Projection) -> None:
        """A container was found to leak."""
        with _harmless():
            words, _, done = leak.sentence().partition("; leak.action ")
            self._note(
                "leak",
                group,
                leak.container,
                leak.leak.since_seconds,
                words,
                done=f"leak.action {done}" if done else "no policy speaks for it",
                quiet_seconds=LEAK_QUIET_SECONDS,
            )

    def shrink(self, shrink: Shrink) -> None:
        """A shrink that was written had to be taken back, or could not be."""
        if shrink.taken_back is None:
            return
        with _harmless():
            uid = shrink.of.pod_uid, shrink.of.container_name
            target, before = say(shrink.target_bytes), say(shrink.from_bytes)
            text = f"its limit was lowered from {before} to {target}, and taken back: {shrink.reason}"
            done = f"the old limit of {before} was asked for again"
            if not shrink.taken_back:
                done += ", and not let through"
            self._of_pod("shrink-rolled-back", uid, shrink.since_seconds, text, done)

    def _broken_off(self, tick: Tick) -> None:
        """Forecasts that broke off: a fit that failed, a container that is not seen any more."""
        asks, now_seconds = self.parts.asks, tick.now_seconds
        for row, why in tick.stand_ins.items():
            if why.startswith(FIT_FAILED):
                self._of_row("forecast-failed", row, now_seconds, f"its model gave no forecast: {why}")
        held = {row: why for why, rows in tick.holds.items() for row in rows.tolist() if asks.knows(row)}
        self._silent = {row: (self._silent.get(row, (now_seconds,))[0], why) for row, why in held.items()}
        self._told &= held.keys()
        for row, (since_seconds, why) in self._silent.items():
            if now_seconds - since_seconds >= SILENT_SECONDS and row not in self._told:
                self._told.add(row)
                self._of_row("forecast-broken-off", row, since_seconds, f"it has no forecast any more: {why}")

    def _kill(self, kill: OomEvent, plans: Plans | None) -> None:
        uid = kill.pod_uid, kill.container
        row = self.parts.membership.row_in_group(uid)
        choice = None if plans is None or row is None else plans.rows.get(row)
        done = "" if choice is None or not self.parts.leader.holds() else _done(choice)
        of = f"at its limit of {say(kill.limit_bytes)}" if kill.limit_bytes is not None else "without a limit"
        self._of_pod("oom-kill", uid, kill.at_seconds, f"the kernel killed it {of}", done)
        desk = self.parts.desk
        if desk is not None and (lease := desk.lending.ended_before(uid, kill.at_seconds)) is not None:
            what, text = lease
            self._of_pod(what, uid, kill.at_seconds, f"the kernel killed it {of}, {text}", done)

    def _of_pod(self, what: str, uid: PodContainer, at_seconds: float, text: str, done: str) -> None:
        pod, group = self.parts.membership.pod(uid[0]), self.parts.membership.group_of_pod(uid[0])
        if pod is not None and group is not None:
            names = frozenset({pod.name}), frozenset({pod.kube_node} - {""})
            self._note(what, group, uid[1], at_seconds, text, done=done, names=names)

    def _of_row(self, what: str, row: int, at_seconds: float, text: str) -> None:
        group = self.parts.membership.group_of_row(row)
        name = next((name for name, each in group.rows.items() if each == row), None) if group else None
        if group is None or name is None:
            return
        stands = "another model stands in" if what == "forecast-failed" else "its limit is held where it is"
        self._note(what, group, name, at_seconds, text, done=stands, quiet_seconds=DAY_SECONDS)

    def _note(  # noqa: PLR0913 -- one argument for each thing that is told
        self,
        what: str,
        group: Group,
        container: str,
        at_seconds: float,
        text: str,
        *,
        done: str,
        names: tuple[frozenset[str], frozenset[str]] | None = None,
        quiet_seconds: float = 0.0,
    ) -> None:
        memory = self.parts.keeper.memory
        if memory is None or memory.incidents is None:
            return
        pods, kube_nodes = names or (
            frozenset[str](),
            frozenset(pod.kube_node for pod in group.pods.values() if pod.kube_node),
        )
        whose = str(ContainerKey(group.ref, container, group.node_class))
        memory.incidents.note(Incident(what, whose, at_seconds, text, done, pods, kube_nodes, quiet_seconds))


def _done(choice: Choice) -> str:
    """What became of a container whose pod was killed."""
    decision, before = choice.decision, say(choice.from_bytes)
    if decision.acts and decision.limit_bytes is not None:
        return f"its limit went from {before} to {say(decision.limit_bytes)} ({decision.reason})"
    return f"its limit was left at {before} ({decision.reason}: {decision.message})"


@contextmanager
def _harmless() -> Iterator[None]:
    """A fault in telling what went wrong is no fault of who tells it."""
    try:
        yield
    except Exception:
        logger.exception("what went wrong is not remembered")

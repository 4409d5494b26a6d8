"""Pods that are held: room is made for each, and each is let go as soon as there is room, or when its time is
over.

In: the pods of this moment (not of the last loop: these are matters of seconds), a reliever, who leads. Out:
evictions, and patches that lift our gate, through the fenced API. Level-based: what is known of a held pod
is on the pod. A standby only watches; where nobody leads, the sweeper lifts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from plimsoll_operator.actuate.api import ApiError, KubeApi, PodRef
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.place.gate import overdue
from plimsoll_operator.place.relieving import Reliever
from plimsoll_operator.records import PodRecord
from plimsoll_operator.serve.metrics import Metrics

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # between two looks while somebody waits

PodsNow = Callable[[], Awaitable[Sequence[PodRecord]]]
Pause = Callable[[float], Awaitable[None]]


class GateKeeper:
    """Lets held pods go."""

    def __init__(
        self,
        api: KubeApi,
        reliever: Reliever,
        pods: PodsNow,
        leads: Callable[[], bool],
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        """`api` is fenced; `now` in seconds, the clock that gates are written by."""
        self._api, self._reliever, self._pods = api, reliever, pods
        self._leads, self._metrics, self._now = leads, metrics, now
        self._wake = asyncio.Event()
        self._since: dict[str, float] = {}  # uid -> first seen with a gate
        self._rooms: dict[str, tuple[str, ...]] = {}  # uid -> uids of those who leave for it
        self._lifted: set[str] = set()

    def seen(self, pod: PodRecord) -> None:
        """A watch shows a pod; one that is held starts the work."""
        if pod.gate is not None:
            self._wake.set()

    async def forever(self, pause: Pause = asyncio.sleep) -> None:
        """Work while somebody waits, sleep otherwise."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._safely():
                await pause(POLL_SECONDS)

    async def once(self) -> int:
        """Look at every held pod; returns how many there are."""
        pods, now_seconds = await self._pods(), self._now()
        held = {pod.uid: pod for pod in pods if pod.gate is not None and pod.live}
        self._since = {uid: self._since.get(uid, now_seconds) for uid in held}
        self._rooms = {uid: room for uid, room in self._rooms.items() if uid in held}
        self._lifted &= held.keys()
        if self._leads():
            present = {pod.uid for pod in pods}
            for uid, pod in held.items():
                if uid not in self._lifted:
                    await self._one(pod, present, now_seconds)
        return len(held)

    async def _one(self, pod: PodRecord, present: set[str], now_seconds: float) -> None:
        assert pod.gate is not None
        if overdue(pod.gate, now_seconds, now_seconds - self._since[pod.uid]):
            await self._lift(pod, "late", now_seconds)
        elif pod.uid not in self._rooms:
            leaving = await self._reliever.make_room(pod, now_seconds)
            self._rooms[pod.uid] = leaving.uids
            if not leaving.whole:  # what is left by some alone is no room
                await self._lift(pod, "partly" if leaving.uids else "no-room", now_seconds)
        elif present.isdisjoint(self._rooms[pod.uid]):
            await self._lift(pod, "made", now_seconds)

    async def _lift(self, pod: PodRecord, outcome: str, now_seconds: float) -> None:
        try:
            await self._api.lift_gate(PodRef(pod.namespace, pod.name, pod.uid))
        except NotLeaderError as error:
            logger.info("gate of %s/%s not lifted: %s", pod.namespace, pod.name, error)
            return
        except ApiError as error:
            logger.info("gate of %s/%s not lifted: %s", pod.namespace, pod.name, error)
            if error.passing:
                return  # in the next look, or by the sweeper
            outcome = "refused"
        self._lifted.add(pod.uid)
        self._metrics.count("plimsoll_gates_total", outcome=outcome)
        self._metrics.observe("plimsoll_gate_seconds", now_seconds - self._since[pod.uid])

    async def _safely(self) -> int:
        try:
            return await self.once()
        except Exception:
            logger.exception("held pods not looked at; the sweeper lets them go")
            return len(self._since)

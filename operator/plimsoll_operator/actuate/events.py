"""Kubernetes Events: what was done to a pod, for `kubectl describe`, and never too many of them.

In: a pod, a reason and a sentence. Out: events of `events.k8s.io/v1`, at most one for the same pod and
reason in ten minutes and a bounded number a minute over all; the rest is in the profiles, the metrics and
the log anyway.
"""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from plimsoll_operator.actuate.api import EVENTS, ApiError, Body, KubeApi, PodRef

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 600.0
PER_MINUTE = 120
REMEMBERED = 20_000
NOTE_MAX = 1024
CONTROLLER = "plimsoll.dev/operator"


@dataclass(slots=True)
class Events:
    """Writes events; losing one is no fault."""

    api: KubeApi
    identity: str
    _last: dict[tuple[str, str], float] = field(default_factory=dict)
    _minute: list[float] = field(default_factory=list)

    async def say(
        self, pod: PodRef, reason: str, note: str, now_seconds: float, kind: str = "Normal"
    ) -> bool:
        """Write one event unless there were too many; returns whether it was written."""
        if not self._may(pod, reason, now_seconds):
            return False
        try:
            await self.api.create(EVENTS, pod.namespace, self._body(pod, reason, note, now_seconds, kind))
        except ApiError as error:
            logger.info("event not written: %s", error, extra={"pod": str(pod), "reason": reason})
            return False
        return True

    def _may(self, pod: PodRef, reason: str, now_seconds: float) -> bool:
        key = (pod.uid, reason)
        last = self._last.get(key)
        self._minute = [each for each in self._minute if 0 <= now_seconds - each < 60.0]
        if last is not None and 0 <= now_seconds - last < REPEAT_SECONDS:
            return False
        if len(self._minute) >= PER_MINUTE:
            return False
        if len(self._last) >= REMEMBERED:
            self._last.clear()
        self._last[key] = now_seconds
        self._minute.append(now_seconds)
        return True

    def _body(self, pod: PodRef, reason: str, note: str, now_seconds: float, kind: str) -> Body:
        time = datetime.fromtimestamp(now_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            # A dash: a real API server refuses a prefix that ends with a dot.
            "metadata": {"generateName": f"{pod.name[:200]}-", "namespace": pod.namespace},
            "eventTime": time,
            "reportingController": CONTROLLER,
            "reportingInstance": self.identity[:128],
            "action": "Resize",
            "reason": reason,
            "type": kind,
            "note": note[:NOTE_MAX],
            "regarding": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": pod.namespace,
                "name": pod.name,
                "uid": pod.uid,
            },
        }

"""The mutating webhook for pods: a new pod gets its recommended memory before it starts.

In: `AdmissionReview` v1 over HTTPS at /mutate-pods. Out: the pod allowed, always, with a JSON patch of its
containers' memory, and of its node affinity, where there is something to say. A webhook stands in the way of
every pod of a cluster, so whatever goes wrong (no engine, no profile, nonsense in the request, an exception,
no time left) ends as "allowed, unchanged".
"""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from plimsoll_operator.actuate.api import MemoryValues

log = logging.getLogger(__name__)

WEBHOOK_PATH = "/mutate-pods"
REVIEW_VERSION = "admission.k8s.io/v1"
# The API server's own time-out is at least 1 s; what is not decided by then is not decided.
ANSWER_SECONDS = 0.8
LARGEST_REVIEW_BYTES = 8 * 2**20  # a pod is at most 1.5 MiB in etcd; the review holds it once or twice

Pod = Mapping[str, Any]
# (pod, namespace of the request) -> container name -> what to write.
InitialValues = Callable[[Pod, str], Awaitable[Mapping[str, MemoryValues]]]
OUTCOMES = ("patched", "unchanged", "error", "timeout")
# (outcome, seconds): one of those
Observer = Callable[[str, float], None]


class PlacementPatch(Protocol):
    """Operations that say where a pod should go; `made` is False in a dry run, which leaves no trace."""

    def __call__(
        self, pod: Pod, namespace: str, values: Mapping[str, MemoryValues], uid: str, *, made: bool
    ) -> list[dict[str, Any]]:
        """For a pod of a review with this uid, whose memory admission is about to write."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: str
    patch: list[dict[str, Any]]


class PodAdmission:
    """Answers reviews by asking `initial` for each new pod, and `place` where it should go."""

    def __init__(
        self,
        initial: InitialValues,
        observe: Observer = lambda _outcome, _seconds: None,
        place: PlacementPatch | None = None,
    ) -> None:
        self._initial = initial
        self._place = place
        self._observe = observe

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to serve over TLS."""
        return [web.post(WEBHOOK_PATH, self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one review; only a body that is no review at all is refused (and is then no pod either)."""
        began = time.perf_counter()
        try:
            review = json.loads(await request.read())
            asked = review["request"]
            uid = str(asked["uid"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return web.json_response({"error": "not an AdmissionReview"}, status=400)
        answer = await self._answer(asked)
        self._observe(answer.outcome, time.perf_counter() - began)
        return web.json_response(_review(uid, answer.patch))

    async def _answer(self, asked: Mapping[str, Any]) -> _Answer:
        try:
            pod = asked["object"]
            if asked.get("operation", "CREATE") != "CREATE" or not isinstance(pod, dict):
                return _Answer("unchanged", [])
            namespace = str(asked.get("namespace") or (pod.get("metadata") or {}).get("namespace") or "")
            async with asyncio.timeout(ANSWER_SECONDS):
                values = await self._initial(pod, namespace)
            patch = [*memory_patch(pod, values), *self._placement(asked, pod, namespace, values)]
        except TimeoutError:
            log.warning("admission took too long; the pod is unchanged")
            return _Answer("timeout", [])
        except Exception:
            log.exception("admission failed; the pod is unchanged")
            return _Answer("error", [])
        return _Answer("patched" if patch else "unchanged", patch)

    def _placement(
        self, asked: Mapping[str, Any], pod: Pod, namespace: str, values: Mapping[str, MemoryValues]
    ) -> list[dict[str, Any]]:
        """Where the pod should go; what goes wrong here takes no memory away from it."""
        if self._place is None:
            return []
        try:
            made = asked.get("dryRun") is not True
            return self._place(pod, namespace, values, str(asked["uid"]), made=made)
        except Exception:
            log.exception("placement failed; the scheduler alone decides")
            return []


def memory_patch(pod: Pod, values: Mapping[str, MemoryValues]) -> Iterator[dict[str, Any]]:
    """Yield the JSON patch that sets containers' memory and touches nothing else."""
    for group in ("containers", "initContainers"):
        for place, container in enumerate(pod["spec"].get(group) or ()):
            wanted = values.get(container.get("name", ""))
            if wanted is not None:
                yield from _container_patch(f"/spec/{group}/{place}", container, wanted)


def _container_patch(path: str, container: Pod, wanted: MemoryValues) -> Iterator[dict[str, Any]]:
    pairs = (("limits", wanted.limit_bytes), ("requests", wanted.request_bytes))
    given = {kind: value for kind, value in pairs if value is not None}
    resources = container.get("resources")
    if not given:
        return
    if not isinstance(resources, dict):
        yield {"op": "add", "path": f"{path}/resources", "value": {}}
        resources = {}
    for kind, value in given.items():
        if not isinstance(resources.get(kind), dict):
            yield {"op": "add", "path": f"{path}/resources/{kind}", "value": {"memory": str(value)}}
        elif resources[kind].get("memory") != str(value):
            yield {"op": "add", "path": f"{path}/resources/{kind}/memory", "value": str(value)}


def _review(uid: str, patch: list[dict[str, Any]]) -> dict[str, Any]:
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if patch:
        response |= {
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
        }
    return {"apiVersion": REVIEW_VERSION, "kind": "AdmissionReview", "response": response}

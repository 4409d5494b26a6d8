"""From a pod to the workload it belongs to: the owner at the top of its chain.

In: a pod's record, the indices of ReplicaSets and Jobs, and what was learned about kinds we do not index.
Out: a `WorkloadRef`, or None while a link of the chain is not known (then the pod waits). The rules:
ReplicaSet -> its Deployment (or Argo Rollout, ...); Job -> its CronJob, else the Job by name pattern, for
`report-20261121` and `report-20261122` are one workload; Deployment, StatefulSet, DaemonSet and CronJob end
the chain; any other owner ends it too where it has a scale subresource, else its own owner is asked.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.workload import WorkloadRef
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import ApiError, KubeApi, Resource
from plimsoll_operator.records import OwnerRecord, OwnerRef, PodRecord

logger = logging.getLogger(__name__)

INDEXED = frozenset({"ReplicaSet", "Job"})
TOP = frozenset({"Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController", "Node"})
TEMPLATE_HASH_LABEL = "pod-template-hash"
LONGEST_CHAIN = 8
KNOWN_LIMIT = 100_000  # learned owners kept
RETRY_SECONDS = 300.0  # an owner that could not be read is asked for again after so long

# What a generated name ends with: dates, counters, and hashes of letters and digits mixed.
_COUNTER = re.compile(r"^[0-9]+$")
_HASH = re.compile(r"^(?=[a-z0-9]{4,10}$)(?=.*[0-9])(?=.*[a-z])[a-z0-9]+$")

OwnerKey = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class Learned:
    """What was read about one owner of a kind we do not index."""

    scales: bool
    owner: OwnerRef | None
    at_seconds: float
    failed: bool = False


def job_pattern(name: str) -> str:
    """A Job's name with its generated end cut off: `report-20261121-x7f2q` -> `report-*`."""
    parts = name.split("-")
    kept = len(parts)
    while kept > 1 and (_COUNTER.match(parts[kept - 1]) or _HASH.match(parts[kept - 1])):
        kept -= 1
    return name if kept == len(parts) else "-".join([*parts[:kept], "*"])


@dataclass(frozen=True, slots=True)
class Top:
    """A workload, and what its profile names as its owner, so that both end together (uid "": nobody)."""

    ref: WorkloadRef
    api_version: str = ""
    uid: str = ""


class OwnerResolver:
    """Climbs owner chains; asks the API server (once) about kinds that no index holds."""

    def __init__(self) -> None:
        self._learned: dict[OwnerKey, Learned] = {}
        self._wanted: dict[OwnerKey, OwnerRef] = {}
        self._plurals: dict[tuple[str, str], tuple[Resource, bool]] = {}

    def top_of(self, pod: PodRecord, owners: Mapping[OwnerKey, OwnerRecord]) -> Top | None:
        """The workload of a pod, or None while it is not known."""
        if pod.owner is None:
            return Top(WorkloadRef(pod.namespace, "Pod", pod.name), "v1", pod.uid)
        return self.top(pod.namespace, pod.owner, owners)

    def top(self, namespace: str, owner: OwnerRef, owners: Mapping[OwnerKey, OwnerRecord]) -> Top | None:
        """The workload at the top of the chain that starts with `owner`."""
        for _ in range(LONGEST_CHAIN):
            if owner.kind in TOP:
                break
            known, above = self._above(namespace, owner, owners)
            if not known:
                return None
            if above is None:
                break
            owner = above
        name = job_pattern(owner.name) if owner.kind == "Job" else owner.name
        kept = name == owner.name  # a pattern stands for many Jobs and outlives each
        return Top(WorkloadRef(namespace, owner.kind, name), owner.api_version, owner.uid if kept else "")

    async def learn(self, api: KubeApi, now_seconds: float) -> None:
        """Read the owners that were met and are not known; a failure ends their chain for a while."""
        wanted, self._wanted = self._wanted, {}
        if len(self._learned) > KNOWN_LIMIT:
            self._learned.clear()
        for key, owner in wanted.items():
            self._learned[key] = await self._read(api, key[1], owner, now_seconds)

    def forget_failures(self, now_seconds: float) -> None:
        """Let owners that could not be read be asked for again after a while."""
        stale = [
            key
            for key, each in self._learned.items()
            if each.failed and now_seconds - each.at_seconds > RETRY_SECONDS
        ]
        for key in stale:
            del self._learned[key]

    def _above(
        self, namespace: str, owner: OwnerRef, owners: Mapping[OwnerKey, OwnerRecord]
    ) -> tuple[bool, OwnerRef | None]:
        """Whether the owner is known, and who owns it in turn (None: it is the top)."""
        key = (owner.kind, namespace, owner.name)
        if owner.kind in INDEXED:
            record = owners.get(key)
            return record is not None, record.owner if record is not None else None
        learned = self._learned.get(key)
        if learned is None:
            self._wanted[key] = owner
            return False, None
        return True, None if learned.scales else learned.owner

    async def _read(self, api: KubeApi, namespace: str, owner: OwnerRef, now_seconds: float) -> Learned:
        try:
            resource, scales = await self._resource(api, owner)
            body = {} if scales else await api.read(resource, namespace, owner.name)
        except (ApiError, LookupError) as error:
            logger.info("owner %s %s/%s not read: %s", owner.kind, namespace, owner.name, error)
            return Learned(scales=True, owner=None, at_seconds=now_seconds, failed=True)
        return Learned(scales, parse.controller(body.get("metadata") or {}), now_seconds)

    async def _resource(self, api: KubeApi, owner: OwnerRef) -> tuple[Resource, bool]:
        """The path of a kind and whether it has a scale subresource, from discovery."""
        key = (owner.api_version, owner.kind)
        if key not in self._plurals:
            group, _, version = owner.api_version.rpartition("/")
            path = f"/apis/{owner.api_version}" if group else f"/api/{version}"
            served = (await api.read_path(path)).get("resources") or ()
            plural = next(
                (
                    each["name"]
                    for each in served
                    if each.get("kind") == owner.kind and "/" not in each["name"]
                ),
                None,
            )
            if plural is None:
                raise LookupError(f"{owner.api_version} serves no {owner.kind}")
            scales = any(each.get("name") == f"{plural}/scale" for each in served)
            self._plurals[key] = Resource(group, version, plural), scales
        return self._plurals[key]


def replica_set_owner_guess(owner: OwnerRef, template_hash: str) -> str | None:
    """The Deployment in the name of a ReplicaSet too new to be indexed: `web-6d4cf` of hash `6d4cf`."""
    suffix = f"-{template_hash}"
    if owner.kind != "ReplicaSet" or not template_hash or not owner.name.endswith(suffix):
        return None
    return owner.name.removesuffix(suffix)

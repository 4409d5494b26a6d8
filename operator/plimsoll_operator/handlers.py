"""All that we ask of kopf: one index for each kind of object, and to start and end the loop with the process.

In: watch events. Out: indices of small records. There are no handlers, daemons, timers or finalizers on
anything: once we are uninstalled nothing waits for us. Each index function takes its record and empties the
event's body, so that 50,000 pods never stand in memory whole. Indices are complete when they hold as many
objects as the API server counts; before that nothing acts, for a missing policy or quota would be a wrong
answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import kopf

from plimsoll_operator import parse
from plimsoll_operator.actuate.api import (
    CLUSTER_POLICIES,
    PODS,
    POLICIES,
    PROFILES,
    ApiError,
    KubeApi,
    Resource,
)
from plimsoll_operator.records import ControlRecord, PodRecord, ProfileRecord
from plimsoll_operator.world import World, owner_key, profile_key, world

Record = TypeVar("Record")
Key = TypeVar("Key", bound=Hashable)

READ_AT_ONCE = 5000  # records read off an index between two turns of the event loop: a few milliseconds
SMALL = (
    "namespaces", "limitranges", "resourcequotas", "hpas", "nodes", "node_memories", "policies",
    "cluster_policies", "control",
)  # fmt: skip

CONTROL_CONFIG_MAP = "plimsoll-control"
CUSTOM = ("plimsoll.dev", "v1alpha1")
# The kinds that must be complete before anything acts. A kind that is not served counts as empty, but our
# own are waited for. ReplicaSets and Jobs are left out: a pod whose owner is not known yet simply waits. So
# are CronJobs and NodeMemory, which the last release's roles do not name: placement alone goes without.
COUNTED: Mapping[str, Resource] = {
    "pods": PODS,
    "namespaces": Resource("", "v1", "namespaces", namespaced=False),
    "limitranges": Resource("", "v1", "limitranges"),
    "resourcequotas": Resource("", "v1", "resourcequotas"),
    "nodes": Resource("", "v1", "nodes", namespaced=False),
    "hpas": Resource("autoscaling", "v2", "horizontalpodautoscalers"),
    "policies": POLICIES,
    "cluster_policies": CLUSTER_POLICIES,
    "profiles": PROFILES,
}
Index = kopf.Index[Any, Any]


class Hooks:
    """What the loop wants to be told as events come in; the defaults ignore it."""

    def pod_seen(self, record: PodRecord) -> None:
        """A pod's newest record."""


def registry(hooks: Hooks, own_namespace: str) -> kopf.OperatorRegistry:
    """Every index there is. The names of the functions are the names of the indices."""
    made = kopf.OperatorRegistry()
    _pods_and_profiles(made, hooks)
    _simple(made)
    _policies(made)

    @kopf.index("", "v1", "configmaps", registry=made, id="control")
    async def control(body: kopf.Body, **_: object) -> object:
        raw = dict(body)
        mine = raw["metadata"].get("name") == CONTROL_CONFIG_MAP
        return parse.control(raw) if mine and raw["metadata"].get("namespace") == own_namespace else None

    return made


def _pods_and_profiles(made: kopf.OperatorRegistry, hooks: Hooks) -> None:
    @kopf.index("", "v1", "pods", registry=made, id="pods")
    async def pods(body: kopf.Body, **_: object) -> object:
        record = _taken(body, parse.pod)
        hooks.pod_seen(record)
        return record

    @kopf.index(*CUSTOM, "memoryprofiles", registry=made, id="profiles")
    async def profiles(body: kopf.Body, **_: object) -> object:
        record = _taken(body, parse.profile)
        return {profile_key(record): record}


def _simple(made: kopf.OperatorRegistry) -> None:
    kinds: tuple[tuple[str, str, str, str, Callable[[parse.Raw], object]], ...] = (
        ("replicasets", "apps", "v1", "replicasets", parse.owned),
        ("jobs", "batch", "v1", "jobs", parse.owned),
        ("cronjobs", "batch", "v1", "cronjobs", parse.cron_job),
        ("namespaces", "", "v1", "namespaces", parse.namespace),
        ("limitranges", "", "v1", "limitranges", parse.limit_range),
        ("resourcequotas", "", "v1", "resourcequotas", parse.quota),
        ("nodes", "", "v1", "nodes", parse.kube_node),
        ("node_memories", *CUSTOM, "nodememories", parse.node_memory),
        ("hpas", "autoscaling", "v2", "horizontalpodautoscalers", parse.hpa),
    )
    for name, group, version, plural, read in kinds:
        kopf.index(group, version, plural, registry=made, id=name)(_index_of(read))


def _policies(made: kopf.OperatorRegistry) -> None:
    for name, plural in (("policies", "memorypolicies"), ("cluster_policies", "clustermemorypolicies")):
        kopf.index(*CUSTOM, plural, registry=made, id=name)(_index_of(parse.policy))


def _index_of(read: Callable[[parse.Raw], object]) -> Callable[..., Awaitable[object]]:
    async def index(body: kopf.Body, **_: object) -> object:
        # One slot for each object, also for those that say nothing: they are counted.
        return {None: _taken(body, read)}

    return index


def _taken(body: kopf.Body, read: Callable[[parse.Raw], Record]) -> Record:
    """The record of a body, which is emptied: kopf keeps it for a while, and needs its metadata only."""
    raw = dict(body)
    record = read(raw)
    for part in ("spec", "status"):
        if isinstance(raw.get(part), dict):
            raw[part].clear()
    raw["metadata"].pop("managedFields", None)
    return record


class KopfIndices:
    """Kopf's indices as a `World`."""

    def __init__(self, indices: Mapping[str, Index]) -> None:
        self._indices = indices

    def size(self, name: str) -> int:
        """Objects in one index."""
        return sum(len(store) for store in self._indices[name].values())

    def profile(self, namespace: str, name: str) -> ProfileRecord | None:
        """One profile as it is now."""
        return next(iter(self._indices["profiles"].get((namespace, name), ())), None)

    async def snapshot(self) -> World:
        """Everything as it is now; the event loop runs in between, so kinds may be a moment apart."""
        small = {name: await self._records(name) for name in SMALL}
        made = world(
            pods=await self._records("pods"),
            namespaces=small["namespaces"],
            limit_ranges=small["limitranges"],
            quotas=small["resourcequotas"],
            hpas=small["hpas"],
            kube_nodes=small["nodes"],
            node_memories=small["node_memories"],
            policies=(*small["policies"], *small["cluster_policies"]),
            cron_jobs=await self._records("cronjobs"),
            paused=any(isinstance(each, ControlRecord) and each.paused for each in small["control"]),
        )
        owners = (*await self._records("replicasets"), *await self._records("jobs"))
        profiles = await self._records("profiles")
        return replace(
            made, owners=await _filed(owners, owner_key), profiles=await _filed(profiles, profile_key)
        )

    async def pods(self) -> tuple[PodRecord, ...]:
        """The pods of this moment alone."""
        return await self._records("pods")

    def shows_pods(self, versions: Mapping[str, int]) -> bool:
        """Whether the pods are these (namespace/name) and no others, each in this version or a newer one."""
        pods = [pod for store in self._indices["pods"].values() for pod in store]
        seen = {f"{pod.namespace}/{pod.name}": pod.resource_version for pod in pods}
        return seen.keys() == versions.keys() and all(seen[key] >= versions[key] for key in seen)

    async def missing(self, api: KubeApi) -> str:
        """What is still waited for, in words; "" when every kind that matters holds at least what the API
        server counts. Our own kinds must be there: without policies there is nothing to go by.
        """
        for name, resource in COUNTED.items():
            number = await _count(api, resource)
            if number is None and resource.group == CUSTOM[0]:
                return f"the CRD {resource.plural}.{resource.group} is not installed"
            missing = (number or 0) - self.size(name)
            if missing > 0:
                return f"{missing} more {name} of {number} are to be read"
        return ""

    async def _records(self, name: str) -> tuple[Any, ...]:
        stores = tuple(self._indices[name].values())
        found: list[Any] = []
        for start in range(0, len(stores), READ_AT_ONCE):
            part = stores[start : start + READ_AT_ONCE]
            found += [record for store in part for record in store if record is not None]
            await asyncio.sleep(0)
        return tuple(found)


async def _filed(records: Sequence[Record], key: Callable[[Record], Key]) -> dict[Key, Record]:
    """Records by what they are looked up by."""
    found: dict[Key, Record] = {}
    for start in range(0, len(records), READ_AT_ONCE):
        found |= {key(each): each for each in records[start : start + READ_AT_ONCE]}
        await asyncio.sleep(0)
    return found


async def _count(api: KubeApi, resource: Resource) -> int | None:
    """Objects of a kind; None where the kind is not served."""
    try:
        return await api.count(resource)
    except ApiError as error:
        if error.missing:
            return None
        raise

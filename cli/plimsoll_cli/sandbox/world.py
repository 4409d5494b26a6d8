"""The sandbox's world: a Kubernetes API, kubelets, a clock and a Prometheus around recorded memory use.

In: a scenario, policies, how fast to play. Out: a cluster that anybody may talk to over HTTP while it
plays, and at the end what happened. The world stands still while the operator works; when it is idle one bin
of five minutes happens: resizes take effect, containers use what was recorded, some die. The clock tells the
operator which news to take in before it works again. Beside it the baselines' worlds play the same bin.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from plimsoll.api.quantity import format_quantity, parse_quantity
from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.failure import CommandError
from plimsoll_cli.sandbox import objects
from plimsoll_cli.sandbox.api.errors import ApiError
from plimsoll_cli.sandbox.api.faults import FaultRule
from plimsoll_cli.sandbox.api.operations import Operations
from plimsoll_cli.sandbox.api.rules import timestamp
from plimsoll_cli.sandbox.api.server import SandboxApi
from plimsoll_cli.sandbox.api.store import Change, ResourceId
from plimsoll_cli.sandbox.arms import ShadowWorld, baselines
from plimsoll_cli.sandbox.clock import WorldClock
from plimsoll_cli.sandbox.kubelet import EventKind, KubeletEvent, KubeletModel, Resources
from plimsoll_cli.sandbox.ledger import Ledger
from plimsoll_cli.sandbox.prometheus import PastContainer, Prometheus
from plimsoll_cli.sandbox.scenario import (
    CONTAINER,
    LEAD_BINS,
    NAMESPACE,
    START_BIN,
    WARMUP_BINS,
    Scenario,
    Workload,
    new_pod_name,
)

JsonObject = dict[str, Any]

PODS: ResourceId = ("", "pods")


@dataclass(frozen=True)
class WorldSettings:
    """How a world is played."""

    bin_wall_seconds: float = 0.0  # least wall time of a bin; 0: as fast as the operator goes
    faults: tuple[FaultRule, ...] = ()
    policies: tuple[JsonObject, ...] = (objects.DEFAULT_POLICY,)
    webhook: JsonObject | None = None  # a MutatingWebhookConfiguration


@dataclass
class World:
    """One world, from its first object to its last bin."""

    scenario: Scenario
    settings: WorldSettings
    events: list[KubeletEvent] = field(default_factory=list)
    live_bin: int = -LEAD_BINS

    def __post_init__(self) -> None:
        scenario = self.scenario
        self._pod_versions: dict[str, int] = {}  # by namespace/name
        self.clock = WorldClock(scenario.lead_seconds, lambda: self._pod_versions)
        self.api = SandboxApi(self.clock.now, scenario.seed)
        self.kubelet = KubeletModel(dict(scenario.allocatable_bytes), scenario.seed)
        names = [workload.name for workload in scenario.workloads]
        self.ledger = Ledger("plimsoll", names, scenario.bins)
        self.baselines: list[ShadowWorld] = baselines(scenario)
        self.prometheus = Prometheus(lambda: list(self._past()))
        self._workloads = {workload.name: workload for workload in scenario.workloads}
        self._pods = {workload.name: workload.pod for workload in scenario.workloads}
        self._messages: dict[str, str] = {}
        self._rng = Random(f"{scenario.seed} world")  # noqa: S311 - names of a model's pods

    @property
    def _operations(self) -> Operations:
        return self.api.operations

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[str]:
        """Serve the world on a loopback port; its objects are there before the first request."""
        self.api.routes["/clock"] = self.clock.handle
        self.api.routes["/prometheus/api/v1/*"] = self.prometheus.handle
        self.api.computed["metrics.k8s.io", "pods"] = self._pod_metrics
        self.api.store.observers.append(self._note_version)
        self._create_objects()
        self.api.store.observers.append(self._saw)
        self.api.faults.rules = list(self.settings.faults)
        async with self.api.listen() as url:
            yield url

    async def play(self) -> AsyncIterator[int]:
        """Play the lead-in and all bins that count; yields how many of these have happened."""
        loop = asyncio.get_running_loop()
        for live_bin in range(-LEAD_BINS, self.scenario.bins):
            began = loop.time()
            await self.clock.until_idle()
            self.live_bin = live_bin
            await self._turn_over(live_bin)
            self._happen(live_bin)
            await asyncio.sleep(max(0.0, began + self.settings.bin_wall_seconds - loop.time()))
            self.clock.advance(self.scenario.start_seconds + (live_bin + 1) * BIN_SECONDS)
            yield max(0, live_bin + 1)

    def _happen(self, live_bin: int) -> None:
        records, events = self.kubelet.play(START_BIN + live_bin), self.kubelet.take_events()
        for event in events:
            if event.container in self.kubelet.containers:
                self._messages[event.container] = event.message
                self._write_status(event.container)
        if live_bin < 0:
            return
        self.events += events
        self.ledger.record(live_bin, records)
        for shadow in self.baselines:
            shadow.play(live_bin)

    # The cluster's objects and its controllers.

    def _create_objects(self) -> None:
        self._create("", "v1", "namespaces", {"metadata": {"name": NAMESPACE}})
        self._create("", "v1", "namespaces", {"metadata": {"name": objects.OPERATOR_NAMESPACE}})
        for crd in objects.crds():
            self._create("apiextensions.k8s.io", "v1", "customresourcedefinitions", crd)
        for kube_node in objects.kube_nodes(self.scenario):
            self._create("", "v1", "nodes", kube_node)
        for policy in self.settings.policies:
            self._create_policy(policy)
        for workload in self.scenario.workloads:
            self._deploy(workload)
        if self.settings.webhook is not None:
            group = "admissionregistration.k8s.io"
            self._create(group, "v1", "mutatingwebhookconfigurations", self.settings.webhook)

    def _create_policy(self, policy: JsonObject) -> None:
        kind = self.api.registry.find_kind(policy["apiVersion"], policy["kind"])
        name = f"{policy['kind']} {policy['metadata'].get('name')}"
        if kind is None:
            raise CommandError(f"{name}: the sandbox knows no such kind")
        group, version = policy["apiVersion"].split("/")
        try:
            self._create(group, version, kind.plural, policy)
        except ApiError as refusal:
            raise CommandError(f"{name}: {refusal.message}") from refusal

    def _create(self, group: str, version: str, plural: str, document: JsonObject) -> JsonObject:
        kind = self._operations.type(group, version, plural)
        namespace = document["metadata"].get("namespace")
        return self._operations.create(kind, namespace, document).load()

    def _deploy(self, workload: Workload) -> None:
        made = self._create("apps", "v1", "deployments", objects.deployment(workload))
        replica_set = objects.replica_set(workload, made["metadata"]["uid"])
        owner = self._create("apps", "v1", "replicasets", replica_set)
        kind = self._operations.type("apps", "v1", "replicasets")
        one = {"status": {"replicas": 1}}
        self._operations.change(kind, NAMESPACE, workload.replica_set, "status", one)
        pod = objects.pod(workload, workload.pod, owner["metadata"]["uid"])
        self._run(workload, self._create("", "v1", "pods", pod), self.scenario.lead_seconds)

    def _run(self, workload: Workload, pod: JsonObject, seconds: float) -> None:
        """Kubelet starts a pod's container with the resources its spec has."""
        first_bin = START_BIN - LEAD_BINS
        usage = workload.usage_bytes[WARMUP_BINS - LEAD_BINS :]
        resources = resources_in(pod)
        self.kubelet.start(workload.name, workload.kube_node, usage, first_bin, resources, seconds)
        recent = workload.usage_bytes[: WARMUP_BINS + self.live_bin]
        self.kubelet.containers[workload.name].usage_bytes = min(float(recent[-1]), resources.limit_bytes)
        self._pods[workload.name] = pod["metadata"]["name"]
        self._write_status(workload.name)

    async def _turn_over(self, live_bin: int) -> None:
        """Traces that are over end their Deployment; a roll-out replaces a pod; the evicted come back."""
        for workload in self.scenario.workloads:
            running = workload.name in self.kubelet.containers
            if live_bin >= workload.live_bins:
                if running:
                    self._end(workload)
            elif live_bin == workload.redeployed_bin:
                self._delete("pods", self._pods[workload.name])
                await self._replace(workload)
            elif not running:
                await self._replace(workload)

    def _end(self, workload: Workload) -> None:
        self._delete("pods", self._pods[workload.name])
        self._delete("replicasets", workload.replica_set, "apps")
        self._delete("deployments", workload.name, "apps")

    def _delete(self, plural: str, name: str, group: str = "") -> None:
        kind = self._operations.type(group, "v1", plural)
        if self.api.store.get(kind.id, NAMESPACE, name) is not None:
            self._operations.delete(kind, NAMESPACE, name, {})

    async def _replace(self, workload: Workload) -> None:
        """The ReplicaSet's next pod, through admission like any other."""
        owner = self.api.store.get(("apps", "replicasets"), NAMESPACE, workload.replica_set)
        if owner is None:
            return
        name = new_pod_name(workload.replica_set, self._rng)
        kind = self._operations.type("", "v1", "pods")
        asked = objects.pod(workload, name, owner.load()["metadata"]["uid"])
        admitted = await self.api.admission.admit(kind, NAMESPACE, asked, dry_run=False)
        pod = self._operations.create(kind, NAMESPACE, admitted).load()
        self._run(workload, pod, self.clock.now())

    # What kubelet sees and writes.

    def _note_version(self, resource: ResourceId, change: Change) -> None:
        if resource == PODS:
            name = "/".join(change.after.key)
            self._pod_versions[name] = change.after.version
            if change.kind == "DELETED":
                del self._pod_versions[name]

    def _saw(self, resource: ResourceId, change: Change) -> None:
        if resource != PODS or change.after.key[0] != NAMESPACE:
            return
        name = change.after.key[1]
        key = next((key for key, pod in self._pods.items() if pod == name), None)
        if key is None or key not in self.kubelet.containers:
            return
        if change.kind == "DELETED":
            self.kubelet.stop(key, self.clock.now())
        elif change.kind == "MODIFIED":
            self._follow_spec(key, change.after.load())

    def _follow_spec(self, key: str, pod: JsonObject) -> None:
        wanted = resources_in(pod)
        if wanted != self.kubelet.containers[key].desired:
            self.kubelet.resize(key, wanted, self.clock.now())
            self._messages.pop(key, None)
            # Kubelet learns of it by a watch too: after the write has been answered.
            asyncio.get_running_loop().call_soon(self._write_status, key)

    def _write_status(self, key: str) -> None:
        container = self.kubelet.containers.get(key)
        stored = self.api.store.get(PODS, NAMESPACE, self._pods[key])
        if container is None or stored is None:
            return
        pod = stored.load()
        generation = pod["metadata"]["generation"]
        pod["status"] = objects.pod_status(
            container, self._messages.get(key, ""), self.clock.now(), generation
        )
        self.api.store.put(PODS, pod)

    def _pod_metrics(self, namespace: str | None, name: str | None) -> list[JsonObject]:
        """`metrics.k8s.io`: what was measured at the end of the last bin, if anything was recorded."""
        if namespace not in (None, NAMESPACE):
            return []
        past_bin = int(self.clock.now() // BIN_SECONDS) - 1
        found = []
        for key, container in self.kubelet.containers.items():
            pod = self._pods[key]
            recorded = self._workloads[key].usage_bytes[past_bin - START_BIN + WARMUP_BINS]
            if name in (None, pod) and np.isfinite(recorded) and container.running:
                found.append(_metrics_of(pod, container.usage_bytes, self.clock.now() - 1))
        return found

    def _past(self) -> Iterator[PastContainer]:
        """What Prometheus has scraped up to now."""
        first_bin = START_BIN - WARMUP_BINS
        known = int(self.clock.now() // BIN_SECONDS) - first_bin
        unknown = np.full(WARMUP_BINS, np.nan)
        for row, workload in enumerate(self.scenario.workloads):
            limit, demand = self.ledger.limit_bytes[row], self.ledger.usage_bytes[row]
            usage = np.concatenate([workload.usage_bytes[:WARMUP_BINS], np.minimum(demand, limit)])
            ooms = np.concatenate([unknown, self.ledger.oom[row].astype(np.float64)])
            yield PastContainer(
                NAMESPACE,
                self._pods[workload.name],
                CONTAINER,
                first_bin,
                usage[:known],
                np.concatenate([unknown, limit])[:known],
                ooms[:known],
            )


def resources_in(pod: JsonObject) -> Resources:
    """What a one-container pod's spec asks for."""
    amounts = pod["spec"]["containers"][0]["resources"]
    limit = parse_quantity(amounts["limits"]["memory"])
    return Resources(parse_quantity(amounts.get("requests", {}).get("memory", limit)), limit)


def _metrics_of(pod: str, usage_bytes: float, measured_seconds: float) -> JsonObject:
    usage = {"cpu": "50m", "memory": format_quantity(int(usage_bytes))}
    return {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": pod, "namespace": NAMESPACE},
        "timestamp": timestamp(measured_seconds),
        "window": f"{BIN_SECONDS}s",
        "containers": [{"name": CONTAINER, "usage": usage}],
    }


__all__ = ["EventKind", "World", "WorldSettings"]

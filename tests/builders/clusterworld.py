"""A cluster with workloads of every kind, a policy, profiles and a leading operator, served over HTTP.

In: nothing; times are relative to the wall clock, which the command line reads. Out: the sandbox's API with a
kubeconfig, a metrics API and a Prometheus that knows four days. Nothing is mocked.
"""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp.web
import httpx
import numpy as np

from builders.crds import API, policy
from builders.fakeapi import FakeApi, running_fake_api
from builders.manifests import container, kube_node, pod, running
from plimsoll.api.effective import Mode
from plimsoll.api.fields import Condition
from plimsoll.api.profile import (
    ContainerProfile,
    DecisionRecord,
    ForecastSummary,
    LeakSummary,
    OomMemory,
    OriginalResources,
    ProfileStatus,
    PromiseSummary,
    QuantileForecast,
    RecommendationSummary,
    UsageSummary,
)
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity
from plimsoll_cli.ages import age
from plimsoll_cli.sandbox.api.faults import FaultRule
from plimsoll_cli.sandbox.prometheus import PastContainer, Prometheus
from plimsoll_operator.crds import load

MIB = 2**20
KEPT_BINS = 4 * 288
NAMESPACES = ("demo", "shop", "plimsoll-system")
# pod -> (namespace, container, MiB that it swings about)
USES = {
    "web-6d4cf9b7f5-x7k2p": ("demo", "main", 200.0),
    "web-6d4cf9b7f5-q9v4m": ("demo", "main", 180.0),
    "db-0": ("demo", "db", 700.0),
    "log-bx7kd": ("demo", "log", 30.0),
    "log-zq4wm": ("demo", "log", 90.0),
    "alone": ("demo", "app", 64.0),
    "report-29301-vw2xk": ("demo", "job", 40.0),
    "gadget-a": ("demo", "app", 50.0),
    "web-5c8fb7d6b4-t2r8s": ("shop", "main", 121.0),
}


@dataclass
class ClusterWorld:
    """The cluster under test."""

    fake: FakeApi
    http: httpx.Client
    kubeconfig: Path
    now_seconds: float = field(default_factory=time.time)
    unanswered: str = ""
    """Prometheus fails every question that holds this text."""
    partial: bool = False
    """Prometheus says that its answers are not whole."""

    @property
    def prometheus_url(self) -> str:
        return f"{self.fake.url}/prometheus"

    def ages(self, seconds: float) -> set[str]:
        """How a command that has just ended may call what was so long before the world was made."""
        most = seconds + time.time() - self.now_seconds
        return {age(0.0, each) or "" for each in np.arange(seconds, most + 1.0)}

    def forbid(self, plural: str) -> None:
        """Every request for this resource is a 403 from now on."""
        self.fake.call(self.fake.api.faults.rules.append, FaultRule(code=403, plural=plural))

    def get(self, path: str) -> dict[str, Any]:
        return self.http.get(path).raise_for_status().json()


@contextmanager
def cluster_world(directory: Path, *, installed: bool = True) -> Iterator[ClusterWorld]:
    """Serve the cluster until the block ends; not `installed`: without Plimsoll in it."""
    with running_fake_api() as fake, httpx.Client(base_url=fake.url) as http:
        world = ClusterWorld(fake, http, fake.kubeconfig(directory))
        for name in NAMESPACES:
            _create(world, "/api/v1/namespaces", {"metadata": {"name": name}})
        _workloads(world)
        fake.call(_serve_usage, world)
        if installed:
            _install(world)
        yield world


def usage_mib(pod_name: str) -> np.ndarray:
    """Four days of five-minute maxima: a daily swing and a little noise, seeded by the pod's name."""
    level = USES[pod_name][2]
    rng = np.random.default_rng(sum(pod_name.encode()))
    swing = 1 + 0.15 * np.sin(np.arange(KEPT_BINS) * 2 * np.pi / 288)
    return level * swing * rng.uniform(0.97, 1.03, KEPT_BINS)


def _serve_usage(world: ClusterWorld) -> None:
    api = world.fake.api
    prometheus = Prometheus(lambda: [_past(world, name) for name in USES])

    async def handle(request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        if world.unanswered and world.unanswered in request.query.get("query", ""):
            return aiohttp.web.json_response({"status": "error", "error": "query timed out"}, status=503)
        answer = await prometheus.handle(request)
        if world.partial:
            text = answer.text.replace("{", '{"warnings": ["a store is down"], ', 1)
            return aiohttp.web.Response(text=text, content_type="application/json")
        return answer

    api.routes["/prometheus/api/v1/*"] = handle
    api.computed["metrics.k8s.io", "pods"] = lambda namespace, _: [
        _measured(world, name) for name in USES if namespace in (None, USES[name][0])
    ]


def _past(world: ClusterWorld, name: str) -> PastContainer:
    namespace, container_name, _ = USES[name]
    usage = usage_mib(name) * MIB
    first_bin = int(world.now_seconds // BIN_SECONDS) - KEPT_BINS
    none = np.zeros(KEPT_BINS)
    limits = np.full(KEPT_BINS, 512.0 * MIB)
    return PastContainer(namespace, name, container_name, first_bin, usage, limits, none)


def _measured(world: ClusterWorld, name: str) -> dict[str, Any]:
    namespace, container_name, _ = USES[name]
    amount = f"{int(usage_mib(name)[-1] * 1024)}Ki"
    return {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": name, "namespace": namespace},
        "timestamp": rfc3339(world.now_seconds - 10),
        "window": "15s",
        "containers": [{"name": container_name, "usage": {"cpu": "5m", "memory": amount}}],
    }


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _create(world: ClusterWorld, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = world.http.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def _owned(
    world: ClusterWorld,
    namespace: str,
    root: str,
    plural: str,
    kind: str,
    name: str,
    owner: dict | None = None,
) -> dict[str, Any]:
    """A controller, and the reference that what it owns has to it."""
    metadata = {"name": name, "ownerReferences": [owner] if owner else []}
    made = _create(world, f"/apis/{root}/namespaces/{namespace}/{plural}", {"metadata": metadata, "spec": {}})
    return reference(root, kind, name, made["metadata"]["uid"])


def reference(api_version: str, kind: str, name: str, uid: str = "u-1") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}


def _run(world: ClusterWorld, name: str, owner: dict | None, *containers: dict, **fields: Any) -> None:
    namespace = USES[name][0]
    body = pod(name, *containers, labels={"app": name.partition("-")[0]}, **fields)
    body["metadata"]["ownerReferences"] = [owner] if owner else []
    made = _create(world, f"/api/v1/namespaces/{namespace}/pods", body)
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
    world.http.patch(path, json=running(made), headers=headers).raise_for_status()


def _workloads(world: ClusterWorld) -> None:
    for name, kind in (("kube-node-a", "small"), ("kube-node-b", "large")):
        node = kube_node(name)
        node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = kind
        _create(world, "/api/v1/nodes", node)
    apps, batch = "apps/v1", "batch/v1"
    main = container("main", "400Mi", "512Mi")
    web = _owned(world, "demo", apps, "deployments", "Deployment", "web")
    web = _owned(world, "demo", apps, "replicasets", "ReplicaSet", "web-6d4cf9b7f5", web)
    for name in ("web-6d4cf9b7f5-x7k2p", "web-6d4cf9b7f5-q9v4m"):
        _run(world, name, web, main)
    db = _owned(world, "demo", apps, "statefulsets", "StatefulSet", "db")
    _run(world, "db-0", db, container("db", "256Mi", "720Mi"))
    log = _owned(world, "demo", apps, "daemonsets", "DaemonSet", "log")
    _run(world, "log-bx7kd", log, container("log", "64Mi", "128Mi"))
    _run(world, "log-zq4wm", log, container("log", "64Mi", "128Mi"), nodeName="kube-node-b")
    _run(world, "alone", None, {"name": "app", "image": "registry.invalid/app:1"})
    cron = _owned(world, "demo", batch, "cronjobs", "CronJob", "report")
    job = _owned(world, "demo", batch, "jobs", "Job", "report-29301", cron)
    _run(world, "report-29301-vw2xk", job, container("job", "64Mi", "128Mi"))
    gadget = reference("example.com/v1", "Gadget", "gadget")
    _run(world, "gadget-a", gadget, container("app", "64Mi", "128Mi"))
    shop = _owned(world, "shop", apps, "deployments", "Deployment", "web")
    shop = _owned(world, "shop", apps, "replicasets", "ReplicaSet", "web-5c8fb7d6b4", shop)
    _run(world, "web-5c8fb7d6b4-t2r8s", shop, container("main", "96Mi", "128Mi"))


@cache
def _crds() -> list[dict[str, Any]]:
    """Reading 100 KB of YAML takes longer than everything else here."""
    return load()


def _install(world: ClusterWorld) -> None:
    for crd in _crds():
        _create(world, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    everything = policy("everything", selector={}, mode="InPlace", limits={"objective": "slack:0.2"})
    _create(world, f"{API}/namespaces/demo/memorypolicies", everything)
    _profile(world, "demo", "Deployment", "web", _web(world))
    for node_class, used in (("small", 30), ("large", 90)):
        usage = UsageSummary(quantity="usage", current_bytes=used * MIB)
        status = ProfileStatus(containers=(ContainerProfile(name="log", usage=usage),))
        _profile(world, "demo", "DaemonSet", "log", status, node_class)
    _profile(world, "shop", "Deployment", "web", _shop(world))
    _profile(world, "shop", "StatefulSet", "cart", ProfileStatus())
    lease = {"holderIdentity": "operator-0", "leaseDurationSeconds": 3600}
    lease["renewTime"] = rfc3339(world.now_seconds - 3).replace("Z", ".000000Z")
    body = {"metadata": {"name": "plimsoll-operator"}, "spec": lease}
    _create(world, "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases", body)
    _event(world, "web-6d4cf9b7f5-x7k2p", 300, "Raised", "limit of main 512.0 MiB -> 640.0 MiB")
    _event(world, "db-0", 300, "Raised", "of another workload")


def _profile(
    world: ClusterWorld, namespace: str, kind: str, name: str, status: ProfileStatus, node_class: str = ""
) -> None:
    full = f"{kind}-{name}".lower() + (f"-{node_class}" if node_class else "")
    spec: dict[str, Any] = {"targetRef": {"kind": kind, "name": name}}
    if node_class:
        spec["nodeClass"] = node_class
    path = f"{API}/namespaces/{namespace}/memoryprofiles"
    body = {"apiVersion": "plimsoll.dev/v1alpha1", "kind": "MemoryProfile", "metadata": {"name": full}}
    _create(world, path, body | {"spec": spec})
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = world.http.patch(f"{path}/{full}/status", json={"status": status.to_api()}, headers=headers)
    assert answer.is_success, answer.text


def _web(world: ClusterWorld) -> ProfileStatus:
    now = world.now_seconds
    levels = ((0.5, 210), (0.95, 250), (0.99, 270), (0.999, 300))
    main = ContainerProfile(
        name="main",
        mode=Mode.IN_PLACE,
        usage=UsageSummary(quantity="usage", current_bytes=200 * MIB, last_sample_time_seconds=now - 40),
        forecast=ForecastSummary(
            model="auto",
            time_seconds=now - 600,
            quantiles=tuple(
                QuantileForecast(level=level, value_bytes=value * MIB) for level, value in levels
            ),
            promises=PromiseSummary(
                hours=280.4, promised_fraction=0.001, realised_fraction=0.0008, buffer_shift_fraction=0.03
            ),
        ),
        recommendation=RecommendationSummary(
            lower_bytes=300 * MIB,
            target_bytes=320 * MIB,
            upper_bytes=400 * MIB,
            buffer_bytes=70 * MIB,
            request_bytes=260 * MIB,
        ),
        last_decision=DecisionRecord(
            kind="raise",
            reason="OOMKilled",
            message="limit 512.0 MiB -> 640.0 MiB",
            time_seconds=now - 300,
            from_bytes=512 * MIB,
            to_bytes=640 * MIB,
        ),
        original_resources=OriginalResources(request_bytes=400 * MIB, limit_bytes=512 * MIB),
        oom=OomMemory(count=2, last_time_seconds=now - 400, limit_bytes=512 * MIB, floor_bytes=640 * MIB),
        workload_class="growth",
        leak=LeakSummary(
            since_time_seconds=now - 7200,
            growth_per_hour_bytes=20 * MIB,
            growth_per_hour_low_bytes=15 * MIB,
            growth_per_hour_high_bytes=25 * MIB,
            death_time_seconds=now + 22 * 3600,
        ),
        checkpoint=base64.b64encode(_checkpoint(world, "web-6d4cf9b7f5-x7k2p")).decode(),
    )
    return ProfileStatus(
        policy="MemoryPolicy demo/everything",
        mode=Mode.IN_PLACE,
        pods=2,
        updated_time_seconds=now - 60,
        containers=(main,),
    )


def _shop(world: ClusterWorld) -> ProfileStatus:
    hold = DecisionRecord(
        kind="hold",
        reason="NoHistory",
        message="not enough history to say anything yet",
        time_seconds=world.now_seconds - 7200 - 60,
        to_bytes=128 * MIB,
    )
    conflict = Condition(
        type="Conflict", status="True", reason="SamePrecedence", message="two policies speak for it equally"
    )
    containers = (ContainerProfile(name="main", mode=Mode.OFF, last_decision=hold),)
    return ProfileStatus(mode=Mode.OFF, pods=1, containers=containers, conditions=(conflict,))


def _checkpoint(world: ClusterWorld, pod_name: str) -> bytes:
    history = History(Quantity.USAGE, 1)
    rows = history.add_rows(1)
    seconds = world.now_seconds - (KEPT_BINS - np.arange(KEPT_BINS)) * float(BIN_SECONDS)
    history.append(np.repeat(rows, KEPT_BINS), seconds, usage_mib(pod_name) * MIB, world.now_seconds)
    return history.checkpoint(int(rows[0]))


def _event(world: ClusterWorld, pod_name: str, ago_seconds: float, reason: str, note: str) -> None:
    body = {
        "metadata": {"name": f"{pod_name}.raised"},
        "eventTime": rfc3339(world.now_seconds - ago_seconds),
        "reportingController": "plimsoll.dev/operator",
        "reportingInstance": "operator-0",
        "action": "Resize",
        "reason": reason,
        "type": "Normal",
        "note": note,
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "demo", "name": pod_name, "uid": "u"},
    }
    _create(world, "/apis/events.k8s.io/v1/namespaces/demo/events", body)

"""The operator itself, a real child process with the rights it needs and no more, against a real API server.

In: pods whose status the test writes (there is no kubelet), use from a small Prometheus. Out: what the API
server then holds. Leadership, a SIGKILL and an API server that goes away are real.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import pytest

from builders.apiserver import OPERATOR_USER, ApiServer, free_port
from builders.crds import install_crds
from builders.manifests import container, deployment, kube_node, pod, running
from builders.operator_process import NAMESPACE, OperatorProcess, granted, start_operator
from builders.placing import preferred
from builders.prometheus import Prometheus, running_prometheus
from builders.waiting import wait_for
from builders.webhook import CONFIGURATIONS, Webhook
from plimsoll.api.quantity import parse_quantity
from plimsoll_operator.admission import WEBHOOK_PATH

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

MIB = 2**20
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/plimsoll-operator"


@dataclass
class Shop:
    """A Deployment with two running pods in a namespace of its own, and whoever watches over it."""

    api: ApiServer
    directory: Path
    namespace: str
    prometheus: Prometheus
    pods: tuple[str, str] = ("web-6d4cf56db6-aaaaa", "web-6d4cf56db6-bbbbb")
    operators: list[OperatorProcess] = field(default_factory=list)
    database: dict = field(default_factory=dict)  # the owner reference of its pods

    @property
    def http(self) -> httpx.Client:
        return self.api.client()

    def path(self, resource: str, *rest: str, root: str = "/api/v1") -> str:
        return "/".join([root, "namespaces", self.namespace, resource, *rest])

    def open(self, mode: str) -> None:
        """Create the Deployment, its ReplicaSet and pods, and the policy."""
        apps = "/apis/apps/v1"
        above = self._create(self.path("deployments", root=apps), deployment("web", replicas=2))
        replica_set = deployment("web-6d4cf56db6") | {"kind": "ReplicaSet"}
        replica_set["metadata"]["ownerReferences"] = [owner("Deployment", above)]
        made = self._create(self.path("replicasets", root=apps), replica_set)
        for name in self.pods:
            manifest = pod(name, container("app", "64Mi", "256Mi"), labels={"app": "web"})
            manifest["metadata"]["ownerReferences"] = [owner("ReplicaSet", made)]
            self._create(self.path("pods"), manifest)
            self.run(name)
        self.uses(100 * MIB)
        policy = {
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "MemoryPolicy",
            "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "mode": mode},
        }
        self._create(self.path("memorypolicies", root="/apis/plimsoll.dev/v1alpha1"), policy)

    def _create(self, path: str, body: dict) -> dict:
        made = self.http.post(path, json=body)
        made.raise_for_status()
        return made.json()

    def run(self, name: str) -> None:
        """What a kubelet does: put in force what the spec says, and tell so."""
        found = self.http.get(self.path("pods", name)).json()
        headers = {"Content-Type": "application/merge-patch+json"}
        self.http.patch(
            self.path("pods", name, "status"), json=running(found), headers=headers
        ).raise_for_status()

    def open_database(self, bytes_: float) -> None:
        """A second Deployment under the same policy, which uses more than it requests."""
        apps = "/apis/apps/v1"
        above = self._create(self.path("deployments", root=apps), deployment("db"))
        replica_set = deployment("db-6d4cf56db6") | {"kind": "ReplicaSet"}
        replica_set["metadata"]["ownerReferences"] = [owner("Deployment", above)]
        self.database = owner("ReplicaSet", self._create(self.path("replicasets", root=apps), replica_set))
        manifest = pod("db-6d4cf56db6-first", container("app", "64Mi", "1Gi"), labels={"app": "web"})
        manifest["metadata"]["ownerReferences"] = [self.database]
        self._create(self.path("pods"), manifest)
        self.run("db-6d4cf56db6-first")
        self.uses(bytes_, "db-6d4cf56db6-first")

    def told_where(self, name: str) -> dict | None:
        """Create one pod more of the database that no node is named for; None unless it was told where."""
        manifest = pod(name, container("app", "64Mi", "1Gi"), labels={"app": "web"})
        del manifest["spec"]["nodeName"]
        manifest["metadata"]["ownerReferences"] = [self.database]
        made = self._create(self.path("pods"), manifest)
        return made if preferred(made) else None

    @contextmanager
    def kube_nodes(self, memory: dict[str, str]) -> Iterator[None]:
        """Kube nodes that pods may go to; there is no controller that would take their first taint away."""
        for name, amount in memory.items():
            self._create("/api/v1/nodes", kube_node(name, amount))
            self.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
        try:
            yield
        finally:
            for name in memory:
                self.http.delete(f"/api/v1/nodes/{name}").raise_for_status()

    def patch(self, path: str, body: dict) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        self.http.patch(path, json=body, headers=headers).raise_for_status()

    def replica(self, number: int) -> int:
        """Create one pod more, as the ReplicaSet controller would; the limit it came in with."""
        made = self.http.get(self.path("pods", self.pods[0])).json()["metadata"]["ownerReferences"]
        name = f"web-6d4cf56db6-{number:05d}"
        manifest = pod(name, container("app", "64Mi", "256Mi"), labels={"app": "web"})
        manifest["metadata"]["ownerReferences"] = made
        self._create(self.path("pods"), manifest)
        assert self.limit(name) > 100 * MIB
        return self.limit(name)

    @contextmanager
    def registered(self, url: str, authority: Path) -> Iterator[None]:
        """The operator's webhook registered for this namespace's pods, by address."""
        body = Webhook(url, authority.read_bytes()).configuration(self.namespace, self.namespace)
        self.http.post(CONFIGURATIONS, json=body).raise_for_status()
        try:
            yield
        finally:
            self.http.delete(f"{CONFIGURATIONS}/{self.namespace}").raise_for_status()

    def uses(self, bytes_: float, *pods: str) -> None:
        """Let the pods (default: both) use so much from now on."""
        for name in pods or self.pods:
            self.prometheus.usage[self.namespace, name, "app"] = bytes_

    def settle(self, operator: OperatorProcess) -> None:
        """Until the operator has lowered the roomy first limits and sees them in force."""
        self.wait(lambda: all(self.limit(name) < 256 * MIB for name in self.pods), "the first lowering")
        for name in self.pods:
            self.run(name)
        operator.wait_for_loops(2)

    def climbs(self, name: str) -> None:
        """Let one pod come close to its limit, and wait until it gets more."""
        before = self.limit(name)
        self.uses(0.97 * before, name)
        self.wait(lambda: self.limit(name) > before, f"more memory for {name}")

    def limit(self, name: str) -> int:
        found = self.http.get(self.path("pods", name)).json()
        return parse_quantity(found["spec"]["containers"][0]["resources"]["limits"]["memory"])

    def generation(self, name: str) -> int:
        return self.http.get(self.path("pods", name)).json()["metadata"]["generation"]

    def told(self, name: str) -> list[str]:
        """What the operator's events say of a pod."""
        events = self.http.get(self.path("events")).json()["items"]
        ours = (e for e in events if e["reportingComponent"] == "plimsoll.dev/operator")
        return [e["message"] for e in ours if e["involvedObject"]["name"] == name]

    def profile(self) -> dict:
        path = self.path("memoryprofiles", "deployment-web", root="/apis/plimsoll.dev/v1alpha1")
        return self.http.get(path).json()

    def holder(self) -> str:
        found = self.http.get(LEASE)
        return found.json()["spec"].get("holderIdentity") or "" if found.status_code == 200 else ""

    @contextmanager
    def watched_by(self, identity: str, *flags: str) -> Iterator[OperatorProcess]:
        """Run an operator until the block ends."""
        operator = start_operator(
            self.directory,
            self.api.kubeconfig("operator"),
            identity,
            *("--usage-source", "prometheus", "--prometheus-url", self.prometheus.url),
            *("--interval", "500ms", "--settle", "1ms", *flags),
        )
        self.operators.append(operator)
        try:
            operator.wait_until_ready()
            yield operator
        finally:
            operator.child.stop()

    def wait(self, question, what: str):
        """`wait_for`, with the operators' logs in the failure."""
        try:
            return wait_for(question, what, 40)
        except AssertionError as error:
            logs = "\n".join(f"--- {o.identity}\n{o.child.tail()}" for o in self.operators)
            raise AssertionError(f"{error}\n{logs}") from None


def owner(kind: str, made: dict) -> dict:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": made["metadata"]["name"],
        "uid": made["metadata"]["uid"],
        "controller": True,
    }


@pytest.fixture
def shop(apiserver: ApiServer, real_namespace: str, tmp_path: Path) -> Iterator[Shop]:
    http = apiserver.client()
    install_crds(http)
    with granted(apiserver, OPERATOR_USER), running_prometheus() as prometheus:
        yield Shop(apiserver, tmp_path, real_namespace, prometheus)


def test_a_climb_towards_the_limit_is_answered_by_a_resize(shop: Shop):
    shop.open("InPlace")
    with shop.watched_by("first") as operator:
        shop.settle(operator)
        assert shop.holder() == "first"
        shop.climbs(shop.pods[0])
        shop.wait(lambda: any("limit 256.0 MiB" in told for told in shop.told(shop.pods[0])), "the event")
    recorded = shop.profile()["status"]["containers"][0]["originalResources"]
    assert {name: parse_quantity(recorded[name]) for name in ("limit", "request")} == {
        "limit": 256 * MIB,
        "request": 64 * MIB,
    }


def test_a_roomy_limit_is_lowered_on_history_and_only_once(shop: Shop):
    shop.open("InPlace")
    with shop.watched_by("first") as operator:
        first = shop.pods[0]
        shop.wait(lambda: shop.limit(first) < 256 * MIB, "the limit to fall towards 100 MiB of use")
        assert shop.limit(first) > 100 * MIB
        lowered, generation = shop.limit(first), shop.generation(first)
        for name in shop.pods:
            shop.run(name)
        operator.wait_for_loops(4)
        assert (shop.limit(first), shop.generation(first)) == (lowered, generation)


def test_recommend_touches_nothing(shop: Shop):
    shop.open("Recommend")
    with shop.watched_by("first") as operator:
        shop.wait(lambda: "recommendation" in str(shop.profile().get("status")), "the recommendation")
        operator.wait_for_loops(2)
        assert [shop.limit(name) for name in shop.pods] == [256 * MIB] * 2
        assert [shop.generation(name) for name in shop.pods] == [1, 1]


def test_a_new_pod_gets_its_limit_at_admission_and_the_old_ones_are_left_alone(shop: Shop, tmp_path: Path):
    shop.open("Initial")
    port, certificates = free_port(), tmp_path / "certificates"
    flags = ("--webhook-port", str(port), "--webhook-cert-dir", str(certificates))
    with shop.watched_by("first", *flags):
        shop.wait(lambda: "recommendation" in str(shop.profile().get("status")), "the recommendation")
        with shop.registered(f"https://127.0.0.1:{port}{WEBHOOK_PATH}", certificates / "tls.crt"):
            numbers = count()
            shop.wait(lambda: shop.replica(next(numbers)) < 256 * MIB, "a new pod that is given less")
        assert [shop.limit(name) for name in shop.pods] == [256 * MIB] * 2
        assert [shop.generation(name) for name in shop.pods] == [1, 1]


def test_a_new_pod_is_told_the_node_that_will_have_room(shop: Shop, tmp_path: Path):
    shop.open("Initial")
    shop.open_database(900 * MIB)
    policy = {"spec": {"placement": {"node": "Prefer"}}}
    shop.patch(shop.path("memorypolicies", "web", root="/apis/plimsoll.dev/v1alpha1"), policy)
    port, certificates = free_port(), tmp_path / "certificates"
    flags = ("--webhook-port", str(port), "--webhook-cert-dir", str(certificates))
    with (
        shop.kube_nodes({"place-small": "700Mi", "place-wide": "8Gi"}),
        shop.watched_by("first", *flags) as op,
    ):
        trusted = "forecasts to be trusted"
        shop.wait(lambda: op.metric("plimsoll_placement_trusted") == 1.0, trusted)
        with shop.registered(f"https://127.0.0.1:{port}{WEBHOOK_PATH}", certificates / "tls.crt"):
            numbers = count()
            made = shop.wait(
                lambda: shop.told_where(f"db-6d4cf56db6-{next(numbers):05d}"), "a pod with a place"
            )
        assert preferred(made) == ["place-wide"]
        assert op.metric("plimsoll_placements_total", 'outcome="preferred-unmeasured"') >= 1
        shop.wait(lambda: op.metric("plimsoll_placement_expected_pods") >= 1, "the pod to be expected")


def test_a_standby_takes_over_from_a_leader_that_was_killed(shop: Shop):
    shop.open("InPlace")
    with shop.watched_by("first") as first:
        shop.wait(lambda: shop.holder() == "first", "the first operator to lead")
        with shop.watched_by("second") as second:
            second.wait_for_loops(2)
            assert (first.metric("plimsoll_leader"), second.metric("plimsoll_leader")) == (1.0, 0.0)
            assert shop.holder() == "first"
            first.child.stop(kill=True)
            shop.wait(lambda: shop.holder() == "second", "the second operator to lead")
            shop.settle(second)
            assert second.metric("plimsoll_leader") == 1.0
            shop.climbs(shop.pods[0])


def test_an_operator_outlives_the_api_server(shop: Shop):
    shop.open("InPlace")
    with shop.watched_by("first") as operator:
        shop.settle(operator)
        shop.api.stop_server(kill=True)
        gone = time.monotonic()
        wait_for(
            lambda: operator.child.process.poll() is not None or time.monotonic() > gone + 4, "four seconds"
        )
        assert operator.child.process.poll() is None
        shop.api.start_server()
        shop.climbs(shop.pods[0])
        assert operator.child.process.poll() is None


def test_paused_it_leaves_even_a_climb_alone_until_resumed(shop: Shop):
    shop.open("InPlace")
    control = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    body = {"metadata": {"name": "plimsoll-control"}, "data": {"paused": "true"}}
    shop.http.post(control, json=body).raise_for_status()
    try:
        with shop.watched_by("first") as operator:
            name = shop.pods[0]
            shop.uses(250 * MIB, name)
            shop.wait(lambda: operator.metric("plimsoll_paused") == 1.0, "the pause to be seen")
            operator.wait_for_loops(3)
            assert shop.limit(name) == 256 * MIB
            shop.http.delete(f"{control}/plimsoll-control").raise_for_status()
            shop.wait(lambda: shop.limit(name) > 256 * MIB, "the climb to be answered once resumed")
    finally:
        shop.http.delete(f"{control}/plimsoll-control")

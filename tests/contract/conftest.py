"""In: `make apiserver`'s binaries and the sandbox's API. Out: each test's cluster, once fake and once real.

Nothing is mocked: both are servers on a loopback port, spoken to over HTTP. What a test here asserts holds
for both, so that what the sandbox shows is what a cluster would have done.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import helm_python
import httpx
import pytest

from builders.apiserver import ApiServer, running_apiserver
from builders.chart import NAMESPACE
from builders.crds import CRDS, install_crds
from builders.fakeapi import running_fake_api
from builders.installed import Helm
from builders.manifests import kube_node
from builders.waiting import wait_for
from plimsoll.api.v1alpha1 import API_VERSION, KINDS
from plimsoll_operator.actuate.api import KubernetesApi
from plimsoll_operator.crds import load


@dataclass(frozen=True)
class Cluster:
    """One Kubernetes API under test."""

    name: str
    url: str
    http: httpx.Client
    kubeconfig: Path
    forget_changes: Callable[[], None] = lambda: None
    """Compaction: older versions cannot be watched from. The real one has long forgotten version 1."""

    def install_crds(self) -> None:
        """Plimsoll's shipped CRDs; returns when they are served."""
        install_crds(self.http)

    def in_namespace(self, namespace: str) -> "Namespaced":
        """Shorthand for the paths of one namespace."""
        return Namespaced(self.http, namespace)


@dataclass(frozen=True)
class Namespaced:
    """The objects of one namespace, by resource name; every call returns the raw HTTP response."""

    http: httpx.Client
    namespace: str

    def path(self, resource: str, *rest: str) -> str:
        """`pods` or `coordination.k8s.io/v1/leases`, then name and subresource."""
        *group, plural = resource.split("/")
        prefix = f"/apis/{'/'.join(group)}" if group else "/api/v1"
        return "/".join([prefix, "namespaces", self.namespace, plural, *rest])

    def create(self, resource: str, body: dict) -> httpx.Response:
        """POST to the collection."""
        return self.http.post(self.path(resource), json=body)

    def get(self, resource: str, *name: str, **params: str | int) -> httpx.Response:
        """GET an object, a subresource or the collection."""
        return self.http.get(self.path(resource, *name), params=params)

    def replace(self, resource: str, name: str, body: dict, *sub: str) -> httpx.Response:
        """PUT the whole object."""
        return self.http.put(self.path(resource, name, *sub), json=body)

    def patch(self, resource: str, name: str, body: dict, *sub: str, kind: str = "strategic-merge"):
        """PATCH with `application/<kind>-patch+json`."""
        headers = {"Content-Type": f"application/{kind}-patch+json"}
        return self.http.patch(self.path(resource, name, *sub), json=body, headers=headers)

    def delete(self, resource: str, name: str) -> httpx.Response:
        """DELETE at once, without a grace period."""
        return self.http.delete(self.path(resource, name), params={"gracePeriodSeconds": 0})


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real kube-apiserver with etcd, RBAC on; use only in tests marked `apiserver`."""
    with running_apiserver(tmp_path_factory.mktemp("apiserver")) as api:
        yield api


@pytest.fixture
def real_client(apiserver: ApiServer) -> httpx.Client:
    """HTTP client of the real API server, speaking as a cluster administrator."""
    return apiserver.client()


@pytest.fixture
def real_namespace(real_client: httpx.Client) -> str:
    """A fresh namespace on the real API server."""
    return new_namespace(real_client)


def ensure_kube_node(http: httpx.Client) -> None:
    """Without its kube node a pod cannot be resized: the API server asks what the node supports."""
    made = http.post("/api/v1/nodes", json=kube_node())
    if made.status_code != 409:
        made.raise_for_status()


def new_namespace(http: httpx.Client) -> str:
    """Create a namespace with a name of its own and return the name."""
    ensure_kube_node(http)
    name = f"t-{uuid.uuid4().hex[:10]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    http.post("/api/v1/namespaces", json=body).raise_for_status()
    return name


@pytest.fixture(scope="session")
def fake_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The sandbox's API, served for the whole run."""
    with running_fake_api() as fake, httpx.Client(base_url=fake.url, timeout=30) as http:
        kubeconfig = fake.kubeconfig(tmp_path_factory.mktemp("fake"))
        yield Cluster("fake", fake.url, http, kubeconfig, lambda: fake.call(fake.api.store.compact))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.apiserver)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The cluster under test: the sandbox's fake and the real API server in turn."""
    if request.param == "fake":
        return request.getfixturevalue("fake_cluster")
    api: ApiServer = request.getfixturevalue("apiserver")
    return Cluster("real", api.url, api.client(), api.kubeconfig())


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[KubernetesApi]:
    """The operator's adapter, connected to it."""
    adapter = await KubernetesApi.connect(environment={"KUBECONFIG": str(cluster.kubeconfig)})
    yield adapter
    await adapter.close()


@pytest.fixture
def ns(cluster: Cluster) -> Namespaced:
    """A fresh namespace in the cluster under test."""
    return cluster.in_namespace(new_namespace(cluster.http))


@pytest.fixture(scope="module")
def empty_cluster(apiserver: ApiServer) -> ApiServer:
    """The API server without our CRDs, which other tests have put there: Helm takes over nobody's objects."""
    http = apiserver.client()
    paths = [f"{CRDS}/{crd['metadata']['name']}" for crd in load()]
    for kind in KINDS:
        # The API server opens a kind's storage at the first question, and anew after each change of its CRD.
        # Were that question the deletion of the CRD, it would be tried again only minutes later.
        http.get(f"/apis/{API_VERSION}/{kind.plural}", params={"limit": 1})
    for path in paths:
        http.delete(path)
    wait_for(lambda: all(http.get(path).status_code == 404 for path in paths), "the CRDs to go", 60)
    return apiserver


@pytest.fixture
def helm(empty_cluster: ApiServer) -> Iterator[Helm]:
    """Helm on a cluster without a release; from the second test on with the CRDs that the first one left."""
    kubeconfig = empty_cluster.kubeconfig()
    fast = {"qps": 1000.0, "burst_limit": 1000}
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE, **fast) as config:
        made = Helm(config, empty_cluster.client())
        yield made
        made.uninstall()

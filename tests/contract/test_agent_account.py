"""The account of agents that act, on a real API server with the chart installed: what its token may write."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from builders.apiserver import ApiServer
from builders.chart import LEAST, NAMESPACE
from builders.crds import CRDS
from builders.installed import Helm
from builders.manifests import container, kube_node, pod
from builders.others_tools import MissingError, foreign_crds
from builders.waiting import wait_for
from plimsoll.api.profile import NodeMemoryStatus, NumaNodeMemory
from plimsoll_nodeagent.control import node_memory as node_memories
from plimsoll_nodeagent.control import node_topology
from plimsoll_nodeagent.control.kubeapi import ApiError, KubeApi
from plimsoll_nodeagent.control.node_topology import Told

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

GROUP = "topology.node.k8s.io"
OBJECTS = "/apis/plimsoll.dev/v1alpha1/nodememories"
ACCOUNT = "plimsoll-agent"


def token_of(http: httpx.Client, node: str) -> str:
    """A token of an agent's pod on a node, as a kubelet gets it."""
    assert http.post("/api/v1/nodes", json=kube_node(node)).status_code in (201, 409)
    manifest = pod(f"agent-of-{node}", container("agent"))
    own = {"serviceAccountName": ACCOUNT, "nodeName": node, "automountServiceAccountToken": False}
    manifest["spec"] |= own
    made = http.post(f"/api/v1/namespaces/{NAMESPACE}/pods", json=manifest).raise_for_status().json()
    meta = made["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    answer = http.post(path, json={"spec": {"boundObjectRef": bound}}).raise_for_status().json()
    return answer["status"]["token"]


def node_memory(name: str) -> dict:
    return {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "NodeMemory",
        "metadata": {"name": name},
        "spec": {},
    }


def test_an_agent_writes_the_object_of_its_own_node_and_no_other(helm: Helm, apiserver: ApiServer):
    helm.install({**LEAST, "agent": {"act": {"enabled": True}}, "crds": {"install": True}})
    headers = {"Authorization": f"Bearer {token_of(helm.http, 'own-node')}"}
    wait_for(lambda: helm.http.get(OBJECTS).is_success, "the kind", 60)
    helm.http.post(OBJECTS, json=node_memory("other-node")).raise_for_status()
    patch = {"content": '{"status": {}}', "headers": {"Content-Type": "application/merge-patch+json"}}
    with httpx.Client(base_url=apiserver.url, headers=headers, verify=apiserver.ssl_context()) as agent:
        # The API server takes some seconds to hear of a new admission policy.
        wait_for(
            lambda: agent.patch(f"{OBJECTS}/other-node/status", **patch).status_code == 422, "the policy", 60
        )
        refused = agent.post(OBJECTS, json=node_memory("another-node"))
        assert (refused.status_code, "its own node only" in refused.text) == (422, True)
        assert agent.post(OBJECTS, json=node_memory("own-node")).status_code == 201
        assert agent.patch(f"{OBJECTS}/own-node/status", **patch).status_code == 200
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods/agent-of-own-node"
        labels = {"content": '{"metadata": {"labels": {"x": "y"}}}', "headers": patch["headers"]}
        assert agent.patch(pods, **labels).status_code == 403
        assert agent.patch(f"{pods}/resize", **labels).status_code == 403
    for name in ("own-node", "other-node"):
        helm.http.delete(f"{OBJECTS}/{name}").raise_for_status()


@pytest.fixture
def topologies(apiserver: ApiServer) -> Iterator[httpx.Client]:
    """The kind as its maintainers ship it."""
    try:
        (crd,) = [each for each in foreign_crds() if each["spec"]["group"] == GROUP]
    except MissingError as missing:
        pytest.skip(str(missing))
    http = apiserver.client()
    http.post(CRDS, json=crd).raise_for_status()
    wait_for(lambda: http.get(node_topology.OBJECTS).is_success, "the kind", 60)
    yield http
    http.delete(f"{CRDS}/{crd['metadata']['name']}").raise_for_status()


def agents_client(apiserver: ApiServer, token: str, directory: Path) -> KubeApi:
    """The agent's own client, with this token."""
    (directory / "token").write_text(token)
    shutil.copy(apiserver.ca_file, directory / "ca.crt")
    url = httpx.URL(apiserver.url)
    return KubeApi(url.host, url.port, directory)


def topology(name: str) -> dict:
    kind = {"apiVersion": node_topology.GROUP_VERSION, "kind": "NodeResourceTopology"}
    return {**kind, "metadata": {"name": name}, "zones": [{"name": "node-0", "type": "Node"}]}


def test_a_topology_of_its_own_is_written_and_one_of_others_is_not(
    helm: Helm, apiserver: ApiServer, topologies: httpx.Client, tmp_path: Path
):
    act = {"enabled": True, "nodeResourceTopology": True}
    helm.install({**LEAST, "agent": {"act": act}, "crds": {"install": True}})
    wait_for(lambda: helm.http.get(OBJECTS).is_success, "NodeMemory", 60)
    topologies.post(node_topology.OBJECTS, json=topology("other-node")).raise_for_status()
    numa = NumaNodeMemory(id=0, total_bytes=8 << 30, free_bytes=1 << 30, remote_fraction=0.25, slow=False)
    zones = node_topology.zones_of([numa])
    with agents_client(apiserver, token_of(helm.http, "topology-node"), tmp_path) as agent:

        def refusal(name: str, body: dict) -> str:
            try:
                agent.merge(f"{node_topology.OBJECTS}/{name}?dryRun=All", body)
            except ApiError as error:
                return str(error)
            return ""

        # The API server takes some seconds to hear of a new admission policy.
        wait_for(lambda: "its own node only" in refusal("other-node", {"zones": zones}), "the policy", 60)
        uid = node_memories.write(agent, "topology-node", NodeMemoryStatus(numa_nodes=(numa,)))
        assert node_topology.write(agent, "topology-node", zones, uid) is Told.WRITTEN
        assert node_topology.write(agent, "topology-node", zones, uid) is Told.WRITTEN
        made = topologies.get(f"{node_topology.OBJECTS}/topology-node").raise_for_status().json()
        assert made["zones"] == zones  # nothing was pruned: the kind knows all that is said
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner["uid"] == helm.http.get(f"{OBJECTS}/topology-node").json()["metadata"]["uid"]
        # Of its own node, and made by somebody else meanwhile.
        topologies.delete(f"{node_topology.OBJECTS}/topology-node").raise_for_status()
        topologies.post(node_topology.OBJECTS, json=topology("topology-node")).raise_for_status()
        assert node_topology.write(agent, "topology-node", zones, uid) is Told.THEIRS
        assert "of others alone" in refusal("topology-node", {"zones": zones})
    helm.http.delete(f"{OBJECTS}/topology-node").raise_for_status()

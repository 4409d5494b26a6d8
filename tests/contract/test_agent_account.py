"""The account of agents that act, on a real API server with the chart installed: what its token may write."""

import httpx
import pytest

from builders.apiserver import ApiServer
from builders.chart import LEAST, NAMESPACE
from builders.installed import Helm
from builders.manifests import container, kube_node, pod
from builders.waiting import wait_for

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

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

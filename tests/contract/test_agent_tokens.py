"""Tokens as a kubelet gets them for the agent's pod, judged by a real API server."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from builders.attending import Attended, Reviews, attending, until
from builders.authority import Authority
from builders.manifests import container, kube_node, pod
from plimsoll.coordinate.authority import hello_refusal, token_refusal
from plimsoll_operator.actuate.api import KubernetesApi
from plimsoll_operator.coordinate.tokens import Tokens
from plimsoll_proto.service import AUDIENCE

pytestmark = pytest.mark.apiserver
NAMESPACE, ACCOUNT = "agent-tokens", "plimsoll-agent"
USERNAME = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


class Agents:
    """Agents' pods on nodes, and their tokens."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.made("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self.made(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": ACCOUNT}})

    def made(self, path: str, body: dict) -> dict:
        answer = self.http.post(path, json=body)
        assert answer.status_code in (200, 201, 409), answer.text
        return answer.json()

    def token(self, name: str, node: str, audience: str = AUDIENCE) -> str:
        """A token bound to a pod of the agent's account on a node."""
        self.made("/api/v1/nodes", kube_node(node))
        manifest = pod(name, container("agent"))
        manifest["spec"] |= {
            "serviceAccountName": ACCOUNT,
            "nodeName": node,
            "automountServiceAccountToken": False,
        }
        uid = self.made(f"/api/v1/namespaces/{NAMESPACE}/pods", manifest)["metadata"]["uid"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        spec = {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
        return self.made(path, {"spec": spec})["status"]["token"]

    def gone(self, name: str) -> None:
        """Delete a pod at once."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
        self.http.delete(path, params={"gracePeriodSeconds": 0}).raise_for_status()


@pytest.fixture(scope="module")
def agents(apiserver):
    return Agents(apiserver.client())


@pytest.fixture
async def tokens(apiserver) -> AsyncIterator[Tokens]:
    api = await KubernetesApi.connect(environment={"KUBECONFIG": str(apiserver.kubeconfig())})
    yield Tokens(api, AUDIENCE, time.monotonic)
    await api.close()


async def test_a_bound_token_speaks_for_the_node_of_its_pod(agents, tokens):
    facts = await tokens.facts(agents.token("agent-1", "tokens-n1"))
    assert token_refusal(facts, USERNAME, AUDIENCE) == ""
    assert hello_refusal(facts, "tokens-n1") == ""
    assert "does not speak for" in hello_refusal(facts, "tokens-n2")


async def test_a_token_for_somebody_else_opens_nothing(agents, tokens):
    facts = await tokens.facts(agents.token("agent-2", "tokens-n1", audience="another"))
    assert token_refusal(facts, USERNAME, AUDIENCE)


async def test_a_token_dies_with_its_pod(agents, tokens):
    token = agents.token("agent-3", "tokens-n1")
    agents.gone("agent-3")
    assert token_refusal(await tokens.facts(token), USERNAME, AUDIENCE)


class RealReviews(Reviews):
    """Whose token it is says a real API server."""

    def __init__(self, api: KubernetesApi) -> None:
        super().__init__()
        self.api = api

    async def create(self, resource, namespace, body):
        self.asked += 1
        return await self.api.create(resource, namespace, body)


async def test_a_pod_that_goes_takes_its_open_stream_with_it(agents, apiserver, tmp_path):
    api = await KubernetesApi.connect(environment={"KUBECONFIG": str(apiserver.kubeconfig())})
    reviews = RealReviews(api)
    operator = Attended(tmp_path, Authority(), reviews, username=USERNAME, review_seconds=0.1)
    token = agents.token("agent-5", "node-a")
    async with operator.serving():
        link, _ = operator.agent("node-a", token=token)
        async with attending(link):
            await until(lambda: link.state.attending)
            await until(lambda: reviews.asked >= 3)
            assert link.state.streams_total == 1
            agents.gone("agent-5")
            await until(lambda: not operator.service._streams)
            await until(lambda: "the token is not valid" in link.state.why)
    await api.close()


async def test_a_forged_token_is_told(agents, tokens):
    head, body, signature = agents.token("agent-4", "tokens-n1").split(".")
    facts = await tokens.facts(".".join((head, body, signature[::-1])))
    assert "not valid" in token_refusal(facts, USERNAME, AUDIENCE)


def test_an_agents_token_opens_nothing_on_the_api_server(agents, apiserver):
    """It is for the operator: the API server is another audience."""
    answers = {}
    for number, audience in enumerate((AUDIENCE, "https://kubernetes.default.svc")):
        token = agents.token(f"agent-6{number}", "tokens-n1", audience)
        answer = httpx.get(
            f"{apiserver.url}/api/v1/namespaces", headers={"Authorization": f"Bearer {token}"},
            verify=apiserver.ssl_context(),
        )  # fmt: skip
        answers[audience] = answer.status_code
    assert answers == {AUDIENCE: 401, "https://kubernetes.default.svc": 403}

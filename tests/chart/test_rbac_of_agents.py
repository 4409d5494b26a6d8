"""An agent that watches may do nothing; one that acts what `rights.py` lists: what its code can ask for.

The code's side is what its client is called for, by a stand-in that notes each call, and by whom, out of the
source's syntax trees.
"""

import ast
from pathlib import Path
from typing import Self

from builders.chart import Object, render
from plimsoll.api.profile import NodeMemoryStatus
from plimsoll_nodeagent.control import node_memory, node_topology
from plimsoll_nodeagent.control.cluster_policies import ClusterPolicies
from plimsoll_nodeagent.control.kubeapi import ApiError, KubeApi
from plimsoll_nodeagent.rights import RIGHTS as AGENT

ROOT = Path(__file__).parents[2]
TOPOLOGY = {"agent": {"act": {"enabled": True, "nodeResourceTopology": True}}}
TOLD = {"agent": {"act": {"enabled": True, "policiesFrom": "operator"}}, "coordination": {"enabled": True}}


def test_an_agent_that_only_watches_may_do_nothing():
    assert render().bound_accounts == {"plimsoll-operator"}


def given_to_agents(rendered):
    role = rendered.one("ClusterRole", "-agent")
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights(*, topology: bool) -> set[tuple[str, str, str]]:
    return {
        (each.group, each.resource, verb)
        for each in AGENT
        if topology or not each.topology
        for verb in each.verbs
    }


def test_an_agent_that_acts_may_do_what_its_table_lists_and_change_no_pod():
    rendered = render({"agent": {"act": {"enabled": True}}})
    assert rendered.bound_accounts == {"plimsoll-operator", "plimsoll-agent"}
    given = given_to_agents(rendered)
    assert given == rights(topology=False)
    written = {resource for _, resource, verb in given if verb not in {"get", "list", "watch"}}
    assert written == {"nodememories", "nodememories/status"}


def test_who_wants_node_resource_topologies_lets_agents_write_them_and_nothing_besides():
    rendered = render(TOPOLOGY)
    assert given_to_agents(rendered) == rights(topology=True)
    arguments = rendered.one("DaemonSet")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--node-resource-topology" in arguments
    policy = rendered.one("ValidatingAdmissionPolicy")["spec"]
    _, rule = policy["matchConstraints"]["resourceRules"]
    assert (rule["apiGroups"], rule["resources"]) == (["topology.node.k8s.io"], ["noderesourcetopologies"])
    assert len(policy["validations"]) == 2


def test_an_agent_that_is_told_its_policies_may_read_nothing():
    rendered = render(TOLD)
    given = given_to_agents(rendered)
    assert given == {
        (each.group, each.resource, verb)
        for each in AGENT
        if not each.told and not each.topology
        for verb in each.verbs
    }
    assert {verb for *_, verb in given} == {"create", "patch"}
    arguments = rendered.one("DaemonSet")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--policies-from-operator" in arguments
    assert not [
        each for each in arguments if each.startswith(("--policies-from-cluster", "--own-namespaces"))
    ]


# What a method of the agent's client sends.
AGENTS_VERBS = {"get": "list", "post": "create", "merge": "patch"}
AGENTS_CALLERS = {
    ("cluster_policies.py", "get"),
    ("node_memory.py", "merge"),
    ("node_memory.py", "post"),
    ("node_topology.py", "get"),
    ("node_topology.py", "merge"),
    ("node_topology.py", "post"),
}


class RecordedCalls:
    """Stands where the agent's `KubeApi` stands; keeps what each call has to be authorised as."""

    def __init__(self) -> None:
        self.rights: set[tuple[str, str, str]] = set()
        self._node_memory_is_there = False
        self.topology: Object | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get(self, path: str) -> Object:
        if path.startswith(node_topology.OBJECTS):
            self._keep("get", path, parts=2, verb="get")
            if self.topology is None:
                raise ApiError("not found", 404)
            return self.topology
        self._keep("get", path, parts=1)
        return {"items": []}

    def post(self, path: str, body: object) -> Object:
        self._keep("post", path, parts=1)
        self._node_memory_is_there = True
        return {}

    def merge(self, path: str, body: object) -> Object:
        self._keep("merge", path, parts=2 if path.startswith(node_topology.OBJECTS) else 3)
        if not self._node_memory_is_there:
            raise ApiError("not found", 404)
        return {}

    def _keep(self, method: str, path: str, parts: int, verb: str = "") -> None:
        root, *rest = path.partition("?")[0].strip("/").split("/")
        group, resource = ("", rest[1:]) if root == "api" else (rest[0], rest[2:])
        assert len(resource) == parts, f"{method} {path}: a list, a creation or a patch of a subresource"
        name = "/".join((resource[0], *resource[2:]))
        self.rights.add((group, name, verb or AGENTS_VERBS[method]))


def test_the_agents_table_lists_what_its_code_asks_for_and_nothing_else():
    calls = RecordedCalls()
    policies = ClusterPolicies(lambda: calls, "node-1", ())
    policies.refresh(0.0)
    policies.wait()
    assert policies.problem == ""
    node_memory.write(calls, "node-1", NodeMemoryStatus())
    assert calls.rights == rights(topology=False)
    assert node_topology.write(calls, "node-1", []) is node_topology.Told.WRITTEN
    calls.topology = {"metadata": {"labels": {node_topology.OWNER_LABEL: node_topology.OWNER}}}
    assert node_topology.write(calls, "node-1", []) is node_topology.Told.WRITTEN
    assert calls.rights == rights(topology=True)


def test_no_other_module_of_the_agent_calls_the_api_server():
    source = ROOT / "nodeagent/plimsoll_nodeagent"
    clients = set(AGENTS_VERBS)
    assert {name for name in vars(KubeApi) if not name.startswith("_")} == {*clients, "close", "of_this_pod"}
    callers = {
        (path.name, each.func.attr)
        for path in source.rglob("*.py")
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in clients
        and getattr(each.func.value, "id", getattr(each.func.value, "attr", "")).lstrip("_") == "api"
    }
    assert callers == AGENTS_CALLERS
    importers = {path.name for path in source.rglob("*.py") if "KubeApi" in path.read_text()}
    assert importers == {"kubeapi.py", "assemble.py", *(module for module, _ in AGENTS_CALLERS)}


def test_an_agent_writes_its_own_nodes_object_only():
    rendered = render({"agent": {"act": {"enabled": True}}})
    policy = rendered.one("ValidatingAdmissionPolicy")["spec"]
    (rule,) = policy["matchConstraints"]["resourceRules"]
    assert rule["resources"] == ["nodememories", "nodememories/status"]
    assert "node-name" in policy["validations"][0]["expression"]
    assert policy["failurePolicy"] == "Fail"
    binding = rendered.one("ValidatingAdmissionPolicyBinding")["spec"]
    assert binding["validationActions"] == ["Deny"]
    assert render().of_kind("ValidatingAdmissionPolicy") == []

"""`plimsoll drain-advice` on a cluster whose one node is too small for what is on it."""

import pytest

HEADERS = {"Content-Type": "application/merge-patch+json"}
BUDGETS = "/apis/policy/v1/namespaces/demo/poddisruptionbudgets"


def shrink(world, memory, node="kube-node-a"):
    """Say that a node can give so much."""
    status = {"status": {"allocatable": {"memory": memory, "cpu": "8", "pods": "110"}}}
    path = f"/api/v1/nodes/{node}/status"
    world.http.patch(path, json=status, headers=HEADERS).raise_for_status()


def budget(world, name, allowed, labels):
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}}}
    world.http.post(
        BUDGETS, json={"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"} | body
    ).raise_for_status()
    status = {"status": {"disruptionsAllowed": allowed}}
    world.http.patch(f"{BUDGETS}/{name}/status", json=status, headers=HEADERS).raise_for_status()


def prioritise(world, pod, priority, namespace="demo"):
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    world.http.patch(path, json={"spec": {"priority": priority}}, headers=HEADERS).raise_for_status()


def test_where_all_have_room_nobody_moves(plimsoll, told, world):
    result = plimsoll("drain-advice", at=world)
    assert result.exit_code == 0, result.stderr
    assert "All 2 kube nodes are short with chance 0.02 at the most" in result.stdout
    assert "pods have no history: their requests count" in result.stderr
    assert told("drain-advice", at=world) == []


def test_the_cheapest_pod_that_helps_goes_to_a_node_with_room(told, own_world):
    shrink(own_world, "1000Mi")
    before = own_world.get("/api/v1/pods")
    row = told("drain-advice", at=own_world)[0]
    assert (row["from"], row["to"]) == ("kube-node-a", "kube-node-b")
    assert row["short"] > max(0.02, row["short without it"])
    assert row["short there"] <= 0.02
    assert own_world.get("/api/v1/pods") == before


def test_the_more_important_stays(told, own_world):
    shrink(own_world, "1000Mi")
    row = told("drain-advice", at=own_world)[0]
    namespace, _, name = row["pod"].partition("/")
    prioritise(own_world, name, 1000, namespace)
    assert told("drain-advice", at=own_world)[0]["pod"] != row["pod"]


def test_a_budget_without_room_is_honoured(told, plimsoll, own_world):
    shrink(own_world, "1000Mi")
    budget(own_world, "web", 0, {"app": "web"})
    assert all(not row["pod"].startswith("demo/web-") for row in told("drain-advice", at=own_world))
    budget(own_world, "all", 0, {})
    result = plimsoll("drain-advice", at=own_world)
    assert "No pod can be moved that would help." in result.stdout or "shop/" in result.stdout


def test_a_replica_is_not_sent_to_where_its_anti_affinity_forbids_it(told, own_world):
    """On the only node with room there is one of those that it must not be beside."""
    pods = own_world.get("/api/v1/pods")["items"]
    shrink(own_world, "1000Mi")
    goes = told("drain-advice", at=own_world)[0]["pod"]
    namespace, _, name = goes.partition("/")
    at = {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each for each in pods}
    assert at[goes]["spec"]["nodeName"] == "kube-node-a"
    label = {"apart": "yes"}
    beside = next(
        each["metadata"]["name"]
        for each in pods
        if each["metadata"]["namespace"] == namespace and each["spec"]["nodeName"] == "kube-node-b"
    )
    for each in (name, beside):
        path = f"/api/v1/namespaces/{namespace}/pods/{each}"
        own_world.http.patch(path, json={"metadata": {"labels": label}}, headers=HEADERS).raise_for_status()
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": label}}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
    body = {"spec": {"affinity": anti}}
    own_world.http.patch(path, json=body, headers=HEADERS).raise_for_status()
    assert goes not in [row["pod"] for row in told("drain-advice", at=own_world)]


def test_without_a_node_to_go_to_the_node_is_named(plimsoll, own_world):
    shrink(own_world, "500Mi")
    shrink(own_world, "100Mi", "kube-node-b")
    result = plimsoll("drain-advice", at=own_world)
    assert result.exit_code == 0
    assert "No pod can be moved that would help." in result.stdout
    assert "kube node kube-node-a stays short with chance" in result.stderr
    assert "no other node has room" in result.stderr


def test_budgets_that_may_not_be_read_allow_nothing(plimsoll, own_world):
    shrink(own_world, "500Mi")
    own_world.forbid("poddisruptionbudgets")
    result = plimsoll("drain-advice", at=own_world)
    assert "none of the pods that are left on it may be moved" in result.stderr


@pytest.mark.parametrize("bound", ["0", "0.7", "nan"])
def test_a_bound_that_is_none(plimsoll, world, bound):
    result = plimsoll("drain-advice", "--bound", bound, at=world)
    assert result.exit_code == 2
    assert f"--bound {bound}: must lie above 0 and not above 0.5" in result.stderr


def test_a_cluster_that_cannot_be_read(plimsoll, own_world):
    own_world.forbid("nodes")
    assert plimsoll("drain-advice", at=own_world).exit_code == 2

"""What an API server promises about pods: spec, status and resize apart, and evictions under a budget.

There is no kubelet here: the tests write pod status themselves, as a kubelet would.
"""

import pytest

from builders.manifests import container, disruption_budget, pod, resize_body, running

MEMORY = "memory"
BUDGETS = "policy/v1/poddisruptionbudgets"


def limits(body: dict) -> dict[str, str]:
    return {c["name"]: c["resources"]["limits"][MEMORY] for c in body["spec"]["containers"]}


def run_pod(ns, manifest: dict) -> dict:
    """Create the pod and mark it as running, as a kubelet would."""
    made = ns.create("pods", manifest)
    made.raise_for_status()
    done = ns.patch("pods", manifest["metadata"]["name"], running(made.json()), "status")
    done.raise_for_status()
    return done.json()


def test_the_main_resource_ignores_status(ns):
    ns.create("pods", pod("a")).raise_for_status()
    ns.patch("pods", "a", {"status": {"phase": "Running"}}).raise_for_status()
    assert ns.get("pods", "a").json()["status"]["phase"] == "Pending"


def test_the_status_resource_ignores_spec_and_labels_of_the_spec(ns):
    run_pod(ns, pod("a"))
    body = {
        "spec": {"containers": [{"name": "app", "image": "registry.invalid/other:9"}]},
        "status": {"reason": "x"},
    }
    ns.patch("pods", "a", body, "status").raise_for_status()
    found = ns.get("pods", "a").json()
    assert (found["spec"]["containers"][0]["image"], found["status"]["reason"]) == (
        "registry.invalid/app:1",
        "x",
    )


def test_the_main_resource_refuses_new_resources(ns):
    run_pod(ns, pod("a"))
    refused = ns.patch("pods", "a", resize_body("app", "64Mi", "256Mi"))
    assert refused.status_code == 422
    assert limits(ns.get("pods", "a").json()) == {"app": "128Mi"}


def test_a_resize_changes_the_named_container_only(ns):
    before = run_pod(ns, pod("a", container("app"), container("sidecar", "32Mi", "48Mi")))
    answer = ns.patch("pods", "a", resize_body("app", "96Mi", "256Mi"), "resize")
    assert answer.status_code == 200
    after = ns.get("pods", "a").json()
    assert limits(after) == {"app": "256Mi", "sidecar": "48Mi"}
    # What the kubelet has applied is another matter: status still tells the old limit.
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_a_resize_touches_nothing_but_resources(ns):
    run_pod(ns, pod("a", labels={"x": "1"}))
    body = resize_body("app", "64Mi", "256Mi")
    body["metadata"] = {"labels": {"x": "2"}}
    body["status"] = {"reason": "from resize"}
    ns.patch("pods", "a", body, "resize")
    after = ns.get("pods", "a").json()
    assert (after["metadata"]["labels"], after["status"].get("reason")) == ({"x": "1"}, None)


@pytest.mark.parametrize(
    ("request_", "limit", "because"),
    [("256Mi", "128Mi", "request above limit"), ("128Mi", "128Mi", "QoS class would become Guaranteed")],
)
def test_a_resize_the_rules_forbid_is_refused(ns, request_, limit, because):
    full = {"requests": {"cpu": "1", MEMORY: "64Mi"}, "limits": {"cpu": "1", MEMORY: "128Mi"}}
    run_pod(ns, pod("a", {**container("app"), "resources": full}))
    assert ns.patch("pods", "a", resize_body("app", request_, limit), "resize").status_code == 422, because
    assert limits(ns.get("pods", "a").json()) == {"app": "128Mi"}


def test_a_merge_patch_on_resize_is_refused_because_it_replaces_the_list(ns):
    run_pod(ns, pod("a", container("app"), container("sidecar")))
    refused = ns.patch("pods", "a", resize_body("app", "96Mi", "256Mi"), "resize", kind="merge")
    assert refused.status_code == 422


def test_a_finished_resize_is_told_by_status(ns):
    run_pod(ns, pod("a"))
    resized = ns.patch("pods", "a", resize_body("app", "64Mi", "256Mi"), "resize").json()
    ns.patch("pods", "a", running(resized), "status").raise_for_status()
    statuses = ns.get("pods", "a").json()["status"]["containerStatuses"]
    assert [s["resources"]["limits"][MEMORY] for s in statuses] == ["256Mi"]


def evict(ns, name: str):
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": ns.namespace},
    }
    return ns.http.post(ns.path("pods", name, "eviction"), json=body)


def budget(ns, allowed: int) -> None:
    """A budget over app=web that the disruption controller has computed: `allowed` may go now."""
    made = ns.create(BUDGETS, disruption_budget("b", {"app": "web"})).json()
    status = {
        "observedGeneration": made["metadata"].get("generation", 1),
        "disruptionsAllowed": allowed,
        "currentHealthy": 1 + allowed,
        "desiredHealthy": 1,
        "expectedPods": 1 + allowed,
    }
    ns.patch(BUDGETS, "b", {"status": status}, "status", kind="merge").raise_for_status()


def is_going(ns, name: str) -> bool:
    found = ns.get("pods", name)
    return found.status_code == 404 or "deletionTimestamp" in found.json()["metadata"]


def test_a_pod_without_a_budget_may_be_evicted(ns):
    run_pod(ns, pod("a"))
    assert evict(ns, "a").status_code in {200, 201}
    assert is_going(ns, "a")


def test_an_exhausted_budget_refuses_the_eviction_with_too_many_requests(ns):
    run_pod(ns, pod("a", labels={"app": "web"}))
    budget(ns, allowed=0)
    answer = evict(ns, "a")
    assert (answer.status_code, answer.json()["reason"]) == (429, "TooManyRequests")
    assert not is_going(ns, "a")


def test_a_budget_lets_as_many_go_as_it_allows(ns):
    for name in ("a", "b"):
        run_pod(ns, pod(name, labels={"app": "web"}))
    budget(ns, allowed=1)
    assert [evict(ns, name).status_code // 100 for name in ("a", "b")] == [2, 4]
    assert [is_going(ns, name) for name in ("a", "b")] == [True, False]


def test_evicting_nobody_is_not_found(ns):
    assert evict(ns, "nobody").status_code == 404

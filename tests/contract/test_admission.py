"""How an API server calls a mutating webhook when a pod is created; the same on fake and real."""

from collections.abc import Iterator

import pytest

from builders.manifests import container, pod
from builders.webhook import CONFIGURATIONS, Webhook, running_webhook


def double_first_limit(request: dict) -> list[dict]:
    path = "/spec/containers/0/resources/limits/memory"
    return [{"op": "replace", "path": path, "value": "256Mi"}]


@pytest.fixture
def hook(tmp_path) -> Iterator[Webhook]:
    with running_webhook(tmp_path, double_first_limit) as webhook:
        yield webhook


def configure(ns, hook: Webhook, **fields) -> None:
    """Register the webhook and wait until the API server has noticed it."""
    made = ns.http.post(CONFIGURATIONS, json=hook.configuration(ns.namespace, ns.namespace, **fields))
    made.raise_for_status()


def limit_of(ns, name: str, attempts: int = 200) -> str:
    """Create pods until the webhook was called (a real API server learns of it through a watch)."""
    made = {}
    for attempt in range(attempts):
        made = ns.create("pods", pod(f"{name}-{attempt}", container("app"))).json()
        if made["spec"]["containers"][0]["resources"]["limits"]["memory"] != "128Mi":
            break
    return made["spec"]["containers"][0]["resources"]["limits"]["memory"]


def test_a_created_pod_leaves_the_webhook_changed(ns, hook):
    configure(ns, hook)
    assert limit_of(ns, "a") == "256Mi"
    seen = hook.seen[-1]
    assert (seen["operation"], seen["resource"], seen["namespace"]) == (
        "CREATE",
        {"group": "", "version": "v1", "resource": "pods"},
        ns.namespace,
    )
    assert seen["object"]["metadata"]["name"].startswith("a-")


def test_other_namespaces_are_left_alone(cluster, ns, hook):
    from_elsewhere = cluster.in_namespace("default")
    configure(ns, hook)
    assert limit_of(ns, "a") == "256Mi"
    calls = len(hook.seen)
    made = from_elsewhere.create("pods", pod(f"other-{ns.namespace}")).json()
    assert made["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi"
    assert len(hook.seen) == calls


def test_a_dead_webhook_that_may_be_ignored_lets_the_pod_in_unchanged(ns, tmp_path):
    with running_webhook(tmp_path, double_first_limit) as gone:
        configure(ns, gone)
        assert limit_of(ns, "a") == "256Mi"
    made = ns.create("pods", pod("after"))
    assert made.status_code == 201
    assert made.json()["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi"


def test_a_dead_webhook_that_may_not_be_ignored_keeps_the_pod_out(ns, tmp_path):
    with running_webhook(tmp_path, double_first_limit) as gone:
        configure(ns, gone, failurePolicy="Fail")
        assert limit_of(ns, "a") == "256Mi"
    refused = ns.create("pods", pod("after"))
    assert (refused.status_code, refused.json()["reason"]) == (500, "InternalError")

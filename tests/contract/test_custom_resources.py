"""Plimsoll's own kinds as an API server keeps them: status is apart, versions and generations hold."""

import pytest

from builders.waiting import wait_for

PROFILES = "plimsoll.dev/v1alpha1/memoryprofiles"
POLICIES = "plimsoll.dev/v1alpha1/memorypolicies"


@pytest.fixture
def ns(cluster, ns):
    cluster.install_crds()
    return ns


def policy(name: str, **spec) -> dict:
    return {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryPolicy",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


def profile(name: str) -> dict:
    return {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryProfile",
        "metadata": {"name": name},
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }


CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Seen",
    "message": "",
    "lastTransitionTime": "2026-11-20T00:00:00Z",
}


def test_the_kinds_are_discovered(cluster, ns):
    wanted = {"memorypolicies", "clustermemorypolicies", "memoryprofiles", "nodememories"}

    def found() -> set[str]:
        resources = cluster.http.get("/apis/plimsoll.dev/v1alpha1").json()["resources"]
        return {resource["name"] for resource in resources}

    # Discovery follows the CRDs a moment after the kinds are served.
    wait_for(lambda: wanted | {f"{plural}/status" for plural in wanted} <= found(), "discovery")


def test_status_is_written_apart_from_spec(ns):
    ns.create(PROFILES, profile("p")).raise_for_status()
    body = {"spec": {"restore": True}, "status": {"conditions": [CONDITION]}}
    ns.patch(PROFILES, "p", body, "status", kind="merge").raise_for_status()
    found = ns.get(PROFILES, "p").json()
    assert (found["spec"].get("restore", False), found["status"]["conditions"][0]["type"]) == (False, "Ready")
    body = {"spec": {"restore": True}, "status": {"conditions": []}}
    ns.patch(PROFILES, "p", body, kind="merge").raise_for_status()
    found = ns.get(PROFILES, "p").json()
    assert (found["spec"]["restore"], found["status"]["conditions"][0]["type"]) == (True, "Ready")


def test_status_given_at_creation_is_dropped(ns):
    ns.create(PROFILES, profile("p") | {"status": {"conditions": [CONDITION]}}).raise_for_status()
    assert "status" not in ns.get(PROFILES, "p").json()


def test_only_changes_of_spec_raise_the_generation(ns):
    made = ns.create(POLICIES, policy("p", mode="Recommend")).json()
    told = ns.patch(POLICIES, "p", {"status": {"workloads": 3}}, "status", kind="merge").json()
    changed = ns.patch(POLICIES, "p", {"spec": {"mode": "Off"}}, kind="merge").json()
    assert [body["metadata"]["generation"] for body in (made, told, changed)] == [1, 1, 2]


def test_a_strategic_merge_is_not_taken_for_custom_resources(ns):
    ns.create(POLICIES, policy("p")).raise_for_status()
    assert ns.patch(POLICIES, "p", {"spec": {"mode": "Off"}}).status_code == 415


def test_a_stale_status_update_conflicts(ns):
    stale = ns.create(PROFILES, profile("p")).json()
    first = ns.replace(PROFILES, "p", stale | {"status": {"conditions": [CONDITION]}}, "status")
    assert first.status_code == 200
    again = ns.replace(PROFILES, "p", stale | {"status": {"conditions": []}}, "status")
    assert (again.status_code, again.json()["reason"]) == (409, "Conflict")

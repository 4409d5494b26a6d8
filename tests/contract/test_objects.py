"""What an API server promises about objects: versions, conflicts, patches, pages; alike on fake and real."""

import json

import pytest

from builders.manifests import container, deployment, lease, pod

LEASES = "coordination.k8s.io/v1/leases"
DEPLOYMENTS = "apps/v1/deployments"


def version(body: dict) -> int:
    return int(body["metadata"]["resourceVersion"])


def status_of(response) -> tuple[int, str]:
    body = response.json()
    assert body["kind"] == "Status"
    return response.status_code, body["reason"]


def test_a_created_object_has_uid_version_and_time(ns):
    made = ns.create("pods", pod("a")).json()
    assert made == ns.get("pods", "a").json()
    assert {"uid", "resourceVersion", "creationTimestamp"} <= made["metadata"].keys()


def test_one_name_cannot_be_created_twice(ns):
    ns.create("pods", pod("a")).raise_for_status()
    assert status_of(ns.create("pods", pod("a"))) == (409, "AlreadyExists")


def test_a_generated_name_begins_as_asked(ns):
    manifest = pod("")
    manifest["metadata"] = {"generateName": "worker-"}
    names = {ns.create("pods", manifest).json()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("worker-") and len(name) > len("worker-") for name in names)


def test_a_prefix_that_is_no_name_is_refused(ns):
    manifest = pod("")
    manifest["metadata"] = {"generateName": "worker."}
    assert status_of(ns.create("pods", manifest)) == (422, "Invalid")


def test_what_does_not_exist_is_not_found(ns):
    assert status_of(ns.get("pods", "nobody")) == (404, "NotFound")
    assert status_of(ns.delete("pods", "nobody")) == (404, "NotFound")
    assert status_of(ns.patch("pods", "nobody", {"metadata": {"labels": {"a": "b"}}})) == (404, "NotFound")


def test_every_write_raises_the_version(ns):
    seen = [version(ns.create("pods", pod("a")).json())]
    seen.append(version(ns.patch("pods", "a", {"metadata": {"labels": {"x": "1"}}}).json()))
    seen.append(version(ns.create("pods", pod("b")).json()))
    seen.append(version(ns.patch("pods", "a", {"metadata": {"labels": {"x": "2"}}}).json()))
    assert seen == sorted(set(seen))
    assert version(ns.get("pods").json()) >= seen[-1]


def test_a_write_that_changes_nothing_keeps_the_version(ns):
    made = ns.create("pods", pod("a", labels={"x": "1"})).json()
    again = ns.patch("pods", "a", {"metadata": {"labels": {"x": "1"}}}).json()
    assert version(again) == version(made)


def test_an_update_from_a_stale_copy_conflicts(ns):
    stale = ns.create(LEASES, lease("l", "one")).json()
    fresh = json.loads(json.dumps(stale))
    fresh["spec"]["holderIdentity"] = "two"
    ns.replace(LEASES, "l", fresh).raise_for_status()
    stale["spec"]["holderIdentity"] = "three"
    assert status_of(ns.replace(LEASES, "l", stale)) == (409, "Conflict")
    assert ns.get(LEASES, "l").json()["spec"]["holderIdentity"] == "two"


@pytest.mark.parametrize("kind", ["strategic-merge", "merge"])
def test_a_patch_that_names_a_stale_version_conflicts(ns, kind):
    made = ns.create(LEASES, lease("l", "one")).json()
    ns.patch(LEASES, "l", {"spec": {"holderIdentity": "two"}}, kind=kind).raise_for_status()
    body = {
        "metadata": {"resourceVersion": made["metadata"]["resourceVersion"]},
        "spec": {"holderIdentity": "x"},
    }
    assert status_of(ns.patch(LEASES, "l", body, kind=kind)) == (409, "Conflict")


def test_a_strategic_merge_finds_containers_by_name(ns):
    ns.create(DEPLOYMENTS, deployment("d", container("app"), container("sidecar"))).raise_for_status()
    body = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "sidecar", "image": "registry.invalid/new:2"}]}}
        }
    }
    patched = ns.patch(DEPLOYMENTS, "d", body).json()["spec"]["template"]["spec"]["containers"]
    assert sorted((c["name"], c["image"]) for c in patched) == [
        ("app", "registry.invalid/app:1"),
        ("sidecar", "registry.invalid/new:2"),
    ]
    assert all(c["resources"]["limits"]["memory"] == "128Mi" for c in patched)


def test_a_plain_merge_replaces_the_list_of_containers(ns):
    ns.create(DEPLOYMENTS, deployment("d", container("app"), container("sidecar"))).raise_for_status()
    body = {"spec": {"template": {"spec": {"containers": [container("sidecar", limit="256Mi")]}}}}
    patched = ns.patch(DEPLOYMENTS, "d", body, kind="merge").json()["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["resources"]["limits"]["memory"]) for c in patched] == [("sidecar", "256Mi")]


def test_null_in_a_patch_removes_the_field(ns):
    ns.create("pods", pod("a", labels={"keep": "1", "drop": "1"})).raise_for_status()
    patched = ns.patch("pods", "a", {"metadata": {"labels": {"drop": None}}}).json()
    assert patched["metadata"]["labels"] == {"keep": "1"}


def test_a_json_patch_whose_test_fails_changes_nothing(ns):
    ns.create("pods", pod("a", labels={"x": "1"})).raise_for_status()
    operations = [
        {"op": "test", "path": "/metadata/labels/x", "value": "2"},
        {"op": "replace", "path": "/metadata/labels/x", "value": "3"},
    ]
    assert ns.patch("pods", "a", operations, kind="json").status_code == 422
    assert ns.get("pods", "a").json()["metadata"]["labels"] == {"x": "1"}


def test_pages_give_every_object_once(ns):
    names = [f"p-{i:02d}" for i in range(7)]
    for name in names:
        ns.create("pods", pod(name)).raise_for_status()
    seen, token, pages = [], "", 0
    while pages == 0 or token:
        page = ns.get("pods", limit=3, **({"continue": token} if token else {})).json()
        seen += [item["metadata"]["name"] for item in page["items"]]
        token, pages = page["metadata"].get("continue", ""), pages + 1
    assert (seen, pages) == (names, 3)


def test_lists_are_filtered_by_label(ns):
    for name, tier in (("a", "web"), ("b", "db"), ("c", "web")):
        ns.create("pods", pod(name, labels={"tier": tier})).raise_for_status()

    def named(selector: str) -> list[str]:
        return [i["metadata"]["name"] for i in ns.get("pods", labelSelector=selector).json()["items"]]

    assert (named("tier=web"), named("tier!=web"), named("tier in (db)"), named("!tier")) == (
        ["a", "c"],
        ["b"],
        ["b"],
        [],
    )


def test_lists_are_filtered_by_the_fields_a_kind_offers(ns):
    for name, kube_node in (("a", "kube-node-a"), ("b", "kube-node-b")):
        ns.create("pods", pod(name, nodeName=kube_node)).raise_for_status()

    def named(selector: str) -> list[str]:
        return [i["metadata"]["name"] for i in ns.get("pods", fieldSelector=selector).json()["items"]]

    assert named("spec.nodeName=kube-node-b") == ["b"]
    assert named("metadata.name!=b") == ["a"]
    assert (named("status.phase=Pending"), named("status.phase!=Pending")) == (["a", "b"], [])


@pytest.mark.parametrize("resource", ["pods", "apps/v1/replicasets"])
def test_a_field_that_a_kind_does_not_offer_is_refused(ns, resource):
    refused = ns.get(resource, fieldSelector="status.replicas!=0")
    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")


def test_a_deleted_object_is_gone(ns):
    ns.create("pods", pod("a")).raise_for_status()
    ns.delete("pods", "a").raise_for_status()
    assert ns.get("pods", "a").status_code == 404
    assert ns.get("pods").json()["items"] == []

"""The operator's own adapter (`KubernetesApi`): every method, the same assertions on fake and real."""

import pytest

from builders.manifests import container, disruption_budget, lease, pod, running
from plimsoll.api.quantity import parse_quantity
from plimsoll_operator.actuate.api import (
    EVENTS,
    LEASES,
    PODS,
    PROFILES,
    ApiError,
    KubernetesApi,
    MemoryValues,
    PodRef,
    Resource,
)

MIB = 1024 * 1024
CONFIG_MAPS = Resource("", "v1", "configmaps")
NO_UID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def running_pod(ns) -> PodRef:
    """A running pod of two containers, as a kubelet would have it."""
    return run_pod(
        ns, pod("a", container("app"), container("sidecar", "32Mi", "48Mi"), labels={"app": "web"})
    )


def run_pod(ns, manifest: dict) -> PodRef:
    made = ns.create("pods", manifest).json()
    ns.patch("pods", made["metadata"]["name"], running(made), "status").raise_for_status()
    return PodRef(ns.namespace, made["metadata"]["name"], made["metadata"]["uid"])


def memory(body: dict) -> dict[str, tuple[int, int]]:
    """Request and limit of every container in MiB."""
    found = {}
    for each in body["spec"]["containers"]:
        pair = (each["resources"][key]["memory"] for key in ("requests", "limits"))
        found[each["name"]] = tuple(parse_quantity(value) // MIB for value in pair)
    return found


async def refusal(call) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


async def test_version_is_the_servers(api):
    assert await api.version() == "v1.37.1"


async def test_read_gives_the_object(api, ns, running_pod):
    found = await api.read(PODS, ns.namespace, "a")
    assert (found["metadata"]["uid"], found["status"]["phase"]) == (running_pod.uid, "Running")


async def test_read_of_nothing_is_missing(api, ns):
    assert (await refusal(api.read(PODS, ns.namespace, "nobody"))).missing


async def test_read_path_gives_discovery(api):
    resources = {r["name"]: r["kind"] for r in (await api.read_path("/apis/apps/v1"))["resources"]}
    assert resources["deployments"] == "Deployment"
    assert {"statefulsets", "daemonsets", "replicasets", "deployments/scale"} <= resources.keys()


async def test_count_counts_without_reading_all(api, ns):
    before = await api.count(PODS)
    for name in ("x", "y", "z"):
        ns.create("pods", pod(name)).raise_for_status()
    assert await api.count(PODS) == before + 3


async def test_pages_give_every_object_once(api, ns):
    for number in range(5):
        ns.create("configmaps", {"metadata": {"name": f"page-{number}"}}).raise_for_status()
    found, token = [], ""
    while True:
        items, token = await api.page(CONFIG_MAPS, 2, token)
        assert len(items) <= 2
        found += [each["metadata"]["name"] for each in items if each["metadata"]["namespace"] == ns.namespace]
        if not token:
            break
    assert [name for name in found if name.startswith("page-")] == [f"page-{number}" for number in range(5)]


async def test_create_refuses_a_taken_name(api, ns):
    await api.create(LEASES, ns.namespace, lease("l", "one"))
    assert (await refusal(api.create(LEASES, ns.namespace, lease("l", "two")))).conflict


async def test_an_event_is_taken(api, ns, running_pod):
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": ns.namespace},
        "eventTime": "2026-11-20T00:00:00.000000Z",
        "reason": "MemoryLimitRaised",
        "action": "Resize",
        "type": "Normal",
        "note": "limit of app from 128Mi to 256Mi",
        "reportingController": "plimsoll.dev/operator",
        "reportingInstance": "test",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "a",
            "namespace": ns.namespace,
            "uid": running_pod.uid,
        },
    }
    made = await api.create(EVENTS, ns.namespace, body)
    assert (made["reason"], made["regarding"]["name"]) == ("MemoryLimitRaised", "a")


async def test_of_two_who_take_a_lease_from_one_copy_one_wins(api, ns):
    copy = await api.create(LEASES, ns.namespace, lease("l", "one"))
    spec = {**copy["spec"], "holderIdentity": "two"}
    won = await api.replace(LEASES, ns.namespace, "l", {**copy, "spec": spec})
    lost = await refusal(
        api.replace(LEASES, ns.namespace, "l", {**copy, "spec": {**spec, "holderIdentity": "three"}})
    )
    assert (won["spec"]["holderIdentity"], lost.conflict) == ("two", True)
    assert (await api.read(LEASES, ns.namespace, "l"))["spec"]["holderIdentity"] == "two"


async def test_patch_status_changes_status_only(api, cluster, ns):
    cluster.install_crds()
    made = await api.create(
        PROFILES,
        ns.namespace,
        {
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "MemoryProfile",
            "metadata": {"name": "p"},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        },
    )
    body = {"spec": {"restore": True}, "status": {"policy": "first"}}
    told = await api.patch_status(PROFILES, ns.namespace, "p", body)
    assert (told["spec"], told["status"]["policy"]) == (made["spec"], "first")
    again = await api.patch_status(PROFILES, ns.namespace, "p", {"status": {"mode": "InPlace"}})
    assert (again["status"]["policy"], again["status"]["mode"]) == ("first", "InPlace")


async def test_patch_status_for_an_older_object_of_that_name_conflicts(api, cluster, ns, running_pod):
    body = {"metadata": {"uid": NO_UID}, "status": {"reason": "x"}}
    assert (await refusal(api.patch_status(PODS, ns.namespace, "a", body))).conflict


async def test_resize_sets_named_containers_and_nothing_else(api, ns, running_pod):
    before = ns.get("pods", "a").json()
    answer = await api.resize(running_pod, {"app": MemoryValues(256 * MIB, 96 * MIB)})
    after = ns.get("pods", "a").json()
    assert memory(after) == memory(answer) == {"app": (96, 256), "sidecar": (32, 48)}
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]


async def test_resize_of_the_limit_alone_keeps_the_request(api, ns, running_pod):
    await api.resize(running_pod, {"app": MemoryValues(256 * MIB, None)})
    assert memory(ns.get("pods", "a").json())["app"] == (64, 256)


async def test_resize_of_several_containers_is_one_write(api, ns, running_pod):
    both = {"app": MemoryValues(256 * MIB, 96 * MIB), "sidecar": MemoryValues(64 * MIB, 40 * MIB)}
    before = ns.get("pods", "a").json()["metadata"]["generation"]
    answer = await api.resize(running_pod, both)
    assert memory(answer) == {"app": (96, 256), "sidecar": (40, 64)}
    assert answer["metadata"]["generation"] == before + 1


async def test_resize_to_what_is_set_already_changes_nothing(api, ns, running_pod):
    values = {"app": MemoryValues(256 * MIB, 96 * MIB)}
    first = await api.resize(running_pod, values)
    again = await api.resize(running_pod, values)
    assert again["metadata"]["generation"] == first["metadata"]["generation"]
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_resize_leaves_a_pod_of_the_same_name_alone(api, ns, running_pod):
    stranger = PodRef(ns.namespace, "a", NO_UID)
    assert (await refusal(api.resize(stranger, {"app": MemoryValues(256 * MIB, None)}))).conflict
    assert memory(ns.get("pods", "a").json())["app"] == (64, 128)


async def test_resize_of_nobody_is_missing(api, ns):
    nobody = PodRef(ns.namespace, "nobody", NO_UID)
    assert (await refusal(api.resize(nobody, {"app": MemoryValues(256 * MIB, None)}))).missing


@pytest.mark.parametrize(
    ("values", "because"),
    [
        ({"app": MemoryValues(32 * MIB, None)}, "a limit below the request"),
        ({"app": MemoryValues(128 * MIB, 256 * MIB)}, "a request above the limit"),
        ({"stranger": MemoryValues(256 * MIB, None)}, "a container that is not in the pod"),
    ],
)
async def test_resize_that_the_rules_forbid_is_invalid(api, ns, running_pod, values, because):
    assert (await refusal(api.resize(running_pod, values))).status == 422, because
    assert memory(ns.get("pods", "a").json()) == {"app": (64, 128), "sidecar": (32, 48)}


async def test_evict_ends_the_pod(api, ns, running_pod):
    await api.evict(running_pod)
    found = ns.get("pods", "a")
    assert found.status_code == 404 or "deletionTimestamp" in found.json()["metadata"]


async def test_a_dry_run_of_an_eviction_leaves_the_pod(api, ns, running_pod):
    await api.evict(running_pod, dry_run=True)
    assert "deletionTimestamp" not in ns.get("pods", "a").json()["metadata"]


async def test_evict_waits_for_the_budget(api, ns, running_pod):
    budgets = "policy/v1/poddisruptionbudgets"
    ns.create(budgets, disruption_budget("b", {"app": "web"})).raise_for_status()
    status = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    ns.patch(budgets, "b", {"status": {"observedGeneration": 1, **status}}, "status", kind="merge")
    refused = await refusal(api.evict(running_pod))
    assert (refused.status, refused.passing) == (429, True)
    assert (await refusal(api.evict(running_pod, dry_run=True))).status == 429


async def test_evict_leaves_a_pod_of_the_same_name_alone(api, ns, running_pod):
    assert (await refusal(api.evict(PodRef(ns.namespace, "a", NO_UID)))).conflict
    assert "deletionTimestamp" not in ns.get("pods", "a").json()["metadata"]


async def test_a_server_that_is_gone_gives_no_answer(tmp_path, api, cluster):
    from builders.apiserver import free_port

    config = cluster.kubeconfig.read_text().replace(cluster.url, f"http://127.0.0.1:{free_port()}")
    gone = tmp_path / "gone.kubeconfig"
    gone.write_text(config)
    adapter = await KubernetesApi.connect(environment={"KUBECONFIG": str(gone)})
    try:
        refused = await refusal(adapter.version())
    finally:
        await adapter.close()
    assert (refused.status, refused.passing) == (0, True)


async def test_a_profile_is_deleted_by_its_uid_and_no_other(cluster, api, ns):
    cluster.install_crds()
    body = {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryProfile",
        "metadata": {"name": "job-report", "namespace": ns.namespace},
        "spec": {"targetRef": {"kind": "Job", "name": "report-*"}},
    }
    made = await api.create(PROFILES, ns.namespace, body)
    refused = await refusal(api.delete(PROFILES, ns.namespace, "job-report", NO_UID))
    assert refused.conflict
    await api.delete(PROFILES, ns.namespace, "job-report", made["metadata"]["uid"])
    assert (await refusal(api.read(PROFILES, ns.namespace, "job-report"))).missing


async def test_a_status_takes_a_policy_away_and_keeps_what_is_not_named(cluster, api, ns):
    cluster.install_crds()
    body = {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryProfile",
        "metadata": {"name": "statefulset-gone", "namespace": ns.namespace},
        "spec": {"targetRef": {"kind": "StatefulSet", "name": "gone"}},
    }
    await api.create(PROFILES, ns.namespace, body)
    full = {"policy": "MemoryPolicy shop/web", "mode": "InPlace", "pods": 3}
    await api.patch_status(PROFILES, ns.namespace, "statefulset-gone", {"status": full})
    gone = {"policy": None, "mode": None, "pods": 0}
    await api.patch_status(PROFILES, ns.namespace, "statefulset-gone", {"status": gone})
    status = (await api.read(PROFILES, ns.namespace, "statefulset-gone"))["status"]
    assert status == {"pods": 0}

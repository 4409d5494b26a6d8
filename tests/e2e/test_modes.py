"""What each mode may do: Recommend nothing, Off nothing any more, Initial only at a pod's birth."""

import time

import pytest

from builders.e2e.evidence import undone_by
from builders.e2e.kernel import container_memory
from builders.e2e.patience import wait_for
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    deployment,
    hold,
    live_pods,
    pod_now,
    policy,
    profile_of,
    recommended,
    restarts,
    running_pod,
    written_by_others,
)
from plimsoll.api.quantity import parse_quantity

DAYS_AT_60 = [60.0] * 24 * 4
ADMISSION_SECONDS = 6.0


@pytest.mark.past("looks", DAYS_AT_60)
def test_recommend_changes_nothing(cluster, release, namespace):
    cluster.apply(deployment(cluster, namespace, "looks", mib=60, limit="256Mi", request="128Mi"))
    pod = running_pod(cluster, namespace, "looks")
    before = written_by_others(cluster, pod)
    assert before["writers"]

    cluster.apply(policy(namespace, "looks", "looks", "Recommend"))
    profile = wait_recommended(cluster, namespace, "deployment-looks")
    loops = lambda: sum(value for _, value in release.samples("plimsoll_loops_total"))  # noqa: E731
    enough = loops() + 3  # a profile is written before anything is done, and a resize takes a loop to be seen
    wait_for(lambda: loops() >= enough, "three more loops", 120)

    assert parse_quantity(recommended(profile)["target"]) < 256 * MIB
    assert written_by_others(cluster, pod) == before
    assert container_memory(cluster, pod, CONTAINER).max_bytes == 256 * MIB


def test_off_releases(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "stops", "stops"),
        deployment(cluster, namespace, "stops", mib=24, limit="64Mi", request="32Mi", mib_per_minute=120),
    )
    pod = running_pod(cluster, namespace, "stops")
    hold(cluster, pod, 62)
    raised = wait_for(lambda: above(container_memory(cluster, pod, CONTAINER).max_bytes, 64), "a raise", 120)

    cluster.apply(policy(namespace, "stops", "stops", "Off"))
    wait_for(lambda: mode_of(cluster, namespace, "deployment-stops") == "Off", "mode Off in the profile", 90)
    before = written_by_others(cluster, pod)
    hold(cluster, pod, raised // MIB - 3)  # 96 % of the limit: in mode InPlace a climb
    near = 0.93 * raised
    wait_for(lambda: container_memory(cluster, pod, CONTAINER).current_bytes > near, "a climb", 60)
    seen = parse_quantity  # the profile has seen that use, and nothing has come of it
    wait_for(lambda: seen(usage_of(cluster, namespace, "deployment-stops")) > near, "the climb seen", 90)

    assert container_memory(cluster, pod, CONTAINER).max_bytes == raised
    assert written_by_others(cluster, pod) == before
    assert restarts(pod_now(cluster, pod)) == 0


@pytest.mark.past("begins", DAYS_AT_60)
def test_initial_sets_a_new_pods_limits(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "begins", "begins", "Initial"),
        deployment(cluster, namespace, "begins", mib=60, limit="256Mi", request="128Mi"),
    )
    first = running_pod(cluster, namespace, "begins")
    profile = wait_recommended(cluster, namespace, "deployment-begins")
    assert (
        container_memory(cluster, first, CONTAINER).max_bytes == 256 * MIB
    )  # born before anything was known

    wait_born_lower(cluster, namespace, "begins")
    second = running_pod(cluster, namespace, "begins")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    limit = container_memory(cluster, second, CONTAINER).max_bytes
    assert limit == parse_quantity(second["spec"]["containers"][0]["resources"]["limits"]["memory"])
    assert 60 * MIB < limit < 256 * MIB
    assert abs(limit - max(parse_quantity(recommended(profile)["target"]), 128 * MIB)) <= 2 * MIB
    assert restarts(second) == 0


@pytest.mark.parametrize("mode", ["Recommend", "Off"])
@pytest.mark.past("born", DAYS_AT_60)
def test_a_pod_born_under_recommend_or_off_keeps_its_own_limit(cluster, release, namespace, mode: str):
    cluster.apply(
        policy(namespace, "born", "born", "Initial"),
        deployment(cluster, namespace, "born", mib=60, limit="256Mi", request="128Mi"),
    )
    running_pod(cluster, namespace, "born")
    wait_recommended(cluster, namespace, "deployment-born")
    wait_born_lower(cluster, namespace, "born")  # the webhook knows what it would say
    lowered = running_pod(cluster, namespace, "born")

    cluster.apply(policy(namespace, "born", "born", mode))
    wait_for(
        lambda: mode_of(cluster, namespace, "deployment-born") == mode, f"mode {mode} in the profile", 90
    )
    new, _ = replaced(cluster, namespace, "born", lowered)
    resources = new["spec"]["containers"][0]["resources"]
    assert (resources["limits"]["memory"], resources["requests"]["memory"]) == ("256Mi", "128Mi")
    now = running_pod(cluster, namespace, "born")
    assert now["metadata"]["uid"] == new["metadata"]["uid"]
    assert container_memory(cluster, now, CONTAINER).max_bytes == 256 * MIB


@pytest.mark.disruptive
@pytest.mark.past("alone", DAYS_AT_60)
def test_with_the_operator_down_pods_are_created_unchanged_and_quickly(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "alone", "alone", "Initial"),
        deployment(cluster, namespace, "alone", mib=60, limit="256Mi", request="128Mi"),
    )
    first = running_pod(cluster, namespace, "alone")
    wait_recommended(cluster, namespace, "deployment-alone")
    wait_born_lower(cluster, namespace, "alone")  # what becomes of a pod while the operator is there
    lowered = running_pod(cluster, namespace, "alone")
    assert lowered["metadata"]["uid"] != first["metadata"]["uid"]
    assert container_memory(cluster, lowered, CONTAINER).max_bytes < 256 * MIB

    # It hangs: the API server waits for the webhook as long as its time-out says, and goes on without it.
    (operator,) = release.pods("operator")
    signal(cluster, operator, "STOP")
    with undone_by(lambda: signal(cluster, operator, "CONT")):
        second, hanging_seconds = replaced(cluster, namespace, "alone", lowered)
    # It is gone: nobody is asked.
    with undone_by(lambda: release.scale_operator(1)):
        release.scale_operator(0)
        third, gone_seconds = replaced(cluster, namespace, "alone", second)

    for pod in (second, third):
        assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "256Mi"}
    now = running_pod(cluster, namespace, "alone")
    assert now["metadata"]["uid"] == third["metadata"]["uid"]
    assert container_memory(cluster, now, CONTAINER).max_bytes == 256 * MIB
    hook = cluster.get("mutatingwebhookconfiguration", "plimsoll-operator")["webhooks"][0]
    assert hook["failurePolicy"] == "Ignore"
    # No sooner than the time-out, or nobody was asked, and no pod is held up for longer.
    assert hook["timeoutSeconds"] <= hanging_seconds < ADMISSION_SECONDS + hook["timeoutSeconds"]
    assert gone_seconds < ADMISSION_SECONDS


def wait_born_lower(cluster, namespace: str, name: str) -> None:
    """Delete a Deployment's pod until one is created with less than 256 MiB.

    The webhook answers from what its replica knew at its last look, so the first may come too early. A pod's
    limit stands when it is created; until it runs takes an emulated node a minute each time.
    """

    def born_lower() -> bool:
        for pod in live_pods(cluster, namespace, name):
            if parse_quantity(pod["spec"]["containers"][0]["resources"]["limits"]["memory"]) < 256 * MIB:
                return True
            if "containerStatuses" in pod["status"]:  # its kubelet has seen it: not a new pod every second
                cluster.kube("-n", namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false")
        return False

    wait_for(born_lower, "a new pod with a lower limit", 180)


def replaced(cluster, namespace: str, name: str, pod):
    """Delete a Deployment's pod; the one that takes its place, and how many seconds that took."""
    began = time.monotonic()
    cluster.kube("-n", namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false")
    old = pod["metadata"]["uid"]
    others = lambda: [p for p in live_pods(cluster, namespace, name) if p["metadata"]["uid"] != old]  # noqa: E731
    (new,) = wait_for(others, "a new pod", 60)
    return new, time.monotonic() - began


def signal(cluster, operator, name: str) -> None:
    """Send the operator's process a signal, on its node."""
    command = f"pkill -{name} -f 'bin/plimsoll-[o]perator'"  # in brackets, so as not to find this shell
    cluster.node_shell(operator["spec"]["nodeName"], command)


def wait_recommended(cluster, namespace: str, name: str):
    """The profile, once something is recommended in it."""
    profile = lambda: profile_of(cluster, namespace, name)  # noqa: E731
    wait_for(lambda: recommended(profile()).get("target"), f"a recommendation in profile {name}", 180)
    return profile()


def above(limit_bytes: int, mib: int) -> int:
    """The limit, where it is above `mib`; else 0."""
    return limit_bytes if limit_bytes > mib * MIB else 0


def mode_of(cluster, namespace: str, name: str) -> str:
    """The mode that a profile names."""
    return profile_of(cluster, namespace, name).get("status", {}).get("mode", "")


def usage_of(cluster, namespace: str, name: str) -> str:
    """What a profile says is used now."""
    (container,) = profile_of(cluster, namespace, name)["status"]["containers"]
    return container.get("usage", {}).get("current", "0")

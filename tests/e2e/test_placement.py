"""Where a new pod goes by forecast, and gates that are lifted though the operator is gone."""

import json
import math
import time

import pytest

from builders.e2e.evidence import undone_by
from builders.e2e.figures import note, quantile, upper_quantile
from builders.e2e.patience import LOOK_SECONDS, slowness, wait_for
from builders.e2e.release import cluster_values
from builders.e2e.workloads import (
    MIB,
    container,
    deployment,
    live_pods,
    pod_now,
    policy,
    running_pods,
    template,
)
from plimsoll.api.quantity import parse_quantity
from plimsoll_operator.place.gate import GATE, GATE_ANNOTATION, GATE_SECONDS, told

DAYS_HOURS = 4 * 24
PEAK_MIB = 700.0
# Index 96 is the hour that begins now: six hours from now `night` will need its peak, as every day.
NIGHTS = [PEAK_MIB if hour % 24 == 6 else 20.0 for hour in range(DAYS_HOURS)]
STEADY_MIB = 600.0  # more than all of `night` has now
STEADY = [STEADY_MIB] * DAYS_HOURS
STEADY_REQUEST_SHARE = 0.4  # of its node: far more than all of `night` asks for, in memory and in processors
GROWING = [20.0 + hour for hour in range(DAYS_HOURS)]
PLACEMENT = "plimsoll.dev/placement"
LONGEST_SECONDS = 10.0
HELD = 7  # beside a forged one: as many as are ever held at once


@pytest.mark.disruptive
@pytest.mark.past("night", NIGHTS)
@pytest.mark.past("steady", STEADY)
@pytest.mark.past("grows", GROWING)
def test_a_pod_goes_to_the_node_that_will_have_room_though_the_other_has_more_now(
    cluster, release, namespace
):
    kube_nodes = cluster.open_nodes()
    if len(kube_nodes) < 2:
        pytest.skip(f"two nodes that take any pod are needed; here are {kube_nodes}")
    kube_nodes = kube_nodes[:2]
    line = {"key": "kubernetes.io/hostname", "operator": "In", "values": kube_nodes}
    two = {"nodeSelectorTerms": [{"matchExpressions": [line]}]}
    either = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": two}}}
    small = {"limit": "1Gi", "request": "24Mi"}
    # What agents of an earlier test left is no word of theirs now; those that run write it anew.
    cluster.kube("delete", "nodememories", "--all")
    # The node that the scheduler alone likes best is to be the one that fills tonight.
    full_tonight = scheduled_alone(cluster, namespace, "before", small | either)
    other = next(each for each in kube_nodes if each != full_tonight)
    replicas = math.ceil(allocatable_bytes(cluster, full_tonight) / (PEAK_MIB * MIB)) + 1
    asked_mib = max(
        STEADY_REQUEST_SHARE * allocatable_bytes(cluster, other) / MIB,
        1.2 * STEADY_MIB,
        2 * replicas * 24,
    )
    large = f"{math.ceil(asked_mib)}Mi"

    def on(kube_node):
        return {"nodeSelector": {"kubernetes.io/hostname": kube_node}}

    cluster.apply(
        policy(namespace, "night", "night", "Recommend"),
        policy(namespace, "steady", "steady", "Recommend"),
        policy(namespace, "grows", "grows", "Initial", placement={"node": "Prefer"}),
        deployment(cluster, namespace, "night", mib=20, replicas=replicas, **small, **on(full_tonight)),
        deployment(
            cluster, namespace, "steady", mib=int(STEADY_MIB), limit=large, request=large, **on(other)
        ),
        deployment(cluster, namespace, "grows", mib=116, **small, **either),
    )
    for name in ("night", "steady", "grows"):
        running_pods(cluster, namespace, name)
    # Neither what is free nor what is asked for points to the right node: only the forecast does.
    more_free = lambda: available_bytes(cluster, full_tonight) > available_bytes(cluster, other)  # noqa: E731
    wait_for(more_free, f"{full_tonight} to have more memory available than {other}", 120)
    assert scheduled_alone(cluster, namespace, "alone", small | either) == full_tonight

    def told_where():
        # The first pods come before anything is known of their workload; then the webhook has an opinion.
        for pod in live_pods(cluster, namespace, "grows"):
            if PLACEMENT in (pod["metadata"].get("annotations") or {}):
                return pod
            if "containerStatuses" in pod["status"]:  # not a new pod every second
                cluster.kube("-n", namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false")
        return None

    try:
        pod = wait_for(told_where, "a new pod that is told where to go", 300)
    except AssertionError as error:
        raise AssertionError(f"{error}; outcomes: {release.samples('plimsoll_placements_total')}") from error
    said = pod["metadata"]["annotations"][PLACEMENT]
    assert said.partition(":")[0] != full_tonight, said
    there = lambda: pod_now(cluster, pod)["spec"].get("nodeName", "")  # noqa: E731
    assert wait_for(there, "the scheduler", 60) != full_tonight
    assert more_free(), "the other node had more memory available when the pod was placed"
    note_admission(release)


@pytest.mark.disruptive
def test_gates_are_lifted_by_the_sweeper_while_the_operator_is_gone(
    cluster, release, namespace, prometheus_url
):
    values = cluster_values(cluster, prometheus_url)

    def back() -> None:
        release.install_or_upgrade(values)
        release.scale_operator(1)

    with undone_by(back):
        release.install_or_upgrade(values | {"placement": {"gates": {"enabled": True}}})
        where = ("-n", release.namespace, "rollout", "status", "deployment/plimsoll-sweeper")
        cluster.kube(*where, "--timeout=390s")
        release.scale_operator(0)
        names = [*(f"held-{number}" for number in range(HELD)), "forged"]
        until = time.time() + GATE_SECONDS
        held = [waiting_pod(cluster, namespace, name, until) for name in names[:-1]]
        cluster.apply(*held, waiting_pod(cluster, namespace, "forged", time.time() + 86_400))
        times = gate_times(cluster, namespace, names)
        for percent in (50, 99):
            note(f"gate.without_operator.p{percent}", quantile(times, percent / 100), "s")
        note("gate.without_operator.count", len(times), "pods")
        note("gate.slowness", slowness(), "times a node of its own")
        for name in names:
            bound = lambda name=name: pod_of(cluster, namespace, name)["spec"].get("nodeName")  # noqa: E731
            wait_for(bound, f"{name} to be scheduled", 60)
    assert (
        cluster.items("deployments", "-n", release.namespace, "-l", "app.kubernetes.io/component=sweeper")
        == []
    )


def allocatable_bytes(cluster, kube_node: str) -> int:
    """Memory that pods may have there."""
    return parse_quantity(cluster.get("node", kube_node)["status"]["allocatable"]["memory"])


def available_bytes(cluster, kube_node: str) -> int:
    """Memory that is available there now, as its kubelet measures it."""
    text = cluster.kube("get", "--raw", f"/api/v1/nodes/{kube_node}/proxy/stats/summary")
    return json.loads(text)["node"]["memory"]["availableBytes"]


def scheduled_alone(cluster, namespace: str, name: str, values: dict) -> str:
    """The node that the scheduler gives a pod of the size of `grows` of which no policy speaks; it is gone
    when this ends.
    """
    cluster.apply(deployment(cluster, namespace, name, mib=116, **values))
    (pod,) = running_pods(cluster, namespace, name)
    cluster.kube("-n", namespace, "delete", "deployment", name, "--cascade=foreground", "--timeout=120s")
    assert PLACEMENT not in (pod["metadata"].get("annotations") or {})
    return pod["spec"]["nodeName"]


def note_admission(release) -> None:
    """How long the webhook took, of every answer and of the decision about a node."""
    for name, metric in (("answer", "plimsoll_webhook_seconds"), ("decision", "plimsoll_placement_seconds")):
        buckets = release.samples(f"{metric}_bucket")
        for percent in (50, 99):
            bound = upper_quantile(buckets, percent / 100)
            note(f"admission.{name}.p{percent}", bound, "s, bound of the bucket")
        note(f"admission.{name}.count", sum(value for _, value in release.samples(f"{metric}_count")), "pods")


def gate_times(cluster, namespace: str, names: list[str]) -> list[float]:
    """Seconds from now until the gate of each pod was seen to be gone; a look a second."""
    began, gone = time.monotonic(), {}

    def all_gone() -> bool:
        for each in cluster.items("pods", "-n", namespace):
            name = each["metadata"]["name"]
            if name in names and not (each["spec"].get("schedulingGates") or ()):
                gone.setdefault(name, time.monotonic() - began)
        return len(gone) == len(names)

    wait_for(all_gone, f"the gates of {', '.join(names)} to be lifted", LONGEST_SECONDS + LOOK_SECONDS)
    return list(gone.values())


def waiting_pod(cluster, namespace: str, name: str, until: float):
    """A pod as the webhook leaves it: held until then."""
    one = container(cluster, mib=4, limit="32Mi", request="8Mi")
    pod = template(name, one, schedulingGates=[{"name": GATE}])
    pod["metadata"] |= {
        "name": name,
        "namespace": namespace,
        "annotations": {GATE_ANNOTATION: told(until)},
    }
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def pod_of(cluster, namespace: str, name: str):
    """The pod of that name."""
    return cluster.get("pod", name, "-n", namespace)

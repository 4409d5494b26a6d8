"""Which kube nodes the scheduler would allow for a pod, as far as its spec says; doubts are told by a word.

In: raw pods, kube nodes. Out: names, or the word.
"""

import numpy as np
import pytest

from builders.placing import new_pod, room_node
from plimsoll_operator import parse
from plimsoll_operator.parse.needs import DoubtError, Requirement, needs_of
from plimsoll_operator.place.kube_nodes import MOST_KEYS, KubeNodes

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
GIB = 2**30
TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
SOFT = {"key": "busy", "value": "", "effect": "PreferNoSchedule"}
NODES = KubeNodes(
    parse.kube_node(each)
    for each in (
        room_node("a", zone="east"),
        room_node("b", zone="west"),
        room_node("c", zone="west", unschedulable=True),
        room_node("d", zone="east", taints=[TAINT, SOFT]),
        room_node("e", "8Gi", zone="north", taints=[SOFT], cpu="500m", pods="2"),
    )
)


def allowed(requested=None, written=None, **spec):
    """Names of the nodes that a pod with this spec may go to."""
    needs = needs_of(new_pod(**spec), written or {})
    mask = NODES.allowed(needs, requested or NODES.nothing())
    return "".join(each.name for each, open_ in zip(NODES.records, mask.tolist(), strict=True) if open_)


def by_affinity(*lines, fields=()):
    """A spec that requires one term with these lines."""
    keys = ("key", "operator", "values")
    term = {
        "matchExpressions": [dict(zip(keys, each, strict=False)) for each in lines],
        "matchFields": [dict(zip(keys, each, strict=False)) for each in fields],
    }
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}}


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, "abe"),
        ({"nodeSelector": {"zone": "west"}}, "b"),
        ({"nodeSelector": {"zone": "south"}}, ""),
        ({"nodeSelector": {"zone": "west", "kubernetes.io/hostname": "a"}}, ""),
        (by_affinity(("zone", "In", ["east", "north"])), "ae"),
        (by_affinity(("zone", "NotIn", ["east"])), "be"),
        (by_affinity(("zone", "Exists"), ("gpu", "DoesNotExist")), "abe"),
        (by_affinity(("gpu", "Exists")), ""),
        (by_affinity(("gpu", "NotIn", ["x"])), "abe"),
        (by_affinity(("zone", "Gt", ["3"])), ""),
        (by_affinity(fields=[("metadata.name", "In", ["b"])]), "b"),
        (by_affinity(("zone", "In", ["west"]), fields=[("metadata.name", "NotIn", ["b"])]), ""),
        (by_affinity(), ""),
        ({"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, "abde"),
        ({"tolerations": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}, "abde"),
        ({"tolerations": [{"key": "dedicated", "value": "web"}]}, "abe"),
        ({"tolerations": [{"key": "dedicated", "value": "db", "effect": "NoExecute"}]}, "abe"),
        ({"tolerations": [{"operator": "Exists"}]}, "abde"),
        ({"request": "5Gi"}, "e"),
        ({"request": "9Gi"}, ""),
        ({"overhead": {"memory": "4Gi"}}, "e"),
        ({"resources": {"requests": {"memory": "5Gi"}}}, "e"),
        ({"written": {"app": 5 * GIB}}, "e"),
    ],
)
def test_nodes_that_a_pod_may_go_to(spec, names):
    assert allowed(**spec) == names


def test_numbers_are_compared_as_numbers():
    records = [
        parse.kube_node({"metadata": {"name": name, "labels": {"cores": cores}}})
        for name, cores in (("a", "8"), ("b", "16"), ("c", "many"))
    ]
    nodes = KubeNodes(records)
    assert nodes._meets(Requirement("cores", "Gt", ("9",))).tolist() == [False, True, False]
    assert nodes._meets(Requirement("cores", "Lt", ("9",))).tolist() == [True, False, False]


def test_what_is_requested_already_counts_in_memory_cpu_and_pods():
    requested = NODES.nothing()
    requested.add(0, 3.9 * GIB, 0)
    requested.add(4, 0, 0)
    assert allowed(requested) == "be"
    requested.add(4, 0, 0)
    assert allowed(requested) == "b"
    requested.add(1, 0, 7900)
    one_core = {"containers": [{"name": "app", "resources": {"limits": {"cpu": "1"}}}]}
    assert allowed(requested, **one_core) == "a"


def test_init_containers_count_where_they_are_larger_and_sidecars_beside_them():
    def memory(size, **more):
        return {"name": "x", "resources": {"requests": {"memory": size, "cpu": "250m"}}} | more

    pod = new_pod(
        containers=[memory("1Gi"), memory("1Gi")],
        initContainers=[memory("3Gi"), memory("512Mi", restartPolicy="Always")],
    )
    needs = needs_of(pod, {})
    assert needs.request_bytes == 3.5 * GIB
    assert needs.request_cpu_millis == 750


ANTI = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"schedulerName": "mine"}, "scheduler"),
        ({"schedulingGates": [{"name": "g"}]}, "gates"),
        ({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]}, "volumes"),
        ({"volumes": [{"name": "d", "ephemeral": {"volumeClaimTemplate": {}}}]}, "volumes"),
        ({"resourceClaims": [{"name": "gpu"}]}, "claims"),
        ({"containers": [{"name": "app", "ports": [{"hostPort": 80}]}]}, "ports"),
        ({"containers": [{"name": "app", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}, "devices"),
        ({"affinity": {"podAffinity": {REQUIRED: [ANTI]}}}, "affinity"),
        ({"affinity": {"podAntiAffinity": {REQUIRED: [ANTI | {"topologyKey": "zone"}]}}}, "affinity"),
        ({"affinity": {"podAntiAffinity": {REQUIRED: [ANTI | {"namespaceSelector": {}}]}}}, "affinity"),
        ({"affinity": {"podAntiAffinity": {REQUIRED: [ANTI | {"labelSelector": None}]}}}, "affinity"),
        (
            {
                "affinity": {
                    "podAntiAffinity": {REQUIRED: [ANTI | {"labelSelector": {"matchLabels": {"app": "db"}}}]}
                }
            },
            "affinity",
        ),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]}, "spread"),
        (by_affinity(("zone", "Near", ["x"])), "affinity"),
        (
            {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{}]}]}}}},
            "unreadable",
        ),
        ({"nodeSelector": {"zone": "a"}, "containers": [{"name": ["x"], "resources": {}}]}, "unreadable"),
    ],
)
def test_what_cannot_be_told_is_a_doubt(spec, word):
    with pytest.raises(DoubtError, match=f"^{word}$"):
        needs_of(new_pod(**spec), {})


@pytest.mark.parametrize(
    "spec",
    [
        {"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]},
        {"volumes": [{"name": "d", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}]},
        {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}},
        {
            "schedulerName": "default-scheduler",
            "containers": [{"name": "app", "ports": [{"containerPort": 1}]}],
        },
    ],
)
def test_wishes_and_plain_volumes_are_no_doubt(spec):
    assert allowed(**spec) == "abe"


def test_replicas_apart_by_hostname_are_understood():
    assert needs_of(new_pod(affinity={"podAntiAffinity": {REQUIRED: [ANTI]}}), {}).apart


def test_a_hostname_that_two_nodes_share_is_not_excluded_with_one_of_them():
    nodes = KubeNodes(parse.kube_node(room_node(name) | extra) for name, extra in (("a", {}), ("b", {})))
    shared = room_node("c")
    shared["metadata"]["labels"]["kubernetes.io/hostname"] = "a"
    nodes = KubeNodes([*nodes.records, parse.kube_node(shared), parse.kube_node({"metadata": {"name": "d"}})])
    first, rest = np.array([True, True, False, True]), np.array([False, False, True, False])
    assert nodes.hostnames(first, rest) == {"b"}
    assert nodes.hostnames(first, ~first & ~rest) == {"a", "b"}


def test_label_keys_that_pods_make_up_do_not_pile_up():
    nodes = KubeNodes(NODES.records)
    for number in range(3 * MOST_KEYS):
        nodes.file(f"made-up-{number}")
    assert len(nodes.asked) <= MOST_KEYS

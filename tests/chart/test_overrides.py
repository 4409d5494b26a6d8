"""What users set of other charts' pods and accounts they set here, and what makes a pod restricted stays."""

from typing import Any

import helm_python
import pytest

from builders.chart import EVERYTHING, Object, Rendered, render

WHOLE = {
    "redis": {"url": "redis://redis:6379/0"},
    "worker": {"enabled": True},
    "placement": {"gates": {"enabled": True}},
}
PARTS = {"operator": "operator", "sweeper": "operator", "worker": "worker", "agent": "agent"}
"""Component -> the part of the values that its security context is in."""


def whole(**parts: Any) -> Rendered:
    """Every component, with these values."""
    return render({**WHOLE, **{name: {**WHOLE.get(name, {}), **each} for name, each in parts.items()}})


def pods(rendered: Rendered) -> dict[str, Object]:
    """Component -> its pod, with metadata; `helm test`'s too."""
    workloads = [*rendered.of_kind("Deployment"), *rendered.of_kind("DaemonSet")]
    found = {each["metadata"]["name"].rpartition("-")[2]: each["spec"]["template"] for each in workloads}
    return {**found, "test": rendered.one("Pod", "-test")}


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@pytest.mark.parametrize("component", [*PARTS, "test"])
def test_users_and_groups_can_be_left_to_the_platform(component: str):
    part = PARTS.get(component, "operator")
    set_ = ["runAsUser", "runAsGroup"] if part == "agent" else ["runAsUser", "runAsGroup", "fsGroup"]
    unset = dict.fromkeys(set_)
    given = {"podSecurityContext": {**unset, "seLinuxOptions": {"level": "s0:c1,c2"}}}
    before = pods(whole())[component]["spec"]["securityContext"]
    after = pods(whole(**{part: given}))[component]["spec"]["securityContext"]
    assert {key: before[key] for key in set_} == dict.fromkeys(set_, 65532)
    assert after == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "seLinuxOptions": {"level": "s0:c1,c2"},
    }


@pytest.mark.parametrize("component", [*PARTS, "test"])
def test_containers_take_what_is_added_and_stay_as_narrow(component: str):
    part = PARTS.get(component, "operator")
    added = {"seLinuxOptions": {"type": "spc_t"}, "appArmorProfile": {"type": "RuntimeDefault"}}
    before, after = (
        [each["securityContext"] for each in containers(pods(rendered)[component])]
        for rendered in (whole(), whole(**{part: {"containerSecurityContext": added}}))
    )
    assert before
    assert after == [{**each, **added} for each in before]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"operator": {"podSecurityContext": {"runAsNonRoot": False}}}, "runAsNonRoot"),
        ({"operator": {"podSecurityContext": {"runAsNonRoot": None}}}, "runAsNonRoot"),
        ({"operator": {"podSecurityContext": {"seccompProfile": None}}}, "seccompProfile"),
        ({"operator": {"podSecurityContext": {"seccompProfile": {"type": "Unconfined"}}}}, "seccompProfile"),
        ({"agent": {"podSecurityContext": {"runAsUser": 0}}}, "runAsUser"),
        ({"agent": {"containerSecurityContext": {"privileged": True}}}, "privileged"),
        ({"agent": {"containerSecurityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}}, "capabilities"),
        (
            {"operator": {"containerSecurityContext": {"allowPrivilegeEscalation": True}}},
            "allowPrivilegeEscalation",
        ),
        ({"operator": {"containerSecurityContext": {"appArmorProfile": {"type": "Unconfined"}}}}, "appArmor"),
        ({"global": {"imagePullSecrets": ["shared"]}}, "/global/imagePullSecrets/0"),
        ({"podLabels": {"app.kubernetes.io/component": "x"}}, "podLabels"),
        ({"podLabels": {"team": "a"}, "commonLabels": {"team": "b"}}, "both have `team`"),
        ({"operator": {"extraArgs": ["interval=5s"]}}, "/operator/extraArgs/0"),
        (
            {"agent": {"serviceAccount": {"create": False}}},
            "agent.serviceAccount.create is false: name the account",
        ),
        (
            {"placement": {"sweeper": {"serviceAccount": {"create": False}}}},
            "placement.sweeper.serviceAccount.create is false",
        ),
        (
            {"monitoring": {"serviceMonitor": {"scrapeTimeout": "31s"}}},
            "serviceMonitor.scrapeTimeout is `31s`: it must not be longer than the interval, `30s`",
        ),
        ({"monitoring": {"podMonitor": {"scrapeTimeout": "0s"}}}, "scrapeTimeout is `0s`"),
        ({"agent": {"dnsPolicy": "ClusterLast"}}, "/agent/dnsPolicy"),
        ({"operator": {"dnsConfig": {"nameserver": "192.0.2.53"}}}, "nameserver"),
        *(
            ({part: {"dnsPolicy": "None"}}, f"{part}.dnsPolicy is `None`: name servers in {part}.dnsConfig")
            for part in ("operator", "worker", "agent")
        ),
        ({"monitoring": {"podMonitor": {"scrapeTimeout": "soon"}}}, "scrapeTimeout"),
    ],
    ids=str,
)
def test_refuses_what_would_widen_or_be_ignored(values: Object, named: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert named in str(refusal.value)


def test_pull_secrets_of_a_chart_around_this_one_are_used_beside_its_own():
    own, shared = [{"name": "own"}], [{"name": "shared"}, {"name": "own"}]
    rendered = render(
        {**WHOLE, "imagePullSecrets": own, "global": {"imagePullSecrets": shared, "storageClass": "fast"}}
    )
    found = {name: pod["spec"]["imagePullSecrets"] for name, pod in pods(rendered).items()}
    assert found == {name: [{"name": "own"}, {"name": "shared"}] for name in [*PARTS, "test"]}


def test_labels_of_pods_are_on_every_pod_and_nothing_else():
    labels = {"sidecar.istio.io/inject": "false"}
    rendered = render({**WHOLE, "podLabels": labels})
    assert all(labels.items() <= each["metadata"]["labels"].items() for each in pods(rendered).values())
    others = [each for each in rendered.objects if each["kind"] != "Pod"]
    assert not any(labels.keys() & each["metadata"]["labels"].keys() for each in others)


ACCOUNTS = {
    "operator": {"serviceAccount": {"name": "o", "annotations": {"example.com/who": "o"}}},
    "worker": {"enabled": True, "serviceAccount": {"name": "w"}},
    "placement": {"gates": {"enabled": True}, "sweeper": {"serviceAccount": {"name": "s"}}},
    "agent": {"act": {"enabled": True}, "serviceAccount": {"name": "a"}},
    "coordination": {"enabled": True},
    "redis": {"url": "redis://redis:6379/0"},
}


def test_an_account_of_another_name_is_made_used_bound_and_narrowed():
    rendered = render(ACCOUNTS)
    made = {each["metadata"]["name"]: each for each in rendered.of_kind("ServiceAccount")}
    assert set(made) == {"o", "w", "s", "a"}
    assert made["o"]["metadata"]["annotations"] == {"example.com/who": "o"}
    used = {name: pod["spec"].get("serviceAccountName") for name, pod in pods(rendered).items()}
    assert used == {"operator": "o", "worker": "w", "sweeper": "s", "agent": "a", "test": None}
    assert rendered.bound_accounts == {"o", "s", "a"}
    own_node = rendered.one("ValidatingAdmissionPolicy", "-own-node")["spec"]["matchConditions"]
    assert '"system:serviceaccount:plimsoll-system:a"' in own_node[0]["expression"]
    gates = rendered.one("ValidatingAdmissionPolicy", "-gates-only")["spec"]["matchConditions"]
    for name in ("o", "s"):
        assert f'"system:serviceaccount:plimsoll-system:{name}"' in gates[0]["expression"]
    (operator,) = containers(pods(rendered)["operator"])
    environment = {each["name"]: each.get("value") for each in operator["env"]}
    assert environment["PLIMSOLL_AGENTS_SERVICE_ACCOUNT"] == "a"
    # Certificates that exist keep their name.
    assert environment["PLIMSOLL_AGENTS_CLIENT_NAME"] == "plimsoll-agent"


def test_an_account_that_is_there_is_not_made_and_bound_all_the_same():
    theirs = {"serviceAccount": {"create": False, "name": "theirs"}}
    rendered = render({"operator": theirs})
    names = {each["metadata"]["name"] for each in rendered.of_kind("ServiceAccount")}
    assert names == {"plimsoll-agent"}
    assert rendered.bound_accounts == {"theirs"}
    assert pods(rendered)["operator"]["spec"]["serviceAccountName"] == "theirs"


def test_annotations_of_before_are_kept_beside_the_new():
    operator = {
        "serviceAccountAnnotations": {"a.example/x": "old", "a.example/y": "old"},
        "serviceAccount": {"annotations": {"a.example/y": "new"}},
    }
    made = render({"operator": operator}).one("ServiceAccount", "-operator")
    assert made["metadata"]["annotations"] == {"a.example/x": "old", "a.example/y": "new"}


def test_flags_variables_and_volumes_of_ones_own_reach_the_containers():
    variable = {"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}
    volume = {"name": "ca", "configMap": {"name": "ca"}}
    mount = {"name": "ca", "mountPath": "/ca", "readOnly": True}
    added = {"extraArgs": ["--one=1"], "extraEnv": [variable]}
    mounted = {"extraVolumes": [volume], "extraVolumeMounts": [mount]}
    found = pods(whole(operator={**added, **mounted}, worker=added, agent={**added, **mounted}))
    for name in ("operator", "worker", "agent"):
        (container,) = found[name]["spec"]["containers"]
        assert container["args"][-1] == "--one=1", name
        assert variable in container["env"], name
        if name != "worker":
            assert mount in container["volumeMounts"]
            assert volume in found[name]["spec"]["volumes"]
    (init,) = found["agent"]["spec"]["initContainers"]
    assert mount not in init["volumeMounts"]  # it is root


def test_names_are_looked_up_as_is_said_by_that_component_alone():
    said = {
        "dnsPolicy": "None",
        "dnsConfig": {
            "nameservers": ["192.0.2.53"],
            "searches": ["cluster.example"],
            "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}],
        },
    }
    for part in ("operator", "worker", "agent"):
        found = {
            name: {key: pod["spec"][key] for key in said if key in pod["spec"]}
            for name, pod in pods(whole(**{part: said})).items()
        }
        assert found == {name: said if name == part else {} for name in [*PARTS, "test"]}


def test_monitors_take_a_time_out_and_relabelings():
    first = {"targetLabel": "cluster", "replacement": "one"}
    last = {"action": "labeldrop", "regex": "pod"}
    set_ = {"enabled": True, "scrapeTimeout": "5s", "relabelings": [first], "metricRelabelings": [last]}
    rendered = render({**WHOLE, "monitoring": {"serviceMonitor": set_, "podMonitor": set_}})
    (of_operator,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    endpoints = [each["spec"]["podMetricsEndpoints"][0] for each in rendered.of_kind("PodMonitor")]
    assert len(endpoints) == 2
    for each in (of_operator, *endpoints):
        assert (each["scrapeTimeout"], each["metricRelabelings"]) == ("5s", [last])
        assert each["relabelings"][-1] == first
    plain = render(EVERYTHING).one("ServiceMonitor")["spec"]["endpoints"][0]
    assert plain == {"port": "metrics", "interval": "30s", "honorLabels": True}

"""Values that make no sense are refused before anything reaches a cluster, and the message names them."""

from typing import Any

import helm_python
import pytest

from builders.chart import render


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"operatr": {}}, "operatr"),
        ({"operator": None}, "operator"),
        ({"operator": {"settings": None}}, "settings"),
        ({"webhook": None}, "webhook"),
        # Without its ports the acting agents' egress rule would be one for any port of anybody.
        ({"networkPolicy": {"apiServerPorts": None}, "agent": {"act": {"enabled": True}}}, "apiServerPorts"),
        ({"operator": {"replicas": None}}, "replicas"),
        ({"operator": {"affinity": None}}, "affinity"),
        ({"operator": {"image": None}}, "image"),
        ({"webhook": {"excludedNamespaces": None}}, "excludedNamespaces"),
        ({"commonLabels": {"a b": "c"}}, "/commonLabels"),
        ({"commonLabels": {"a": "b c"}}, "/commonLabels/a"),
        ({"podAnnotations": {"bad key!": "x"}}, "/podAnnotations"),
        ({"operator": {"tolerations": [{"operator": "Exist"}]}}, "/operator/tolerations/0/operator"),
        ({"operator": {"podDisruptionBudget": {"maxUnavailable": "200%"}}}, "maxUnavailable"),
        ({"operator": {"podDisruptionBudget": {"maxUnavailable": "0%"}}}, "maxUnavailable"),
        ({"worker": {"podDisruptionBudget": {"maxUnavailable": "0%"}}}, "maxUnavailable"),
        ({"operator": {"extraEnv": [{"nme": "A"}]}}, "nme"),
        ({"operator": {"extraVolumeMounts": [{"name": "a", "mountPath": "b"}]}}, "mountPath"),
        ({"rbac": {"ownerKinds": [{"apiGroup": "", "resource": "secrets"}]}}, "/rbac/ownerKinds/0"),
        (
            {"operator": {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "a"}]}},
            "/operator/topologySpreadConstraints/0",
        ),
        ({"commonLabels": {"app.kubernetes.io/component": "x"}}, "/commonLabels"),
        (
            {"commonLabels": {"team": "a", "app.kubernetes.io/name": "x"}},
            "/commonLabels/app.kubernetes.io~1name",
        ),
        ({"commonLabels": {"app.kubernetes.io/instance": "x"}}, "app.kubernetes.io~1instance"),
        ({"commonLabels": {"helm.sh/chart": "x"}}, "helm.sh~1chart"),
        ({"commonLabels": {"pod-security.kubernetes.io/enforce": "restricted"}}, "pod-security"),
        ({"commonLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, "aggregate-to-view"),
        ({"monitoring": {"labels": {"app.kubernetes.io/name": "x"}}}, "/monitoring/labels"),
        ({"operator": {"replica": 2}}, "replica"),
        ({"operator": {"replicas": 0}}, "/operator/replicas"),
        ({"operator": {"replicas": "2"}}, "/operator/replicas"),
        ({"operator": {"settings": {"usageSource": "guess"}}}, "/operator/settings/usageSource"),
        ({"operator": {"settings": {"interval": "soon"}}}, "/operator/settings/interval"),
        (
            {"operator": {"settings": {"prometheusUrl": "prometheus:9090"}}},
            "/operator/settings/prometheusUrl",
        ),
        ({"operator": {"settings": {"webhookPort": 1}}}, "webhookPort"),
        ({"operator": {"image": {"digest": "sha256:abc"}}}, "/operator/image/digest"),
        ({"operator": {"image": {"registry": "mirror.example/"}}}, "/operator/image/registry"),
        ({"operator": {"metricsPort": 70000}}, "/operator/metricsPort"),
        ({"agent": {"privileged": True}}, "privileged"),
        ({"agent": {"capabilities": {"SYS_ADMIN": "because it is easier"}}}, "capabilities"),
        ({"agent": {"seccomp": {"type": "Unconfined"}}}, "/agent/seccomp/type"),
        ({"agent": {"cgroupRoot": "/"}}, "/agent/cgroupRoot"),
        ({"agent": {"cgroupRoot": "/etc"}}, "/agent/cgroupRoot"),
        ({"agent": {"cgroupRoot": "/sys/fs/cgroups"}}, "/agent/cgroupRoot"),
        ({"agent": {"cgroupRoot": "/sys/fs/cgroup/../../../etc"}}, "/agent/cgroupRoot"),
        ({"agent": {"seccomp": {"kubeletRootDir": "/"}}}, "/agent/seccomp/kubeletRootDir"),
        ({"agent": {"seccomp": {"kubeletRootDir": "var/lib/kubelet"}}}, "/agent/seccomp/kubeletRootDir"),
        ({"agent": {"seccomp": {"kubeletRootDir": "/var/../.."}}}, "/agent/seccomp/kubeletRootDir"),
        ({"agent": {"seccomp": {"localhostProfile": "/etc/agent.json"}}}, "/agent/seccomp/localhostProfile"),
        ({"agent": {"seccomp": {"localhostProfile": "agent.json"}}}, "agent.seccomp.localhostProfile"),
        ({"agent": {"seccomp": {"localhostProfile": "../etc/a.json"}}}, "agent.seccomp.localhostProfile"),
        ({"agent": {"act": {"privileged": True}}}, "privileged"),
        ({"agent": {"act": {"stateDir": "/etc/plimsoll"}}}, "/agent/act/stateDir"),
        ({"agent": {"act": {"stateDir": "/run/../etc"}}}, "/agent/act/stateDir"),
        ({"agent": {"namespace": "Agents"}}, "/agent/namespace"),
        ({"agent": {"extraArgs": ["interval=5s"]}}, "/agent/extraArgs/0"),
        ({"webhook": {"timeoutSeconds": 10}}, "/webhook/timeoutSeconds"),
        ({"webhook": {"failurePolicy": "Fail"}}, "failurePolicy"),
        ({"webhook": {"certificate": {"source": "vault"}}}, "/webhook/certificate/source"),
        ({"priorityClasses": {"operatorValue": 2000000000}}, "/priorityClasses/operatorValue"),
        ({"rbac": {"ownerKinds": [{"resource": "fleets"}]}}, "apiGroup"),
        ({"monitoring": {"serviceMonitor": {"interval": 30}}}, "/monitoring/serviceMonitor/interval"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_refuses(values: dict[str, Any], named: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"operator": {"settings": {"interval": "0s"}}},
            "operator.settings.interval is `0s`: it must be longer than nothing",
        ),
        ({"operator": {"settings": {"settle": "0.0h"}}}, "operator.settings.settle is `0.0h`"),
        ({"monitoring": {"podMonitor": {"interval": "00m"}}}, "monitoring.podMonitor.interval is `00m`"),
        (
            {"operator": {"settings": {"usageSource": "prometheus"}}},
            "usageSource is `prometheus`: give its address in operator.settings.prometheusUrl",
        ),
        (
            {"operator": {"settings": {"leaseRenew": "15000ms"}}},
            "operator.settings.leaseRenew is `15000ms`: it must be shorter than",
        ),
        (
            {"webhook": {"enabled": False}, "placement": {"gates": {"enabled": True}}},
            "placement.gates.enabled is true and webhook.enabled is false",
        ),
        (
            {"webhook": {"port": 8080}},
            "webhook.port and operator.metricsPort are both `8080`: they are ports of the same pod",
        ),
        (
            {"operator": {"metricsPort": 8444}, "coordination": {"enabled": True}},
            "coordination.port and operator.metricsPort are both `8444`: they are ports of the same pod",
        ),
        (
            {"webhook": {"port": 8444}, "coordination": {"enabled": True}},
            "coordination.port and webhook.port are both `8444`",
        ),
        (
            {"operator": {"settings": {"prometheusUrl": "http://user:secret@prometheus:9090"}}},
            "operator.settings.prometheusUrl has a user in it",
        ),
        (
            {"agent": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}},
            "agent.updateStrategy.rollingUpdate.maxUnavailable and maxSurge are both nothing",
        ),
        (
            {"agent": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}},
            "maxUnavailable is `10%` and maxSurge `1`: Kubernetes wants one of them to be 0",
        ),
        (
            {"operator": {"settings": {"nodeProxy": True}}},
            "operator.settings.nodeProxy is true and operator.settings.usageSource is not `kubelet`",
        ),
        (
            {"operator": {"metricsPort": 443}},
            "operator.metricsPort is `443`: that is the webhook's port of the Service",
        ),
        (
            {
                "agent": {"enabled": False, "namespace": "plimsoll-agents"},
                "coordination": {"enabled": True},
            },
            "agent.namespace is set and agent.enabled is false",
        ),
        (
            {"agent": {"act": {"debugfs": True}}},
            "agent.act.debugfs is `true`: there is no such value any more; agent.act.lruGen stands in its",
        ),
        # What `--reuse-values` brings along of the old chart's defaults.
        (
            {"agent": {"enabled": False, "act": {"debugfs": False}}},
            "agent.act.debugfs is `false`: there is no such value any more; agent.act.lruGen stands in its",
        ),
        (
            {"operator": {"resources": {"limits": {"memory": "lots"}}}},
            "operator.resources.limits.memory is `lots`: it is no quantity",
        ),
        (
            {"operator": {"resources": {"limits": {"memory": "1GB"}}}},
            "limits.memory is `1GB`: it is no quantity",
        ),
        ({"operator": {"resources": {"limits": {"memory": "-1Gi"}}}}, "is `-1Gi`: it is no quantity"),
        (
            {"agent": {"resources": {"requests": {"cpu": "0"}}}},
            "agent.resources.requests.cpu is `0`: it must be",
        ),
        (
            {"agent": {"resources": {"limits": {"memory": "128m"}}}},
            "agent.resources.limits.memory is `128m`: that is less than 1Mi",
        ),
        ({"agent": {"resources": {"limits": {"memory": 128}}}}, "agent.resources.limits.memory is `128`"),
        (
            {"operator": {"resources": {"requests": {"memory": "2Gi"}}}},
            "requests.memory is `2Gi`: it must not exceed operator.resources.limits.memory, `1Gi`",
        ),
    ],
    ids=lambda each: each.partition(":")[0] if isinstance(each, str) else "",
)
def test_refuses_with_a_sentence_what_takes_two_values_or_arithmetic(values: dict[str, Any], sentence: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    "operator",
    [
        {"settings": {"interval": "0.5s", "leaseDuration": "1m", "leaseRenew": "59s"}},
        {"settings": {"usageSource": "prometheus", "prometheusUrl": "http://prometheus:9090"}},
        {"resources": {"requests": {"cpu": 0.5, "memory": 402653184}, "limits": {"memory": "1.5G"}}},
        {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi"}}},
        {"resources": {"requests": {"cpu": "1e0", "ephemeral-storage": "1Ti"}, "limits": None}},
        {"metricsPort": 9000},
    ],
    ids=str,
)
def test_takes_what_kubernetes_and_the_operator_take(operator: dict[str, Any]):
    assert render({"operator": operator}).one("Deployment", "-operator")


def test_without_a_webhook_its_port_is_free():
    values = {"webhook": {"enabled": False, "port": 8080}, "operator": {"metricsPort": 8080}}
    assert render(values).one("Deployment", "-operator")


@pytest.mark.parametrize(
    "agent",
    [
        {"cgroupRoot": "/sys/fs/cgroup/system.slice/k3s.service"},
        {"cgroupRoot": "/sys/fs/cgroup/.hidden"},
        {"seccomp": {"kubeletRootDir": "/data/k8s.io/kubelet"}},
        {"seccomp": {"localhostProfile": "profiles/agent-{{ .Chart.Version }}.json"}},
        {"seccomp": {"localhostProfile": "agent.json", "install": False}},
    ],
    ids=str,
)
def test_takes(agent: dict[str, Any]):
    assert render({"agent": agent}).one("DaemonSet")


@pytest.mark.parametrize(
    ("certificate", "named"),
    [
        ({"source": "secret"}, "secretName"),
        ({"source": "secret", "secretName": "mine"}, "caBundle"),
    ],
)
def test_asks_for_what_a_certificate_of_ones_own_needs(certificate: dict[str, str], named: str):
    with pytest.raises(helm_python.HelmError, match=named):
        render({"webhook": {"certificate": certificate}})


def test_labels_of_ones_own_are_on_every_object_and_in_no_selector():
    labels = {"team": "platform", "app.kubernetes.io/created-by": "us", "app": "plimsoll"}
    rendered = render({"commonLabels": labels})
    assert all(labels.items() <= each["metadata"]["labels"].items() for each in rendered.objects)
    for kind in ("Deployment", "DaemonSet"):
        assert not labels.keys() & rendered.one(kind)["spec"]["selector"]["matchLabels"].keys()


def test_no_label_that_the_chart_sets_can_be_set_again():
    for key in {key for each in render().objects for key in each["metadata"]["labels"]}:
        with pytest.raises(helm_python.HelmError, match="/commonLabels/"):
            render({"commonLabels": {key: "x"}})


def test_says_nothing_wrong_about_numbers_as_text_where_kubernetes_takes_both():
    budget = render({"operator": {"podDisruptionBudget": {"maxUnavailable": "50%"}}}).one(
        "PodDisruptionBudget"
    )
    assert budget["spec"]["maxUnavailable"] == "50%"

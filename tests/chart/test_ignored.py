"""A value that nobody would heed is refused by name, since another one keeps what it is of from being made.

In: values. Out: one sentence that names the value and what it waits for; with that, and with each switch
turned alone, the chart renders.
"""

from collections.abc import Mapping
from typing import Any

import helm_python
import pytest

from builders.chart import render
from builders.e2e.cluster import Cluster
from builders.e2e.release import cluster_values

Values = Mapping[str, Any]
ACT = {"enabled": True}
REDIS = {"url": "redis://redis:6379"}
WORK = {"redis": REDIS, "worker": {"enabled": True}}
PEM = "-----BEGIN CERTIFICATE-----" + "x" * 80
CLAIMED = {"operator": {"replicas": 1}}


def settings(**given: object) -> Values:
    return {"operator": {"settings": given}}


def webhook(**certificate: object) -> Values:
    return {"webhook": {"certificate": certificate}}


def joined(**certificate: object) -> Values:
    return {"coordination": {"enabled": True, "certificate": certificate}}


def remembered(**volume: object) -> Values:
    return {**CLAIMED, "fleetMemory": {"enabled": True, "volume": volume}}


def monitored(**parts: object) -> Values:
    return {"monitoring": parts}


def working(**worker: object) -> Values:
    return {"redis": REDIS, "worker": {"enabled": True, **worker}}


# Values -> what the sentence says of them.
IGNORED: list[tuple[Values, str]] = [
    (
        {"agent": {"act": {"lruGen": True}}},
        "agent.act.lruGen is `true`: it does nothing without agent.act.enabled",
    ),
    ({"agent": {"act": {"mm": False}}}, "agent.act.mm is `false`: it does nothing without agent.act.enabled"),
    ({"agent": {"act": {"compact": False}}}, "agent.act.compact is `false`"),
    ({"agent": {"act": {"policiesFrom": "operator"}}}, "agent.act.policiesFrom is `operator`"),
    (
        {"agent": {"act": {"nodeResourceTopology": True}}},
        "agent.act.nodeResourceTopology is `true`: it does nothing without agent.act.enabled",
    ),
    ({"agent": {"act": {"stateDir": "/run/other"}}}, "agent.act.stateDir is `/run/other`"),
    (
        {"agent": {"enabled": False, "act": ACT}},
        "agent.act.enabled is `true`: it does nothing without agent.",
    ),
    (
        {"agent": {"seccomp": {"type": "RuntimeDefault", "localhostProfile": "a/b.json"}}},
        "agent.seccomp.localhostProfile is `a/b.json`: it is of a profile of our own",
    ),
    (
        {"agent": {"seccomp": {"type": "RuntimeDefault", "kubeletRootDir": "/data"}}},
        "agent.seccomp.kubeletRootDir is `/data`: it is of a profile of our own",
    ),
    (
        {"agent": {"seccomp": {"install": False, "kubeletRootDir": "/data"}}},
        "agent.seccomp.kubeletRootDir is `/data`: it says where the profile is put",
    ),
    (
        {"agent": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"maxUnavailable": 2}}}},
        "agent.updateStrategy.rollingUpdate is set: it does nothing while",
    ),
    *(
        (
            {part: {"serviceAccount": {"create": False, "name": "a", "annotations": {"b": "c"}}}},
            f"{part}.serviceAccount.annotations is set: it is for an account that the chart makes",
        )
        for part in ("operator", "agent", "worker")
    ),
    (
        {
            "operator": {
                "serviceAccount": {"create": False, "name": "a"},
                "serviceAccountAnnotations": {"b": "c"},
            }
        },
        "operator.serviceAccountAnnotations is set",
    ),
    (
        settings(prometheusTokenFile="/token"),
        "prometheusTokenFile is `/token`: it does nothing without operator.settings.prometheusUrl",
    ),
    (
        settings(prometheusCaFile="/ca"),
        "operator.settings.prometheusCaFile is `/ca`: it does nothing without",
    ),
    (
        settings(prometheusUrl="http://prometheus", prometheusCaFile="/ca"),
        "operator.settings.prometheusCaFile is `/ca`: it is for TLS",
    ),
    (
        settings(kubeletInsecure=True),
        "kubeletInsecure is `true`: it does nothing while operator.settings.usageSource is not `kubelet`",
    ),
    (settings(kubeletCaFile="/ca"), "operator.settings.kubeletCaFile is `/ca`: it does nothing while"),
    (settings(kubeletPort=10255), "operator.settings.kubeletPort is `10255`"),
    (settings(kubeletConcurrency=8), "operator.settings.kubeletConcurrency is `8`"),
    (
        settings(usageSource="kubelet", nodeProxy=True, kubeletPort=10255),
        "operator.settings.kubeletPort is `10255`: it does nothing with operator.settings.nodeProxy",
    ),
    (
        settings(usageSource="kubelet", kubeletInsecure=True, kubeletCaFile="/ca"),
        "operator.settings.kubeletCaFile is `/ca`: it verifies nothing with",
    ),
    (settings(modelsLeastNodes=5), "modelsLeastNodes is `5`: it does nothing without coordination.enabled"),
    (
        webhook(secretName="mine"),
        "secretName is `mine`: it is for webhook.certificate.source `secret`, which is `helm`",
    ),
    (webhook(caBundle=PEM), "webhook.certificate.caBundle is set: it is for"),
    (
        webhook(source="cert-manager", secretName="mine"),
        "it is for webhook.certificate.source `secret`, which is `cert-manager`",
    ),
    (
        webhook(source="cert-manager", validDays=30),
        "webhook.certificate.validDays is `30`: it is for webhook.certificate.source `helm`",
    ),
    (webhook(issuerRef={"name": "ca"}), "webhook.certificate.issuerRef.name is `ca`: it is for"),
    (webhook(issuerRef={"kind": "ClusterIssuer"}), "webhook.certificate.issuerRef.kind is `ClusterIssuer`"),
    (
        webhook(source="cert-manager", issuerRef={"kind": "ClusterIssuer"}),
        "issuerRef.kind is `ClusterIssuer`: it wants a name in webhook.certificate.issuerRef.name",
    ),
    (joined(operatorSecretName="a"), "coordination.certificate.operatorSecretName is `a`: it is for"),
    (joined(agentSecretName="a"), "coordination.certificate.agentSecretName is `a`: it is for"),
    (joined(agentName="a"), "coordination.certificate.agentName is `a`: it is for"),
    (
        joined(source="cert-manager", issuerRef={"name": "ca"}, renew=1),
        "coordination.certificate.renew is `1`: it is for coordination.certificate.source `helm`",
    ),
    (joined(issuerRef={"kind": "Issuer"}), "coordination.certificate.issuerRef.kind is `Issuer`"),
    (
        {"coordination": {"port": 9000}},
        "coordination.port is `9000`: it does nothing without coordination.enabled",
    ),
    (
        {"coordination": {"certificate": {"source": "cert-manager"}}},
        "coordination.certificate.source is `cert-manager`: it does nothing without",
    ),
    (
        {"fleetMemory": {"ownWeights": True}},
        "fleetMemory.ownWeights is `true`: it does nothing without fleetMemory.enabled",
    ),
    (
        {"fleetMemory": {"volume": {"claim": {"enabled": True}}}},
        "fleetMemory.volume.claim.enabled is `true`: it does nothing without fleetMemory.enabled",
    ),
    (
        remembered(claim={"storageClass": "fast"}),
        "storageClass is `fast`: it does nothing without fleetMemory.volume.claim.enabled",
    ),
    (remembered(claim={"existing": "mine"}), "fleetMemory.volume.claim.existing is `mine`: it does nothing"),
    (
        remembered(size="9Gi", claim={"enabled": True, "existing": "mine"}),
        "fleetMemory.volume.size is `9Gi`: it is for a claim that the chart makes",
    ),
    (
        {**settings(forecastWorkers=0), "fleetMemory": {"enabled": True, "ownWeights": True}},
        "fleetMemory.ownWeights is `true`: it does nothing without worker.enabled while",
    ),
    ({"redis": {"passwordSecret": {"key": "a"}}}, "redis.passwordSecret.key is `a`: it does nothing without"),
    ({"redis": {"caSecret": {"key": "a"}}}, "redis.caSecret.key is `a`: it does nothing without"),
    ({"redis": REDIS}, "redis.url is set and nobody asks Redis"),
    ({"redis": REDIS, "fleetMemory": {"enabled": True, "shared": False}}, "redis.url is set and nobody"),
    ({"worker": {"replicas": 3}}, "worker.replicas is `3`: it does nothing without worker.enabled"),
    (
        {"worker": {"autoscaling": {"kind": "hpa"}}},
        "worker.autoscaling.kind is `hpa`: it does nothing without",
    ),
    (
        working(autoscaling={"maxReplicas": 9}),
        "worker.autoscaling.maxReplicas is `9`: it does nothing without worker.autoscaling.kind",
    ),
    (
        working(replicas=3, autoscaling={"kind": "hpa"}),
        "worker.replicas is `3`: it does nothing with worker.autoscaling.kind",
    ),
    (
        working(autoscaling={"kind": "hpa", "prometheusUrl": "http://p"}),
        "worker.autoscaling.prometheusUrl is `http://p`: it is asked by KEDA alone",
    ),
    (
        {"placement": {"sweeper": {"healthPort": 9000}}},
        "placement.sweeper.healthPort is `9000`: it does nothing without placement.gates.enabled",
    ),
    (
        {"priorityClasses": {"operatorName": "high"}},
        "priorityClasses.operatorName is `high`: it is a class that exists",
    ),
    ({"priorityClasses": {"agentName": "high"}}, "priorityClasses.agentName is `high`"),
    (
        {"priorityClasses": {"create": False, "agentValue": 2000000}},
        "priorityClasses.agentValue is `2000000`: it does nothing without priorityClasses.create",
    ),
    (
        {"rbac": {"create": False, "ownerKinds": [{"apiGroup": "example.com", "resource": "fleets"}]}},
        "rbac.ownerKinds is set: it does nothing without rbac.create",
    ),
    *(
        (
            {"networkPolicy": {"enabled": False, name: [{}]}},
            f"networkPolicy.{name} is set: it narrows nothing without networkPolicy.enabled",
        )
        for name in ("metricsFrom", "operatorEgress", "redisTo")
    ),
    ({"networkPolicy": {"redisTo": [{}]}}, "networkPolicy.redisTo is set: it narrows nothing: there are no"),
    (
        monitored(serviceMonitor={"interval": "5s"}),
        "serviceMonitor.interval is `5s`: it does nothing without monitoring.serviceMonitor.enabled",
    ),
    (
        monitored(podMonitor={"relabelings": [{"targetLabel": "a"}]}),
        "monitoring.podMonitor.relabelings is set: it does nothing",
    ),
    (monitored(prometheusRule={"oomKillsPerHour": 1}), "monitoring.prometheusRule.oomKillsPerHour is `1`"),
    (monitored(dashboard={"namespace": "grafana"}), "monitoring.dashboard.namespace is `grafana`"),
    (monitored(labels={"a": "b"}), "monitoring.labels is set: it is on monitors and alerts alone"),
    (
        {
            **monitored(prometheusRule={"enabled": True, "webhookSilentHours": 2}),
            "webhook": {"enabled": False},
        },
        "webhookSilentHours is `2`: it alerts of a webhook, and webhook.enabled is false",
    ),
    (
        {**monitored(podMonitor={"enabled": True}), "agent": {"enabled": False}},
        "monitoring.podMonitor.enabled is true, and there are neither agents",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), IGNORED, ids=[sentence for _, sentence in IGNORED])
def test_refuses_what_nobody_would_heed(values: Values, sentence: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert sentence in str(refusal.value)


HEEDED: dict[str, Values] = {
    "an agent that acts": {
        "agent": {
            "act": {"enabled": True, "lruGen": True, "mm": False, "compact": False, "stateDir": "/run/other"}
        }
    },
    "a profile elsewhere": {
        "agent": {"seccomp": {"kubeletRootDir": "/data", "localhostProfile": "a/b.json"}}
    },
    "accounts of one's own": {"agent": {"serviceAccount": {"create": False, "name": "a"}}},
    "Prometheus with TLS": settings(
        prometheusUrl="https://prometheus", prometheusTokenFile="/token", prometheusCaFile="/ca"
    ),
    "kubelets": settings(usageSource="kubelet", kubeletPort=10255, kubeletCaFile="/ca", kubeletConcurrency=8),
    "kubelets by proxy": settings(usageSource="kubelet", nodeProxy=True, kubeletConcurrency=8),
    "an issuer of one's own": webhook(
        source="cert-manager", issuerRef={"name": "ca", "kind": "ClusterIssuer"}
    ),
    "a Secret of one's own": webhook(source="secret", secretName="mine", caBundle=PEM),
    "streams": {
        **settings(modelsLeastNodes=5),
        "coordination": {"enabled": True, "port": 9000, "certificate": {"renew": 2, "validDays": 30}},
    },
    "streams that were renewed, and are off": {"coordination": {"certificate": {"renew": 3}}},
    "a claim": remembered(size="9Gi", claim={"enabled": True, "storageClass": "fast", "keep": False}),
    "a claim that is there": remembered(claim={"enabled": True, "existing": "mine"}),
    "weights": {"fleetMemory": {"enabled": True, "ownWeights": True}},
    "weights by workers": {**WORK, "fleetMemory": {"enabled": True, "ownWeights": True}},
    "workers": working(replicas=3, extraArgs=["--a=b"]),
    "workers that are scaled": working(autoscaling={"kind": "hpa", "maxReplicas": 9, "fitsPerReplica": 5}),
    "classes that are there": {
        "priorityClasses": {"create": False, "operatorName": "high", "agentName": "high"}
    },
    "a narrow operator": {
        "redis": REDIS,
        "fleetMemory": {"enabled": True},
        "networkPolicy": {"operatorEgress": [{"ports": [{"port": 443}]}], "redisTo": [{}]},
    },
    "narrow workers": {**WORK, "networkPolicy": {"redisTo": [{}]}},
    "what a pod looks like that is not there": {
        "worker": {"image": {"tag": "x"}, "podSecurityContext": {"runAsUser": None}, "tolerations": []},
        "placement": {"sweeper": {"resources": {"limits": {"memory": "1Gi"}}}},
    },
}
# Each switch alone: the defaults that the checks know are those of values.yaml, also where one is turned.
SWITCHES: dict[str, Values] = {
    "no agents": {"agent": {"enabled": False}},
    "the runtime's profile": {"agent": {"seccomp": {"type": "RuntimeDefault"}}},
    "a profile that is there": {"agent": {"seccomp": {"install": False}}},
    "agents replaced by hand": {"agent": {"updateStrategy": {"type": "OnDelete"}}},
    "no classes": {"priorityClasses": {"create": False}},
    "no roles": {"rbac": {"create": False}},
    "no network policies": {"networkPolicy": {"enabled": False}},
    "no webhook, and alerts": {"webhook": {"enabled": False}, **monitored(prometheusRule={"enabled": True})},
    "kubelets without certificates": settings(usageSource="kubelet", kubeletInsecure=True),
    "no fits": settings(forecastWorkers=0),
    "settings that are null": settings(kubeletPort=None, prometheusTokenFile=None, modelsLeastNodes=None),
}


@pytest.mark.parametrize("values", [*HEEDED.values(), *SWITCHES.values()], ids=[*HEEDED, *SWITCHES])
def test_takes_what_is_heeded_and_each_switch_alone(values: Values):
    assert render(values).one("Deployment", "-operator")


@pytest.mark.parametrize("acting", [True, False])
def test_takes_the_values_of_a_test_cluster(acting: bool):
    images = {part: f"localhost/plimsoll/{part}:x" for part in ("operator", "agent")}
    cluster = Cluster("vm", "c", "kubeconfig", "kubectl", "run", ("n",), images, "localhost/load:1")
    assert render(cluster_values(cluster, "http://p:9090", acting=acting)).one("DaemonSet")

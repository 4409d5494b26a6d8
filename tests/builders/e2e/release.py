"""The chart, installed on the cluster by Helm.

In: a cluster, values. Out: a release whose operator and agents are Ready. Values differ from the chart's
defaults only in what a test cluster needs: images that are on the nodes already, kubelets that sign their
own certificates as the usage source (there is no metrics-server), and a loop that a test can wait for.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from builders.e2e.cluster import REPOSITORY, Cluster, Manifest, run

CHART = REPOSITORY / "charts/plimsoll"
NAME = "plimsoll"
NAMESPACE = "plimsoll-system"
# An emulated processor runs Python about fifteen times more slowly: the same looks cost so much more of it.
LOOKS_CPU = "--looks-cpu=0.03"
READY_SECONDS = 600


@dataclass(frozen=True)
class Release:
    """One release of the chart."""

    cluster: Cluster
    name: str = NAME
    namespace: str = NAMESPACE
    agents_namespace: str = ""
    """Where the agents are; "" is with the operator."""

    def namespace_of(self, component: str) -> str:
        """Where a component's pods are: operator or agent."""
        return (component == "agent" and self.agents_namespace) or self.namespace

    def helm(self, action: str, **arguments: Any) -> Any:
        """Run one of Helm's actions."""
        asked = {
            "action": action,
            "kubeconfig": self.cluster.kubeconfig,
            "namespace": self.namespace,
            "arguments": arguments,
        }
        program = Path(__file__).with_name("helm_command.py")
        return json.loads(run([sys.executable, str(program)], given=json.dumps(asked), seconds=READY_SECONDS))

    @property
    def installed(self) -> bool:
        """Whether the cluster has it."""
        return any(each["name"] == self.name for each in self.helm("list", all_states=True) or [])

    def install_or_upgrade(self, values: Manifest) -> None:
        """Bring the release to this checkout's chart with these values, and wait until it is Ready."""
        if self.installed:
            self.helm("upgrade", chart=str(CHART), name=self.name, values=values, namespace=self.namespace)
        else:
            self.helm(
                "install",
                chart=str(CHART),
                name=self.name,
                values=values,
                namespace=self.namespace,
                create_namespace=True,
            )
        self.wait_ready()

    def remove(self) -> None:
        """Uninstall it, if it is there. What Helm leaves stays: CRDs, namespace, Lease."""
        if self.installed:
            self.helm("uninstall", name=self.name, timeout=180)

    def wait_ready(self) -> None:
        """Wait until every replica of the operator and every agent is Ready."""
        seconds = f"--timeout={READY_SECONDS}s"
        for component, workload in (("operator", "deployment"), ("agent", "daemonset")):
            where = ("-n", self.namespace_of(component))
            named = f"{workload}/{NAME}-{component}"
            self.cluster.kube(*where, "rollout", "status", named, seconds, seconds=READY_SECONDS + 30)

    def scale_operator(self, replicas: int) -> None:
        """Take the operator down (0), or bring it back and wait until it is Ready."""
        where = ("-n", self.namespace)
        self.cluster.kube(*where, "scale", f"deployment/{NAME}-operator", f"--replicas={replicas}")
        if replicas:
            self.wait_ready()
            return
        chosen = ("-l", "app.kubernetes.io/component=operator")
        self.cluster.kube(*where, "wait", "pod", *chosen, "--for=delete", "--timeout=120s")

    def samples(self, metric: str) -> list[tuple[dict[str, str], float]]:
        """What the operators' replicas say of a metric: labels and value of each sample."""
        found = []
        for pod in self.pods("operator"):
            where = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
            for family in text_string_to_metric_families(self.cluster.kube("get", "--raw", where)):
                found += [(each.labels, each.value) for each in family.samples if each.name == metric]
        return found

    def counted(self, metric: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, over the operator's replicas."""
        return sum(value for found, value in self.samples(metric) if found.items() >= labels.items())

    def attending(self) -> float:
        """Nodes whose agent attends."""
        return self.counted("plimsoll_agents", presence="present")

    def agent_samples(self, agent: Manifest) -> list[Sample]:
        """What an agent's pod says of all its metrics, at one moment."""
        ports = agent["spec"]["containers"][0]["ports"]
        (port,) = (each["containerPort"] for each in ports if each["name"] == "metrics")
        pod = agent["metadata"]
        where = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}:{port}/proxy/metrics"
        served = text_string_to_metric_families(self.cluster.kube("get", "--raw", where))
        return [each for family in served for each in family.samples]

    def pods(self, component: str) -> list[Manifest]:
        """Its pods that are not being deleted: component operator or agent."""
        chosen = f"app.kubernetes.io/component={component}"
        pods = self.cluster.items("pods", "-n", self.namespace_of(component), "-l", chosen)
        return [each for each in pods if "deletionTimestamp" not in each["metadata"]]

    def agents(self) -> list[Manifest]:
        """The agents' pods; fails where there is none, as a loop would then ask nothing."""
        found = self.pods("agent")
        assert found, "no agent runs"
        return found

    def agent_on(self, kube_node: str) -> Manifest:
        """The agent's pod of a node."""
        (found,) = (each for each in self.agents() if each["spec"].get("nodeName") == kube_node)
        return found


ALL_EMULATED = 5.0
"""Of `Cluster.slowness`: VM nodes, whose control plane is not emulated, are at three."""


def image_value(image: str) -> Manifest:
    """A chart's image value for an image that the nodes have."""
    name, _, tag = image.rpartition(":")
    registry, _, repository = name.partition("/")
    return {"registry": registry, "repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"}


def cluster_values(
    cluster: Cluster, prometheus_url: str = "", replicas: int = 1, *, acting: bool = True
) -> Manifest:
    """Values for a test cluster; a standby costs an emulated node as much as the leader does.

    `acting`: agents that act, as most tests have them; the chart's default only watches.
    """
    # A request takes seconds where API server and etcd are emulated too.
    lease = {"leaseDuration": "60s", "leaseRenew": "10s"} if cluster.slowness > ALL_EMULATED else {}
    return {
        "operator": {
            "replicas": replicas,
            "image": image_value(cluster.images["operator"]),
            "settings": {
                "usageSource": "kubelet",
                "kubeletInsecure": True,
                "interval": "15s",
                "settle": "1s",
                "profileInterval": "10s",
                "deferredEvictAfter": "20s",
                "prometheusUrl": prometheus_url,
                **lease,
            },
        },
        "agent": {
            "image": image_value(cluster.images["agent"]),
            "act": {"enabled": acting},
            "extraArgs": [LOOKS_CPU] if acting else [],
        },
    }

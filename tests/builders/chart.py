"""The chart, rendered by Helm itself in this process (helm-python-sdk), as objects.

In: values. Out: the objects of a release `plimsoll` in `plimsoll-system`, without a cluster: `lookup` finds
nothing, and a certificate is made anew each time.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "plimsoll"
RELEASE = "plimsoll"
NAMESPACE = "plimsoll-system"

Object = dict[str, Any]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

EVERYTHING: Mapping[str, Any] = {
    "commonLabels": {"team": "platform"},
    "podAnnotations": {"example.com/note": "x"},
    "imagePullSecrets": [{"name": "pull"}],
    "operator": {
        "image": {"registry": "mirror.example:5000", "digest": "sha256:" + "0" * 64},
        "replicas": 3,
        "settings": {
            "usageSource": "prometheus",
            "prometheusUrl": "http://prometheus.monitoring.svc:9090",
            "prometheusTokenFile": "/var/run/prometheus/token",
            "logLevel": "debug",
            "maxResizesPerMinute": 10000000,
        },
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"], "options": [{"name": "ndots", "value": "2"}]},
        "serviceAccountAnnotations": {"example.com/identity": "metrics-reader"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "extraVolumes": [{"name": "token", "secret": {"secretName": "prometheus-token"}}],
        "extraVolumeMounts": [{"name": "token", "mountPath": "/var/run/prometheus", "readOnly": True}],
    },
    "agent": {
        "namespace": "plimsoll-agents",
        "extraArgs": ["--interval=5s"],
        "dnsConfig": {"searches": ["cluster.example"]},
        "act": {"enabled": True, "nodeResourceTopology": True},
        "image": {"registry": "mirror.example:5000", "tag": "edge"},
    },
    "webhook": {
        "certificate": {"source": "cert-manager"},
        "excludedNamespaces": ["istio-system"],
    },
    "networkPolicy": {
        "metricsFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ],
        "operatorEgress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
        "redisTo": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
    },
    "fleetMemory": {"enabled": True},
    "redis": {
        "url": "rediss+sentinel://plimsoll@one.example,two.example/main?replicas=1",
        "passwordSecret": {"name": "redis-user"},
        "caSecret": {"name": "redis-ca", "key": "authority.pem"},
        "clientSecret": "redis-client",
    },
    "worker": {
        "enabled": True,
        "image": {"registry": "mirror.example:5000"},
        "autoscaling": {"kind": "keda", "minReplicas": 0},
        "priorityClassName": "batch",
        "dnsPolicy": "Default",
    },
    "placement": {"gates": {"enabled": True}},
    "rbac": {"ownerKinds": [{"apiGroup": "example.com", "resource": "fleets"}]},
    "monitoring": {
        "labels": {"release": "prometheus"},
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True, "namespace": "monitoring"},
    },
}
LEAST: Mapping[str, Any] = {
    "operator": {"replicas": 1, "settings": {"usageSource": "kubelet"}},
    "agent": {"enabled": False},
    "webhook": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "priorityClasses": {"create": False},
    "rbac": {"aggregate": False},
    "crds": {"install": False},
}
VALUE_SETS: Mapping[str, Mapping[str, Any]] = {"default": {}, "everything": EVERYTHING, "least": LEAST}


@dataclass(frozen=True)
class Rendered:
    """What one set of values gives: template -> text, and the objects."""

    texts: Mapping[str, str]

    @property
    def notes(self) -> str:
        """What a person reads after the installation."""
        return self.texts["plimsoll/templates/NOTES.txt"]

    @property
    def shown_commands(self) -> list[str]:
        """What the notes give to be pasted, as it stands: paragraphs that begin with a program's name."""
        paragraphs = re.split(r"\n\s*\n", self.notes)
        return [each for each in paragraphs if each.split(maxsplit=1)[:1] in (["helm"], ["kubectl"])]

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """Every object, test hooks too."""
        return tuple(
            each
            for name, text in sorted(self.texts.items())
            if not name.endswith(".txt")
            for each in yaml.load_all(text, LOADER)
            if each
        )

    @property
    def bound_accounts(self) -> set[str]:
        """Names of the service accounts that any role is bound to."""
        kinds = ("ClusterRoleBinding", "RoleBinding")
        return {who["name"] for kind in kinds for each in self.of_kind(kind) for who in each["subjects"]}

    def of_kind(self, kind: str) -> list[Object]:
        """The objects of one kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, ending: str = "") -> Object:
        """The only object of a kind whose name ends so."""
        (found,) = (each for each in self.of_kind(kind) if each["metadata"]["name"].endswith(ending))
        return found


@cache
def loaded() -> helm_python.Chart:
    """The chart; loading it takes longer than rendering."""
    return helm_python.Chart.load(CHART)


def render(values: Mapping[str, Any] | None = None) -> Rendered:
    """Render as `helm install` would; values the schema refuses raise. Equal values are rendered once."""
    return _rendered(json.dumps(values or {}, sort_keys=True))


@cache
def _rendered(values: str) -> Rendered:
    return Rendered(loaded().render(json.loads(values), name=RELEASE, namespace=NAMESPACE))


def older(directory: Path) -> Path:
    """The chart as it was before, in this directory: `importance` of MemoryPolicy and a template fewer."""
    chart = shutil.copytree(CHART, directory / "plimsoll")
    path = chart / "files" / "crds" / "memorypolicies.yaml"
    crd = yaml.safe_load(path.read_text())
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del properties["importance"]
    path.write_text(yaml.safe_dump(crd))
    (chart / "templates" / "operator" / "disruption-budget.yaml").unlink()
    return chart


def default_images(registry: str = "") -> list[str]:
    """Names of the images that the chart asks for, when no value is set but the registry: operator, agent."""
    version = loaded().metadata["appVersion"]
    images = (loaded().values[part]["image"] for part in ("operator", "agent"))
    return [f"{registry or each['registry']}/{each['repository']}:{version}" for each in images]

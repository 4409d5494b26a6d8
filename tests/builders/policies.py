"""Policies as the operator reads them, from the fields a test cares about.

In: a name and spec fields as in YAML. Out: `EffectivePolicy` objects; a namespaced one without a target
selects everything.
"""

from typing import Any

from plimsoll.api.precedence import EffectivePolicy, read_policy

NAMESPACE = "shop"


def body(name: str, kind: str = "MemoryPolicy", namespace: str = NAMESPACE, **spec: Any) -> dict[str, Any]:
    """The object as a watch delivers it."""
    metadata = {"name": name, "generation": 1} | ({"namespace": namespace} if kind == "MemoryPolicy" else {})
    return {"apiVersion": "plimsoll.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def memory_policy(name: str, namespace: str = NAMESPACE, **spec: Any) -> EffectivePolicy:
    """A MemoryPolicy."""
    if not {"targetRef", "selector"} & spec.keys():
        spec["selector"] = {}
    return _read(body(name, namespace=namespace, **spec))


def cluster_policy(name: str, **spec: Any) -> EffectivePolicy:
    """A ClusterMemoryPolicy."""
    return _read(body(name, kind="ClusterMemoryPolicy", **spec))


def targeting(name: str, workload: str, kind: str = "Deployment", **spec: Any) -> EffectivePolicy:
    """A MemoryPolicy for one workload."""
    return memory_policy(name, targetRef={"kind": kind, "name": workload}, **spec)


def _read(document: dict[str, Any]) -> EffectivePolicy:
    policy = read_policy(document)
    assert policy is not None
    return policy

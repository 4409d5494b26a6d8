"""NodeResourceTopology: what NodeMemory says of NUMA nodes, for programs that read that kind and not ours.

In: the NUMA nodes of a NodeMemory's status. Out: `noderesourcetopologies/<node>` of
topology.node.k8s.io/v1alpha2 (noderesourcetopology-api v0.1.2), a zone a NUMA node, with attributes in our
own domain. A zone has no `resources`: its `available` is what the kubelet has not reserved there, which it
alone knows, and a scheduler that filters by it would be misled by free memory. An object that somebody else
made (node-feature-discovery, resource-topology-exporter, an NRI policy) is theirs, and is left alone: they
write `zones` as a whole.
"""

from collections.abc import Sequence
from enum import StrEnum

from plimsoll.api.profile import NumaNodeMemory
from plimsoll.api.v1alpha1 import API_VERSION
from plimsoll_nodeagent.control.kubeapi import ApiError, KubeApi

GROUP_VERSION = "topology.node.k8s.io/v1alpha2"
OBJECTS = f"/apis/{GROUP_VERSION}/noderesourcetopologies"
DOMAIN = "plimsoll.dev"
OWNER_LABEL, OWNER = "app.kubernetes.io/managed-by", "plimsoll-agent"
NOT_FOUND = 404
Object = dict[str, object]


class Told(StrEnum):
    """What became of it."""

    WRITTEN = "written"
    THEIRS = "theirs"
    NO_KIND = "no-kind"


SENTENCES = {
    Told.THEIRS: "this node's NodeResourceTopology is somebody else's: it is left alone",
    Told.NO_KIND: f"the cluster has no NodeResourceTopology of {GROUP_VERSION}: nothing is written",
}


def zones_of(numa_nodes: Sequence[NumaNodeMemory]) -> list[Object]:
    """A zone a NUMA node, named as others name them; attributes are the fields of `status.numaNodes`."""
    return [_zone(each) for each in sorted(numa_nodes, key=lambda each: each.id)]


def _zone(numa_node: NumaNodeMemory) -> Object:
    known = {name: value for name, value in numa_node.to_api().items() if name != "id"}
    attributes = [{"name": f"{DOMAIN}/{name}", "value": _text(value)} for name, value in known.items()]
    return {"name": f"node-{numa_node.id}", "type": "Node", "attributes": attributes}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def write(api: KubeApi, kube_node: str, zones: Sequence[Object], node_memory_uid: str = "") -> Told:
    """Replace the zones of our own object, or make it. It goes when its NodeMemory goes, whose uid is known.

    Raises ApiError; of two that make it at once the second finds at its next turn whose it is.
    """
    try:
        found = api.get(f"{OBJECTS}/{kube_node}")
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return _make(api, kube_node, zones, node_memory_uid)
    metadata = found.get("metadata") or {}
    if (metadata.get("labels") or {}).get(OWNER_LABEL) != OWNER:
        return Told.THEIRS
    # With the version that was read: who takes the object over in between has it.
    read = {"resourceVersion": metadata.get("resourceVersion")}
    api.merge(f"{OBJECTS}/{kube_node}", {"metadata": read, "zones": list(zones)})
    return Told.WRITTEN


def _make(api: KubeApi, kube_node: str, zones: Sequence[Object], node_memory_uid: str) -> Told:
    metadata: Object = {"name": kube_node, "labels": {OWNER_LABEL: OWNER}}
    if node_memory_uid:
        owner = {"apiVersion": API_VERSION, "kind": "NodeMemory", "name": kube_node}
        metadata["ownerReferences"] = [owner | {"uid": node_memory_uid}]
    made = {"apiVersion": GROUP_VERSION, "kind": "NodeResourceTopology", "metadata": metadata}
    try:
        api.post(OBJECTS, {**made, "zones": list(zones)})
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return Told.NO_KIND
    return Told.WRITTEN

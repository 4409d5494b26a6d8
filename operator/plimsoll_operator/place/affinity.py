"""The JSON patch that tells the scheduler where a pod should go, and the pod why.

In: a raw pod, a `Verdict`. Out: JSON patch operations. Preferred terms are appended to what the pod has; a
required line is added to every term that a person wrote, so that theirs still hold. What is excluded is
named, not what is allowed: a kube node that comes later, or of which nothing is known, stays open, and one
that vanishes takes nothing with it.

Source: weights and how many nodes to name are `plimsoll.placement.preference`'s, measured against a real
kube-scheduler; metadata.name takes one value a line in matchFields (k8s.io/kubernetes
pkg/apis/core/validation), so a set is excluded by the hostname label.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plimsoll.placement.preference import weights_of
from plimsoll_operator.parse.needs import HOSTNAME, REQUIRED
from plimsoll_operator.parse.pods import PLACEMENT_ANNOTATION
from plimsoll_operator.place.gate import GATE, GATE_ANNOTATION, told

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
MOST_EXCLUDED = 1000  # hostnames in one pod: 20 KiB; with more, the preference alone must do

Raw = Mapping[str, Any]
Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a pod should go."""

    kube_nodes: Sequence[str]  # the best first; the others for a scheduler that does not look at all nodes
    short_before: float  # probability that the best is short of memory within a day, without the pod ...
    short_after: float  # ... and with it
    decision: str  # names it among all
    excluded: Sequence[str] = ()  # hostnames that it must not go to
    room_until_seconds: float | None = None  # it is held until others have left, and no longer than this

    @property
    def sentence(self) -> str:
        """What the annotation says; `parse.pods` reads node and decision off it."""
        chances = f"{self.short_before:.2%} before, {self.short_after:.2%} with this pod"
        barred = f", {len(self.excluded)} kube nodes excluded" if self.excluded else ""
        held = ", once room is made" if self.room_until_seconds is not None else ""
        text = f"chance of being short of memory within a day {chances}{held}{barred}"
        others = f", or one of {len(self.kube_nodes) - 1} others" if len(self.kube_nodes) > 1 else ""
        return f"{self.kube_nodes[0]}: {text}{others} ({self.decision})"


def placement_patch(pod: Raw, verdict: Verdict) -> Iterator[Operation]:
    """Yield the operations; nothing that the pod has is taken away or changed."""
    spec, meta = pod["spec"], pod.get("metadata") or {}
    affinity = spec.get("affinity")
    if not isinstance(affinity, Mapping):
        yield {"op": "add", "path": "/spec/affinity", "value": {}}
        affinity = {}
    nodes = dict(affinity.get("nodeAffinity") or {})
    nodes[PREFERRED] = [*(nodes.get(PREFERRED) or ()), *_preferred(verdict.kube_nodes)]
    if verdict.excluded:
        nodes[REQUIRED] = _required(nodes.get(REQUIRED), list(verdict.excluded))
    yield {"op": "add", "path": "/spec/affinity/nodeAffinity", "value": nodes}
    if not isinstance(meta.get("annotations"), Mapping):
        yield {"op": "add", "path": "/metadata/annotations", "value": {}}
    yield _annotated(PLACEMENT_ANNOTATION, verdict.sentence)
    if verdict.room_until_seconds is not None:
        yield _annotated(GATE_ANNOTATION, told(verdict.room_until_seconds))
        gates = [*(spec.get("schedulingGates") or ()), {"name": GATE}]
        yield {"op": "add", "path": "/spec/schedulingGates", "value": gates}


def _annotated(name: str, value: str) -> Operation:
    return {"op": "add", "path": f"/metadata/annotations/{name.replace('/', '~1')}", "value": value}


def _preferred(kube_nodes: Sequence[str]) -> Iterator[Raw]:
    for name, weight in zip(kube_nodes, weights_of(len(kube_nodes)), strict=True):
        line = {"key": "metadata.name", "operator": "In", "values": [name]}
        yield {"weight": weight, "preference": {"matchFields": [line]}}


def _required(given: Raw | None, excluded: list[str]) -> Raw:
    line = {"key": HOSTNAME, "operator": "NotIn", "values": excluded}
    if not given:
        return {"nodeSelectorTerms": [{"matchExpressions": [line]}]}
    return {**given, "nodeSelectorTerms": [_narrowed(each, line) for each in given["nodeSelectorTerms"]]}


def _narrowed(term: Raw, line: Raw) -> Raw:
    """A term and the line; one that is empty matches nothing, and goes on doing so."""
    if not term.get("matchExpressions") and not term.get("matchFields"):
        return term
    return {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), line]}

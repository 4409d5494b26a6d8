"""Which policy speaks for a workload: targetRef > namespaced selector > ClusterMemoryPolicy selector >
cluster-wide.

In: policies as the cluster holds them, a workload, its pods' labels and its namespace's. Out: an
`EffectivePolicy`, a `Conflict` that names every policy of the tie (then none of them acts), or None:
nothing is touched without a policy. A policy that cannot be read still holds its place, with mode Off:
otherwise a lower one would act in its stead.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pydantic import ValidationError

from plimsoll.api.contradictions import contradictions
from plimsoll.api.effective import EffectiveContainerPolicy, Mode, PolicyRef
from plimsoll.api.overrides import container_policy
from plimsoll.api.policy import ClusterMemoryPolicySpec, MemoryPolicySpec, PolicySpec
from plimsoll.workload import WorkloadRef

PROTECTED_NAMESPACES = frozenset({"kube-system"})
_TARGET_FIELDS = ("targetRef", "selector", "namespaceSelector", "namespaces")


class Tier(IntEnum):
    """How closely a policy points at a workload; the lowest number wins."""

    TARGET_REF = 0
    SELECTOR = 1
    CLUSTER_SELECTOR = 2
    CLUSTER_WIDE = 3

    @property
    def words(self) -> str:
        """For messages: `by targetRef`."""
        return ("by targetRef", "by selector", "by cluster selector", "cluster-wide")[self]


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """The policy that speaks for a workload. `problem`: why its spec could not be read (then its mode is
    Off)."""

    ref: PolicyRef
    generation: int
    spec: PolicySpec
    problem: str = ""
    _containers: dict[str, EffectiveContainerPolicy] = field(default_factory=dict, compare=False, repr=False)

    @property
    def mode(self) -> Mode:
        """The policy's mode; a container's own may differ."""
        return self.spec.mode

    def container(self, name: str) -> EffectiveContainerPolicy:
        """What it says about one container: app container, sidecar or native sidecar."""
        if name not in self._containers:
            self._containers[name] = container_policy(self.ref, self.spec, name, self.problem)
        return self._containers[name]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two or more policies speak for a workload equally closely: none acts on it."""

    refs: tuple[PolicyRef, ...]
    tier: Tier
    workload: WorkloadRef

    @property
    def message(self) -> str:
        """A sentence that names them all."""
        names = " and ".join(str(ref) for ref in self.refs)
        return (
            f"{names} speak for {self.workload} equally ({self.tier.words}): none acts until one is narrowed"
        )


def read_policy(body: Mapping[str, Any]) -> EffectivePolicy | None:
    """A policy object of the cluster; None where not even its target can be read (then it speaks for
    nothing)."""
    metadata, kind = body["metadata"], body["kind"]
    namespaced = kind == "MemoryPolicy"
    model: type[PolicySpec] = MemoryPolicySpec if namespaced else ClusterMemoryPolicySpec
    ref = PolicyRef(kind, metadata.get("namespace", "") if namespaced else "", metadata["name"])
    generation, raw = int(metadata.get("generation", 0)), body.get("spec") or {}
    try:
        spec = model.model_validate(raw)
        wrong = next(contradictions(spec), None)
        if wrong is None:
            return EffectivePolicy(ref, generation, spec)
        problem = f"{ref}: {wrong}"
    except ValidationError as error:
        problem = f"{ref}: {problem_of(error)}"
    try:
        target = {name: raw[name] for name in _TARGET_FIELDS if name in raw}
        return EffectivePolicy(ref, generation, model.model_validate({"mode": Mode.OFF, **target}), problem)
    except (ValidationError, TypeError):
        return None


def problem_of(error: ValidationError) -> str:
    """The first thing pydantic found, as `spec.limits.min: ...`."""
    first = error.errors(include_url=False, include_context=False)[0]
    return f"{field_path(('spec', *first['loc']))}: {plain(first['msg'])}"


def plain(message: str) -> str:
    """What pydantic says of a field, in plain words: "Input should be 'Off'" -> "must be 'Off'"."""
    message = message.removeprefix("Value error, ")
    return re.sub(r"^[A-Z][a-z]+ should ", "must ", message)


def field_path(parts: Iterable[str | int]) -> str:
    """`("spec", "containers", 0, "name")` -> `spec.containers[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


class PolicySet:
    """All policies at one moment, indexed; resolving a workload looks at those of its namespace and the
    cluster's."""

    def __init__(self, policies: Iterable[EffectivePolicy], own_namespaces: Iterable[str]) -> None:
        self._protected = PROTECTED_NAMESPACES.union(own_namespaces)
        self._targeted: dict[tuple[str, str, str], list[EffectivePolicy]] = defaultdict(list)
        self._selecting: dict[str, list[EffectivePolicy]] = defaultdict(list)
        self._cluster: list[tuple[EffectivePolicy, ClusterMemoryPolicySpec]] = []
        for policy in sorted(policies, key=lambda each: each.ref):
            self._file(policy)

    def resolve(
        self,
        workload: WorkloadRef,
        pod_labels: Mapping[str, str],
        namespace_labels: Mapping[str, str],
    ) -> EffectivePolicy | Conflict | None:
        """The policy that speaks for a workload's pods with these labels."""
        for tier, found in self._tiers(workload, pod_labels, namespace_labels):
            if len(found) > 1:
                return Conflict(tuple(each.ref for each in found), tier, workload)
            if found:
                return found[0]
        return None

    def _file(self, policy: EffectivePolicy) -> None:
        spec = policy.spec
        if isinstance(spec, ClusterMemoryPolicySpec):
            self._cluster.append((policy, spec))
        elif isinstance(spec, MemoryPolicySpec) and spec.target_ref is not None:
            target = (policy.ref.namespace, spec.target_ref.kind, spec.target_ref.name)
            self._targeted[target].append(policy)
        elif isinstance(spec, MemoryPolicySpec) and spec.selector is not None:
            self._selecting[policy.ref.namespace].append(policy)

    def _tiers(
        self, workload: WorkloadRef, pod_labels: Mapping[str, str], namespace_labels: Mapping[str, str]
    ) -> Iterable[tuple[Tier, list[EffectivePolicy]]]:
        """Each tier with its policies that match, the closest first; later tiers are looked at only when
        asked for."""
        target = (workload.namespace, workload.kind, workload.name)
        yield Tier.TARGET_REF, self._targeted.get(target, [])
        selecting = self._selecting.get(workload.namespace, ())
        yield Tier.SELECTOR, [each for each in selecting if _selects(each.spec, pod_labels)]
        reaching = [
            (each, spec)
            for each, spec in self._cluster
            if self._reaches(spec, workload.namespace, namespace_labels) and _selects(spec, pod_labels)
        ]
        yield Tier.CLUSTER_SELECTOR, [each for each, spec in reaching if not spec.is_cluster_wide]
        yield Tier.CLUSTER_WIDE, [each for each, spec in reaching if spec.is_cluster_wide]

    def _reaches(self, spec: ClusterMemoryPolicySpec, namespace: str, labels: Mapping[str, str]) -> bool:
        named = namespace in spec.namespaces
        open_to_all = not spec.namespaces and namespace not in self._protected
        return (named or open_to_all) and (
            spec.namespace_selector is None or spec.namespace_selector.matches(labels)
        )


def _selects(spec: PolicySpec, pod_labels: Mapping[str, str]) -> bool:
    selector = spec.selector if isinstance(spec, MemoryPolicySpec | ClusterMemoryPolicySpec) else None
    return selector is None or selector.matches(pod_labels)

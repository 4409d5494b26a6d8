"""Initial resources: what a pod that is being created should start with.

In: the pod's body as the webhook gets it, the indices, the last recommendations. Out: memory values by
container, empty where there is nothing to say. Pure lookups without I/O: a pod waits for the answer. A new
ReplicaSet is not indexed yet when its first pods are admitted, so its Deployment is read off its name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plimsoll.api.precedence import EffectivePolicy
from plimsoll.guard.cluster import admit
from plimsoll.guard.state import (
    Ask,
    ContainerState,
    ControlState,
    KubeNodeState,
    PodState,
    QosClass,
    Situation,
)
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import MemoryValues
from plimsoll_operator.asks import Asks
from plimsoll_operator.membership import Membership
from plimsoll_operator.owners import TEMPLATE_HASH_LABEL, OwnerResolver, replica_set_owner_guess
from plimsoll_operator.planning import kill_ask, move_ask
from plimsoll_operator.profile_name import name_for
from plimsoll_operator.records import ContainerSpec, ProfileRecord
from plimsoll_operator.situations import Learned, Ledger, Situations
from plimsoll_operator.world import World

Raw = Mapping[str, Any]


@dataclass(slots=True)
class InitialResources:
    """Answers the webhook from what the loop last saw, and the profile as it is now."""

    world: Callable[[], World]
    # By namespace and name, as it is now: what a pod is evicted for is written a moment before
    profile: Callable[[str, str], ProfileRecord | None]
    membership: Membership
    owners: OwnerResolver
    asks: Asks
    now: Callable[[], float]
    control: Callable[[], ControlState | None]  # of the last loop; None: it has not looped yet
    remembered_seconds: float  # how long what a profile remembers is good for a raise

    async def __call__(self, pod: Raw, namespace: str) -> dict[str, MemoryValues]:
        """Values by container of a pod that is being created in `namespace`."""
        return self.values(pod, namespace)

    def values(self, pod: Raw, namespace: str) -> dict[str, MemoryValues]:
        """See `__call__`; nothing here waits for anything."""
        world, control = self.world(), self.control()
        meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        ref = self.workload(meta, namespace)
        if ref is None or world.paused or control is None or not control.supported:
            return {}
        policy = self.membership.resolve(ref, parse.labels(meta))
        if not isinstance(policy, EffectivePolicy) or not policy.mode.admits:
            return {}
        node_class = _node_class(ref, spec, world)
        profile = self.profile(namespace, name_for(ref, node_class))
        if profile is None or profile.restore:
            return {}
        state = _PodToBe(ref, policy, profile, node_class, parse.specs(spec))
        return dict(self._values(state, world, control))

    def _values(
        self, state: "_PodToBe", world: World, control: ControlState
    ) -> Iterator[tuple[str, MemoryValues]]:
        situations = Situations(world, self.asks, control, Learned(), Ledger(), {}, self.now())
        requested = {spec.name: spec.request_bytes or 0 for spec in state.specs}
        for spec in state.specs:
            newest = self._newest(state, spec.name)
            ask = newest or self._remembered(state, spec)
            # A pod that was evicted for more must not be followed by one that starts with less.
            moved = move_ask(state.profile.container(spec.name), spec.limit_bytes, self.now())
            if moved is not None and (ask is None or (moved.limit_bytes or 0) > (ask.limit_bytes or 0)):
                ask, newest = moved, None
            if ask is None:
                continue
            others = sum(requested.values()) - requested[spec.name]
            decision = admit(ask, self._situation(state, spec, situations, others))
            values = MemoryValues(decision.limit_bytes, decision.request_bytes)
            if newest is None or control.problems:  # what may be out of date, or seen by half, only raises
                values = _no_lower(values, spec)
            if decision.acts and (values.limit_bytes, values.request_bytes) != (
                spec.limit_bytes,
                spec.request_bytes,
            ):
                requested[spec.name] = values.request_bytes or 0
                yield spec.name, values

    def _situation(
        self, state: "_PodToBe", spec: ContainerSpec, situations: Situations, others_request_bytes: int
    ) -> Situation:
        namespace = state.ref.namespace
        row = self.membership.row_of(ContainerKey(state.ref, spec.name, state.node_class))
        container = ContainerState(
            name=spec.name,
            limit_bytes=spec.limit_bytes,
            request_bytes=spec.request_bytes,
            resizable=spec.resizable,
            cpu_guaranteed=spec.cpu_guaranteed,
            usage_bytes=self._used_bytes(row, situations.control),
            leaks=row is not None and self.asks.leak(row) is not None,
        )
        pod = PodState(
            namespace=namespace,
            name="",
            qos=qos_of(state.specs),
            others_request_bytes=others_request_bytes,
            memory_hpa=situations.world.hpas.get((state.ref.kind, namespace, state.ref.name), ""),
        )
        return Situation(
            policy=state.policy.container(spec.name),
            container=container,
            pod=pod,
            namespace=situations.namespace(namespace),
            kube_node=_largest_kube_node(state, situations.world),
            control=situations.control,
            now_seconds=situations.now_seconds,
        )

    def _used_bytes(self, row: int | None, control: ControlState) -> float | None:
        """What the workload's running pods use now, the highest of them; None where nobody knows."""
        used, age = (None, None) if row is None else self.asks.usage(row)
        return used if age is not None and age <= control.max_usage_age_seconds else None

    def _newest(self, state: "_PodToBe", container: str) -> Ask | None:
        """The engine's newest word, at most a few hours old."""
        row = self.membership.row_of(ContainerKey(state.ref, container, state.node_class))
        return self.asks.for_row(row, self.now()) if row is not None else None

    def _remembered(self, state: "_PodToBe", spec: ContainerSpec) -> Ask | None:
        """What the profile remembers: all there is until the engine speaks, and for a job between runs."""
        written = state.profile.updated_seconds
        if written is None or not abs(self.now() - written) <= self.remembered_seconds:
            return None
        remembered = state.profile.container(spec.name)
        recommended = remembered.recommended if remembered is not None else None
        if recommended is None or recommended.target_bytes is None:
            return kill_ask(remembered, spec.limit_bytes, self.now())
        return Ask(recommended.target_bytes, recommended.request_bytes)

    def workload(self, meta: Raw, namespace: str) -> WorkloadRef | None:
        """What a pod that is being created belongs to; None where nobody knows."""
        owner = parse.controller(meta)
        if owner is None:
            name = meta.get("name")
            return WorkloadRef(namespace, "Pod", str(name)) if name else None
        top = self.owners.top(namespace, owner, self.world().owners)
        if top is not None:
            return top.ref
        guess = replica_set_owner_guess(owner, str((meta.get("labels") or {}).get(TEMPLATE_HASH_LABEL, "")))
        return WorkloadRef(namespace, "Deployment", guess) if guess is not None else None


@dataclass(frozen=True, slots=True)
class _PodToBe:
    ref: WorkloadRef
    policy: EffectivePolicy
    profile: ProfileRecord
    node_class: str
    specs: tuple[ContainerSpec, ...]


def _largest_kube_node(state: "_PodToBe", world: World) -> KubeNodeState | None:
    """The kube node with the most memory for pods, of the pod's class where it is a DaemonSet's."""
    known = [each for each in world.kube_nodes.values() if each.allocatable_bytes is not None]
    mine = [each for each in known if state.node_class in ("", each.node_class)]
    largest = max(mine, key=lambda each: (each.allocatable_bytes or 0, each.name), default=None)
    return None if largest is None else KubeNodeState(largest.name, largest.allocatable_bytes)


def _no_lower(values: MemoryValues, spec: ContainerSpec) -> MemoryValues:
    """No value below the template's."""

    def larger(value: int | None, template: int | None) -> int | None:
        return max((each for each in (value, template) if each is not None), default=None)

    return MemoryValues(
        larger(values.limit_bytes, spec.limit_bytes), larger(values.request_bytes, spec.request_bytes)
    )


def qos_of(specs: tuple[ContainerSpec, ...]) -> QosClass:
    """The QoS class a pod with these containers will get."""
    if all(
        each.cpu_guaranteed and each.limit_bytes and each.limit_bytes == each.request_bytes for each in specs
    ):
        return QosClass.GUARANTEED
    if any(each.limit_bytes or each.request_bytes for each in specs):
        return QosClass.BURSTABLE
    return QosClass.BEST_EFFORT


def _node_class(ref: WorkloadRef, spec: Raw, world: World) -> str:
    """A DaemonSet's pod names its kube node in its affinity before it is scheduled."""
    if ref.kind != "DaemonSet":
        return ""
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            names = field.get("values") or ()
            record = (
                world.kube_nodes.get(str(names[0])) if field.get("key") == "metadata.name" and names else None
            )
            if record is not None:
                return record.node_class
    return ""

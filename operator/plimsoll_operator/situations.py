"""From records to what the guards are told: one `Situation` for one container of one pod.

In: the world, what this loop has promised to others already (`Ledger`), what earlier resizes taught about
kube nodes. Out: frozen facts. No rule about how much lives here; what is not known stays None and makes a
guard hold.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from plimsoll.api.effective import Basis
from plimsoll.guard.state import (
    ContainerState,
    ControlState,
    KubeNodeState,
    NamespaceState,
    PodState,
    QosClass,
    QuotaRoom,
    ResizeStatus,
    Situation,
)
from plimsoll_operator.asks import Asks
from plimsoll_operator.membership import Group, GroupKey
from plimsoll_operator.records import ContainerRecord, PodRecord, QuotaRecord
from plimsoll_operator.world import World

QOS = {each.value: each for each in QosClass}


@dataclass(slots=True)
class Learned:
    """What kubelets' answers have taught; it is in no object, so a restart has to learn it again."""

    swapping: set[str] = field(default_factory=set)  # kube nodes
    pinning: set[str] = field(default_factory=set)
    refusals: dict[str, tuple[str, float]] = field(default_factory=dict)  # pod uid -> why, until when
    # The limit that a container's pod is evicted for, and when, until the profile says it.
    moved: dict[tuple[GroupKey, str], tuple[int, float]] = field(default_factory=dict)

    def refusal(self, pod_uid: str, now_seconds: float) -> str:
        """Why this pod is not asked again yet, or ""."""
        why, until = self.refusals.get(pod_uid, ("", 0.0))
        return why if now_seconds < until else ""


@dataclass(slots=True)
class Ledger:
    """Bytes promised in this loop, and by writes that quota and node sums do not show yet."""

    limits: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # by namespace
    requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    by_kube_node: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def promise(self, namespace: str, kube_node: str, limit_bytes: int, request_bytes: int) -> None:
        """Count a change; only raises take room away, for a lowering may yet be refused."""
        self.limits[namespace] += max(0, limit_bytes)
        self.requests[namespace] += max(0, request_bytes)
        self.by_kube_node[kube_node] += max(0, request_bytes)


def nobody_tells(_pod: PodRecord, _container: ContainerRecord, _now_seconds: float) -> float | None:
    """Without agents nobody knows what of a container's memory is needed."""
    return None


@dataclass(slots=True)
class Situations:
    """Builds situations for one loop."""

    world: World
    asks: Asks
    control: ControlState
    learned: Learned
    ledger: Ledger
    requested_bytes: dict[str, int]  # by kube node
    now_seconds: float
    needed: Callable[[PodRecord, ContainerRecord, float], float | None] = nobody_tells
    """What an agent that is there says is needed of a container (`coordinate.needs`)."""
    _namespaces: dict[str, NamespaceState] = field(default_factory=dict)

    def of(
        self, group: Group, pod: PodRecord, container: ContainerRecord, last_change_seconds: float | None
    ) -> Situation:
        """Everything the guards look at for one container of one pod."""
        spec, policy = container.spec, group.container_policy(container.spec.name)
        used, age = self.asks.usage(group.rows.get(spec.name, -1))
        asks_need = policy is not None and policy.basis is Basis.NEEDED
        state = ContainerState(
            name=spec.name,
            limit_bytes=spec.limit_bytes,
            request_bytes=spec.request_bytes,
            reported=container.reported,
            resizable=spec.resizable,
            restarts_on_resize=spec.restarts_on_resize,
            cpu_guaranteed=spec.cpu_guaranteed,
            usage_bytes=used,
            usage_age_seconds=age,
            needed_bytes=self.needed(pod, container, self.now_seconds) if asks_need else None,
            last_change_seconds=last_change_seconds,
            leaks=self.asks.leak(group.rows.get(spec.name, -1)) is not None,
            in_force_bytes=container.actual_limit_bytes,
        )
        return Situation(
            policy=policy,
            container=state,
            pod=self._pod(group, pod, container),
            namespace=self.namespace(pod.namespace),
            kube_node=self._kube_node(pod.kube_node),
            control=self.control,
            now_seconds=self.now_seconds,
        )

    def _pod(self, group: Group, pod: PodRecord, container: ContainerRecord) -> PodState:
        others = [each.spec for each in pod.containers if each is not container]
        resize = pod.resize
        return PodState(
            namespace=pod.namespace,
            name=pod.name,
            qos=QOS.get(pod.qos, QosClass.BEST_EFFORT),
            running=pod.phase == "Running",
            terminating=pod.terminating,
            mirror=pod.mirror,
            resize=resize.status if resize is not None else ResizeStatus.NONE,
            resize_message=resize.message if resize is not None else "",
            refused=self.learned.refusal(pod.uid, self.now_seconds),
            memory_hpa=self.world.hpas.get((group.ref.kind, group.ref.namespace, group.ref.name), ""),
            others_limit_bytes=_total([each.limit_bytes for each in others]),
            others_request_bytes=_total([each.request_bytes for each in others]),
            others_guaranteed=all(
                each.cpu_guaranteed
                and each.limit_bytes is not None
                and each.limit_bytes == each.request_bytes
                for each in others
            ),
        )

    def namespace(self, name: str) -> NamespaceState:
        """What a namespace allows, less what this loop has promised."""
        if name not in self._namespaces:
            ranges = tuple(one for each in self.world.limit_ranges.get(name, ()) for one in each.ranges)
            self._namespaces[name] = NamespaceState(name, ranges)
        rooms = tuple(self._room(each) for each in self.world.quotas.get(name, ()))
        return replace(self._namespaces[name], quotas=rooms) if rooms else self._namespaces[name]

    def _room(self, quota: QuotaRecord) -> QuotaRoom:
        limits, requests = self.ledger.limits[quota.namespace], self.ledger.requests[quota.namespace]
        return QuotaRoom(
            quota.name,
            None
            if quota.limits_hard_bytes is None
            else quota.limits_hard_bytes - quota.limits_used_bytes - limits,
            None
            if quota.requests_hard_bytes is None
            else quota.requests_hard_bytes - quota.requests_used_bytes - requests,
        )

    def _kube_node(self, name: str) -> KubeNodeState | None:
        record = self.world.kube_nodes.get(name)
        if record is None:
            return None
        return KubeNodeState(
            name=name,
            allocatable_bytes=record.allocatable_bytes,
            requested_bytes=self.requested_bytes.get(name, 0) + self.ledger.by_kube_node[name],
            swap=record.swap_bytes > 0 or name in self.learned.swapping,
            static_memory_manager=name in self.learned.pinning,
        )


def _total(values: list[int | None]) -> int | None:
    known = [each for each in values if each is not None]
    return sum(known) if len(known) == len(values) else None

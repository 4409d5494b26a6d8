"""Which live container feeds which row: the pods of a moment, grouped by workload, told to the engine as
differences.

In: the `World` of each loop. Out: `Changes` (members that came or changed, containers that went, kills and
restarts seen), and groups that the decisions walk over. A group is a workload on one class of kube nodes,
which is what a profile is of. Only what changed since the last loop is looked at, in chunks between which
the event loop runs.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from plimsoll.api.effective import EffectiveContainerPolicy
from plimsoll.api.precedence import Conflict, EffectivePolicy, PolicySet
from plimsoll.recommend.row_policy import RowPolicy, row_policy
from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator.engine.kin import image_code, kin_of
from plimsoll_operator.engine.messages import Event, Member, OomEvent, PodContainer, RestartEvent
from plimsoll_operator.owners import OwnerResolver, Top
from plimsoll_operator.profile_name import name_for
from plimsoll_operator.records import (
    ContainerRecord,
    KubeNodeRecord,
    Labels,
    NamespaceRecord,
    PodRecord,
    ProfileRecord,
)
from plimsoll_operator.row_ids import RowIds
from plimsoll_operator.successions import Successions
from plimsoll_operator.world import World

CHUNK_PODS = 1000  # looked at between two turns of the event loop: about 10 ms
# A kill that is older than this when it is first seen is left to the history (checkpoint, Prometheus).
OLDEST_KILL_SECONDS = 3600.0
RUNS_END = ("Job", "CronJob")  # their next run is another one: it restarts nothing
RESOLVED_PER_POD, RESOLVED_LEAST = 2, 10_000  # answers of `resolve` that are kept

Breathe = Callable[[], Awaitable[None]]
Resolved = EffectivePolicy | Conflict | None
GroupKey = tuple[WorkloadRef, str]


@dataclass(slots=True)
class Group:
    """A workload on one class of kube nodes: its live pods, its rows by container, its policy."""

    top: Top
    node_class: str
    policy: Resolved = None
    pods: dict[str, PodRecord] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    profile: str = ""  # the name of its MemoryProfile

    def __post_init__(self) -> None:
        """Make the name once: it is looked at in every loop."""
        self.profile = name_for(self.ref, self.node_class)

    @property
    def ref(self) -> WorkloadRef:
        """The workload."""
        return self.top.ref

    def kins(self) -> dict[str, str]:
        """By container of a live pod the word that its relatives share; "" where its image is not known."""
        return {
            each.spec.name: kin_of(each.spec.image, self.ref.kind, each.spec.name)
            for pod in self.pods.values()
            for each in pod.containers
        }

    def container_policy(self, name: str) -> EffectiveContainerPolicy | None:
        """What the policy says about one container; None without a policy or in a conflict."""
        return self.policy.container(name) if isinstance(self.policy, EffectivePolicy) else None


@dataclass(slots=True)
class Changes:
    """What the engine must be told, and what the loop wants to look at."""

    added: list[Member] = field(default_factory=list)
    removed: list[PodContainer] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    touched: set[GroupKey] = field(default_factory=set)
    seen: list[PodRecord] = field(default_factory=list)  # under a policy, for the first time
    freed: tuple[int, ...] = ()  # rows that stand for nothing any more
    waiting: int = 0  # pods whose owner is not known yet


@dataclass(frozen=True, slots=True)
class _Tracked:
    record: PodRecord
    group: GroupKey


# Row, limit and request in force, policy, memory of the kube node.
_Told = tuple[int, int | None, int | None, RowPolicy, int | None]


class Membership:
    """Everything derived from pods that must survive from one loop to the next."""

    def __init__(self, own_namespaces: Collection[str], quantity: Quantity, owners: OwnerResolver) -> None:
        self._own_namespaces = own_namespaces
        self._quantity = quantity
        self._owners = owners
        self._tracked: dict[str, _Tracked] = {}
        self._told: dict[PodContainer, _Told] = {}
        self._kills: dict[PodContainer, int] = {}
        self._ids = RowIds()
        self._successions = Successions()
        self._now_seconds = 0.0
        self._kube_nodes: Mapping[str, KubeNodeRecord] = {}
        self._policies: tuple[object, ...] = ()
        self._namespaces: Mapping[str, NamespaceRecord] = {}
        self._set = PolicySet((), own_namespaces)
        self._resolved: dict[tuple[WorkloadRef, Labels], Resolved] = {}
        self.groups: dict[GroupKey, Group] = {}
        self.parted: dict[GroupKey, Group] = {}  # lost their last pod and are not on record without it yet
        self.requested_bytes: dict[str, int] = {}  # by kube node

    async def scan(self, world: World, now_seconds: float, breathe: Breathe) -> Changes:
        """Compare the world with what is tracked."""
        changes = Changes()
        self._now_seconds, self._kube_nodes = now_seconds, world.kube_nodes
        again = self._policies_changed(world)
        requested: dict[str, int] = defaultdict(int)
        for number, pod in enumerate(world.pods):
            if number % CHUNK_PODS == CHUNK_PODS - 1:
                await breathe()
            if pod.live:
                requested[pod.kube_node] += pod.requested_bytes
            known = self._tracked.get(pod.uid)
            if again or known is None or known.record is not pod:
                self._look(pod, known, world, changes, now_seconds)
        self._drop({pod.uid for pod in world.pods}, changes)
        await self._successors(changes, breathe)
        changes.freed = self._give_back(now_seconds)
        self.requested_bytes = requested
        return changes

    def row_of(self, key: ContainerKey) -> int | None:
        """The row of a container, None where it has none yet."""
        return self._ids.row_of(key)

    def row_of_container(self, uid: PodContainer) -> int:
        """The row that a bound pod's container feeds; -1 where the engine was not told of it."""
        told = self._told.get(uid)
        return -1 if told is None else told[0]

    def group_of_row(self, row: int) -> Group | None:
        """The group that a row belongs to, None while it has no pods."""
        key = self._ids.key(row)
        return self.groups.get((key.workload, key.node_class)) if key is not None else None

    def pod(self, uid: str) -> PodRecord | None:
        """A live pod whose owner is known."""
        tracked = self._tracked.get(uid)
        return None if tracked is None else tracked.record

    def group_of_pod(self, uid: str) -> Group | None:
        """The group of such a pod."""
        tracked = self._tracked.get(uid)
        return None if tracked is None else self.groups.get(tracked.group)

    def row_in_group(self, uid: PodContainer) -> int | None:
        """The row of a container of such a pod."""
        group = self.group_of_pod(uid[0])
        return None if group is None else group.rows.get(uid[1])

    def of_workload(self, profile: ProfileRecord) -> Iterator[Group]:
        """The group that a profile is of, if it has pods."""
        ref = WorkloadRef(profile.namespace, profile.kind, profile.target)
        group = self.groups.get((ref, profile.node_class))
        if group is not None:
            yield group

    def resolve(self, ref: WorkloadRef, labels: Labels) -> Resolved:
        """The policy for a workload with these pod labels."""
        key = (ref, labels)
        if key not in self._resolved:
            namespace = self._namespaces.get(ref.namespace)
            named = dict(namespace.labels) if namespace is not None else {}
            self._resolved[key] = self._set.resolve(ref, dict(labels), named)
        return self._resolved[key]

    def kill_is_new(self, pod: PodRecord) -> bool:
        """True where a pod's status tells of an OOM kill that no scan has seen."""
        kills = ((each.spec.name, each.oom) for each in pod.containers if each.oom is not None)
        return any(self._kills.get((pod.uid, name), -1) < kill.restarts for name, kill in kills)

    def conflicts(self) -> Iterator[Conflict]:
        """Every conflict there is now."""
        return (each.policy for each in self.groups.values() if isinstance(each.policy, Conflict))

    def _policies_changed(self, world: World) -> bool:
        policies = tuple(each.policy for each in world.policies)  # not their statuses, which we write
        changed = policies != self._policies or world.namespaces != self._namespaces
        if changed:
            self._policies, self._namespaces = policies, world.namespaces
            self._set = PolicySet(policies, self._own_namespaces)
            self._resolved.clear()
        return changed

    def _look(
        self, pod: PodRecord, known: _Tracked | None, world: World, changes: Changes, now_seconds: float
    ) -> None:
        if not pod.live:
            self._forget(pod.uid, changes)
            return
        top = self._owners.top_of(pod, world.owners)
        if top is None:
            changes.waiting += 1
            return
        key = (top.ref, self._node_class(top.ref, pod, world))
        if known is not None and known.group != key:
            self._forget(pod.uid, changes)
        group = self.groups.get(key) or self.groups.setdefault(key, Group(top, key[1]))
        self.parted.pop(key, None)
        group.policy = self.resolve(top.ref, pod.labels)
        group.pods[pod.uid] = pod
        self._tracked[pod.uid] = _Tracked(pod, key)
        changes.touched.add(key)
        if known is None and isinstance(group.policy, EffectivePolicy):
            changes.seen.append(pod)
        for container in pod.containers:
            self._member(group, pod, container, changes)
            self._events(pod, container, known, changes, now_seconds)

    def _node_class(self, ref: WorkloadRef, pod: PodRecord, world: World) -> str:
        """Pods of a DaemonSet differ from node to node; those of everything else are replicas."""
        kube_node = world.kube_nodes.get(pod.kube_node)
        return kube_node.node_class if ref.kind == "DaemonSet" and kube_node is not None else ""

    def _member(self, group: Group, pod: PodRecord, container: ContainerRecord, changes: Changes) -> None:
        uid = (pod.uid, container.spec.name)
        policy = group.container_policy(container.spec.name)
        if policy is None or not pod.kube_node:
            self._untell(uid, changes)
            return
        key = ContainerKey(group.ref, container.spec.name, group.node_class)
        row = group.rows.setdefault(container.spec.name, self._ids.row(key))
        limit, request = in_force(container)
        said = row_policy(policy)
        kube_node = self._kube_nodes.get(pod.kube_node)
        ceiling = kube_node.capacity_bytes if kube_node is not None else None
        if self._told.get(uid) == (row, limit, request, said, ceiling):
            return
        if uid not in self._told:
            self._ids.join(row)
        self._told[uid] = (row, limit, request, said, ceiling)
        changes.added.append(
            Member(
                row=row,
                key=key,
                namespace=pod.namespace,
                pod=pod.name,
                pod_uid=pod.uid,
                container=container.spec.name,
                kube_node=pod.kube_node,
                limit_bytes=limit,
                request_bytes=request,
                policy=said,
                quantity=self._quantity,
                ceiling_bytes=ceiling,
                kin=kin_of(container.spec.image, group.ref.kind, container.spec.name),
                image=image_code(container.spec.image),
            )
        )

    def _events(
        self,
        pod: PodRecord,
        container: ContainerRecord,
        known: _Tracked | None,
        changes: Changes,
        now_seconds: float,
    ) -> None:
        uid = (pod.uid, container.spec.name)
        before = container_of(known.record, container.spec.name) if known is not None else None
        kill = container.oom
        if kill is not None and self._kills.get(uid, -1) < kill.restarts:
            self._kills[uid] = kill.restarts
            if now_seconds - kill.at_seconds <= OLDEST_KILL_SECONDS and uid in self._told:
                limit = in_force(before or container)[0]
                changes.events.append(OomEvent(*uid, kill.at_seconds, limit))
        if before is not None and container.restarts > before.restarts and uid in self._told:
            changes.events.append(RestartEvent(*uid, container.started_seconds or now_seconds))

    async def _successors(self, changes: Changes, breathe: Breathe) -> None:
        """Rows of which all pods are new began anew, as one does whose only container was restarted."""
        told, looked = set(changes.events), 0
        for group in (self.groups[key] for key in changes.touched if key in self.groups):
            looked += len(group.pods)
            if looked >= CHUNK_PODS:
                looked = 0
                await breathe()
            if group.ref.kind in RUNS_END:
                continue
            for name, row in group.rows.items():
                running = (
                    (container.started_seconds, uid)
                    for uid, pod in group.pods.items()
                    if (container := container_of(pod, name)) is not None
                    and container.started_seconds is not None
                    and self.row_of_container((uid, name)) == row
                )
                begun = self._successions.look(row, name, min(running, default=None), self._now_seconds)
                if begun is not None and begun not in told:
                    changes.events.append(begun)

    def _drop(self, present: set[str], changes: Changes) -> None:
        for uid in self._tracked.keys() - present:
            self._forget(uid, changes)

    def _forget(self, pod_uid: str, changes: Changes) -> None:
        tracked = self._tracked.pop(pod_uid, None)
        if tracked is None:
            return
        group = self.groups.get(tracked.group)
        if group is not None:
            group.pods.pop(pod_uid, None)
            changes.touched.add(tracked.group)
            if not group.pods:
                del self.groups[tracked.group]
                if group.rows:
                    self.parted[tracked.group] = group
        for container in tracked.record.containers:
            self._untell((pod_uid, container.spec.name), changes)
            self._kills.pop((pod_uid, container.spec.name), None)

    def _untell(self, uid: PodContainer, changes: Changes) -> None:
        told = self._told.pop(uid, None)
        if told is not None:
            self._ids.leave(told[0], self._now_seconds)
            changes.removed.append(uid)

    def _give_back(self, now_seconds: float) -> tuple[int, ...]:
        """Let go of rows that nothing has fed for a day, and of what was kept for their workloads."""
        freed = self._ids.expire(now_seconds)
        self._successions.forget(freed)
        for key in freed.values():
            place = (key.workload, key.node_class)
            self.parted.pop(place, None)
            if place in self.groups:
                self.groups[place].rows.pop(key.container, None)
        if len(self._resolved) > RESOLVED_PER_POD * len(self._tracked) + RESOLVED_LEAST:
            self._resolved.clear()  # labels of pods that came and went
        return tuple(freed)


def in_force(container: ContainerRecord) -> tuple[int | None, int | None]:
    """Limit and request that the kubelet enforces now; the spec's where it has not said."""
    if not container.reported:
        return container.spec.limit_bytes, container.spec.request_bytes
    return container.actual_limit_bytes, container.actual_request_bytes


def container_of(pod: PodRecord, name: str) -> ContainerRecord | None:
    """A container of a pod by name."""
    return next((each for each in pod.containers if each.spec.name == name), None)

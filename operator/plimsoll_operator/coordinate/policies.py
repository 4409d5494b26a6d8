"""What policies say of the containers of a node, told to the agents that read none themselves.

In: hellos that want it, each loop's world. Out: a `PolicySnapshot` for a node where what it would say has
changed, and after each hello. Level-based: each is whole, a later one replaces it, and of those that wait for
a stream only the newest is kept. Nothing is said before the first loop of this leader: who has not looked yet
would say that there are no policies.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from plimsoll.api.precedence import EffectivePolicy
from plimsoll.coordinate.messages import ContainerPolicy, NodeFacts, PolicySnapshot
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll.workload import shared_class
from plimsoll_operator.membership import Membership, Resolved
from plimsoll_operator.records import PodRecord
from plimsoll_operator.world import World

Parts = list[tuple[ContainerPolicy, ...]]  # of each pod of a node


class PolicyTelling:
    """Of all nodes."""

    def __init__(self, membership: Membership, offer: Callable[[str, PolicySnapshot], bool]) -> None:
        self._membership, self._offer = membership, offer
        self._wanted: dict[str, Parts | None] = {}  # by kube node: what was said last
        # By pod: the record and the policy that it was made of. Few change from one loop to the next.
        self._made: dict[str, tuple[PodRecord, Resolved, tuple[ContainerPolicy, ...]]] = {}
        self._meanings: dict[tuple[int, str], tuple[EffectivePolicy, ReclaimPolicy]] = {}
        self._world: World | None = None
        self.said_total = 0

    def greeted(self, facts: NodeFacts, now_seconds: float) -> None:
        """An agent has said hello; it is told everything again."""
        self._wanted.pop(facts.kube_node, None)
        if not facts.policies_wanted:
            return
        self._wanted[facts.kube_node] = None
        if self._world is not None:
            here = (pod for pod in self._world.pods if pod.kube_node == facts.kube_node)
            self._tell(facts.kube_node, here, now_seconds)

    def begin(self, world: World, now_seconds: float) -> None:
        """A loop begins: tell whom it concerns what has changed."""
        self._world = world
        self._meanings.clear()
        self._wanted = {name: each for name, each in self._wanted.items() if name in world.kube_nodes}
        if not self._wanted:
            self._made.clear()
            return
        pods = defaultdict[str, list[PodRecord]](list)
        for pod in world.pods:
            if pod.kube_node in self._wanted:
                pods[pod.kube_node].append(pod)
        for kube_node in self._wanted:
            self._tell(kube_node, pods[kube_node], now_seconds)
        present = {pod.uid for each in pods.values() for pod in each}
        if len(self._made) > len(present):
            self._made = {uid: each for uid, each in self._made.items() if uid in present}

    def rest(self) -> None:
        """Another replica leads: what is true is its to say."""
        self._world = None
        self._wanted.clear()
        self._made.clear()

    def _tell(self, kube_node: str, pods: Iterable[PodRecord], now_seconds: float) -> None:
        parts = [part for pod in pods if (part := self._of_pod(pod))]
        if self._wanted[kube_node] == parts:  # the same objects, where nothing has changed
            return
        # Versions are for people: of two, the later is the one that the stream brought later.
        snapshot = PolicySnapshot(int(now_seconds * 1000), tuple(each for part in parts for each in part))
        if self._offer(kube_node, snapshot):
            self._wanted[kube_node] = parts
            self.said_total += 1

    def _of_pod(self, pod: PodRecord) -> tuple[ContainerPolicy, ...]:
        group = self._membership.group_of_pod(pod.uid)
        if group is None:
            return ()
        policy = self._membership.resolve(group.ref, pod.labels)
        known = self._made.get(pod.uid)
        if known is not None and known[0] is pod and known[1] is policy:
            return known[2]
        made = tuple(self._of_containers(pod, str(group.ref), policy))
        self._made[pod.uid] = (pod, policy, made)
        return made

    def _of_containers(self, pod: PodRecord, workload: str, policy: Resolved) -> Iterable[ContainerPolicy]:
        if not isinstance(policy, EffectivePolicy):
            return
        for each in pod.containers:
            if each.container_id:
                name = each.spec.name
                yield ContainerPolicy(
                    pod.uid,
                    each.container_id,
                    name,
                    self._under(policy, name),
                    f"{workload}/{name}",
                    shared_class(each.spec.image, name),
                )

    def _under(self, policy: EffectivePolicy, name: str) -> ReclaimPolicy:
        """The same for all replicas of a workload."""
        known = self._meanings.get((id(policy), name))
        if known is None or known[0] is not policy:
            known = self._meanings[id(policy), name] = (policy, ReclaimPolicy.under(policy, name))
        return known[1]

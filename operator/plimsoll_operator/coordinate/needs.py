"""What agents say is needed of containers whose policies ask for it: for the engine, and for the guards.

In: the agents' views, who of them is there, the groups under policies. Out: `Needs`, columns for one tick of
the engine, and the needed bytes of one container for the guards. Looked up only where a policy says
`limits.basis: needed`; what is not fresh, or not said, is not known.
"""

import asyncio
import math
from collections.abc import Callable, Iterator

import numpy as np

from plimsoll.api.effective import Basis
from plimsoll.api.engines import Engine, asked_engines
from plimsoll.api.precedence import EffectivePolicy
from plimsoll.coordinate.attendance import Presence
from plimsoll_operator.coordinate.views import FRESH_SECONDS, ContainerView, Views
from plimsoll_operator.engine.messages import Needs, PodContainer
from plimsoll_operator.membership import Group, Membership
from plimsoll_operator.records import ContainerRecord, PodRecord
from plimsoll_operator.world import World

GROUPS_AT_ONCE = 500  # between two turns of the event loop


class NeedBook:
    """Needed memory, as the agents of one operator tell it."""

    def __init__(
        self, membership: Membership, views: Views, presence: Callable[[str, float], Presence]
    ) -> None:
        self._membership, self._views, self._presence = membership, views, presence

    async def needs(self, world: World) -> Needs:
        """The words on all containers whose policies ask for needed memory; empty where none does.

        There may be a hundred thousand: the event loop has turns in between.
        """
        asking = frozenset(
            each.policy.ref for each in world.policies if Engine.NEEDED in asked_engines(each.policy.spec)
        )
        found: list[tuple[PodContainer, ContainerView]] = []
        for number, group in enumerate(list(self._membership.groups.values()) if asking else ()):
            if number % GROUPS_AT_ONCE == GROUPS_AT_ONCE - 1:
                await asyncio.sleep(0)
            if isinstance(group.policy, EffectivePolicy) and group.policy.ref in asking:
                found += self._views_of(group)
        columns = (
            np.array([_number(getattr(view, name)) for _, view in found], dtype=np.float64)
            for name in ("heard_seconds", "usage_bytes", "working_set_bytes", "needed_bytes", "unsure_bytes")
        )
        return Needs(tuple(uid for uid, _ in found), *columns)

    def needed_bytes(self, pod: PodRecord, container: ContainerRecord, now_seconds: float) -> float | None:
        """What of a container its agent, which is there, has just said is needed; None: not known."""
        if self._presence(pod.kube_node, now_seconds) is not Presence.PRESENT:
            return None
        view = self._views.container(pod.kube_node, pod.uid, container.container_id)
        if view is None or view.needed_bytes is None or view.usage_bytes is None:
            return None
        fresh = abs(now_seconds - view.heard_seconds) <= FRESH_SECONDS
        return float(view.needed_bytes) if fresh and view.needed_bytes <= view.usage_bytes else None

    def _views_of(self, group: Group) -> Iterator[tuple[PodContainer, ContainerView]]:
        names = frozenset(_asking(group))
        for pod in group.pods.values() if names else ():
            for each in pod.containers:
                if each.spec.name not in names:
                    continue
                view = self._views.container(pod.kube_node, pod.uid, each.container_id)
                if view is not None:
                    yield (pod.uid, each.spec.name), view


def _asking(group: Group) -> Iterator[str]:
    for name in group.rows:
        policy = group.container_policy(name)
        if policy is not None and policy.basis is Basis.NEEDED:
            yield name


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)

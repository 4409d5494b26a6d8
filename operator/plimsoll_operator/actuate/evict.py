"""Eviction, for what cannot be done in place: only where the pod comes back, and never against a disruption
budget.

In: a pod whose resize is stuck, its group, the policy's budget. Out: whether it may be evicted, with the
reason where it may not. The API server counts disruption budgets (429); we count the policy's own evictions
per hour.
"""

from dataclasses import dataclass, field

from plimsoll.api.precedence import EffectivePolicy
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_operator.membership import Group
from plimsoll_operator.records import PodRecord

# Owners that make another pod where one is evicted. A Job would lose its work, a bare pod not come back.
RECREATING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"})
LEAST_REPLICAS = 2  # with a single replica an eviction is an outage


@dataclass(slots=True)
class Evictions:
    """Evictions of the last hour, by policy."""

    admitting: bool  # our webhook is up: without it the new pod would only get the old limit again
    _times: dict[str, list[float]] = field(default_factory=dict)

    def refusal(  # noqa: PLR0911 -- a reason each
        self, pod: PodRecord, group: Group, now_seconds: float, *, leaking: bool = False
    ) -> str:
        """Why a pod may not be evicted now; "" where it may.

        A leaking one is to be started anew, with whatever limit, and dies by itself if it is not: for it
        neither the webhook nor a second replica is needed.
        """
        policy = group.policy
        if not isinstance(policy, EffectivePolicy) or not policy.mode.recreates:
            return "the policy allows no eviction"
        if not self.admitting and not leaking:
            return "no webhook would give the new pod another limit"
        if group.ref.kind not in RECREATING:
            return f"a pod of a {group.ref.kind} does not come back"
        alone = group.ref.kind != "DaemonSet" and len(group.pods) < LEAST_REPLICAS
        if alone and not leaking:
            return "it is the only replica"
        if any(not each.ready or each.terminating for each in group.pods.values() if each is not pod):
            return "another replica is not ready"
        limit = policy.spec.updates.budget.evictions_per_hour
        if self.left(policy, now_seconds) <= 0:
            return f"{policy.ref} has spent its {limit} evictions of this hour"
        return ""

    def left(self, policy: EffectivePolicy, now_seconds: float) -> int:
        """How many more its own budget allows within this hour."""
        spent = len(self._recent(str(policy.ref), now_seconds))
        return policy.spec.updates.budget.evictions_per_hour - spent

    def count(self, group: Group, now_seconds: float) -> None:
        """Count one eviction."""
        if isinstance(group.policy, EffectivePolicy):
            self._recent(str(group.policy.ref), now_seconds).append(now_seconds)

    def _recent(self, policy: str, now_seconds: float) -> list[float]:
        kept = [each for each in self._times.get(policy, ()) if 0 <= now_seconds - each < HOUR_SECONDS]
        self._times[policy] = kept
        return kept

"""Profiles of workloads that have no pods: brought up to date, kept for 28 days, then deleted.

In: the profiles of the cluster, which of them have pods, the policies there are. Out: few writes. Kubernetes
itself deletes a profile with its owner; this is about the others: workloads scaled to zero, and jobs by name
pattern, which nobody owns. After 28 days a history holds nothing any more, so nothing worth keeping is lost.
How long a workload has been without pods is counted in time that this process was there to see: a clock that
jumps, or an operator that was away for a month, deletes nothing.
"""

import logging
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from plimsoll_operator.actuate.api import PROFILES, ApiError, Body, KubeApi
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.records import ProfileRecord
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)

KEPT_SECONDS = 28 * 86_400.0  # since the profile was last written
SEEN_SECONDS = 86_400.0  # ... and this long without pods under our eyes
LONGEST_STEP_SECONDS = 3600.0  # what counts as seen between two loops
WRITES_PER_LOOP = 50

ProfileKey = tuple[str, str]  # namespace, name


@dataclass(slots=True)
class Departed:
    """Remembers which profiles are without pods, and for how long."""

    api: KubeApi
    _absent_seconds: dict[ProfileKey, float] = field(default_factory=dict)
    _last_seconds: float | None = None

    async def settle(self, world: World, present: AbstractSet[ProfileKey], now_seconds: float) -> None:
        """Write or delete what is due of the profiles that are not `present`."""
        step = 0.0 if self._last_seconds is None else now_seconds - self._last_seconds
        self._last_seconds = now_seconds
        step = min(max(step, 0.0), LONGEST_STEP_SECONDS)
        absent = world.profiles.keys() - present
        self._absent_seconds = {key: self._absent_seconds.get(key, -step) + step for key in absent}
        policies = {str(each.policy.ref) for each in world.policies}
        writes = 0
        for key in sorted(absent):
            if writes >= WRITES_PER_LOOP:
                return
            if not self._absent_seconds[key]:
                continue  # the loop that first misses its pods writes it itself, with its newest history
            writes += await self._settle_one(world.profiles[key], policies, now_seconds)

    async def _settle_one(self, record: ProfileRecord, policies: set[str], now_seconds: float) -> bool:
        """True where a write was tried."""
        status = _outdated(record, policies)
        try:
            if self._over(record, now_seconds):
                await self.api.delete(PROFILES, record.namespace, record.name, record.uid)
                logger.info("profile %s/%s deleted: no pods for 28 days", record.namespace, record.name)
            elif status:
                body: Body = {"metadata": {"uid": record.uid}, "status": status}
                await self.api.patch_status(PROFILES, record.namespace, record.name, body)
            else:
                return False
        except (ApiError, NotLeaderError) as error:
            logger.info("profile %s/%s not brought up to date: %s", record.namespace, record.name, error)
        return True

    def _over(self, record: ProfileRecord, now_seconds: float) -> bool:
        seen = self._absent_seconds[record.namespace, record.name]
        written = record.updated_seconds
        return seen >= SEEN_SECONDS and written is not None and now_seconds - written >= KEPT_SECONDS


def _outdated(record: ProfileRecord, policies: set[str]) -> Body:
    """What of the status is not so any more: its pods, and a policy that is gone."""
    status: Body = {}
    if record.pods:
        status["pods"] = 0
    if record.policy and record.policy not in policies:
        status |= {"policy": None, "mode": None}
    return status

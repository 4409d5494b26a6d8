"""Leases as profiles remember them, so that whoever leads next ends what it did not grant.

In: the leases that stand and those that have ended and are not taken back yet. Out: `status.leases` of the
profiles of their workloads, written where it differs from what is there; on a change of leader what the
predecessor left in it. A note leaves together with the raise that it is about, never after it: were the raise
alone there, nobody would know what was before, and a container without a forecast would keep the lease for
ever. A note without its raise asks for nothing, for the limit is not above what was before. What fails is
written again with the next loop. Leases of one profile that are granted at once share a write: who comes
while one is under way, or a fifth of a second after, goes with the next.
"""

import asyncio
import heapq
import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache

from plimsoll.api.profile import MAX_LEASES, LeaseMemory
from plimsoll.coordinate.lease import ContainerUid, Lent
from plimsoll_operator.actuate.api import PROFILES, ApiError, KubeApi
from plimsoll_operator.actuate.retry import Pause
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.membership import Membership
from plimsoll_operator.records import ProfileRecord

logger = logging.getLogger(__name__)

ProfileKey = tuple[str, str]  # namespace, name
MOST_WRITES = 50  # a loop
BETWEEN_SECONDS = 0.2  # of two notes of one profile, between loops


class LeaseNotes:
    """Of all profiles."""

    def __init__(self, api: KubeApi, membership: Membership, pause: Pause = asyncio.sleep) -> None:
        """`api` writes only while we lead."""
        self._api, self._membership, self._pause = api, membership, pause
        self._standing: dict[ProfileKey, dict[ContainerUid, Lent]] = {}
        self._told: dict[ProfileKey, frozenset[Lent]] = {}
        self._locks: dict[ProfileKey, asyncio.Lock] = {}

    def recall(self, profiles: Mapping[ProfileKey, ProfileRecord]) -> list[Lent]:
        """What the profiles remember; from here on they are what was told."""
        self._told = {key: frozenset(each.leases) for key, each in profiles.items() if each.leases}
        return [lent for each in self._told.values() for lent in each]

    def drop(self) -> None:
        """Forget what was told: another leads."""
        self._told.clear()
        self._standing.clear()

    async def tell(self, standing: Iterable[Lent]) -> None:
        """Bring every profile to what stands; a fault is logged, and what is due stays due."""
        self._standing.clear()
        for lent in standing:
            self._stands(lent)
        due = [
            key
            for key in self._standing.keys() | self._told.keys()
            if self._to_tell(key) != self._told.get(key, frozenset())
        ]
        await asyncio.gather(*(self._write(key) for key in sorted(due)[:MOST_WRITES]))

    async def tell_of(self, lent: Lent) -> None:
        """One more stands."""
        key = self._stands(lent)
        if key is not None:
            await self._write(key, BETWEEN_SECONDS)

    def _stands(self, lent: Lent) -> ProfileKey | None:
        key = self._profile_of(lent.uid)
        if key is not None:
            self._standing.setdefault(key, {})[lent.uid] = lent
        return key

    def _to_tell(self, key: ProfileKey) -> frozenset[Lent]:
        """Those that last longest: the others are nearer to their end, which this leader knows of."""
        standing = self._standing.get(key, {}).values()
        if len(standing) <= MAX_LEASES:
            return frozenset(standing)
        return frozenset(heapq.nsmallest(MAX_LEASES, standing, key=lambda one: (-one.until_seconds, one.uid)))

    def _profile_of(self, uid: ContainerUid) -> ProfileKey | None:
        group = self._membership.group_of_pod(uid[0])
        return None if group is None else (group.ref.namespace, group.profile)

    async def _write(self, key: ProfileKey, then_seconds: float = 0.0) -> None:
        """Write what is to be told; whoever comes within so many seconds from then goes with the next."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            lent = self._to_tell(key)
            if lent == self._told.get(key, frozenset()):
                return  # it went with another's
            try:
                await self._api.patch_status(PROFILES, *key, {"status": {"leases": noted(lent)}})
            except NotLeaderError:
                return
            except ApiError as error:
                if not error.missing:
                    logger.warning("the leases of %s/%s were not noted: %s", *key, error)
                    return
            if lent:
                self._told[key] = lent
            else:
                self._told.pop(key, None)
                self._locks.pop(key, None)
            if then_seconds:
                await self._pause(then_seconds)


def noted(lent: Iterable[Lent]) -> list[dict[str, object]] | None:
    """As a profile holds them; None, which takes the field away, where there are none."""
    return [dict(_noted(each)) for each in sorted(lent, key=lambda one: one.uid)] or None


@lru_cache(maxsize=4096)  # of many that stand each write has one that is new
def _noted(lent: Lent) -> Mapping[str, object]:
    return LeaseMemory(
        pod_uid=lent.uid[0],
        container=lent.uid[1],
        before_bytes=lent.before_bytes,
        limit_bytes=lent.limit_bytes,
        until_time_seconds=lent.until_seconds,
    ).to_api()

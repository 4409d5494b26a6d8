"""Leases as profiles remember them, so that whoever leads next ends what it did not grant.

In: the leases that stand and those that have ended and are not taken back yet. Out: `status.leases` of the
profiles of their workloads, written where it differs from what is there; on a change of leader what the
predecessor left in it. A note leaves together with the raise that it is about, never after it: were the raise
alone there, nobody would know what was before, and a container without a forecast would keep the lease for
ever. A note without its raise asks for nothing, for the limit is not above what was before. What fails is
written again with the next loop.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from plimsoll.api.profile import MAX_LEASES, LeaseMemory
from plimsoll.coordinate.lease import ContainerUid, Lent
from plimsoll_operator.actuate.api import PROFILES, ApiError, KubeApi
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.membership import Membership
from plimsoll_operator.records import ProfileRecord

logger = logging.getLogger(__name__)

ProfileKey = tuple[str, str]  # namespace, name
MOST_WRITES = 50  # a loop


class LeaseNotes:
    """Of all profiles."""

    def __init__(self, api: KubeApi, membership: Membership) -> None:
        """`api` writes only while we lead."""
        self._api, self._membership = api, membership
        self._told: dict[ProfileKey, frozenset[Lent]] = {}
        self._locks: dict[ProfileKey, asyncio.Lock] = {}

    def recall(self, profiles: Mapping[ProfileKey, ProfileRecord]) -> list[Lent]:
        """What the profiles remember; from here on they are what was told."""
        self._told = {key: frozenset(each.leases) for key, each in profiles.items() if each.leases}
        return [lent for each in self._told.values() for lent in each]

    def drop(self) -> None:
        """Forget what was told: another leads."""
        self._told.clear()

    async def tell(self, standing: Iterable[Lent]) -> None:
        """Bring every profile to what stands; a fault is logged, and what is due stays due."""
        by_profile = self._by_profile(standing)
        due = [
            key
            for key in by_profile.keys() | self._told.keys()
            if by_profile.get(key, frozenset()) != self._told.get(key, frozenset())
        ]
        written = (self._write(key, by_profile.get(key, frozenset())) for key in sorted(due)[:MOST_WRITES])
        await asyncio.gather(*written)

    async def tell_of(self, uid: ContainerUid, standing: Iterable[Lent]) -> None:
        """The same, of the profile of one container alone."""
        key = self._profile_of(uid)
        if key is not None:
            await self._write(key, self._by_profile(standing).get(key, frozenset()))

    def _by_profile(self, standing: Iterable[Lent]) -> dict[ProfileKey, frozenset[Lent]]:
        found: dict[ProfileKey, set[Lent]] = {}
        for lent in standing:
            key = self._profile_of(lent.uid)
            if key is not None:
                found.setdefault(key, set()).add(lent)
        # Those that last longest: the others are nearer to their end, which this leader knows of.
        return {
            key: frozenset(sorted(each, key=lambda one: (-one.until_seconds, one.uid))[:MAX_LEASES])
            for key, each in found.items()
        }

    def _profile_of(self, uid: ContainerUid) -> ProfileKey | None:
        group = self._membership.group_of_pod(uid[0])
        return None if group is None else (group.ref.namespace, group.profile)

    async def _write(self, key: ProfileKey, lent: frozenset[Lent]) -> None:
        async with self._locks.setdefault(key, asyncio.Lock()):
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


def noted(lent: Iterable[Lent]) -> list[dict[str, object]] | None:
    """As a profile holds them; None, which takes the field away, where there are none."""
    return [
        LeaseMemory(
            pod_uid=each.uid[0],
            container=each.uid[1],
            before_bytes=each.before_bytes,
            limit_bytes=each.limit_bytes,
            until_time_seconds=each.until_seconds,
        ).to_api()
        for each in sorted(lent, key=lambda one: one.uid)
    ] or None

"""Keeping what is on record: profiles, their checkpoints, and the status of policies.

In: groups, decisions, the engine's checkpoints. Out: writes of MemoryProfiles and policy statuses, few and
in chunks.
"""

import asyncio
import base64
import binascii
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from plimsoll.api.conditions import policy_conditions
from plimsoll.api.effective import PolicyRef
from plimsoll.api.policy import PolicyStatus
from plimsoll.api.precedence import Conflict, EffectivePolicy
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import CLUSTER_POLICIES, POLICIES, PROFILES, ApiError, KubeApi
from plimsoll_operator.actuate.conditions import changed
from plimsoll_operator.actuate.profile import Profiles, profile_name
from plimsoll_operator.actuate.status import StatusBuilder
from plimsoll_operator.engine.client import Engine
from plimsoll_operator.engine.process import EngineDownError
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.membership import Group, Membership
from plimsoll_operator.planning import Choice
from plimsoll_operator.records import PolicyRecord, ProfileRecord
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)

WRITES_AT_ONCE = 8  # each takes the event loop 2 to 3 ms; together they must stay under 50
# Writes of one loop: what is over waits for the next, so that a start with 10,000 workloads is spread out.
PROFILES_PER_LOOP = 1000
READS_AT_ONCE = 16
GROUPS_AT_ONCE = 500  # looked at between two turns of the event loop
LEAST_ROUTINE = 50
PROFILES_AT_ONCE = 50  # whose checkpoints are asked for together

Due = tuple[Group, ProfileRecord | None, dict[str, Choice]]


@dataclass(slots=True)
class Keeper:
    """Reads and writes what outlives this process."""

    api: KubeApi
    engine: Engine
    membership: Membership
    profiles: Profiles
    interval_seconds: float = 60.0  # between two loops
    _restored: set[int] = field(default_factory=set)

    async def restore(self, groups: Iterable[Group], world: World) -> None:
        """Give the engine the checkpoints of rows it has not seen yet."""
        wanted = [
            group
            for group in groups
            if (group.ref.namespace, profile_name(group)) in world.profiles
            and not self._restored.issuperset(group.rows.values())
        ]
        for start in range(0, len(wanted), READS_AT_ONCE):
            part = wanted[start : start + READS_AT_ONCE]
            found = await asyncio.gather(*(self._read(group) for group in part))
            rows = {row: data for each in found for row, data in each.items()}
            try:
                refused = await self.engine.restore(rows) if rows else ()
            except EngineDownError as error:
                logger.warning("checkpoints not restored yet: %s", error)
                return
            for text in refused:
                logger.warning("checkpoint refused: %s", text)
            self._restored.update(row for group in part for row in group.rows.values())

    async def stored(self, rows: Sequence[int]) -> Mapping[int, bytes]:
        """The checkpoints of rows as the profiles hold them: for an engine that had to be restarted."""
        groups = {
            id(group): group for row in rows if (group := self.membership.group_of_row(row)) is not None
        }
        found = await asyncio.gather(*(self._read(group) for group in groups.values()))
        return {row: data for each in found for row, data in each.items() if row in rows}

    async def record_kills(
        self, group: Group, world: World, builder: StatusBuilder, choices: Mapping[str, Choice]
    ) -> None:
        """Write a profile before its pods are touched."""
        record = self.profiles.known(group, world.profiles)
        await self._write_some([(group, record, dict(choices))], builder)

    async def keep(
        self, world: World, builder: StatusBuilder, choices: Mapping[int, Choice], now_seconds: float
    ) -> int:
        """Write every profile that is due; returns how many were written."""
        urgent: list[Due] = []
        soon: list[Due] = []  # what keeps a workload back has changed: before what is merely due
        routine: list[Due] = []
        for number, group in enumerate(list(self.membership.groups.values())):
            if number % GROUPS_AT_ONCE == GROUPS_AT_ONCE - 1:
                await asyncio.sleep(0)
            mine = {name: choices[row] for name, row in group.rows.items() if row in choices}
            record = self.profiles.known(group, world.profiles)
            acts = any(each.decision.acts for each in mine.values())
            if group.rows and (record is None or acts):
                urgent.append((group, record, mine))
            elif record is not None and group.rows and _news(builder, group, record, mine):
                soon.append((group, record, mine))
            elif group.rows and self.profiles.due(group, mine, now_seconds):
                routine.append((group, record, mine))
            elif not group.rows and isinstance(group.policy, Conflict) and record is not None:
                await self._say_conflict(group, record, builder)
        room = max(0, PROFILES_PER_LOOP - len(urgent))
        due = [*urgent[:PROFILES_PER_LOOP], *[*soon, *routine][: min(room, self._routine_room())]]
        written = 0
        for start in range(0, len(due), PROFILES_AT_ONCE):
            written += await self._write_some(due[start : start + PROFILES_AT_ONCE], builder)
        present = {(each.ref.namespace, profile_name(each)) for each in self.membership.groups.values()}
        self.profiles.forget(present)
        return written

    async def policies(self, world: World, now_seconds: float) -> None:
        """Bring the statuses of policies up to date where they changed."""
        conflicts = list(self.membership.conflicts())
        workloads, containers = self._counts()
        for record in world.policies:
            policy = record.policy
            status = PolicyStatus(
                observed_generation=policy.generation,
                workloads=workloads[policy.ref],
                containers=containers[policy.ref],
                conditions=policy_conditions(policy, conflicts, record.status.conditions, now_seconds),
            )
            if status != record.status:
                await self._write_policy(record, status)

    def _routine_room(self) -> int:
        """Routine writes of one loop: twice what keeps up with the interval, so no loop writes them all."""
        loops = max(1.0, self.profiles.interval_seconds / self.interval_seconds)
        return max(LEAST_ROUTINE, math.ceil(2.0 * len(self.membership.groups) / loops))

    async def _write_some(self, due: Sequence[Due], builder: StatusBuilder) -> int:
        """Write a few profiles at once; their checkpoints come in one answer."""
        rows = [row for group, _, _ in due for row in group.rows.values()]
        try:
            checkpoints = await self.engine.checkpoints(rows)
        except EngineDownError as error:
            # Without checkpoints nothing is written: the old ones in the cluster are worth more than none.
            logger.warning("profiles not written: %s", error)
            return 0
        gate = asyncio.Semaphore(WRITES_AT_ONCE)

        async def one(group: Group, record: ProfileRecord | None, mine: dict[str, Choice]) -> bool:
            async with gate:
                return await self._write(group, record, builder, mine, checkpoints)

        return sum(await asyncio.gather(*(one(*each) for each in due)))

    def _counts(self) -> tuple[dict[PolicyRef, int], dict[PolicyRef, int]]:
        workloads: dict[PolicyRef, int] = defaultdict(int)
        containers: dict[PolicyRef, int] = defaultdict(int)
        for group in self.membership.groups.values():
            if isinstance(group.policy, EffectivePolicy):
                workloads[group.policy.ref] += 1
                containers[group.policy.ref] += len(group.rows)
        return workloads, containers

    async def _say_conflict(self, group: Group, record: ProfileRecord, builder: StatusBuilder) -> None:
        """A profile whose policies tie: only its conditions are written, all else stays as it was."""
        conditions = builder.conditions(group, record, {})
        if not changed(conditions, record.conditions):
            return
        try:
            await self.profiles.say(group, record, conditions)
        except (ApiError, NotLeaderError) as error:
            logger.info("conditions of %s not written: %s", group.ref, error)

    async def _write_policy(self, record: PolicyRecord, status: PolicyStatus) -> None:
        ref = record.policy.ref
        resource = POLICIES if ref.namespace else CLUSTER_POLICIES
        try:
            await self.api.patch_status(resource, ref.namespace, ref.name, {"status": status.to_api()})
        except (ApiError, NotLeaderError) as error:
            logger.info("status of %s not written: %s", ref, error)

    async def _write(
        self,
        group: Group,
        record: ProfileRecord | None,
        builder: StatusBuilder,
        choices: Mapping[str, Choice],
        checkpoints: Mapping[int, bytes],
    ) -> bool:
        try:
            status = builder.status(group, record, choices, checkpoints)
            await self.profiles.write(group, status, record, choices, builder.now_seconds)
        except (ApiError, NotLeaderError) as error:
            logger.warning("profile of %s not written: %s", group.ref, error)
            return False
        return True

    async def _read(self, group: Group) -> dict[int, bytes]:
        try:
            body = await self.api.read(PROFILES, group.ref.namespace, profile_name(group))
        except ApiError as error:
            if not error.missing:
                logger.warning("profile of %s not read: %s", group.ref, error)
            return {}
        found = parse.checkpoints(body)
        return {
            row: data
            for name, row in group.rows.items()
            if name in found and (data := _decoded(found[name])) is not None
        }


def _news(builder: StatusBuilder, group: Group, record: ProfileRecord, choices: Mapping[str, Choice]) -> bool:
    """True where something else than before keeps the workload back, or nothing does any more."""
    return changed(builder.conditions(group, record, choices), record.conditions)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None

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
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from plimsoll.api.conditions import policy_conditions
from plimsoll.api.effective import PolicyRef
from plimsoll.api.policy import PolicyStatus
from plimsoll.api.precedence import EffectivePolicy
from plimsoll.forecast.registry import POLICY_MODELS
from plimsoll.recommend.objective import reachable
from plimsoll.workload import ContainerKey
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import CLUSTER_POLICIES, POLICIES, PROFILES, ApiError, Body, KubeApi
from plimsoll_operator.actuate.conditions import changed
from plimsoll_operator.actuate.profile import Profiles
from plimsoll_operator.actuate.status import StatusBuilder
from plimsoll_operator.departed import Departed
from plimsoll_operator.engine.client import Engine
from plimsoll_operator.engine.kin import YOUNG_SECONDS
from plimsoll_operator.engine.process import EngineDownError
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.membership import Group, GroupKey, Membership
from plimsoll_operator.planning import Choice
from plimsoll_operator.records import PolicyRecord, ProfileRecord
from plimsoll_operator.remembering import Remembered
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)

WRITES_AT_ONCE = 8  # each takes the event loop 2 to 3 ms; together they must stay under 50
# Writes of one loop: what is over waits for the next, so that a start with 10,000 workloads is spread out.
PROFILES_PER_LOOP = 1000
READS_AT_ONCE = 16
SINGLE_READS = 64  # so many profiles are read one by one, more are listed
PROFILES_PER_PAGE = 50  # up to 22 KB each: a page is parsed in 10 ms
SORTED_AT_ONCE = 2000  # groups whose profiles are looked up between two turns of the event loop
GROUPS_AT_ONCE = 100  # looked at between two turns of the event loop
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
    departed: Departed | None = None  # None: profiles without pods are left as they are
    unavailable: Mapping[str, str] = field(default_factory=dict)  # forecast model -> why it cannot work here
    memory: Remembered | None = None  # what outlives profiles; None: nothing does
    _restored: set[int] = field(default_factory=set)
    _waiting: dict[GroupKey, Group] = field(default_factory=dict)  # their past is not with the engine yet

    @property
    def pending(self) -> Collection[GroupKey]:
        """Groups whose past is stored and not with the engine yet."""
        return self._waiting.keys()

    def forget(self, rows: Iterable[int]) -> None:
        """These rows were given back: who gets them next has a past of its own to be read."""
        self._restored.difference_update(rows)

    async def restore(self, groups: Iterable[Group], world: World) -> None:
        """Give the engine the checkpoints of rows it has not seen yet; what fails is tried in the next loop.

        Few profiles are read one by one, many (after a start) page by page: a tenth of the requests.
        """
        for group in groups:
            if not self._restored.issuperset(group.rows.values()):
                self._waiting[group.ref, group.node_class] = group
        wanted: dict[tuple[str, str], Group] = {}
        new: list[Group] = []
        for number, (key, group) in enumerate(list(self._waiting.items())):
            if number % SORTED_AT_ONCE == SORTED_AT_ONCE - 1:
                await asyncio.sleep(0)
            name = (group.ref.namespace, group.profile)
            if name in world.profiles and key in self.membership.groups:
                wanted[name] = group
            else:
                new += [self._waiting.pop(key)] if key in self.membership.groups else []
                self._waiting.pop(key, None)
        await self._recall(new)
        try:
            async for bodies in self._stored_profiles(wanted):
                await self._restore_some([(wanted[name], body) for name, body in bodies.items()])
        except (ApiError, EngineDownError) as error:
            logger.warning("%d profiles not restored yet: %s", len(self._waiting), error)

    async def _recall(self, groups: Sequence[Group]) -> None:
        """No profile remembers these: perhaps the memory does. What it does not know begins anew."""
        keys = {
            row: ContainerKey(group.ref, name, group.node_class)
            for group in groups
            for name, row in group.rows.items()
            if row not in self._restored
        }
        if self.memory is None or not keys:
            return
        past = await self.memory.recall(keys)
        try:
            # The memory may be shared with other clusters: their fleets' prices are not this one's.
            for text in await self.engine.restore(past, steered=False):
                logger.warning("a remembered past is refused: %s", text)
        except EngineDownError as error:
            logger.warning("the past of %d containers is not recalled: %s", len(keys), error)
            return
        await self._relate(groups, keys.keys() - past.keys())
        self._restored.update(keys)

    async def _relate(self, groups: Iterable[Group], rows: Collection[int]) -> None:
        """Tell the engine what the memory knows of relatives of these rows, which have hardly a past."""
        kins = {
            kin
            for group in groups
            for name, kin in group.kins().items()
            if kin and group.rows.get(name) in rows
        }
        if self.memory is not None and kins and (steps := await self.memory.relatives(kins)):
            await self.engine.relate(steps, self.memory.quantity)

    async def _stored_profiles(
        self, wanted: Mapping[tuple[str, str], Group]
    ) -> AsyncIterator[dict[tuple[str, str], Body]]:
        """The wanted profiles as they are stored, some at a time; one that is gone by now is empty."""
        if len(wanted) <= SINGLE_READS:
            names = list(wanted)
            for start in range(0, len(names), READS_AT_ONCE):
                part = names[start : start + READS_AT_ONCE]
                found = await asyncio.gather(*(self._read(*name) for name in part))
                yield dict(zip(part, found, strict=True))
            return
        left, token = set(wanted), ""
        while True:
            items, token = await self.api.page(PROFILES, PROFILES_PER_PAGE, token)
            named = {_name_of(each): each for each in items}
            yield {name: body for name, body in named.items() if name in left}
            left -= named.keys()
            if not token:
                break
        yield {name: {} for name in left}

    async def _restore_some(self, found: Sequence[tuple[Group, Body]]) -> None:
        """Hand checkpoints over; raises `EngineDownError`."""
        rows = {row: data for group, body in found for row, data in _checkpoints(group, body).items()}
        for text in await self.engine.restore(rows) if rows else ():
            logger.warning("checkpoint refused: %s", text)
        if self.memory is not None:
            young = [group for group, body in found if _is_young(body, self.memory.now())]
            await self._relate(young, {row for group in young for row in group.rows.values()})
        for group, _ in found:
            self._restored.update(group.rows.values())
            self._waiting.pop((group.ref, group.node_class), None)

    async def stored(self, rows: Sequence[int]) -> Mapping[int, bytes]:
        """The checkpoints of rows as the profiles hold them: for an engine that had to be restarted.

        Raises `ApiError`: an engine that went on without its past would overwrite it.
        """
        groups = {
            id(group): group for row in rows if (group := self.membership.group_of_row(row)) is not None
        }
        reads = (self._read(each.ref.namespace, each.profile) for each in groups.values())
        found = zip(groups.values(), await asyncio.gather(*reads), strict=True)
        kept = {row: data for group, body in found for row, data in _checkpoints(group, body).items()}
        return {row: kept[row] for row in rows if row in kept}

    async def record_kills(
        self, group: Group, world: World, builder: StatusBuilder, choices: Mapping[str, Choice]
    ) -> None:
        """Write a profile before its pods are touched."""
        record = self.profiles.known(group, world.profiles)
        await self._write_some([(group, record, dict(choices))], builder)

    async def record_move(self, group: Group, world: World, builder: StatusBuilder) -> bool:
        """Write a profile before one of its pods is evicted; False where it could not be written."""
        record = self.profiles.known(group, world.profiles)
        return bool(await self._write_some([(group, record, {})], builder))

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
            elif record is not None and not group.rows and not isinstance(group.policy, EffectivePolicy):
                await self._say_nobody(group, record, builder)
        urgent += self._parting(world)
        room = max(0, PROFILES_PER_LOOP - len(urgent))
        due = [*urgent[:PROFILES_PER_LOOP], *[*soon, *routine][: min(room, self._routine_room())]]
        written = 0
        for start in range(0, len(due), PROFILES_AT_ONCE):
            written += await self._write_some(due[start : start + PROFILES_AT_ONCE], builder)
        present = {(each.ref.namespace, each.profile) for each in self.membership.groups.values()}
        self.profiles.forget(present)
        if self.departed is not None:
            await self.departed.settle(world, present, now_seconds)
        return written

    def _parting(self, world: World) -> list[Due]:
        """Workloads that lost their last pod: written once more, with the newest checkpoints."""
        parted, self.membership.parted = self.membership.parted, {}
        records = ((group, self.profiles.known(group, world.profiles)) for group in parted.values())
        return [(group, record, {}) for group, record in records if record is not None and group.rows]

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
                conditions=policy_conditions(
                    policy,
                    conflicts,
                    record.status.conditions,
                    now_seconds,
                    POLICY_MODELS,
                    self.unavailable,
                    reachable(),
                ),
            )
            if status != record.status:
                await self._write_policy(record, status)

    def _routine_room(self) -> int:
        """Routine writes of one loop: twice what keeps up with the interval, so no loop writes them all."""
        loops = max(1.0, self.profiles.interval_seconds / self.interval_seconds)
        return max(LEAST_ROUTINE, math.ceil(2.0 * len(self.membership.groups) / loops))

    async def _write_some(self, due: Sequence[Due], builder: StatusBuilder) -> int:
        """Write a few profiles at once; their checkpoints come in one answer.

        One whose past is not with the engine yet is left as it is: it would be overwritten.
        """
        due = [each for each in due if (each[0].ref, each[0].node_class) not in self._waiting]
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

        written = await asyncio.gather(*(one(*each) for each in due))
        self._remember([each for each, done in zip(due, written, strict=True) if done], checkpoints)
        return sum(written)

    def _remember(self, written: Sequence[Due], checkpoints: Mapping[int, bytes]) -> None:
        """Note what profiles hold now for the memory."""
        if self.memory is None:
            return
        for group, _, choices in written:
            kins = group.kins()
            kube_nodes = frozenset(pod.kube_node for pod in group.pods.values() if pod.kube_node)
            for name, row in group.rows.items():
                if row in checkpoints:
                    key = ContainerKey(group.ref, name, group.node_class)
                    limit = choices[name].decision.limit_bytes if name in choices else None
                    self.memory.note(key, checkpoints[row], limit, kins.get(name, ""), kube_nodes)

    def _counts(self) -> tuple[dict[PolicyRef, int], dict[PolicyRef, int]]:
        workloads: dict[PolicyRef, int] = defaultdict(int)
        containers: dict[PolicyRef, int] = defaultdict(int)
        for group in self.membership.groups.values():
            if isinstance(group.policy, EffectivePolicy):
                workloads[group.policy.ref] += 1
                containers[group.policy.ref] += len(group.rows)
        return workloads, containers

    async def _say_nobody(self, group: Group, record: ProfileRecord, builder: StatusBuilder) -> None:
        """A profile for which no policy speaks, or several: that is written, all else stays as it was."""
        conditions = builder.conditions(group, record, {})
        if not changed(conditions, record.conditions) and not record.policy:
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

    async def _read(self, namespace: str, name: str) -> Body:
        """A stored profile, empty where there is none; raises `ApiError`."""
        try:
            return await self.api.read(PROFILES, namespace, name)
        except ApiError as error:
            if error.missing:
                return {}
            raise


def _name_of(body: Body) -> tuple[str, str]:
    meta = body.get("metadata") or {}
    return str(meta.get("namespace", "")), str(meta.get("name", ""))


def _is_young(body: Body, now_seconds: float) -> bool:
    """Whether a profile is of a workload that began within the last two days."""
    made = parse.seconds((body.get("metadata") or {}).get("creationTimestamp"))
    return made is not None and now_seconds - made < YOUNG_SECONDS


def _checkpoints(group: Group, body: Body) -> dict[int, bytes]:
    """The checkpoints in a profile by row; what is no base64 is left out."""
    found = parse.checkpoints(body)
    decoded = {row: _decoded(found[name]) for name, row in group.rows.items() if name in found}
    return {row: data for row, data in decoded.items() if data is not None}


def _news(builder: StatusBuilder, group: Group, record: ProfileRecord, choices: Mapping[str, Choice]) -> bool:
    """True where something else than before keeps the workload back, or nothing does any more."""
    return changed(builder.conditions(group, record, choices), record.conditions)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None

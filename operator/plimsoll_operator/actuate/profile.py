"""MemoryProfiles: what is known of each workload, written so that a restart loses nothing and etcd hardly
notices.

In: groups with their rows, decisions and recommendations. Out: at most one routine write of a profile in
its interval, jittered by name; at once where a decision acts or starts or ends a hold. The original
resources are recorded with the first write, before anything is changed, and copied on from then on. After
an OOM kill the profile is written *before* the limit: an operator that dies in between finds in it what it
was about to do.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from plimsoll.api.effective import Mode
from plimsoll.api.fields import Condition
from plimsoll.api.precedence import Conflict
from plimsoll.api.profile import (
    ContainerProfile,
    DecisionRecord,
    MoveMemory,
    ProfileStatus,
)
from plimsoll.api.v1alpha1 import API_VERSION
from plimsoll.guard.decision import DecisionKind
from plimsoll_operator.actuate.api import PROFILES, ApiError, Body, KubeApi
from plimsoll_operator.membership import Group
from plimsoll_operator.planning import UNWRITTEN, Choice
from plimsoll_operator.records import (
    ProfileRecord,
    RememberedContainer,
    RememberedDecision,
)

HOLDS, ELSE = DecisionKind.HOLD.value, "acts or keeps"


def profile_name(group: Group) -> str:
    """The name of a group's profile."""
    return group.profile


@dataclass(slots=True)
class _Written:
    """What we know of a profile in the cluster."""

    record: ProfileRecord
    due_seconds: float
    said: tuple[tuple[str, str], ...]  # (container, kind of decision) when last written


class Profiles:
    """Every profile we write."""

    def __init__(self, api: KubeApi, interval_seconds: float) -> None:
        self._api = api
        self.interval_seconds = interval_seconds
        self._written: dict[tuple[str, str], _Written] = {}

    def known(self, group: Group, indexed: Mapping[tuple[str, str], ProfileRecord]) -> ProfileRecord | None:
        """The profile of a group: our own last write, or what the index holds, whichever is newer."""
        key = (group.ref.namespace, profile_name(group))
        record = indexed.get(key)
        if key not in self._written and record is not None:  # written by a predecessor: its interval goes on
            due = (record.updated_seconds or 0.0) + self.interval_seconds * (1.0 + _jitter(*key))
            self._written[key] = _Written(record, due, _remembered_weights(record))
        return self.newest(key, record)

    def newest(self, key: tuple[str, str], record: ProfileRecord | None) -> ProfileRecord | None:
        """Of namespace and name: our own last write, or what was read, whichever is newer."""
        written = self._written.get(key)
        if written is None:
            return record
        if record is None or record.resource_version < written.record.resource_version:
            # Whether a restore is asked for is the person's to say, and only the index hears it.
            return written.record if record is None else replace(written.record, restore=record.restore)
        return record

    def due(self, group: Group, choices: Mapping[str, Choice], now_seconds: float) -> bool:
        """True where a profile should be written now: a decision that matters, or its time has come."""
        written = self._written.get((group.ref.namespace, profile_name(group)))
        if written is None or any(each.decision.acts for each in choices.values()):
            return True
        if _still_says_unwritten(written.record, choices):
            return True
        return _merged(written.said, choices) != written.said or now_seconds >= written.due_seconds

    async def write(
        self,
        group: Group,
        status: ProfileStatus,
        record: ProfileRecord | None,
        choices: Mapping[str, Choice],
        now_seconds: float,
    ) -> ProfileRecord:
        """Write a profile, creating it first where there is none; raises `ApiError`."""
        namespace, name = group.ref.namespace, profile_name(group)
        if record is None:
            await self._create(group, namespace, name)
        # A merge keeps what is not named: without these a policy that is gone would stay on show.
        whole: Body = {"status": {"policy": None, "mode": None} | status.to_api()}
        try:
            body = await self._api.patch_status(PROFILES, namespace, name, whole)
        except ApiError as error:
            if not error.missing or record is None or not group.pods:
                raise  # without pods it went with its owner
            await self._create(group, namespace, name)  # somebody deleted it
            body = await self._api.patch_status(PROFILES, namespace, name, whole)
        fresh = as_record(group, name, status, body, record)
        before = self._written.get((namespace, name))
        said = _said(choices) if before is None else _merged(before.said, choices)
        # All profiles are made in one loop; the first interval spreads them, the later ones keep them apart.
        spread = 1.0 if before is None else 0.1
        due = now_seconds + self.interval_seconds * (1.0 + spread * _jitter(namespace, name))
        self._written[namespace, name] = _Written(fresh, due, said)
        return fresh

    async def say(self, group: Group, record: ProfileRecord, conditions: tuple[Condition, ...]) -> None:
        """Write the conditions, and that no single policy speaks; raises `ApiError`."""
        namespace, name = group.ref.namespace, profile_name(group)
        mode = Mode.OFF.value if isinstance(group.policy, Conflict) else None
        status: Body = {"conditions": [each.to_api() for each in conditions], "policy": None, "mode": mode}
        body = await self._api.patch_status(PROFILES, namespace, name, {"status": status})
        version = str((body.get("metadata") or {}).get("resourceVersion") or "")
        fresh = replace(record, conditions=conditions, policy="", resource_version=int(version or 0))
        due = self._written[namespace, name].due_seconds if (namespace, name) in self._written else 0.0
        self._written[namespace, name] = _Written(fresh, due, _remembered_weights(fresh))

    def forget(self, present: set[tuple[str, str]]) -> None:
        """Forget profiles of workloads without pods."""
        for key in self._written.keys() - present:
            del self._written[key]

    async def _create(self, group: Group, namespace: str, name: str) -> None:
        spec: Body = {
            "targetRef": {"kind": group.ref.kind, "name": group.ref.name}
            | ({"apiVersion": group.top.api_version} if group.top.api_version else {})
        }
        if group.node_class:
            spec["nodeClass"] = group.node_class
        body: Body = {
            "apiVersion": API_VERSION,
            "kind": "MemoryProfile",
            "metadata": {"name": name, "namespace": namespace, "ownerReferences": _owner(group)},
            "spec": spec,
        }
        try:
            await self._api.create(PROFILES, namespace, body)
        except ApiError as error:
            if not error.conflict:
                raise


def as_record(
    group: Group, name: str, status: ProfileStatus, body: Body, before: ProfileRecord | None
) -> ProfileRecord:
    """Our own write as the index will show it."""
    meta = body.get("metadata") or {}
    version = str(meta.get("resourceVersion") or "")
    return ProfileRecord(
        namespace=group.ref.namespace,
        name=name,
        uid=str(meta.get("uid") or ""),
        resource_version=int(version) if version.isdigit() else 0,
        kind=group.ref.kind,
        target=group.ref.name,
        node_class=group.node_class,
        restore=(body.get("spec") or {}).get("restore") is True or (before is not None and before.restore),
        updated_seconds=status.updated_time_seconds,
        containers=tuple(_remembering(each) for each in status.containers),
        conditions=status.conditions,
        generation=int(meta.get("generation") or 1),
        policy=status.policy or "",
        pods=status.pods or 0,
        leases=() if before is None else before.leases,  # not ours to write: the merge does not name them
    )


def _still_says_unwritten(record: ProfileRecord, choices: Mapping[str, Choice]) -> bool:
    """True where the first write says "not written yet" of itself, and something better is known by now."""
    return any(
        each.decision is not None
        and each.decision.reason == UNWRITTEN
        and each.name in choices
        and choices[each.name].decision.reason != UNWRITTEN
        for each in record.containers
    )


def _remembering(container: ContainerProfile) -> RememberedContainer:
    original, decision, oom = container.original_resources, container.last_decision, container.oom
    return RememberedContainer(
        name=container.name,
        original=None if original is None else (original.limit_bytes, original.request_bytes),
        decision=None if decision is None else _remembered_decision(decision),
        oom_count=oom.count if oom is not None else 0,
        oom_seconds=oom.last_time_seconds if oom is not None else None,
        oom_limit_bytes=oom.limit_bytes if oom is not None else None,
        oom_floor_bytes=oom.floor_bytes if oom is not None else None,
        recommended=container.recommendation,
        moved=_remembered_move(container.moved),
    )


def _remembered_move(moved: MoveMemory | None) -> tuple[int, float] | None:
    if moved is None or moved.limit_bytes is None or moved.time_seconds is None:
        return None
    return moved.limit_bytes, moved.time_seconds


def _remembered_decision(decision: DecisionRecord) -> RememberedDecision:
    return RememberedDecision(
        decision.kind,
        decision.reason,
        decision.message,
        decision.time_seconds,
        decision.from_bytes,
        decision.to_bytes,
    )


def _remembered_weights(record: ProfileRecord) -> tuple[tuple[str, str], ...]:
    kept = ((each.name, each.decision) for each in record.containers if each.decision is not None)
    return tuple(sorted((name, HOLDS if one.kind == HOLDS else ELSE) for name, one in kept))


def _owner(group: Group) -> list[Body]:
    top = group.top
    if not top.uid or not top.api_version:
        return []
    return [{"apiVersion": top.api_version, "kind": top.ref.kind, "name": top.ref.name, "uid": top.uid}]


def _said(choices: Mapping[str, Choice]) -> tuple[tuple[str, str], ...]:
    """What of the decisions is worth a write when it changes: whether a container holds."""
    return tuple(sorted((name, _weight(each)) for name, each in choices.items()))


def _merged(said: tuple[tuple[str, str], ...], choices: Mapping[str, Choice]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((dict(said) | dict(_said(choices))).items()))


def _weight(choice: Choice) -> str:
    return HOLDS if choice.decision.kind is DecisionKind.HOLD else ELSE


def _jitter(namespace: str, name: str) -> float:
    return zlib.crc32(f"{namespace}/{name}".encode()) / 2**32

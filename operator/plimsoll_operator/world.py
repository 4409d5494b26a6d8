"""The cluster at one moment, as the loop sees it: records by name, read off the indices.

In: records from the indices. Out: `World`, frozen for the length of one loop. Two pods of one name cannot
both be live, two containers of one name in different pods are different: everything about pods goes by uid.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from plimsoll_operator.records import (
    CronJobRecord,
    HpaRecord,
    KubeNodeRecord,
    LimitRangeRecord,
    NamespaceRecord,
    NodeMemoryRecord,
    OwnerRecord,
    PodRecord,
    PolicyRecord,
    ProfileRecord,
    QuotaRecord,
)

Record = TypeVar("Record", LimitRangeRecord, QuotaRecord)
OwnerKey = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class World:
    """Everything the loop reads."""

    pods: tuple[PodRecord, ...] = ()
    owners: Mapping[OwnerKey, OwnerRecord] = field(default_factory=dict)
    namespaces: Mapping[str, NamespaceRecord] = field(default_factory=dict)
    limit_ranges: Mapping[str, tuple[LimitRangeRecord, ...]] = field(default_factory=dict)
    quotas: Mapping[str, tuple[QuotaRecord, ...]] = field(default_factory=dict)
    hpas: Mapping[OwnerKey, str] = field(default_factory=dict)  # target -> name of the HPA
    kube_nodes: Mapping[str, KubeNodeRecord] = field(default_factory=dict)
    node_memories: Mapping[str, NodeMemoryRecord] = field(default_factory=dict)
    policies: tuple[PolicyRecord, ...] = ()
    profiles: Mapping[tuple[str, str], ProfileRecord] = field(default_factory=dict)
    cron_jobs: tuple[CronJobRecord, ...] = ()
    paused: bool = False


def world(  # noqa: PLR0913 -- one argument for each kind of object
    *,
    pods: Iterable[PodRecord] = (),
    owners: Iterable[OwnerRecord] = (),
    namespaces: Iterable[NamespaceRecord] = (),
    limit_ranges: Iterable[LimitRangeRecord] = (),
    quotas: Iterable[QuotaRecord] = (),
    hpas: Iterable[HpaRecord] = (),
    kube_nodes: Iterable[KubeNodeRecord] = (),
    node_memories: Iterable[NodeMemoryRecord] = (),
    policies: Iterable[PolicyRecord] = (),
    profiles: Iterable[ProfileRecord] = (),
    cron_jobs: Iterable[CronJobRecord] = (),
    paused: bool = False,
) -> World:
    """File the records of one moment by what they are looked up by."""
    return World(
        pods=tuple(pods),
        owners={owner_key(each): each for each in owners},
        namespaces={each.name: each for each in namespaces},
        limit_ranges=_by_namespace(limit_ranges),
        quotas=_by_namespace(quotas),
        hpas={(each.kind, each.namespace, each.target): each.name for each in hpas},
        kube_nodes={each.name: each for each in kube_nodes},
        node_memories={each.name: each for each in node_memories},
        policies=tuple(policies),
        profiles={profile_key(each): each for each in profiles},
        cron_jobs=tuple(cron_jobs),
        paused=paused,
    )


def owner_key(owner: OwnerRecord) -> OwnerKey:
    """What an owner is looked up by."""
    return owner.kind, owner.namespace, owner.name


def profile_key(profile: ProfileRecord) -> tuple[str, str]:
    """What a profile is looked up by."""
    return profile.namespace, profile.name


def _by_namespace(records: Iterable[Record]) -> Mapping[str, tuple[Record, ...]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for each in records:
        found[each.namespace].append(each)
    return {name: tuple(each) for name, each in found.items()}

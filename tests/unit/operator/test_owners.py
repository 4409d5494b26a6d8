"""In: owner chains as records, discovery documents. Out: the workload at the top, or None while it is not
known.
"""

import pytest

from builders.clusters import owner, raw_pod
from builders.kubeapi import MemoryApi
from plimsoll.workload import WorkloadRef
from plimsoll_operator import parse
from plimsoll_operator.owners import OwnerResolver, job_pattern, replica_set_owner_guess
from plimsoll_operator.records import OwnerRef
from plimsoll_operator.world import world

ARGO = "argoproj.io/v1alpha1"


def owned_by(kind, name, controller, replicas=3):
    body = {"kind": kind, "metadata": {"namespace": "shop", "name": name}, "spec": {"replicas": replicas}}
    if controller is not None:
        body["metadata"]["ownerReferences"] = [controller]
    return parse.owned(body)


OWNERS = world(
    owners=[
        owned_by("ReplicaSet", "web-6d4cf", owner("Deployment", "web")),
        owned_by("ReplicaSet", "alone", None),
        owned_by("ReplicaSet", "canary-1", owner("Rollout", "canary", ARGO)),
        owned_by("Job", "nightly-28391234", owner("CronJob", "nightly", "batch/v1")),
        owned_by("Job", "report-20261121-x7f2q", None),
    ]
).owners

CHAINS = [
    (None, "Pod", "web-0"),
    (owner("ReplicaSet", "web-6d4cf"), "Deployment", "web"),
    (owner("ReplicaSet", "alone"), "ReplicaSet", "alone"),
    (owner("StatefulSet", "db"), "StatefulSet", "db"),
    (owner("DaemonSet", "agent"), "DaemonSet", "agent"),
    (owner("Job", "nightly-28391234", "batch/v1"), "CronJob", "nightly"),
    (owner("Job", "report-20261121-x7f2q", "batch/v1"), "Job", "report-*"),
]


@pytest.mark.parametrize(("controller", "kind", "name"), CHAINS, ids=lambda value: str(value)[:30])
def test_chains_of_indexed_kinds(controller, kind, name):
    top = OwnerResolver().top_of(parse.pod(raw_pod(owner=controller)), OWNERS)
    assert top.ref == WorkloadRef("shop", kind, name)


def test_a_pod_whose_replicaset_is_not_seen_yet_waits():
    assert OwnerResolver().top_of(parse.pod(raw_pod(owner=owner("ReplicaSet", "new-1"))), OWNERS) is None


def test_an_old_revision_is_not_kept():
    assert owned_by("ReplicaSet", "web-old", owner("Deployment", "web"), replicas=0) is None


def discovery(api, api_version, *names, kind):
    api.paths[f"/apis/{api_version}"] = {"resources": [{"name": name, "kind": kind} for name in names]}


async def test_a_kind_with_a_scale_subresource_is_a_workload():
    api, resolver = MemoryApi(), OwnerResolver()
    discovery(api, ARGO, "rollouts", "rollouts/scale", kind="Rollout")
    pod = parse.pod(raw_pod(owner=owner("ReplicaSet", "canary-1")))
    assert resolver.top_of(pod, OWNERS) is None
    await resolver.learn(api, 0.0)
    assert resolver.top_of(pod, OWNERS).ref == WorkloadRef("shop", "Rollout", "canary")


async def test_a_kind_without_scale_is_climbed_over():
    api, resolver = MemoryApi(), OwnerResolver()
    discovery(api, "apps.kruise.io/v1", "podgroups", kind="PodGroup")
    api.put(
        "podgroups",
        {"metadata": {"namespace": "shop", "name": "g", "ownerReferences": [owner("StatefulSet", "db")]}},
    )
    pod = parse.pod(raw_pod(owner=owner("PodGroup", "g", "apps.kruise.io/v1")))
    resolver.top_of(pod, OWNERS)
    await resolver.learn(api, 0.0)
    assert resolver.top_of(pod, OWNERS).ref == WorkloadRef("shop", "StatefulSet", "db")


async def test_an_owner_that_cannot_be_read_ends_the_chain_and_is_asked_for_again_later():
    api, resolver = MemoryApi(), OwnerResolver()
    pod = parse.pod(raw_pod(owner=owner("Mystery", "m", "example.com/v1")))
    resolver.top_of(pod, OWNERS)
    await resolver.learn(api, 0.0)
    assert resolver.top_of(pod, OWNERS).ref.kind == "Mystery"
    resolver.forget_failures(60.0)
    assert resolver.top_of(pod, OWNERS) is not None
    resolver.forget_failures(600.0)
    assert resolver.top_of(pod, OWNERS) is None


async def test_a_kind_is_looked_up_once():
    api, resolver = MemoryApi(), OwnerResolver()
    discovery(api, ARGO, "rollouts", "rollouts/scale", kind="Rollout")
    for name in ("a", "b"):
        resolver.top_of(parse.pod(raw_pod(owner=owner("Rollout", name, ARGO))), OWNERS)
        await resolver.learn(api, 0.0)
    assert len([call for call in api.calls if call[0] == "read_path"]) == 1


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("report-20261121", "report-*"),
        ("report-20261121-x7f2q", "report-*"),
        ("backup", "backup"),
        ("backup-db", "backup-db"),
        ("migrate-v2", "migrate-v2"),
        ("20261121", "20261121"),
    ],
)
def test_job_patterns(name, pattern):
    assert job_pattern(name) == pattern


def test_a_new_replicaset_names_its_deployment():
    ref = OwnerRef("apps/v1", "ReplicaSet", "web-front-6d4cf56db6", "u")
    assert replica_set_owner_guess(ref, "6d4cf56db6") == "web-front"
    assert replica_set_owner_guess(ref, "other") is None
    assert replica_set_owner_guess(ref, "") is None

"""The world without an operator: scenario, baselines, ledger, and what kubelets tell through the API."""

from dataclasses import replace

import numpy as np
import pytest

from builders.sandbox import MIB
from plimsoll.api.quantity import parse_quantity
from plimsoll_cli.sandbox.api.patching import STRATEGIC
from plimsoll_cli.sandbox.arms import baselines
from plimsoll_cli.sandbox.kubelet import BinRecord, Resources
from plimsoll_cli.sandbox.ledger import Ledger
from plimsoll_cli.sandbox.scenario import LEAD_BINS, NAMESPACE, SAMPLE, WARMUP_BINS, Scenario, load_scenario
from plimsoll_cli.sandbox.world import PODS, World, WorldSettings, resources_in

HOURS = 4
BINS = HOURS * 12


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario([SAMPLE], seed=3, bins=BINS, pods=10)


@pytest.fixture
def world(scenario: Scenario, monkeypatch) -> World:
    """A world that waits for nobody."""
    monkeypatch.setattr("plimsoll_cli.sandbox.clock.STALL_SECONDS", 0.0)
    return World(scenario, WorldSettings())


async def play(world: World, bins: int) -> None:
    async for done in world.play():
        if done >= bins:
            return


def test_one_seed_draws_one_scenario(scenario):
    again = load_scenario([SAMPLE], seed=3, bins=BINS, pods=10)
    other = load_scenario([SAMPLE], seed=4, bins=BINS, pods=10)
    assert [w.pod for w in again.workloads] == [w.pod for w in scenario.workloads]
    assert [w.series_id for w in other.workloads] != [w.series_id for w in scenario.workloads]


def test_every_workload_has_a_warmup_and_a_persons_limit(scenario):
    for workload in scenario.workloads:
        warmup = workload.usage_bytes[:WARMUP_BINS]
        assert workload.first.limit_bytes == pytest.approx(1.2 * np.nanpercentile(warmup, 99), abs=MIB)
        assert len(workload.usage_bytes) <= WARMUP_BINS + BINS


def test_names_are_unique(scenario):
    whole = load_scenario([], seed=3, bins=BINS, pods=1000)
    assert (
        len({w.name for w in whole.workloads})
        == len({w.pod for w in whole.workloads})
        == len(whole.workloads)
    )


def test_the_oracle_dies_never_and_wastes_least(scenario):
    outcomes = {}
    for shadow in baselines(scenario):
        for live_bin in range(BINS):
            shadow.play(live_bin)
        outcomes[shadow.ledger.arm] = shadow.ledger.outcome([True] * len(scenario.workloads))
    assert outcomes["oracle"].ooms == 0
    assert outcomes["oracle"].slack == min(outcome.slack for outcome in outcomes.values())
    assert len({outcome.container_days for outcome in outcomes.values()}) == 1


def test_the_ledger_counts_by_the_contract():
    ledger = Ledger("a", ["x", "y"], 4)
    limits = [100, 100, 102, 200]
    usages = [50.0, 150.0, float("nan"), 100.0]
    for live_bin, (usage, limit) in enumerate(zip(usages, limits, strict=True)):
        ledger.record(live_bin, [BinRecord("x", usage, limit, usage > limit)])
    outcome = ledger.outcome([True, True])
    assert outcome.container_days == 3 / 288  # y was never there, and x was missing once
    assert (outcome.ooms, outcome.slack, outcome.changes_per_cd) == (1, 0.5, pytest.approx(288 / 3))
    assert ledger.outcome([False, True]).ooms == 0


async def test_without_an_operator_the_first_limits_stay(world, scenario):
    async with world.listen():
        await play(world, BINS)
    for workload in scenario.workloads:
        row = [w.name for w in scenario.workloads].index(workload.name)
        limits = world.ledger.limit_bytes[row]
        assert set(limits[np.isfinite(limits)]) == {workload.first.limit_bytes}


async def test_kills_are_told_in_the_pods_status(world, scenario):
    tight = [replace(w, first=Resources(MIB, w.first.limit_bytes // 4)) for w in scenario.workloads]
    world = World(replace(scenario, workloads=tuple(tight)), WorldSettings())
    async with world.listen():
        await play(world, 3)
    killed = {event.container for event in world.events if event.kind == "OOMKilled"}
    assert len(killed) > len(tight) // 2
    for stored in world.api.store.collection(PODS).page(None, NAMESPACE):
        pod = stored.load()
        (status,) = pod["status"]["containerStatuses"]
        container = world.kubelet.containers[pod["metadata"]["labels"]["app"]]
        assert status["restartCount"] == container.restarts
        if container.restarts:
            assert status["lastState"]["terminated"]["reason"] == "OOMKilled"


async def test_a_resize_is_in_progress_until_the_bin_happens(world, scenario):
    workload = scenario.workloads[0]
    kind = world.api.operations.type("", "v1", "pods")
    limit = 2 * workload.first.limit_bytes
    resources = {"limits": {"memory": str(limit)}}
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    async with world.listen():
        await play(world, 0)
        world.api.operations.patch(kind, NAMESPACE, workload.pod, "resize", STRATEGIC, patch)
        status = world.api.operations.get(kind, NAMESPACE, workload.pod).load()["status"]
        (before,) = status["containerStatuses"]
        assert before["resources"]["limits"]["memory"] != str(limit)
        await play(world, 1)
        pod = world.api.operations.get(kind, NAMESPACE, workload.pod).load()
    assert resources_in(pod).limit_bytes == limit
    assert world.kubelet.containers[workload.name].resources.limit_bytes == limit
    assert "PodResizeInProgress" not in {c["type"] for c in pod["status"]["conditions"]}


async def test_metrics_are_of_the_last_bin_and_stamped_within_it(world, scenario):
    async with world.listen():
        items = {item["metadata"]["name"]: item for item in world._pod_metrics(NAMESPACE, None)}
        workload = scenario.workloads[0]
        at = WARMUP_BINS - LEAD_BINS - 1
        expected = int(workload.usage_bytes[at])
        assert parse_quantity(items[workload.pod]["containers"][0]["usage"]["memory"]) == expected
        assert items[workload.pod]["timestamp"] == "2026-05-31T22:59:59Z"


async def test_a_trace_that_is_over_ends_its_deployment(scenario):
    world = World(scenario, WorldSettings())
    workload = scenario.workloads[0]
    async with world.listen():
        await world._turn_over(workload.live_bins)
    assert world.api.store.get(("apps", "deployments"), NAMESPACE, workload.name) is None
    assert workload.name not in world.kubelet.containers


async def test_an_evicted_pod_comes_back_with_the_templates_limit(scenario):
    world = World(scenario, WorldSettings())
    workload = scenario.workloads[0]
    async with world.listen():
        world.api.operations.evict(NAMESPACE, workload.pod, {})
        assert workload.name not in world.kubelet.containers
        await world._turn_over(0)
    (pod,) = [
        stored.load()
        for stored in world.api.store.collection(PODS).page(None, NAMESPACE)
        if stored.labels["app"] == workload.name
    ]
    assert pod["metadata"]["name"] != workload.pod
    assert resources_in(pod) == workload.first


async def test_the_clock_names_every_pod_that_is_there_in_its_version(world, scenario):
    gone, *left = [workload.pod for workload in scenario.workloads]
    async with world.listen():
        await play(world, 1)
        world.api.operations.delete(world.api.operations.type("", "v1", "pods"), NAMESPACE, gone, {})
        shown = {
            "/".join(each.key): each.version for each in world.api.store.collection(PODS).page(None, None)
        }
    assert world.clock._pods() == shown
    assert set(shown) == {f"{NAMESPACE}/{pod}" for pod in left}

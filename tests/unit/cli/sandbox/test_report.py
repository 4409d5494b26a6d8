"""The outcome document: whether each workload's profile still remembers the limit that a person first set."""

import pytest

from plimsoll.api.quantity import format_quantity
from plimsoll_cli.sandbox.report import Reporter
from plimsoll_cli.sandbox.scenario import NAMESPACE, SAMPLE, Scenario, Workload, load_scenario
from plimsoll_cli.sandbox.world import World, WorldSettings

BINS = 12


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario([SAMPLE], seed=3, bins=BINS, pods=1)


def write_profile(world: World, workload: Workload, original: dict | None) -> None:
    """A profile as the operator keeps it, through the API's own rules."""
    operations = world.api.operations
    kind = operations.type("plimsoll.dev", "v1alpha1", "memoryprofiles")
    name = f"deployment-{workload.name}"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name}
    document = {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryProfile",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"targetRef": target},
    }
    operations.create(kind, NAMESPACE, document)
    entry = {"name": "main"} | ({} if original is None else {"originalResources": original})
    operations.change(kind, NAMESPACE, name, "status", {"status": {"containers": [entry]}})


def lost(scenario: Scenario, original: dict | None, *, profiled: bool = True) -> list[str]:
    world = World(scenario, WorldSettings())
    world._create_objects()
    if profiled:
        write_profile(world, scenario.workloads[0], original)
    return Reporter(world).outcome()["lost_originals"]


def test_an_original_that_is_remembered_is_not_lost(scenario):
    first = scenario.workloads[0].first
    remembered = {
        "request": format_quantity(first.request_bytes),
        "limit": format_quantity(first.limit_bytes),
    }
    assert lost(scenario, remembered) == []


@pytest.mark.parametrize("original", [None, {}, {"request": "16Mi"}, {"limit": "17Mi"}])
def test_an_original_that_is_absent_or_another_is_lost(scenario, original):
    assert lost(scenario, original) == [scenario.workloads[0].name]


def test_a_workload_without_a_profile_has_lost_its_original(scenario):
    assert lost(scenario, None, profiled=False) == [scenario.workloads[0].name]

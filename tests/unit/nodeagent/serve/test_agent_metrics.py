import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from builders.agents import AgentOn
from builders.cgroup_tree import MIB, CgroupTree, Memory, container_id, uid
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.serve.exposition import CONTAINER_VALUES, NODE_VALUES, REPORT_VALUES, Exposition
from plimsoll_nodeagent.serve.metrics import CONTAINER_LABELS, DEFINITIONS

ROOT = "/sys/fs/cgroup"
NOW = 1_700_000_000.0
UNITS = {"bytes": "_bytes", "seconds": "_seconds", "pages": "_pages", "0 to 1": "_ratio"}


def scraped(tree: CgroupTree, **settings) -> dict:
    """(name, labels) -> value, as Prometheus itself would parse it."""
    watch = Watch(tree.fs, ROOT, **settings)
    watch.tick(NOW)
    text = Exposition(lambda: watch.latest, "1.2.3").text().decode()
    order = {each.name: each.labels for each in DEFINITIONS}
    return {
        (sample.name, tuple(sample.labels[label] for label in order[sample.name])): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_that_is_served_is_in_the_table_and_the_other_way_round(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    served = {name for name, _ in scraped(tree)}
    of_reclaim = set(REPORT_VALUES)
    assert served == {each.name for each in DEFINITIONS} - of_reclaim
    other = {"plimsoll_agent_build_info", "plimsoll_agent_ready"}
    assert {*CONTAINER_VALUES, *NODE_VALUES, *other, *of_reclaim} == {each.name for each in DEFINITIONS}


def test_what_reclaim_does_is_served_once_a_policy_asks_for_it(tmp_path):
    agent = AgentOn(tmp_path)
    report = agent.tick(200)
    text = Exposition(lambda: report.snapshot, "1", lambda: report).text().decode()
    served = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    # No leak in this node, no stage and no container failed, and the twin has no meminfo of NUMA nodes.
    absent = {
        "plimsoll_container_leak_hint_bytes_per_hour",
        "plimsoll_agent_stage_failures_total",
        "plimsoll_agent_container_failures_total",
        "plimsoll_numa_node_free_bytes",
        "plimsoll_numa_node_fragmentation_ratio",
        "plimsoll_numa_node_pressure_forecast_ratio",
        # Nobody looked between two ticks, so that no forecast could be judged.
        "plimsoll_kube_node_pressure_right_ratio",
        "plimsoll_kube_node_pressure_brier",
        # No policy asks for memory to follow CPUs.
        "plimsoll_agent_numa_local_ratio",
        # It has no operator.
        "plimsoll_agent_attending",
        "plimsoll_agent_streams_total",
        "plimsoll_agent_policies_made_timestamp_seconds",
        "plimsoll_agent_batches_given_up_total",
        "plimsoll_agent_messages_refused_total",
        "plimsoll_agent_messages_too_large_total",
        "plimsoll_agent_containers_unnamed",
        "plimsoll_agent_stream_failures_total",
        "plimsoll_agent_leases_total",
        "plimsoll_agent_lease_raises_total",
        "plimsoll_agent_lease_raise_seconds",
        "plimsoll_agent_lease_raise_seconds_total",
        "plimsoll_agent_models_total",
    }
    assert set(REPORT_VALUES) - served == absent
    assert 'plimsoll_agent_actions_total{answer="done",kind="reclaim"}' in text


@pytest.mark.parametrize("each", DEFINITIONS, ids=lambda each: each.name)
def test_units_are_in_the_names(each):
    assert each.name.endswith("_total") == (each.kind == "counter")
    assert UNITS.get(each.unit, "") in each.name
    assert each.name.startswith("plimsoll_container_") == (each.labels[:3] == CONTAINER_LABELS)


def test_a_container_is_served_with_its_ids_and_qos(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container(5, pod=9, memory=Memory(100 * MIB, memory_max=str(200 * MIB), oom_kills=3, avg10=25.0))
    found, labels = scraped(tree), (uid(9), container_id(5), "burstable")
    expected = {
        ("usage_bytes", ()): 100 * MIB,
        ("usage_peak_bytes", ()): 101 * MIB,
        ("working_set_bytes", ()): 75 * MIB,
        ("memory_max_bytes", ()): 200 * MIB,
        ("memory_high_bytes", ()): math.inf,
        ("swap_bytes", ()): 8192,
        ("memory_stat_bytes", ("anon",)): 50 * MIB,
        ("memory_stat_bytes", ("inactive_file",)): 25 * MIB,
        ("refaults_pages_total", ("file",)): 17,
        ("memory_events_total", ("oom_kill",)): 3,
        ("pressure_ratio", ("some", "10s")): 0.25,
        ("pressure_ratio", ("full", "60s")): 0.0025,
        ("pressure_seconds_total", ("some",)): 2.5,
    }
    for (name, more), value in expected.items():
        assert found[(f"plimsoll_container_{name}", (*labels, *more))] == value, name


def test_what_is_not_known_is_not_served_as_zero(tmp_path):
    tree = CgroupTree(tmp_path)
    (tree.cgroups / "kubepods/memory.pressure").unlink()
    tree.container(memory=Memory(extra={"memory.stat": "torn"}))
    found = scraped(tree)
    names = {name for name, _ in found}
    assert "plimsoll_container_usage_bytes" in names
    assert not names & {"plimsoll_container_pressure_ratio", "plimsoll_container_working_set_bytes"}
    assert found[("plimsoll_agent_kernel_feature", ("memory.pressure",))] == 0
    assert found[("plimsoll_agent_kernel_feature", ("memory.stat",))] == 1
    assert found[("plimsoll_agent_reads_failed_total", ("torn",))] == 1


def test_series_are_bounded_however_many_containers_there_are(tmp_path):
    tree = CgroupTree(tmp_path)
    for number in range(30):
        tree.container(number, pod=number)
    found = scraped(tree, most_containers=10)
    assert sum(name == "plimsoll_container_usage_bytes" for name, _ in found) == 10
    assert found[("plimsoll_agent_containers_left_out", ())] == 20
    per_container = sum(name.startswith("plimsoll_container_") for name, _ in found) / 10
    assert per_container <= 26


def test_the_series_of_a_container_that_went_are_gone(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    watch = Watch(tree.fs, ROOT)
    exposition = Exposition(lambda: watch.latest, "1.2.3")
    watch.tick(NOW)
    assert container_id(1) in exposition.text().decode()
    tree.remove_pod(1)
    watch.tick(NOW)
    assert container_id(1) not in exposition.text().decode()


@pytest.mark.parametrize(("kubepods", "ready"), [(True, 1), (False, 0)])
def test_an_agent_without_a_root_of_pods_is_seen_in_its_metrics(tmp_path, kubepods, ready):
    tree = CgroupTree(tmp_path)
    if not kubepods:
        (tree.cgroups / "kubepods").rename(tree.cgroups / "system.slice")
    assert scraped(tree)[("plimsoll_agent_ready", ())] == ready


def test_a_second_scraper_gets_the_text_that_was_made_for_the_first(tmp_path):
    watch = Watch(CgroupTree(tmp_path).fs, ROOT)
    exposition = Exposition(lambda: watch.latest, "1.2.3")
    watch.tick(NOW)
    assert exposition.text() is exposition.text()


def test_before_the_first_tick_nothing_is_claimed_but_that_nothing_is_seen():
    text = Exposition(lambda: None, "1.2.3").text().decode()
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        'plimsoll_agent_build_info{version="1.2.3"} 1.0',
        "plimsoll_agent_ready 0.0",
    ]

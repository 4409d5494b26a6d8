from dataclasses import replace

import pytest

from builders.agents import AgentOn
from builders.plainapi import PlainApi, serving
from plimsoll.api.profile import NodeMemoryStatus, NumaNodeMemory
from plimsoll.api.v1alpha1 import NodeMemory
from plimsoll_nodeagent.control import node_memory
from plimsoll_nodeagent.control.node_memory import OPERATORS, WRITE_SECONDS, NodeMemoryWriter, status_of
from plimsoll_nodeagent.control.reports import CoordinationReport
from plimsoll_nodeagent.kernelfs import Mode

GIB = 2**30
MEMINFO = "Node {0} MemTotal: {1} kB\nNode {0} MemFree: {2} kB\nNode {0} Inactive(file): {3} kB\n"


def with_numa_nodes(agent: AgentOn) -> AgentOn:
    """A NUMA node with CPUs, of which 4 of 8 GiB are free and 1 is cache; another one without CPUs."""
    nodes = agent.node.root / "sys/devices/system/node"
    for number in (0, 1):
        sizes = (each * GIB // 1024 for each in (8, 4, 1))
        agent.node.tree.write(nodes / f"node{number}/meminfo", MEMINFO.format(number, *sizes))
    agent.node.tree.write(nodes / "has_cpu", "0\n")
    return agent


@pytest.fixture
def api():
    with serving(PlainApi()) as one:
        yield one


def writer(api: PlainApi) -> NodeMemoryWriter:
    return NodeMemoryWriter(api.connect, "node-1", Mode.ACT, "0.1.0")


def test_makes_the_object_and_merges_its_status_in(api, tmp_path):
    agent = AgentOn(tmp_path)
    report = agent.tick(3)
    write = writer(api)
    write(report, agent.now)
    write.wait()
    status = NodeMemory.model_validate(api.nodes["node-1"]).status
    assert status.capacity_bytes == 2 << 30
    assert status.needed_bytes is not None
    assert status.cold_bytes > 0
    assert {each.type: each.status for each in status.conditions} == {"Ready": "True", "Acting": "True"}
    assert {each.name for each in status.capabilities} >= {"accesses", "pressure", "reclaim"}
    accesses = next(each for each in status.capabilities if each.name == "accesses")
    assert (accesses.level, accesses.found) == ("damon", True)
    assert accesses.message.startswith("beneath it: lru-generations, then ")
    assert status.reclaim.containers == 2
    assert status.agent_version == "0.1.0"


@pytest.mark.parametrize("attending", [True, False])
def test_whether_the_operator_hears_the_agent_is_a_condition_where_the_two_are_joined(tmp_path, attending):
    report = AgentOn(tmp_path).tick(1)
    said = CoordinationReport(attending, 1, 0, 0, {}, why="" if attending else "unavailable: no route")
    status = status_of(replace(report, coordination=said), Mode.ACT, "0.1.0")
    (found,) = (each for each in status.conditions if each.type == "Attending")
    assert (found.status, found.reason) == (("True", "Heard") if attending else ("False", "OperatorAway"))
    assert ("unavailable: no route" in found.message) == (not attending)
    alone = status_of(replace(report, coordination=None), Mode.ACT, "0.1.0")
    assert [each.type for each in alone.conditions] == ["Ready", "Acting"]


@pytest.mark.parametrize(
    ("in_part", "unnamed", "told"),
    [("a model_delta of 9 bytes", 0, "a model_delta of 9"), ("", 3, "3 containers")],
)
def test_what_was_too_large_for_the_operator_is_in_the_condition(tmp_path, in_part, unnamed, told):
    said = CoordinationReport(True, 1, 1, 0, {}, in_part=in_part, unnamed=unnamed)
    status = status_of(replace(AgentOn(tmp_path).tick(1), coordination=said), Mode.ACT, "0.1.0")
    (found,) = (each for each in status.conditions if each.type == "Attending")
    assert (found.status, found.reason) == ("True", "HeardInPart")
    assert told in found.message


def test_every_field_that_is_promised_has_a_writer(tmp_path, monkeypatch):
    given, of_numa = {}, {}
    monkeypatch.setattr(node_memory, "NodeMemoryStatus", lambda **fields: given.update(fields))
    monkeypatch.setattr(node_memory, "NumaNodeMemory", lambda **fields: of_numa.update(fields))
    status_of(with_numa_nodes(AgentOn(tmp_path)).tick(1), Mode.ACT, "0.1.0")
    assert given.keys() | OPERATORS == NodeMemoryStatus.model_fields.keys()
    assert not given.keys() & OPERATORS
    assert of_numa.keys() == NumaNodeMemory.model_fields.keys()


def test_what_a_numa_node_has_in_use_whether_it_is_slow_and_how_remote_it_is_are_told(tmp_path, monkeypatch):
    agent = with_numa_nodes(AgentOn(tmp_path))
    monkeypatch.setattr(agent.made.agent.places, "remote_shares", lambda: {0: 0.25})
    fast, slow = status_of(agent.tick(1), Mode.ACT, "0.1.0").numa_nodes
    assert (fast.total_bytes, fast.used_bytes) == (8 * GIB, 3 * GIB)  # what can be dropped is not in use
    assert (fast.remote_fraction, fast.slow, slow.remote_fraction, slow.slow) == (0.25, False, None, True)
    assert "tier" not in fast.to_api()


def test_what_the_operator_writes_of_the_peak_is_left_as_it_is(api, tmp_path):
    agent = AgentOn(tmp_path)
    write = writer(api)
    write(agent.tick(1), agent.now)
    write.wait()
    peak = {"short": 1.5, "quantiles": [{"level": 0.98, "value": "3Gi"}]}
    api.nodes["node-1"]["status"]["peak"] = peak
    write(agent.tick(1, seconds=WRITE_SECONDS + 1), agent.now)
    write.wait()
    assert write.written_total == 2
    assert api.nodes["node-1"]["status"]["peak"] == peak


def test_writes_once_a_minute_and_at_once_when_acting_ends(api, tmp_path):
    agent = AgentOn(tmp_path)
    write = writer(api)
    for _ in range(3):
        write(agent.tick(1), agent.now)
        write.wait()
    assert write.written_total == 1
    agent.policy_file.unlink()
    write(agent.tick(1), agent.now)
    write.wait()
    assert write.written_total == 2
    (acting,) = (each for each in api.nodes["node-1"]["status"]["conditions"] if each["type"] == "Acting")
    assert (acting["status"], acting["reason"]) == ("False", "Policies")
    write(agent.tick(1, seconds=WRITE_SECONDS + 1), agent.now)
    write.wait()
    assert write.written_total == 3


def test_what_is_no_longer_known_is_taken_out(api, tmp_path):
    agent = AgentOn(tmp_path)
    write = writer(api)
    write(agent.tick(3), agent.now)
    write.wait()
    (agent.node.root / "sys/kernel/debug/lru_gen").unlink()
    for number in (1, 2):  # without refaults nothing can be probed for either
        stat = agent.node.file(number, "memory.stat")
        kept = [line for line in stat.read_text().splitlines() if not line.startswith("workingset_refault")]
        stat.write_text("\n".join(kept) + "\n")
    write(agent.tick(1, seconds=WRITE_SECONDS + 1), agent.now)
    write.wait()
    assert "cold" not in api.nodes["node-1"]["status"]


@pytest.mark.parametrize("status", [403, 500])
def test_an_api_server_that_refuses_costs_nothing_but_a_count(api, tmp_path, status: int):
    api.failing = status
    agent = AgentOn(tmp_path)
    write = writer(api)
    write(agent.tick(1), agent.now)
    write.wait()
    assert (write.failures_total, write.written_total) == (1, 0)

import logging

import pytest

from builders.agents import AgentOn
from builders.plainapi import PlainApi, serving
from plimsoll.api.profile import NumaNodeMemory
from plimsoll_nodeagent.control import node_topology
from plimsoll_nodeagent.control.kubeapi import ApiError
from plimsoll_nodeagent.control.node_memory import WRITE_SECONDS, NodeMemoryWriter
from plimsoll_nodeagent.control.node_topology import OWNER, OWNER_LABEL, Told, zones_of
from plimsoll_nodeagent.kernelfs import Mode

GIB = 2**30
MEMINFO = "Node 0 MemTotal: {} kB\nNode 0 MemFree: {} kB\nNode 0 Inactive(file): 0 kB\n"
ZONES = zones_of([NumaNodeMemory(id=0, total_bytes=8 * GIB)])


@pytest.fixture
def api():
    with serving(PlainApi()) as one:
        one.topologies = {}
        yield one


def agent_on(tmp_path, free_gib: int = 4) -> AgentOn:
    agent = AgentOn(tmp_path)
    frees(agent, free_gib)
    return agent


def frees(agent: AgentOn, free_gib: int) -> None:
    path = agent.node.root / "sys/devices/system/node/node0/meminfo"
    agent.node.tree.write(path, MEMINFO.format(8 * GIB // 1024, free_gib * GIB // 1024))


def writer(api: PlainApi, *, topology: bool = True) -> NodeMemoryWriter:
    return NodeMemoryWriter(api.connect, "node-1", Mode.ACT, "0.1.0", topology=topology)


def written(write: NodeMemoryWriter, agent: AgentOn) -> None:
    write(agent.tick(1, seconds=WRITE_SECONDS + 1), agent.now)
    write.wait()


def attributes(zone) -> dict[str, str]:
    return {each["name"]: each["value"] for each in zone["attributes"]}


def test_a_zone_tells_what_node_memory_tells_of_a_numa_node():
    fast = NumaNodeMemory(id=0, total_bytes=8 * GIB, free_bytes=GIB, remote_fraction=0.25, tier=4, slow=False)
    slow = NumaNodeMemory(id=1, total_bytes=16 * GIB, slow=True)
    first, second = zones_of([slow, fast])
    assert (first["name"], first["type"], second["name"]) == ("node-0", "Node", "node-1")
    told = attributes(first)
    assert (told["plimsoll.dev/total"], told["plimsoll.dev/free"]) == ("8Gi", "1Gi")
    assert (told["plimsoll.dev/remote"], told["plimsoll.dev/tier"]) == ("0.25", "4")
    assert (told["plimsoll.dev/slow"], attributes(second)["plimsoll.dev/slow"]) == ("false", "true")
    assert "plimsoll.dev/free" not in attributes(second)  # unknown is absent, never zero
    assert "resources" not in first  # what is available for requests is the kubelet's to say


def test_the_object_is_made_and_kept_up_and_goes_with_its_node_memory(api, tmp_path):
    agent, write = agent_on(tmp_path), writer(api)
    written(write, agent)
    made = api.topologies["node-1"]
    assert made["metadata"]["labels"] == {OWNER_LABEL: OWNER}
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("NodeMemory", "node-1", "uid-of-node-1")
    assert attributes(made["zones"][0])["plimsoll.dev/free"] == "4Gi"
    frees(agent, 2)
    written(write, agent)
    assert attributes(api.topologies["node-1"]["zones"][0])["plimsoll.dev/free"] == "2Gi"
    assert (write.failures_total, write.written_total) == (0, 2)


def test_nothing_is_written_that_nobody_asked_for(api, tmp_path):
    written(writer(api, topology=False), agent_on(tmp_path))
    assert api.topologies == {}


def test_a_node_without_numa_nodes_has_no_topology(api, tmp_path):
    write = writer(api)
    written(write, AgentOn(tmp_path))
    assert (api.topologies, write.written_total) == ({}, 1)


@pytest.mark.parametrize("labels", [None, {}, {OWNER_LABEL: "nfd"}])
def test_an_object_of_somebody_else_is_left_alone_and_said_once(api, tmp_path, caplog, labels):
    theirs = {"metadata": {"name": "node-1", "labels": labels, "resourceVersion": "7"}, "zones": []}
    api.topologies["node-1"] = theirs
    agent, write = agent_on(tmp_path), writer(api)
    with caplog.at_level(logging.WARNING):
        written(write, agent)
        written(write, agent)
    assert api.topologies == {"node-1": theirs}
    assert [each.why for each in caplog.records] == [node_topology.SENTENCES[Told.THEIRS]]
    assert write.written_total == 2


def test_a_cluster_without_the_kind_has_node_memory_all_the_same(api, tmp_path, caplog):
    api.topologies = None
    agent, write = agent_on(tmp_path), writer(api)
    with caplog.at_level(logging.WARNING):
        written(write, agent)
        written(write, agent)
    assert (write.written_total, write.failures_total) == (2, 0)
    assert [each.why for each in caplog.records] == [node_topology.SENTENCES[Told.NO_KIND]]


class TakenOver(PlainApi):
    """Somebody else writes the object between our reading and our writing."""

    def answer(self, method, path, body):
        said = super().answer(method, path, body)
        if method == "GET" and said[0] == 200 and "topolog" in path:
            taken = {"metadata": {"name": "node-1", "resourceVersion": "9"}, "zones": ["theirs"]}
            self.topologies["node-1"] = taken
        return said


def test_who_takes_the_object_over_between_reading_and_writing_has_it():
    with serving(TakenOver()) as api, api.connect() as client:
        api.topologies = {}
        assert node_topology.write(client, "node-1", ZONES) is Told.WRITTEN
        with pytest.raises(ApiError) as refused:
            node_topology.write(client, "node-1", ZONES)
        assert refused.value.status == 409
        assert api.topologies["node-1"]["zones"] == ["theirs"]
        assert node_topology.write(client, "node-1", ZONES) is Told.THEIRS


def test_a_refusal_is_counted_and_node_memory_is_written(api, tmp_path):
    answer = api.answer
    api.answer = lambda method, path, body: (
        (403, {"message": "no"}) if "topolog" in path else answer(method, path, body)
    )
    agent, write = agent_on(tmp_path), writer(api)
    written(write, agent)
    assert (write.failures_total, write.written_total) == (1, 1)
    assert "node-1" in api.nodes

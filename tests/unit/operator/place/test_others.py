"""What a kube node's agent says is in use, less what is counted already; and where nobody has said it."""

import dataclasses

import numpy as np
import pytest

from builders.clusters import MIB, NOW
from builders.placing import new_pod, node_memory, owned, placing, preferred, reviewed, room_node
from plimsoll_operator import parse
from plimsoll_operator.engine.messages import NodeUse
from plimsoll_operator.place.kube_nodes import KubeNodes
from plimsoll_operator.place.others import OLDEST_SECONDS, others_on
from plimsoll_operator.place.sums import no_sums


def others(used_mib=3000, age=0.0, ours_mib=0.0, claimed_mib=0.0, reserved_mib=0, told="n1"):
    record = parse.kube_node(room_node("n1"))
    whole = record.allocatable_bytes + (reserved_mib + 100) * MIB
    nodes = KubeNodes([dataclasses.replace(record, capacity_bytes=whole)])
    sums = no_sums(nodes)
    sums.claimed_bytes[:] = claimed_mib * MIB
    one = np.ones(1, dtype=np.int32)
    use = NodeUse(("n1",), np.array([ours_mib * MIB]), one, one)
    memories = {told: parse.node_memory(node_memory(told, used_mib, NOW - age))} if told else {}
    return others_on(nodes, sums, use, memories, NOW)


@pytest.mark.parametrize(
    ("told", "mib"),
    [
        ({}, 3000),
        ({"ours_mib": 1000.0}, 2000),
        ({"ours_mib": 1000.0, "claimed_mib": 500.0}, 1500),
        ({"ours_mib": 1000.0, "claimed_mib": 500.0, "reserved_mib": 600}, 900),
        ({"ours_mib": 4000.0}, 0),  # never less than nothing
        ({"age": OLDEST_SECONDS}, 3000),
    ],
)
def test_what_is_in_use_beyond_what_is_counted(told, mib):
    found = others(**told)
    assert (found.bytes_ / MIB).round().tolist() == [mib]
    assert found.measured
    assert not found.unknown.any()


@pytest.mark.parametrize(
    "told",
    [
        {"age": OLDEST_SECONDS + 1},
        {"age": -OLDEST_SECONDS - 1},  # a clock that is not ours
        {"told": "n2"},  # another node has an agent
        {"ours_mib": float("nan")},  # what ours use is waited for
    ],
)
def test_what_should_be_told_and_is_not_is_not_known(told):
    assert others(**told).unknown.all()


def test_where_no_agent_has_ever_written_nothing_is_measured_and_nothing_silenced():
    found = others(told="")
    assert not found.measured
    assert found.bytes_.tolist() == [0.0]


def test_a_status_that_nobody_has_written_yet_is_not_known():
    assert parse.node_memory({"metadata": {"name": "n1"}}) == parse.node_memory(
        {"metadata": {"name": "n1"}, "status": {"usage": "much", "updatedTime": 5}}
    )
    assert parse.node_memory({"metadata": {"name": "n1"}}).usage_bytes is None


def rig(node="Prefer", **agents):
    nodes = [room_node("n1"), room_node("n2"), room_node("home", unschedulable=True)]
    pods = [owned("web", "web-0", "home"), owned("quiet", "quiet-0", "n1"), owned("busy", "busy-0", "n2")]
    made = placing(nodes, pods, {"web": 1000.0, "quiet": 200.0, "busy": 900.0}, node)
    for name, value in agents.items():
        setattr(made, name, value)
    return made


def best_effort():
    """A pod on n2 that asks for nothing, and of which no policy speaks: it counts 200 MiB."""
    pod = owned("stranger", "stranger-0", "n2", namespace="other")
    pod["spec"]["containers"][0]["resources"] = {}
    pod["status"]["containerStatuses"][0]["resources"] = {}
    return pod


def outcomes(made, outcome):
    return made.metrics.value("plimsoll_placements_total", outcome=outcome)


async def best(made):
    """The node of two that is named first."""
    return (preferred(await reviewed(made, new_pod())) or [""])[0]


async def test_a_pod_without_a_request_that_fills_a_node_is_seen():
    made = rig()
    made.api.put("pods", best_effort())
    await made.once(NOW)
    assert await best(made) == "n2"  # the fullest that has room: as few nodes as will do
    made = rig(used_mib_of={"n2": 3500.0})
    made.api.put("pods", best_effort())
    await made.once(NOW)
    assert await best(made) == "n1"
    assert outcomes(made, "preferred") == 1


async def test_what_a_request_speaks_for_counts_once():
    made = rig(used_mib_of={"n2": 200.0 + 1500.0})  # ours, and a stranger that uses all it asked for
    made.api.put("pods", owned("stranger", "stranger-0", "n2", request="1500Mi", namespace="other"))
    await made.once(NOW)
    assert await best(made) == "n2"  # 900 + 1500 + 1000 MiB fit 4096; with the 1500 twice they would not


async def test_an_agent_that_falls_silent_ends_the_opinion_of_its_node():
    made = rig()
    await made.once(NOW)
    made.silent_agents = {"n2"}
    await made.once(NOW + OLDEST_SECONDS + 1)
    assert await best(made) == "n1"
    assert made.metrics.value("plimsoll_placement_kube_nodes", state="untold") == 1


@pytest.mark.parametrize("node", ["Prefer", "Require"])
async def test_the_least_bad_node_is_none_while_another_is_not_known(node):
    full = {"used_mib_of": {"n1": 3900.0, "n2": 3900.0}}
    made = rig(node, **full)
    await made.once(NOW)
    assert preferred(await reviewed(made, new_pod())) == ["n1"]  # both known, both too full
    made = rig(node, **full)
    made.silent_agents = {"n2"}
    await made.once(NOW)
    assert await reviewed(made, new_pod()) == new_pod()
    assert outcomes(made, "half-known") == 1


@pytest.mark.parametrize("node", ["Prefer", "Require"])
async def test_where_all_agents_are_silent_the_pod_goes_as_without_us_and_the_outcome_says_why(node):
    made = rig(node)
    await made.once(NOW)
    made.agents = False
    await made.once(NOW + OLDEST_SECONDS + 1)
    assert await reviewed(made, new_pod()) == new_pod()
    assert outcomes(made, "node-memory") == 1


async def test_without_agents_it_is_placed_by_requests_of_strangers_and_the_outcome_says_so():
    made = rig(agents=False)
    await made.once(NOW)
    assert await best(made) == "n2"
    assert outcomes(made, "preferred-unmeasured") == 1
    assert made.metrics.value("plimsoll_placement_kube_nodes", state="untold") == 0

"""Who wants policies is told them whole: at the hello, when they change, and never by who has not looked."""

import pytest

from builders.clusters import NOW, raw_kube_node, raw_pod, raw_policy
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate.messages import NodeFacts, PolicySnapshot
from plimsoll.coordinate.session import AgentSession

COLD = {"reclaim": {"mode": "Cold", "maxPressure": 2}}


@pytest.fixture
async def desks():
    made = Desks(rig(raw_pod(), raw_pod("web-1", node="n2"), policy=raw_policy(**COLD)))
    made.rig.api.put("nodes", raw_kube_node("n2"))
    await made.once(NOW)
    return made


def greet(made: Desks, kube_node: str = "n1", *, wanted: bool = True, now_seconds: float = NOW) -> None:
    agent = AgentSession(7)
    made.session, welcome = made.attendance.greet(kube_node, agent.greet(), now_seconds)
    agent.welcome(welcome)
    made.desk.greeted(kube_node, NodeFacts(kube_node, policies_wanted=wanted), now_seconds)


def told(made: Desks) -> list[PolicySnapshot]:
    return [each for each in made.told() if isinstance(each, PolicySnapshot)]


def named(snapshot: PolicySnapshot) -> dict[str, ReclaimMode]:
    return {each.container_id: each.policy.mode for each in snapshot.policies}


async def test_a_hello_that_wants_policies_hears_those_of_its_node_alone(desks):
    greet(desks)
    (snapshot,) = told(desks)
    assert named(snapshot) == {"web-0-0": ReclaimMode.COLD}
    (one,) = snapshot.policies
    assert (one.pod_uid, one.container_name, one.policy.max_pressure_ratio) == ("uid-web-0", "app", 0.02)
    assert one.policy.source == "MemoryPolicy shop/web"
    assert one.workload.endswith("web/app")
    greet(desks, "n2")
    assert [named(each) for each in told(desks)] == [{"web-1-0": ReclaimMode.COLD}]


async def test_who_does_not_want_them_is_told_none(desks):
    greet(desks, wanted=False)
    desks.rig.api.put("memorypolicies", raw_policy(reclaim={"mode": "Off"}))
    await desks.once(NOW + MINUTE)
    assert told(desks) == []


async def test_it_is_said_again_when_it_changes_and_only_then(desks):
    greet(desks)
    (first,) = told(desks)
    await desks.once(NOW + MINUTE)
    assert told(desks) == []
    desks.rig.api.put("memorypolicies", raw_policy(reclaim={"mode": "Predictive"}))
    desks.rig.api.put("pods", raw_pod("web-2"))
    await desks.once(NOW + 2 * MINUTE)
    await desks.once(NOW + 3 * MINUTE)
    (second,) = told(desks)
    assert named(second) == {"web-0-0": ReclaimMode.PREDICTIVE, "web-2-0": ReclaimMode.PREDICTIVE}
    assert second.version > first.version
    del desks.rig.api.objects["memorypolicies", "shop", "web"]
    await desks.once(NOW + 4 * MINUTE)
    await desks.once(NOW + 5 * MINUTE)
    assert [named(each) for each in told(desks)] == [{}], "none is said, too"


async def test_each_hello_hears_all_of_it_again(desks):
    for _ in range(2):
        greet(desks)
        assert len(told(desks)) == 1


async def test_who_has_not_looked_yet_says_nothing():
    made = Desks(rig(policy=raw_policy(**COLD)))
    greet(made)
    assert told(made) == [], "else an agent would be told that there are no policies"
    await made.once(NOW)
    assert len(told(made)) == 1


async def test_who_leads_no_more_says_nothing(desks):
    desks.desk.rest()
    greet(desks)
    assert told(desks) == []


async def test_what_a_full_buffer_refused_is_said_in_the_next_loop(desks):
    offer, desks.offer = desks.offer, lambda *_: False
    greet(desks)
    assert told(desks) == []
    desks.offer = offer
    await desks.once(NOW + MINUTE)
    assert len(told(desks)) == 1


async def test_containers_that_do_not_run_yet_are_not_named(desks):
    waiting = raw_pod("web-3")
    del waiting["status"]["containerStatuses"][0]["containerID"]
    desks.rig.api.put("pods", waiting)
    await desks.once(NOW + MINUTE)
    greet(desks)
    assert named(told(desks)[0]) == {"web-0-0": ReclaimMode.COLD}


async def test_a_conflict_and_a_mode_off_reclaim_nothing(desks):
    desks.rig.api.put("memorypolicies", raw_policy(mode="Off", **COLD))
    await desks.once(NOW + MINUTE)
    greet(desks)
    assert set(named(told(desks)[0]).values()) == {ReclaimMode.OFF}


async def test_what_has_not_changed_is_not_made_again_and_who_is_gone_is_forgotten(desks):
    greet(desks)
    telling = desks.desk.policies
    (before,) = (each for uid, each in telling._made.items() if uid == "uid-web-0")
    await desks.once(NOW + MINUTE)
    assert telling._made["uid-web-0"] is before
    del desks.rig.api.objects["pods", "shop", "web-0"]
    await desks.once(NOW + 2 * MINUTE)
    assert "uid-web-0" not in telling._made

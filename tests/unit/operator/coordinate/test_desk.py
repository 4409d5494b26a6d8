"""In: a small cluster, what agents say, one loop at a time. Out: what is written, and what agents are told.

The streams are left out (tests/contract/test_coordination.py): bodies are put into the desk and taken from
the sessions' own boxes.
"""

import asyncio
from dataclasses import replace
from itertools import count, takewhile

import numpy as np
import pytest

from builders.clusters import MIB, NOW, raw_kube_node, raw_pod, raw_policy, resize_condition
from builders.desks import Desks
from builders.loops import MINUTE, rig
from builders.placing import node_memory
from plimsoll.coordinate.attendance import Presence
from plimsoll.coordinate.messages import (
    ForecastBatch,
    LeaseRequest,
    NodeFacts,
    OutcomeBatch,
    Roster,
    RosterEntry,
    SampleBatch,
    ShrinkCancel,
    ShrinkRequest,
    ShrinkStage,
    Unread,
)
from plimsoll.coordinate.session import AgentSession
from plimsoll_operator.actuate.api import ApiError, MemoryValues, PodRef

APP = ("uid-web-0", "app")


async def lowering(target_mib=700, used_mib=200.0):
    """An operator that wants to lower web-0's limit of 1 GiB, after its originals are on record."""
    made = Desks(rig(targets={"app": target_mib}))
    made.rig.engine.used_mib = used_mib
    await made.once(NOW)
    return made


async def test_a_limit_waits_for_the_agent_and_falls_when_there_is_room_and_is_seen_in_the_kernel():
    made = await lowering()
    made.attend(NOW)
    plans = await made.once(NOW + MINUTE)
    assert made.reasons(plans) == ["ShrinkUnderWay"]
    assert made.rig.limit() == 1024
    (request,) = made.told()
    assert isinstance(request, ShrinkRequest)
    assert (request.limit_bytes, request.target_bytes) == (1024 * MIB, 700 * MIB)
    assert (request.pod_uid, request.container_id, request.written) == ("uid-web-0", "web-0-0", False)
    made.report(request, ShrinkStage.RECLAIMING, 900, NOW + 61)
    assert made.woken == 0
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    assert made.woken == 1
    await made.once(NOW + 71)
    assert made.rig.limit() == 700
    (written,) = made.told()
    assert (written.shrink_id, written.written, written.target_bytes) == (request.shrink_id, True, 700 * MIB)
    made.report(request, ShrinkStage.OBSERVED, 600, NOW + 73, max_mib=700)
    assert made.rig.metrics.value("plimsoll_shrinks_total", outcome="done") == 1
    assert len(made.desk.shrinks) == 0


def foresees(seconds, index=0):
    """What an agent says ahead of a container: that it meets its limit, or (NaN) that it does not."""
    columns = {"limit_reached_milliseconds": np.array([seconds * 1000.0])}
    return ForecastBatch(0.0, 6.0, np.array([index]), columns)


@pytest.mark.parametrize(
    ("said", "age_seconds", "falls"),
    [
        (foresees(4.0), 1, False), (foresees(4.0), 16, True), (foresees(float("nan")), 1, True),
        (foresees(4.0, index=9), 1, True), (Unread(lambda: foresees(4.0), foresees=True), 1, False),
        (Unread(lambda: 1 / int(""), foresees=True), 99, True),
    ],
)  # fmt: skip
async def test_a_container_on_its_way_to_its_limit_is_not_lowered(said, age_seconds, falls):
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.says(said, NOW + 71 - age_seconds)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    plans = await made.once(NOW + 71)
    assert made.rig.limit() == (700 if falls else 1024)
    assert ("BurstForeseen" in made.reasons(plans)) == (not falls)


def presses(chance, node=None, index=0):
    """What an agent says of pressure ahead, in a container and on its node."""
    return ForecastBatch(
        0.0, 6.0, np.array([index]), {"pressure_probability_ppm": np.array([chance * 1e6])}, node
    )


@pytest.mark.parametrize(
    ("said", "age_seconds", "falls"),
    [
        (presses(0.6), 1, False), (presses(0.4), 1, True), (presses(0.6), 16, True),
        (presses(0.1, node=0.5), 1, False), (presses(0.1, node=0.4), 1, True),
        (presses(0.9, index=9), 1, True), (presses(float("nan")), 1, True),
    ],
)  # fmt: skip
async def test_where_pressure_is_foreseen_nothing_is_lowered(said, age_seconds, falls):
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.says(said, NOW + 71 - age_seconds)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    plans = await made.once(NOW + 71)
    assert made.rig.limit() == (700 if falls else 1024)
    assert ("PressureForeseen" in made.reasons(plans)) == (not falls)


async def test_when_it_is_over_the_limit_falls_after_all():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.says(presses(0.9), NOW + 70)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await made.once(NOW + 71)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 85)
    made.says(presses(0.01), NOW + 85)
    await made.once(NOW + 86)
    assert made.rig.limit() == 700


async def test_who_leads_again_does_not_say_what_it_said_in_an_earlier_reign():
    """The agent has met another leader meanwhile, and so would hear all of it anew."""
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()  # and not acknowledged
    assert isinstance(request, ShrinkRequest)
    made.desk.rest()
    made.agent.part()
    made.agent.operator_epoch_id = 99
    made.attend(NOW + 90)
    assert made.told() == []
    await made.once(NOW + 2 * MINUTE)
    (again,) = made.told()
    assert again.shrink_id != request.shrink_id, "it is asked for anew, as things are now"


async def test_room_that_was_seen_a_minute_ago_lowers_nothing():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await made.once(NOW + 130)
    assert made.rig.limit() == 1024


async def test_what_the_agent_could_not_take_stays_below_the_limit():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.STOPPED, 800, NOW + 70, reason="pressure")
    await made.once(NOW + 71)
    assert made.rig.limit() == 843  # 800 MiB and 5 % of the limit to spare


async def test_what_is_not_worth_it_is_let_go_with_the_reason_and_rests():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.STOPPED, 1000, NOW + 70, reason="the kernel has nothing more to give")
    assert isinstance(made.told()[0], ShrinkCancel)
    plans = await made.once(NOW + 2 * MINUTE)
    (choice,) = plans.rows.values()
    assert choice.decision.reason == "ShrinkFailed"
    assert "the kernel has nothing more to give" in choice.decision.message
    assert made.told() == []
    await made.once(NOW + 1200)
    assert isinstance(made.told()[0], ShrinkRequest)  # rested


async def test_a_limit_that_the_kernel_never_holds_is_taken_back_with_the_reason():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await made.once(NOW + 71)
    for second in range(72, 140, 10):
        made.report(request, ShrinkStage.OBSERVED, 690, NOW + second)  # memory.max stays what it was
    plans = await made.once(NOW + 140)
    assert made.reasons(plans) == ["ShrinkRolledBack"]
    assert made.rig.limit() == 1024
    assert made.rig.metrics.value("plimsoll_shrinks_total", outcome="rolled-back") == 1


async def test_an_oom_kill_after_the_write_takes_the_limit_back_at_once():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await made.once(NOW + 71)
    made.report(request, ShrinkStage.OBSERVED, 690, NOW + 73, max_mib=700, kills=1)
    assert made.woken == 2
    await made.once(NOW + 74)
    assert made.rig.limit() == 1024


def resizing(made, kind, reason, message=""):
    """The kubelet says that a resize of web-0 is not done."""
    pod = made.rig.api.get("pods", "shop", "web-0")
    kept = [each for each in pod["status"]["conditions"] if each["type"] == "Ready"]
    pod["status"]["conditions"] = [*kept, resize_condition(kind, reason, message, NOW)]
    made.rig.api.put("pods", pod)


async def by_a_lease(made):
    made.samples(600, NOW + 75)
    assert (await made.asks_for(400, NOW + 76, read_mib=700)).limit_bytes == 1100 * MIB


async def by_the_operator_itself(made):
    message = "memory manager policy is static"
    resizing(made, "PodResizePending", "Infeasible", message)
    await made.once(NOW + 80)
    assert made.rig.limit() == 1024
    made.rig.api.get("pods", "shop", "web-0")["status"]["conditions"].pop()
    made.rig.actor.learned.refusals.clear()  # an hour has passed
    made.rig.actor.learned.pinning.clear()


async def by_a_person(made):
    await made.rig.api.resize(PodRef("shop", "web-0", "uid-web-0"), {"app": MemoryValues(1200 * MIB, None)})


async def by_another_leader(made):
    made.rig.loop._parts.leader.holds = lambda: False
    made.rig.api.settle()
    await made.rig.loop.once(NOW + 80)
    del made.rig.loop._parts.leader.holds
    await by_a_person(made)


@pytest.mark.parametrize("kills", [0, 1])
@pytest.mark.parametrize("raised", [by_a_lease, by_the_operator_itself, by_a_person, by_another_leader])
async def test_a_limit_that_was_raised_after_a_shrink_is_not_taken_back_and_masks_no_forecast(raised, kills):
    made, request = await room_seen()
    await made.once(NOW + 71)
    assert made.rig.limit() == 700
    made.told()
    await raised(made)
    limit = made.rig.limit()
    for second in range(80, 150, 10):  # the kernel does not hold what was written, or a kill came
        made.report(request, ShrinkStage.OBSERVED, 690, NOW + second, max_mib=limit, kills=kills)
    made.rig.engine.targets["app"] = 1600
    for minute in range(3, 16):
        await made.once(NOW + minute * MINUTE)
    assert len(made.desk.shrinks) == 0
    assert made.rig.limit() == 1600


async def test_a_kubelet_that_is_stuck_with_a_fall_is_told_to_keep_the_old_limit():
    made, request = await room_seen()
    await made.once(NOW + 71)
    resizing(made, "PodResizeInProgress", "")
    for second in range(72, 140, 10):
        made.report(request, ShrinkStage.OBSERVED, 690, NOW + second)
    plans = await made.once(NOW + 140)
    assert made.reasons(plans) == ["ShrinkRolledBack"]
    assert made.rig.limit() == 1024


async def test_an_agent_that_comes_back_is_asked_again():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.agent = AgentSession(8)  # a new process
    made.attend(NOW + 65)
    assert made.told() == [request]


async def test_without_an_agent_limits_fall_as_ever_and_after_one_by_half_steps():
    never = await lowering()
    await never.once(NOW + MINUTE)
    assert never.rig.limit() == 700
    away = await lowering()
    session = away.attend(NOW)
    away.attendance.part("n1", session.streams)
    await away.once(NOW + MINUTE)
    assert away.rig.limit() == 862


@pytest.mark.parametrize(
    ("wrote", "limit_mib"),
    [
        (None, 700),  # no agent was ever there
        (NOW - 2 * 3600, 700),  # one was, and is no more
        (NOW, 862),
    ],
)
async def test_a_successor_knows_that_an_agent_was_there_by_what_it_wrote_of_its_node(wrote, limit_mib):
    made = await lowering()
    successor = Desks(made.rig.restart(), epoch_id=2)
    successor.rig.monotonic = made.rig.monotonic
    if wrote is not None:
        successor.rig.api.put("nodememories", node_memory("n1", 900, wrote))
    for now in takewhile(lambda _: successor.rig.limit() == 1024, count(NOW + MINUTE, 30)):
        await successor.rig.once(now)  # it settles first
    assert successor.rig.limit() == limit_mib
    away = successor.desk.presences(now)[Presence.AWAY]
    assert away == successor.rig.metrics.value("plimsoll_agents", presence="away") == (wrote == NOW)
    successor.attend(now)
    assert successor.desk.presences(now) == {Presence.PRESENT: 1, Presence.AWAY: 0}


async def test_an_agent_that_goes_away_while_it_reclaims_leaves_the_limit_as_it_is():
    made = await lowering()
    session = made.attend(NOW)
    await made.once(NOW + MINUTE)
    made.attendance.part("n1", session.streams)
    await made.once(NOW + 2 * MINUTE)
    assert made.rig.metrics.value("plimsoll_shrinks_total", outcome="abandoned") == 1


async def steady():
    """An operator that is content with web-0's limit of 1 GiB."""
    made = Desks(rig(targets={"app": 1024}))
    await made.once(NOW)
    made.attend(NOW)
    made.samples(900, NOW)
    await made.once(NOW + MINUTE)
    assert made.rig.limit() == 1024
    return made


@pytest.mark.parametrize(
    ("policy_max", "quota_left_mib", "granted_mib"),
    [("4Gi", None, 1424), ("1200Mi", None, 1200), ("4Gi", 100, 1124), ("4Gi", 0, 0)],
)
async def test_a_lease_goes_through_policy_and_quota(policy_max, quota_left_mib, granted_mib):
    made = Desks(rig(targets={"app": 1024}, policy=raw_policy(limits={"max": policy_max})))
    if quota_left_mib is not None:
        made.rig.api.put("resourcequotas", quota_with(quota_left_mib))
    await made.once(NOW)
    made.attend(NOW)
    made.samples(900, NOW)
    await made.once(NOW + MINUTE)
    answer = await made.asks_for(400, NOW + 61)
    assert answer.limit_bytes == granted_mib * MIB
    assert made.rig.limit() == max(granted_mib, 1024)
    assert bool(answer.refusal) is (granted_mib == 0)


def quota_with(left_mib):
    """Of web-0's namespace, with so much left of its limits."""
    return {
        "metadata": {"name": "room", "namespace": "shop"},
        "spec": {"hard": {"limits.memory": f"{1024 + left_mib}Mi"}},
        "status": {"used": {"limits.memory": "1024Mi"}},
    }


async def test_a_lease_raises_at_once_without_a_loop_and_ends_by_itself():
    made = await steady()
    answer = await made.asks_for(400, NOW + 61)
    assert (answer.limit_bytes, answer.lasts_seconds) == (1424 * MIB, 300.0)
    assert made.rig.limit() == 1424
    plans = await made.once(NOW + 2 * MINUTE)
    assert made.reasons(plans) in ([], ["Leased"], ["Cooldown"])
    assert made.rig.limit() == 1424
    for minute in range(3, 30):  # the forecast has its way again, after the policy's cooldown
        await made.once(NOW + minute * MINUTE)
        for request in made.told():
            if isinstance(request, ShrinkRequest):
                made.report(request, ShrinkStage.REACHED, 500, NOW + minute * MINUTE)
                await made.once(NOW + minute * MINUTE + 1)
    assert made.rig.limit() == 1024


async def test_a_request_that_is_heard_twice_raises_once():
    made = await steady()
    first = await made.asks_for(400, NOW + 61)
    again = await made.asks_for(400, NOW + 62)
    assert again.limit_bytes == first.limit_bytes
    assert made.rig.limit() == 1424


async def test_a_second_lease_that_the_guards_hold_leaves_the_first_in_force_and_lets_it_end():
    made = await steady()
    assert (await made.asks_for(400, NOW + 61)).limit_bytes == 1424 * MIB
    resizing(made, "PodResizeInProgress", "")  # the kubelet is still at the first
    made.rig.engine.targets.clear()
    await made.once(NOW + 62)
    refused = await made.asks_for(400, NOW + 63, lease_id=10, read_mib=1424)
    assert (refused.limit_bytes, refused.refusal.partition(":")[0]) == (0, "ResizeUnderWay")
    book = made.desk.lending.book
    assert (book.holds(APP, NOW + 64), book.unused_bytes("n1", {})) == (True, 400 * MIB)
    assert [(each.uid, each.before_bytes) for each in book.expired(NOW + 61 + 300)] == [(APP, 1024 * MIB)]


async def test_two_leases_of_one_container_that_are_asked_at_once_are_both_answered(monkeypatch):
    made = await steady()
    resize = made.rig.api.resize

    async def slow(pod, values):
        for _ in range(10):
            await asyncio.sleep(0)
        return await resize(pod, values)

    monkeypatch.setattr(made.rig.api, "resize", slow)
    made.samples(900, NOW + 61)
    for lease_id, wanted_mib in ((9, 400), (10, 300)):
        ask = LeaseRequest(lease_id, 0, wanted_mib * MIB, 1024 * MIB, 50 * MIB, 3.0, NOW + 61)
        made.says(ask, NOW + 61)
    await asyncio.gather(*made.desk._tasks)
    answers = {each.lease_id: each.limit_bytes // MIB for each in made.told()}
    assert answers == {9: 1424, 10: 1424}, "who read the old limit has the raise that is there"
    assert made.desk.lending.book.unused_bytes("n1", {}) == 400 * MIB


async def test_a_second_lease_before_the_next_loop_counts_from_what_the_first_has_left():
    made = await steady()
    assert (await made.asks_for(400, NOW + 61)).limit_bytes == 1424 * MIB
    assert (await made.asks_for(400, NOW + 64, lease_id=10, read_mib=1424)).limit_bytes == 1824 * MIB
    assert made.rig.limit() == 1824


async def test_a_lease_right_after_a_shrink_doubles_the_limit_that_was_written():
    made, _ = await room_seen()
    await made.once(NOW + 71)
    assert made.rig.limit() == 700
    made.told()
    made.samples(600, NOW + 72)
    assert (await made.asks_for(900, NOW + 73)).limit_bytes == 1400 * MIB


async def test_a_lease_that_breaks_off_counts_as_lent_until_its_end(
    monkeypatch,
):
    made = await steady()

    async def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(made.desk.lending, "_raise_now", broken)
    made.samples(900, NOW + 61)
    made.says(LeaseRequest(9, 0, 400 * MIB, 1024 * MIB, 50 * MIB, 3.0, NOW + 61), NOW + 61)
    await asyncio.gather(*made.desk._tasks)
    book = made.desk.lending.book
    assert book.unused_bytes("n1", {}) == 400 * MIB  # nobody knows whether the raise is there
    assert [each.uid for each in book.expired(NOW + 61 + book.settings.lasts_seconds)] == [APP]
    assert book.unused_bytes("n1", {}) == 0


async def silent(made, monkeypatch):
    """An operator on which a lease of 400 MiB was granted, and whose engine holds the row since."""
    asks = made.desk._asks
    known, hidden = asks.for_row, [True]
    monkeypatch.setattr(asks, "for_row", lambda row, now: None if hidden[0] else known(row, now))
    assert (await made.asks_for(400, NOW + 61)).limit_bytes == 1424 * MIB
    return hidden


async def loops(made, minutes):
    """Loops of these minutes, with an agent that makes room wherever it is asked to, and a kernel that holds
    what is written from the second time on.
    """
    writes = 0
    for minute in minutes:
        await made.once(NOW + minute * MINUTE)
        for request in (each for each in made.told() if isinstance(each, ShrinkRequest)):
            if request.written:
                holds_mib = made.rig.limit() if writes > 1 else 9999
                made.report(request, ShrinkStage.OBSERVED, 500, NOW + minute * MINUTE, max_mib=holds_mib)
            else:
                writes += 1
                made.report(request, ShrinkStage.REACHED, 500, NOW + minute * MINUTE)
                await made.once(NOW + minute * MINUTE + 1)


async def test_a_forecast_that_comes_after_a_lease_has_ended_counts_at_once(monkeypatch):
    made = await steady()
    hidden = await silent(made, monkeypatch)
    await loops(made, range(2, 8))
    assert list(made.desk._asks.lent) == [APP]
    hidden[0], made.rig.engine.targets["app"] = False, 1800
    await loops(made, range(8, 15))
    assert made.rig.limit() == 1800
    assert made.desk._asks.lent == {}


async def test_without_a_forecast_a_lease_that_ended_brings_the_old_limit_back_and_asks_no_more(monkeypatch):
    made = await steady()
    await silent(made, monkeypatch)
    await loops(made, range(2, 50))
    assert made.rig.metrics.value("plimsoll_shrinks_total", outcome="rolled-back") == 1, "and tried again"
    assert made.rig.limit() == 1024
    assert made.desk._asks.lent == {}


async def test_a_lease_after_one_that_ended_ends_at_the_limit_from_before_both(monkeypatch):
    made = await steady()
    await silent(made, monkeypatch)
    await loops(made, range(2, 8))
    assert made.rig.limit() == 1424, "the cooldown is not over"
    assert (await made.asks_for(200, NOW + 421, lease_id=10, read_mib=1424)).limit_bytes == 1624 * MIB
    await loops(made, range(8, 12))
    assert made.desk._asks.lent == {}, "a lease is in force"
    await loops(made, range(12, 60))
    assert made.rig.limit() == 1024


async def test_what_a_lease_raised_counts_as_lent_until_the_limit_is_back(monkeypatch):
    made = await steady()
    await silent(made, monkeypatch)
    lent, used = made.desk.lending, {APP: 900.0 * MIB}
    assert lent.unused_bytes("n1", used) == 400 * MIB
    await loops(made, range(2, 8))
    assert (made.rig.limit(), len(lent.book)) == (1424, 0), "it has ended, and the limit is still up"
    assert lent.unused_bytes("n1", used) == 400 * MIB
    assert lent.unused_bytes("n1", {APP: 1200.0 * MIB}) == 224 * MIB
    assert lent.unused_bytes("n2", used) == 0
    await loops(made, range(8, 40))
    assert made.rig.limit() == 1024
    assert lent.unused_bytes("n1", used) == 0


async def test_no_lease_without_headroom_by_forecast():
    made = await steady()
    made.rig.api.put("nodes", raw_kube_node(memory="1080Mi"))
    await made.once(NOW + 2 * MINUTE)
    answer = await made.asks_for(400, NOW + 121)
    assert answer.limit_bytes == 0
    assert "there is room for" in answer.refusal
    assert made.rig.limit() == 1024


async def test_no_lease_beyond_what_the_node_has_left_by_its_own_word():
    made = await steady()
    made.samples(900, NOW + 61, available_mib=50)
    answer = await made.asks_for(400, NOW + 62)
    assert answer.limit_bytes == 1074 * MIB


async def test_many_that_burst_at_once_are_not_lent_the_same_memory():
    """Six containers ask for 150 MiB each of the 200 that are available; then the first two take theirs."""
    containers = range(6)
    made = Desks(rig(*(raw_pod(f"web-{number}") for number in containers), targets={"app": 1024}))
    roster = tuple(RosterEntry(number, f"uid-web-{number}", f"web-{number}-0") for number in containers)
    made.attend(NOW, roster=Roster(roster))

    def say(now: float, available_mib: int, *used_mib: float) -> None:
        used = np.full(len(containers), 900.0)
        used[: len(used_mib)] = used_mib
        columns = {"usage_bytes": used * MIB, "memory_max_bytes": np.full(len(containers), 1024.0 * MIB)}
        made.says(SampleBatch(now, np.arange(6), columns, available_bytes=available_mib * MIB), now)

    async def lent(now: float, number: int) -> int:
        answer = await made.asks_for(150, now, lease_id=100 + number, index=number, read_mib=1024)
        return max(0, answer.limit_bytes // MIB - 1024)

    for second in (0, 60):
        say(NOW + second, 200)
        await made.once(NOW + second)
    say(NOW + 61, 200)
    assert [await lent(NOW + 61.5, number) for number in containers[:5]] == [150, 50, 0, 0, 0]
    say(NOW + 63, 400, 1174, 1074)  # in use: it is no longer among what is available, nor lent any more
    assert await lent(NOW + 63.5, 5) == 150


@pytest.mark.parametrize(
    ("asked", "heard", "granted"),
    [
        (-300.0, 1.0, False),  # it waited for the stream
        (-2.0, 1.0, True),
        (0.5, 1.0, True),
        (-300.0, 60.0, True),  # the agent's clock was set back
    ],
)
async def test_a_request_that_an_older_agent_kept_over_an_absence_is_refused(asked, heard, granted):
    made = await steady()
    made.agent = AgentSession(8)
    made.attend(NOW + 600.0)
    made.samples(900, NOW + 600.0 + heard)
    ask = LeaseRequest(9, 0, 400 * MIB, 1024 * MIB, 50 * MIB, 3.0, NOW + 600.0 + asked)
    made.says(ask, NOW + 600.0 + heard)
    await asyncio.gather(*made.desk._tasks)
    (answer,) = made.told()
    assert (answer.limit_bytes > 0) == granted
    assert made.rig.limit() == (1424 if granted else 1024)


async def test_room_that_is_reported_with_a_hello_may_be_old_and_lowers_nothing():
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.attend(NOW + 65)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 65.5)
    await made.once(NOW + 66)
    assert made.rig.limit() == 1024
    made.report(request, ShrinkStage.REACHED, 600, NOW + 66.5)
    await made.once(NOW + 67)
    assert made.rig.limit() == 700


@pytest.mark.parametrize("said", ["nothing", "0", "long ago"])
async def test_a_node_whose_free_memory_is_not_known_lends_nothing(said):
    made = Desks(rig(targets={"app": 1024}))
    await made.once(NOW)
    made.attend(NOW)
    if said != "nothing":
        made.samples(900, NOW + 29, available_mib=0 if said == "0" else 32 * 1024)
    if said == "long ago":
        made._said = None  # heard, and says nothing more of its memory
    await made.once(NOW + MINUTE)
    answer = await made.asks_for(400, NOW + 61)
    assert (answer.limit_bytes, answer.refusal) == (0, "the kube node's headroom is not known")
    assert made.rig.limit() == 1024


async def test_while_paused_no_lease_is_granted_and_the_guards_reason_is_told():
    made = await steady()
    made.rig.paused = True
    await made.once(NOW + 2 * MINUTE)
    answer = await made.asks_for(400, NOW + 121)
    assert (answer.limit_bytes, answer.refusal.partition(":")[0]) == (0, "Paused")
    assert made.rig.limit() == 1024
    assert not made.desk.lending.book.holds(APP, NOW + 122)


@pytest.mark.parametrize("index", [0, 5])
async def test_a_container_of_another_node_or_of_nobody_has_no_lease(index):
    made = Desks(rig(raw_pod(), raw_pod("web-1", node="n2"), targets={"app": 1024}))
    made.rig.api.put("nodes", raw_kube_node("n2"))
    await made.once(NOW)
    made.attend(NOW, roster=Roster((RosterEntry(0, "uid-web-1", "web-1-0"),)))
    await made.once(NOW + MINUTE)
    answer = await made.asks_for(400, NOW + 61, index=index)
    assert (answer.limit_bytes, answer.refusal) == (0, "no policy speaks for this container")
    assert made.rig.limit("web-1") == 1024


async def test_nothing_is_leased_by_who_does_not_lead():
    made = await steady()
    made.rig.monotonic += 3600.0  # the lease of the leader has run out
    answer = await made.asks_for(400, NOW + 61)
    assert (answer.limit_bytes, answer.refusal.partition(":")[0]) == (0, "NotLeader")


async def test_versions_and_kernels_of_agents_are_told_and_names_without_end_take_no_room():
    made = Desks(rig())
    await made.rig.once(NOW)
    made.attend(NOW)
    made.desk.greeted("n1", NodeFacts("n1", "1.2.3", "6.12.0", sent_seconds=NOW), NOW)
    made.desk.begin(made.rig.loop.world, NOW)
    value = made.rig.metrics.value
    assert value("plimsoll_agents_greeted", agent_version="1.2.3", kernel="6.12.0") == 1.0
    made.desk.greeted("n1", NodeFacts("n1", "1.2.4", "6.12.0", sent_seconds=NOW), NOW)
    many = [f"liar-{number}" for number in range(80)]
    for name in many:
        made.desk.greeted(name, NodeFacts(name, name, "x", sent_seconds=NOW), NOW)
    known = made.rig.loop.world.kube_nodes
    made.desk.begin(
        replace(made.rig.loop.world, kube_nodes={**known, **dict.fromkeys(many, known["n1"])}), NOW
    )
    assert value("plimsoll_agents_greeted", agent_version="1.2.3", kernel="6.12.0") == 0.0
    assert value("plimsoll_agents_greeted", agent_version="others", kernel="others") == 31.0
    made.desk.begin(made.rig.loop.world, NOW)
    assert value("plimsoll_agents_greeted", agent_version="others", kernel="others") == 0.0, "gone"


async def test_present_and_away_are_counted():
    made = await steady()
    await made.once(NOW + 2 * MINUTE)
    assert made.rig.metrics.value("plimsoll_agents", presence="present") == 1


async def test_an_operator_that_is_killed_during_a_shrink_leaves_the_limit_and_its_successor_asks_again(
    counted,
):
    made = await lowering()
    made.attend(NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.RECLAIMING, 900, NOW + 61)
    successor = Desks(made.rig.restart(), epoch_id=2)
    successor.rig.monotonic = made.rig.monotonic
    successor.agent = made.agent
    await successor.once(NOW + 2 * MINUTE)
    successor.attend(NOW + 2 * MINUTE)
    await successor.once(NOW + 3 * MINUTE)
    again = [each.target_bytes for each in successor.told() if isinstance(each, ShrinkRequest)]
    asked, left = again == [request.target_bytes], successor.rig.limit() == 1024
    counted(
        "the operator killed during a shrink", injected=1, survived=int(asked), lost=int(not left), of=1,
        what="limits",
    )  # fmt: skip
    assert asked
    assert left


async def test_an_operator_that_is_killed_during_a_lease_leaves_the_room_and_its_successor_takes_it_back(
    counted,
):
    made = await steady()
    await made.asks_for(400, NOW + 61)
    successor = Desks(made.rig.restart(), epoch_id=2)
    for minute in range(2, 40):  # without an agent: by half steps or whole, after the cooldown
        await successor.rig.once(NOW + minute * MINUTE)
    taken_back = successor.rig.limit() == 1024
    counted(
        "the operator killed during a lease", injected=1, survived=int(taken_back), lost=int(not taken_back),
        of=1, what="limits",
    )  # fmt: skip
    assert taken_back


async def test_a_successor_that_hears_a_lease_request_again_raises_nothing_more_and_lets_it_end(counted):
    made = await steady()
    assert (await made.asks_for(400, NOW + 61)).limit_bytes == 1424 * MIB
    writes = len(made.rig.api.resizes)
    successor = Desks(made.rig.restart(), epoch_id=2)
    successor.agent = made.agent
    await successor.once(NOW + 2 * MINUTE)
    successor.attend(NOW + 2 * MINUTE)
    successor.samples(200.0, NOW + 2 * MINUTE)
    again = await successor.asks_for(400, NOW + 2 * MINUTE + 1)
    answered, more = again.limit_bytes == 1424 * MIB, len(successor.rig.api.resizes) - writes
    holds = successor.desk.lending.book.holds(APP, NOW + 3 * MINUTE)
    counted(
        "a lease heard again by a successor", injected=1, survived=int(answered and holds), lost=more, of=1,
        what="limits",
    )  # fmt: skip
    assert answered, "the agent is answered"
    assert holds
    assert more == 0


async def test_a_node_may_speak_of_the_images_of_its_own_pods_alone():
    pods = [
        raw_pod("web-0", image="example.org/shop/web:1.2@sha256:ab"),
        raw_pod("web-1", node="n2", image="example.org/shop/api:7"),
    ]
    made = Desks(rig(*pods))
    await made.once(NOW)
    own, other = RosterEntry(0, "uid-web-0", "web-0-0"), RosterEntry(1, "uid-web-1", "web-1-0")
    made.attend(NOW, roster=Roster((own, other, RosterEntry(2, "uid-nobody", "x"))))
    assert made.desk.classes_on("n1") == {"example.org/shop/web app"}
    assert made.desk.classes_on("n2") == frozenset(), "its agent has said nothing"


def meanwhile(made, happens):
    """Let something happen in a loop after its plans were made, before they are written."""
    loop, place = made.rig.loop, made.rig.loop._place

    async def placing(world, tick):
        loop._place = place
        await happens()
        await place(world, tick)

    loop._place = placing


async def room_seen(target_mib=700):
    """An operator whose next loop would lower web-0's limit at NOW + 71, and the request for it."""
    made = await lowering(target_mib)
    made.attend(NOW)
    made.samples(200, NOW)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    return made, request


async def test_a_lease_that_is_granted_between_plan_and_write_is_not_taken_back_by_the_plan():
    made, request = await room_seen()

    async def burst():
        made.report(request, ShrinkStage.RECLAIMING, 900, NOW + 71)
        assert (await made.asks_for(400, NOW + 71)).limit_bytes == 1424 * MIB

    meanwhile(made, burst)
    plans = await made.once(NOW + 71)
    assert made.rig.limit() == 1424
    assert made.reasons(plans) == ["Leased"]
    assert made.desk.lending.book.holds(APP, NOW + 72)


async def test_a_raise_that_was_planned_before_a_lease_and_asks_less_does_not_take_it_back():
    made = Desks(rig(targets={"app": 1200}))
    await made.once(NOW)
    made.attend(NOW)
    made.samples(900, NOW)

    async def burst():
        assert (await made.asks_for(400, NOW + 60)).limit_bytes == 1424 * MIB

    meanwhile(made, burst)
    await made.once(NOW + MINUTE)
    assert made.rig.limit() == 1424


async def test_room_that_is_taken_again_between_plan_and_write_lowers_nothing():
    made, request = await room_seen()

    async def grown():
        made.report(request, ShrinkStage.RECLAIMING, 900, NOW + 71)

    meanwhile(made, grown)
    plans = await made.once(NOW + 71)
    assert made.rig.limit() == 1024
    assert made.reasons(plans) == ["ShrinkUnderWay"]


async def test_a_burst_that_is_foreseen_between_plan_and_write_lowers_nothing():
    made, _ = await room_seen()

    async def seen():
        made.says(foresees(4.0), NOW + 71)

    meanwhile(made, seen)
    plans = await made.once(NOW + 71)
    assert made.rig.limit() == 1024
    assert made.reasons(plans) == ["BurstForeseen"]


async def test_what_reclaim_has_done_is_told():
    made = Desks(rig())
    await made.rig.once(NOW)
    made.attend(NOW)
    totals = {"taken_bytes_total": np.array([5.0 * MIB]), "returned_bytes_total": np.array([2.0 * MIB])}
    made.says(OutcomeBatch(NOW, np.array([0]), totals), NOW)
    made.desk.begin(made.rig.loop.world, NOW)
    value = made.rig.metrics.value
    assert value("plimsoll_agents_reclaimed_bytes") == 5.0 * MIB
    assert value("plimsoll_agents_returned_bytes") == 2.0 * MIB


async def test_room_that_grows_old_between_plan_and_write_lowers_nothing():
    made, _ = await room_seen()

    async def slow():
        made.rig.loop._parts.clock._now_seconds = NOW + 76

    meanwhile(made, slow)
    await made.once(NOW + 71)
    assert made.rig.limit() == 1024


async def test_a_lowering_that_is_tried_again_asks_whether_it_still_may(monkeypatch):
    made, request = await room_seen()
    api, attempts = made.rig.api, []
    resize = api.resize

    async def busy(pod, values):
        attempts.append(values)
        made.report(request, ShrinkStage.RECLAIMING, 900, NOW + 71)
        raise ApiError(503, "ServiceUnavailable", "busy")

    monkeypatch.setattr(api, "resize", busy)
    monkeypatch.setattr("plimsoll_operator.actuate.retry.FIRST_PAUSE_SECONDS", 0.0)
    await made.once(NOW + 71)
    monkeypatch.setattr(api, "resize", resize)
    assert len(attempts) == 1
    assert made.rig.limit() == 1024


async def test_a_lease_that_is_asked_while_a_lowering_is_on_its_way_comes_after_it(monkeypatch):
    made, _ = await room_seen()
    api, asked = made.rig.api, []
    resize = api.resize

    async def slow(pod, values):
        if not asked:  # the lowering is on its way, and slow
            asked.append(asyncio.create_task(made.asks_for(400, NOW + 71)))
            for _ in range(10):
                await asyncio.sleep(0)
        return await resize(pod, values)

    monkeypatch.setattr(api, "resize", slow)
    await made.once(NOW + 71)
    assert (await asked[0]).limit_bytes == 1424 * MIB
    assert [values["app"].limit_bytes // MIB for _, values in api.resizes] == [700, 1424]
    assert made.rig.limit() == 1424

"""In: ticks of a whole agent on a twin kernel. Out: what it tells its operator, when it asks for leases."""

from threading import Thread

import numpy as np
import pytest

from builders.agents import AgentOn
from builders.cgroup_tree import MIB
from builders.companions import Attending
from builders.waiting import wait_for
from plimsoll.coordinate.messages import (
    ForecastBatch,
    LeaseAnswer,
    LeaseRequest,
    ModelDelta,
    OutcomeBatch,
    Roster,
    SampleBatch,
    ShrinkRequest,
)
from plimsoll.coordinate.session import Envelope
from plimsoll_nodeagent.coordinate import roster
from plimsoll_nodeagent.coordinate.companion import MOST_HEARD
from plimsoll_nodeagent.flags import DEFAULT_IDENTITY
from plimsoll_nodeagent.main import accompanied, parser
from plimsoll_nodeagent.serve.exposition import Exposition
from plimsoll_proto import wire


@pytest.fixture
def attending(tmp_path):
    return Attending(tmp_path)


def test_without_an_address_there_is_no_companion(tmp_path):
    made = AgentOn(tmp_path).made
    assert accompanied(parser().parse_args(["run"]), made.agent) is None
    assert made.agent.companion is None
    options = parser().parse_args(["run", "--operator-address", "somewhere:1"])
    with pytest.raises(ValueError, match="--operator-address needs --kube-node"):
        accompanied(options, made.agent)
    assert options.operator_identity_dir == DEFAULT_IDENTITY


def test_a_tick_tells_of_containers_once_and_of_their_use_each_time(attending):
    attending.on.tick()
    roster, samples, *_ = attending.said()
    assert isinstance(roster, Roster)
    assert [each.index for each in roster.added] == [0, 1]
    assert isinstance(samples, SampleBatch)
    np.testing.assert_array_equal(samples.indexes, [0, 1])
    np.testing.assert_array_equal(samples.columns["usage_bytes"], [64 * MIB, 64 * MIB])
    assert samples.available_bytes > 0
    attending.on.tick()
    kinds = [type(each) for each in attending.said()]
    assert Roster not in kinds
    assert SampleBatch in kinds


def test_a_change_of_the_roster_that_a_full_buffer_refused_is_said_later_whole(attending):
    number = 0
    while attending.link.offer(ModelDelta("d", "k", "c", 1, "", number, b"")):
        number += 1
    attending.on.tick()
    attending.remove(1)
    attending.on.tick()
    assert not [each for each in attending.said() if isinstance(each, Roster)]
    attending.session.outbox.acknowledge(number)
    attending.on.tick()
    (told,) = [each for each in attending.said() if isinstance(each, Roster)]
    assert ([each.index for each in told.added], told.removed) == ([1], ())
    while attending.link.offer(ModelDelta("d", "k", "c", 1, "", number, b"")):
        number += 1
    attending.remove(1)  # of those left
    attending.on.tick()
    attending.said()
    attending.session.outbox.acknowledge(attending.session.outbox._previous)
    attending.on.tick()
    (gone,) = [each for each in attending.said() if isinstance(each, Roster)]
    assert (gone.added, gone.removed) == ((), (1,))
    assert attending.companion.report().refused_total >= 4


def test_what_reclaim_has_done_takes_no_room_of_what_must_arrive_and_is_told_to_the_next_stream(attending):
    attending.on.tick(300)
    outbox = attending.session.outbox
    assert len(outbox) - outbox._levels == 1  # the roster
    assert [each for each in attending.said() if isinstance(each, OutcomeBatch)]
    taken = -1
    while taken != attending.on.taken_bytes:  # until there is nothing left to take
        taken = attending.on.taken_bytes
        attending.on.tick(300)
        attending.said()
    attending.link.state.streams_total += 1
    attending.on.tick()
    assert [each for each in attending.said() if isinstance(each, OutcomeBatch)]
    attending.on.tick()
    assert not [each for each in attending.said() if isinstance(each, OutcomeBatch)]


def test_a_total_that_the_wire_does_not_hold_is_missing_and_everything_else_is_told(attending):
    """4 PiB of refaults are 52 days at a gigabyte a second."""
    for number, pages in ((1, 2**41), (2, 10)):
        text = f"workingset_refault_anon 0\nworkingset_refault_file {pages}"
        attending.memory(number, "memory.stat", text)
    attending.on.tick()
    (samples,) = [each for each in attending.said() if isinstance(each, SampleBatch)]
    np.testing.assert_array_equal(samples.columns["refault_bytes_total"], [np.nan, 10 * 4096])
    read = wire.request_of(wire.request(Envelope(1, 0, 0, samples))).body
    np.testing.assert_array_equal(read.columns["usage_bytes"], [64 * MIB, 64 * MIB])


def test_what_reclaim_has_done_is_told_as_totals_when_it_has_changed(attending):
    attending.on.tick(200)
    told = [each for each in attending.said() if isinstance(each, OutcomeBatch)]
    assert told
    assert float(np.nansum(told[-1].columns["taken_bytes_total"])) == attending.on.taken_bytes > 0
    kinds = [type(each) for each in attending.said()]
    assert OutcomeBatch not in kinds


def test_a_shrink_that_is_asked_for_is_done_between_two_ticks_and_told(attending):
    attending.on.tick()
    attending.said()
    entry = attending.companion._numbered.roster.added[0]
    request = ShrinkRequest(
        5, entry.pod_uid, "app", 80 * MIB, 40 * MIB, 60.0, container_id=entry.container_id
    )
    attending.companion.hear(request)
    for second in range(12):
        attending.agent.heed(0.0, lambda second=second: attending.on.now + second)
    reports = attending.said()
    assert {each.shrink_id for each in reports} == {5}
    assert reports[-1].remaining_bytes <= 38 * MIB


def test_a_burst_asks_for_a_lease_before_the_limit_is_met(attending):
    for number in (1, 2):
        attending.memory(number, "memory.max", 128 * MIB)
    attending.memory(1, "memory.current", 70 * MIB)
    attending.on.tick()
    attending.said()
    asks = []
    for quarter in range(1, 5):
        attending.memory(1, "memory.current", (70 + 5 * quarter) * MIB)
        asks += list(attending.companion.look_for_bursts(attending.on.now + quarter * 0.25))
    (ask,) = asks
    assert isinstance(ask, LeaseRequest)
    assert (ask.index, ask.memory_max_bytes) == (0, 128 * MIB)
    assert ask.growth_bytes_per_second == pytest.approx(20 * MIB, rel=0.01)
    assert ask.limit_reached_seconds < 3.0
    assert attending.said() == [ask]
    attending.companion.hear(LeaseAnswer(ask.lease_id, 256 * MIB, 300.0))
    attending.companion.heed(attending.on.now)
    assert attending.companion.leases == {"asked": 1, "granted": 1, "refused": 0, "away": 0}


def test_how_long_a_raise_takes_is_measured_from_the_first_request_to_the_kernels_file(attending):
    def look(seconds, used_mib, max_mib=128):
        attending.memory(1, "memory.max", max_mib * MIB)
        attending.memory(1, "memory.current", used_mib * MIB)
        return list(attending.companion.look_for_bursts(attending.on.now + seconds))

    for number in (1, 2):
        attending.memory(number, "memory.max", 128 * MIB)
    attending.memory(1, "memory.current", 70 * MIB)
    attending.on.tick()
    asked_at, report = None, attending.companion.report
    for quarter in range(1, 24):  # asked again after three seconds: the wait is from the first time on
        if look(quarter * 0.25, 70 + 2 * quarter):
            asked_at = asked_at or quarter * 0.25
    assert report().leases_total["asked"] >= 2
    assert report().raises_total == 0
    look(6.0, 120, max_mib=256)
    assert report().raises_total == 1
    assert report().raise_seconds == report().raises_seconds_total == pytest.approx(6.0 - asked_at)
    look(6.25, 120, max_mib=512)
    assert report().raises_total == 1, "nobody had asked for that"


def test_a_tick_between_a_raise_and_the_next_look_hides_it_not(attending):
    for number in (1, 2):
        attending.memory(number, "memory.max", 128 * MIB)
    attending.memory(1, "memory.current", 70 * MIB)
    attending.on.tick()
    for quarter in range(1, 5):
        attending.memory(1, "memory.current", (70 + 5 * quarter) * MIB)
        list(attending.companion.look_for_bursts(attending.on.now + quarter * 0.25))
    assert attending.companion.leases["asked"] == 1
    attending.memory(1, "memory.max", 512 * MIB)  # now it is far from its limit
    attending.on.tick()
    list(attending.companion.look_for_bursts(attending.on.now + 0.25))
    assert attending.companion.report().raises_total == 1


@pytest.mark.parametrize(
    ("waited_seconds", "said"), [(1.0, {"lease_request", "shrink_report"}), (10.0, set())]
)
def test_a_request_and_a_report_that_waited_over_an_absence_are_not_said(attending, waited_seconds, said):
    link, now = attending.link, [50.0]
    link._monotonic = lambda: now[0]
    attending.on.tick()
    attending.said()
    entry = attending.companion._numbered.roster.added[0]
    request = ShrinkRequest(
        5, entry.pod_uid, "app", 80 * MIB, 40 * MIB, 60.0, container_id=entry.container_id
    )
    attending.session.part()
    link.offer(LeaseRequest(9, 0, MIB, 128 * MIB, MIB, 3.0, attending.on.now))
    attending.companion.hear(request)
    attending.companion.heed(attending.on.now)
    now[0] += waited_seconds
    attending.open()
    kinds = set()
    while (message := link._next(0)) is not None:
        kinds.add(message.WhichOneof("body"))
    assert kinds & {"lease_request", "shrink_report"} == said
    assert "roster" in kinds, "what must arrive does"


@pytest.mark.parametrize(("dirty", "asked"), [(0, 0), (20, 1)])
def test_clean_cache_that_fills_a_container_that_may_be_reclaimed_is_no_burst(attending, dirty, asked):
    attending.memory(1, "memory.max", 128 * MIB)
    attending.memory(1, "memory.current", 70 * MIB)
    attending.on.tick()
    attending.said()
    asks = []
    for quarter in range(1, 5):
        cache = 5 * quarter * MIB
        stat = {"active_file": cache, "inactive_file": 0, "file_writeback": 0}
        stat["file_dirty"] = min(cache, dirty * MIB)
        text = "".join(f"{name} {value}\n" for name, value in stat.items())
        attending.memory(1, "memory.stat", text.rstrip())
        attending.memory(1, "memory.current", 70 * MIB + cache)
        asks += list(attending.companion.look_for_bursts(attending.on.now + quarter * 0.25))
    assert len(asks) == asked


@pytest.mark.parametrize("how", ["never attended", "silent"])
def test_with_the_operator_away_no_lease_is_asked_and_everything_else_goes_on(attending, how):
    attending.memory(1, "memory.max", 128 * MIB)
    attending.memory(1, "memory.current", 70 * MIB)
    attending.on.tick()
    attending.said()
    if how == "silent":
        attending.link.state.heard_seconds = attending.on.now - 120.0
    else:
        attending.link.state.attending = False
    for quarter in range(1, 5):
        attending.memory(1, "memory.current", (70 + 5 * quarter) * MIB)
        assert list(attending.companion.look_for_bursts(attending.on.now + quarter * 0.25)) == []
    assert attending.companion.leases["away"] == 1
    before = attending.on.taken_bytes
    attending.on.tick(200)
    assert attending.on.taken_bytes > before  # policies go on as they were


def test_forecasts_of_pressure_are_told(attending):
    attending.on.tick(3)
    ahead = [each for each in attending.said() if isinstance(each, ForecastBatch)]
    assert ahead
    ppm = ahead[-1].columns["pressure_probability_ppm"]
    assert ((ppm >= 0) & (ppm <= 1e6)).all()


def test_what_the_operator_says_faster_than_it_is_heeded_is_read_no_further_and_none_is_lost(attending):
    companion = attending.companion

    def says():
        for number in range(MOST_HEARD + 3):
            companion.hear(LeaseAnswer(number, 0, 0.0, "no"))

    stream = Thread(target=says, daemon=True)
    stream.start()
    wait_for(companion._heard.full, "as much to be said as is put down")
    assert stream.is_alive()
    companion.heed(attending.on.now)
    stream.join(60.0)
    companion.heed(attending.on.now)
    assert companion.leases["refused"] == MOST_HEARD + 3


def test_a_companion_that_fails_is_counted_and_ends_nothing(attending, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(attending.companion, "tick", broken)
    assert attending.on.tick() is not None
    assert attending.agent.stage_failures["coordinate"] == 1


def test_how_it_stands_with_the_operator_is_served(attending):
    attending.on.tick(2)
    watch, agent = attending.agent.watch, attending.agent
    text = Exposition(lambda: watch.latest, "test", lambda: agent.latest).text().decode()
    assert "plimsoll_agent_attending 1.0" in text
    assert 'plimsoll_agent_leases_total{outcome="away"} 0.0' in text
    assert "plimsoll_agent_batches_given_up_total 0.0" in text
    assert "plimsoll_agent_containers_unnamed 0.0" in text
    assert "plimsoll_agent_messages_too_large_total{" not in text
    attending.link.offer(ModelDelta("d", "k", "c", 1, "", 1, bytes(1 << 20)))
    attending.session.give_up(attending.session.next())  # a roster
    while attending.link._next(0) is not None:
        pass
    attending.on.tick()
    text = Exposition(lambda: watch.latest, "test", lambda: agent.latest).text().decode()
    assert 'plimsoll_agent_messages_too_large_total{kind="model_delta"} 1.0' in text


def test_a_node_with_more_containers_than_a_hello_names_is_heard_all_the_same(attending, monkeypatch):
    monkeypatch.setattr(roster, "MOST_ROWS", 1)
    attending.on.tick()
    said, samples, *_ = attending.said()
    assert [each.index for each in said.added] == [0]
    np.testing.assert_array_equal(samples.indexes, [0])
    assert attending.companion.report().unnamed == 1
    attending.remove(int(said.added[0].container_id, 16))
    attending.on.tick()
    said, *_ = attending.said()
    assert ([each.index for each in said.added], said.removed) == ([1], (0,))
    assert attending.companion.report().unnamed == 0, "whoever waited has the place that came free"

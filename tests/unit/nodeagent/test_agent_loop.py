"""The agent's loop as a whole, on the twin of a kernel: what policy asks for, and what goes wrong."""

import dataclasses
import errno
import json
import signal

import pytest

from builders.agents import COLD, PSI, AgentOn
from builders.twin_node import MIB
from plimsoll.pages.refault_set import MOST_PROBED_RATIO
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.agent import STAGES
from plimsoll_nodeagent.capabilities import Engine
from plimsoll_nodeagent.kernelfs import Absence, Answer
from plimsoll_nodeagent.main import ended_by_signals


def usage(agent: AgentOn, number: int = 1) -> int:
    return int(agent.node.file(number, "memory.current").read_text())


def test_reclaims_what_a_policy_asks_for_and_measures_it(tmp_path):
    agent = AgentOn(tmp_path)
    before = usage(agent) + usage(agent, 2)
    report = agent.tick(200)
    assert agent.taken_bytes > MIB
    assert before - usage(agent) - usage(agent, 2) == agent.taken_bytes
    assert report.actions_total[("reclaim", "done")] > 0
    assert report.node.taken_total == sum(each.taken_bytes for each in report.containers)


def test_page_cache_that_nobody_has_mapped_is_not_cold_by_its_age_but_by_probing(tmp_path):
    agent = AgentOn(tmp_path, mode="read")
    agent.node.kernel.mode = type(agent.node.kernel.mode)("read")
    agent.unmap(1)
    unmapped, mapped = agent.tick(1).containers
    assert mapped.cold_bytes == 24 * MIB  # idle for five minutes
    assert unmapped.cold_bytes == 12 * MIB  # its anonymous half
    assert unmapped.needed_bytes - mapped.needed_bytes == 12 * MIB
    unmapped, _ = agent.tick(24).containers
    assert 12 * MIB < unmapped.cold_bytes <= 12 * MIB + MOST_PROBED_RATIO * agent.node.usage_bytes


def test_what_was_taken_is_not_cold_once_more_before_the_next_look(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    first = agent.tick(1).containers[0].cold_bytes
    (each,) = agent.made.agent.reclaimer.controlled.values()
    (outcome,) = agent.made.agent.reclaimer.take(each, 8 * MIB, agent.now)
    assert outcome.answer is Answer.DONE
    (report,) = agent.tick(1).containers  # five seconds later: generations are read after fifteen
    assert (first, report.cold_bytes) == (24 * MIB, 16 * MIB)
    assert report.hot_bytes == 64 * MIB - first


def test_every_stage_is_timed_by_name(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(1)
    assert tuple(agent.tick(1).stage_seconds) == STAGES


@pytest.mark.parametrize("mode", ["read", "dry-run"])
def test_writes_nothing_where_it_may_not_act(tmp_path, mode: str):
    agent = AgentOn(tmp_path, mode=mode)
    agent.node.kernel.mode = type(agent.node.kernel.mode)(mode)
    before = {each: each.stat().st_mtime_ns for each in agent.node.root.rglob("*") if each.is_file()}
    agent.tick(60)
    assert {each: each.stat().st_mtime_ns for each in before} == before
    assert not (tmp_path / "state").exists()


def test_no_container_outside_policy_is_touched(tmp_path):
    agent = AgentOn(tmp_path, policy={"reclaim": {"mode": "Off"}})
    report = agent.tick(60)
    assert report.containers == ()
    assert [each for each in agent.node.kernel.notes if "reclaim" in each.what] == []


def test_pressure_in_one_container_stops_it_there_and_not_elsewhere(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(120)
    first, second = usage(agent, 1), usage(agent, 2)
    agent.stall(1, 2.0, avg10=20.0)
    reasons = {each.container_id[-1]: each.reason for each in agent.tick(1).containers}
    assert reasons["1"] == "pressure"
    assert usage(agent, 1) == first
    agent.tick(60)
    assert usage(agent, 2) < second


@pytest.mark.parametrize(
    ("bound_percent", "stalled_seconds", "stops"),
    [(1.0, 0.12, True), (10.0, 0.12, True), (15.0, 0.12, False), (15.0, None, True)],
)
def test_a_trigger_between_ticks_stops_the_next_reclaim_where_its_own_bound_is_passed(
    tmp_path, bound_percent, stalled_seconds, stops
):
    reclaim = {"mode": "Cold", "maxPressure": bound_percent}
    agent = AgentOn(tmp_path, policy={"importance": "Low", "reclaim": reclaim})
    agent.tick(60)
    agent.made.agent.heed(0.0, lambda: agent.now)
    container = agent.node.container(1)
    if stalled_seconds is None:  # what cannot be read is no reason to go on
        agent.node.file(1, "memory.pressure").write_text("")
    else:
        agent.stall(1, stalled_seconds)
    agent.node.kernel.stall(container.path)
    agent.made.agent.heed(0.0, lambda: agent.now + 0.9)
    assert agent.made.agent.reclaimer.controlled[container.key].law.violations_total == int(stops)
    agent.stall(1, stalled_seconds or 0.0)
    reports = {each.container_id: each for each in agent.tick(1).containers}
    assert (reports[container.container_id].reason in ("backing-off", "pressure")) is stops


def test_pressure_above_the_bound_stops_it_within_a_second_without_triggers(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    agent.made.agent.triggers = None
    agent.tick(60)
    now = agent.now
    agent.made.agent.heed(0.0, lambda: now + 1.0)
    agent.stall(1, 0.005)  # half a percent of a second, below the bound of one
    agent.made.agent.heed(0.0, lambda: now + 2.0)
    (law,) = (each.law for each in agent.made.agent.reclaimer.controlled.values())
    assert law.violations_total == 0
    agent.stall(1, 0.025)
    agent.made.agent.heed(0.0, lambda: now + 3.0)
    assert law.violations_total == 1
    (report,) = agent.tick(1).containers
    assert report.reason == "backing-off"


def test_without_room_for_triggers_the_tick_goes_on(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "epoll")

    monkeypatch.setattr(agent.made.agent.triggers, "follow", refused)
    assert {each.reason for each in agent.tick(1).containers} == {"learning"}
    assert agent.made.agent.triggers is None


def test_where_a_shrink_is_under_way_the_law_looks_on(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(60)
    reclaimer, first = agent.made.agent.reclaimer, agent.node.container(1).key
    reclaimer.shrinking = frozenset([first])
    usages = usage(agent, 1), usage(agent, 2)
    reasons: set[str] = set()
    for _ in range(60):
        reasons |= {each.reason for each in agent.tick(1).containers if each.container_id == first[1]}
    assert (usage(agent, 1), usage(agent, 2) < usages[1]) == (usages[0], True)
    assert "shrinking" in reasons
    assert reclaimer.offer_bytes(reclaimer.controlled[first], agent.now) == 0


@pytest.mark.parametrize(("swap_max", "takes"), [(None, False), ("0\n", True)])
def test_a_kernel_that_cannot_be_told_to_take_file_pages_alone_takes_none(tmp_path, swap_max, takes):
    agent = AgentOn(tmp_path, containers=1)
    (agent.node.root / "proc/sys/kernel/osrelease").write_text("6.8.0\n")
    if swap_max is None:  # how much it may swap cannot be read: none, then
        agent.node.file(1, "memory.swap.max").unlink()
    else:
        agent.node.file(1, "memory.swap.max").write_text(swap_max)
    agent.start()
    report = agent.tick(60)
    assert (agent.taken_bytes > 0) is takes
    assert agent.node.file(1, "memory.swap.current").read_text() == "0\n"
    if not takes:
        assert report.containers[0].reason in {"no-room", "reclaim"}  # reclaim: saved up for its next step
    (engine,) = (each for each in report.capabilities.engines if each.engine is Engine.RECLAIM)
    assert "whose file pages alone may go is held" in engine.why


def refaulted(agent: AgentOn, pages: int) -> None:
    stat = agent.node.file(1, "memory.stat")
    lines = (each.split() for each in stat.read_text().splitlines())
    more = {"workingset_refault_file": pages}
    stat.write_text("".join(f"{name} {int(value) + more.get(name, 0)}\n" for name, value in lines))


@pytest.mark.parametrize(
    ("pages", "avg10", "holds"),
    [(128, 20.0, True), (128, 0.5, False), (8, 20.0, False), (0, 20.0, False)],
)
def test_stalls_on_io_stop_it_where_files_come_back(tmp_path, pages: int, avg10: float, holds: bool):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(30)
    io = agent.node.file(1, "memory.pressure").with_name("io.pressure")
    io.write_text(PSI.format(avg10=avg10, total=0))
    refaulted(agent, pages)
    (report,) = agent.tick(1).containers
    assert (report.reason == "pressure") is holds
    assert ("On io it stalled 20.00%" in report.sentence) is holds


def test_a_policy_that_goes_away_ends_reclaim_at_once(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(60)
    before = usage(agent)
    agent.policy_file.unlink()
    report = agent.tick(30)
    assert usage(agent) == before
    assert report.containers == ()
    assert "policy.json" in report.policy_problem


def test_a_policy_that_is_removed_in_the_middle_of_an_action_stops_it_at_its_next_part(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(10)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    whole = agent.made.agent.reclaimer.taker.reclaim(each, 48 * MIB)

    before = usage(agent)
    agent.node.kernel.happen_before("memory.reclaim", agent.policy_file.unlink)
    outcome = agent.made.agent.actor.act(dataclasses.replace(whole, part_bytes=4 * MIB))
    assert outcome.answer.value == "partial"
    assert before - usage(agent) == 4 * MIB


@pytest.mark.parametrize("how", ["stalls", "cannot be read"])
def test_a_stall_in_the_middle_of_an_action_stops_it_at_its_next_part(tmp_path, how: str):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(10)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    whole = agent.made.agent.reclaimer.taker.reclaim(each, 48 * MIB)

    def happens() -> None:
        if how == "stalls":
            agent.stall(1, 0.05)  # five hundredths of a second: the bound is one
        else:
            agent.node.file(1, "memory.pressure").write_text("")

    before = usage(agent)
    agent.node.kernel.happen_before("memory.reclaim", happens)
    outcome = agent.made.agent.actor.act(dataclasses.replace(whole, part_bytes=4 * MIB))
    assert outcome.answer.value == "partial"
    assert before - usage(agent) == 4 * MIB
    assert each.law.violations_total == (1 if how == "stalls" else 0)
    assert agent.made.agent.reclaimer.offer_bytes(each, agent.now) == 0
    assert agent.made.agent.reclaimer.take(each, 4 * MIB, agent.now)[0].answer.value == "refused"
    assert before - usage(agent) == 4 * MIB
    agent.stall(1, 0.05)
    agent.made.agent.heed(0.0, lambda: agent.now + 1.0)
    assert not each.stopped  # from then on it is the law's to say


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("as told")


@pytest.mark.parametrize("stage", ["predict", "plan", "act"])
def test_what_goes_wrong_with_one_container_holds_that_one_alone(tmp_path, monkeypatch, stage: str):
    agent = AgentOn(tmp_path)
    agent.tick(60)
    reclaimer = agent.made.agent.reclaimer
    first = reclaimer.controlled[agent.node.container(1).key]
    at = {"predict": (first.leak, "add"), "plan": (first.law, "step"), "act": (first.law, "settle")}[stage]
    monkeypatch.setattr(type(at[0]), at[1], _for_one(at[0], at[1]))
    usages, taken = (usage(agent, 1), usage(agent, 2)), first.taken_bytes
    report = agent.tick(60)
    assert report.container_failures[stage] > 0
    assert usage(agent, 2) < usages[1]
    if stage == "act":  # it was taken before it went wrong: so much is known to be taken
        assert usages[0] - usage(agent, 1) == first.taken_bytes - taken
    else:
        assert usage(agent, 1) == usages[0]
        reasons = {each.container_id[-1]: (each.reason, each.needed_bytes) for each in report.containers}
        assert reasons["1"] == ("unknown", None)
        assert reclaimer.offer_bytes(first, agent.now) == 0
    assert sum(each.taken_bytes for each in report.containers) == report.node.taken_total
    monkeypatch.undo()
    assert {each.container_id[-1]: each.reason for each in agent.tick(1).containers}["1"] != "unknown"


def _for_one(one: object, name: str):
    whole = getattr(type(one), name)

    def called(self, *arguments):
        return broken() if self is one else whole(self, *arguments)

    return called


def test_what_was_taken_is_booked_before_the_next_is_taken(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path)
    agent.tick(60)
    reclaimer, before = agent.made.agent.reclaimer, usage(agent)
    each, taker = reclaimer.controlled[agent.node.container(1).key], reclaimer.taker
    pending, taken = each.law.budget.out_bytes, each.taken_bytes

    def first_and_then_broken(*_: object):
        yield taker.actor.act(taker.reclaim(each, MIB))
        raise RuntimeError("as told")

    monkeypatch.setattr(type(taker), "take", first_and_then_broken)
    done = reclaimer.take(each, 2 * MIB, agent.now)
    assert [outcome.answer.value for outcome in done] == ["done"]
    assert before - usage(agent) == MIB == each.taken_bytes - taken
    assert each.law.budget.out_bytes == pytest.approx(pending + MIB)
    assert each.fault


def test_what_goes_by_address_is_not_taken_off_what_was_probed_for(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(2)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    each.refault_set._cold_bytes = 8.0 * MIB
    for kind, left in ((ActionKind.PAGEOUT, 8 * MIB), (ActionKind.RECLAIM, 4 * MIB)):
        moved = Effect(usage_bytes=-4 * MIB, resident_bytes=-4 * MIB)
        agent.made.agent.reclaimer._book(each, Outcome(kind, "1", Answer.DONE, moved, moved))
        assert each.refault_set._cold_bytes == left


def test_what_goes_wrong_between_two_ticks_ends_nothing(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path)
    agent.tick(2)
    running, pressed = agent.made.agent, []
    monkeypatch.setattr(running.actor, "tick", broken)
    monkeypatch.setattr(type(running.reclaimer), "look_at_pressure", broken)
    monkeypatch.setattr(type(running.pressing), "step", lambda *_: pressed.append(True))
    running.heed(0.0, lambda: agent.now + 1.0)
    assert (running.stage_failures["leases"], running.stage_failures["pressure"]) == (1, 1)
    assert pressed == []  # whose stalls are not known is not acted on
    assert agent.tick(1) is not None


def test_whoever_stalls_is_left_alone_whatever_else_goes_wrong_in_that_second(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(2)
    running = agent.made.agent
    running.triggers = None
    running.heed(0.0, lambda: agent.now + 1.0)
    monkeypatch.setattr(type(running.events), "changed", broken)
    agent.stall(1, 0.5)
    running.heed(0.0, lambda: agent.now + 2.0)
    (law,) = (each.law for each in running.reclaimer.controlled.values())
    assert (law.violations_total, running.stage_failures["press"]) == (1, 1)


def test_triggers_that_fail_between_two_ticks_are_given_up(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path)
    agent.tick(2)

    def failing(*_: object) -> None:
        raise OSError(errno.EBADF, "epoll")

    monkeypatch.setattr(agent.made.agent.triggers, "stalled", failing)
    agent.made.agent.heed(0.0, lambda: agent.now + 1.0)
    assert agent.made.agent.triggers is None


def test_at_its_end_each_part_takes_back_its_own_whatever_becomes_of_the_others(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path)
    agent.tick(2)
    closed = []
    monkeypatch.setattr(type(agent.made.agent.looks), "close", broken)
    monkeypatch.setattr(agent.made.agent.actor, "close", lambda: closed.append("actor"))
    monkeypatch.setattr(agent.made.agent.triggers, "close", lambda: closed.append("triggers"))
    with pytest.raises(RuntimeError):
        agent.made.agent.close()
    assert closed == ["actor", "triggers"]


@pytest.mark.parametrize("leap", [-86_400.0, 0.0, 400 * 86_400.0])
def test_a_clock_that_leaps_takes_nothing_and_it_goes_on_after(tmp_path, leap: float):
    agent = AgentOn(tmp_path)
    agent.tick(60)
    before = usage(agent)
    report = agent.tick(1, seconds=leap)
    assert {each.reason for each in report.containers} == {"clock"}
    assert usage(agent) == before
    agent.tick(240)
    assert usage(agent) < before


@pytest.mark.parametrize("name", ["memory.pressure", "memory.stat"])
def test_a_file_that_cannot_be_read_holds_its_container(tmp_path, name: str):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(30)
    agent.node.kernel.fail(name, errno.EIO)
    (held,) = agent.tick(1).containers
    assert held.reason == "unknown"


@pytest.mark.parametrize("away", ["policy", "file"])
def test_an_account_is_kept_while_a_container_is_left_alone(tmp_path, away: str):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(60)
    (before,) = agent.made.agent.reclaimer.controlled.values()
    out = before.law.budget.out_bytes
    assert out > MIB
    if away == "policy":
        agent.say({"reclaim": {"mode": "Off"}})
        agent.tick(60)
        agent.say(COLD)
    else:  # it is there, and cannot be read
        agent.node.kernel.fail("memory.current", errno.EIO, times=2)
        assert agent.tick(1).containers == ()
    assert agent.made.agent.reclaimer.controlled == {}
    agent.tick(1)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    assert each is not before
    assert each.law.budget.out_bytes >= out * 0.99
    assert each.law is before.law
    assert len(agent.made.agent.reclaimer.laid_by) == 0


def test_a_container_that_goes_away_and_one_that_comes(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(30)
    agent.node.tree.remove_pod(1)
    agent.node.add(3)
    ids = {each.container_id[-1] for each in agent.tick(2).containers}
    assert ids == {"2", "3"}
    assert len(agent.made.agent.reclaimer.controlled) == 2


def test_a_node_whose_generations_are_gone_reclaims_in_the_kernels_order(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    (agent.node.root / "sys/kernel/debug/lru_gen").unlink()
    (report,) = agent.tick(90).containers
    assert agent.made.agent.ages.absence is Absence.GONE
    assert 0 <= report.cold_bytes <= MOST_PROBED_RATIO * agent.node.usage_bytes  # probed, told by refaults
    assert report.needed_bytes is not None
    assert agent.taken_bytes > 0


def test_idle_ages_tell_what_is_cold_by_numa_node_too(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    made = agent.tick(3)
    (report,) = made.containers
    assert report.cold_bytes > 0
    assert report.needed_bytes + report.cold_bytes - report.stuck_bytes == usage(agent)
    (sample,) = made.snapshot.samples
    in_any_case = sample.usage_bytes - (sample.stat.file_bytes - sample.stat.shmem_bytes)
    assert report.unsure_bytes == max(0, report.needed_bytes - in_any_case) > 0
    ages = next(iter(agent.made.agent.ages.looked.values()))
    assert set(ages.by_numa_node) == {0, 1}


def test_a_restart_begins_carefully_and_keeps_what_was_learnt(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(30)
    for each in agent.made.agent.reclaimer.controlled.values():
        each.survival.observations = 5
    agent.made.save_models(agent.now)
    version = agent.made.models.version
    assert version == 1
    agent.made.agent.close()
    agent.start()
    assert agent.made.models.version == version
    (first, _) = agent.tick(1).containers
    assert (first.reason, first.arm) == ("learning", "careful")


def test_a_damaged_model_is_passed_over_for_the_one_before_it_and_the_prior(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(5)
    for each in agent.made.agent.reclaimer.controlled.values():
        each.survival.observations = 5
    for later in (0.0, 10_000.0):
        agent.made.save_models(agent.now + later)
    newest, older = sorted((tmp_path / "state/models").glob("*.json"), reverse=True)
    newest.write_text(newest.read_text().replace('"version": 2', '"version": 9'))
    agent.start()
    assert agent.made.models.version == 1
    older.write_text("{")
    agent.start()
    assert agent.made.models.version == 0
    assert agent.tick(2) is not None


def test_a_stage_that_fails_is_counted_and_nothing_is_taken(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path)
    agent.tick(30)
    before = usage(agent)

    def broken(*_: object) -> None:
        raise RuntimeError("bank")

    monkeypatch.setattr(agent.made.agent.pressing.forecasts, "see", broken)
    with pytest.raises(RuntimeError):
        agent.tick(1)
    assert agent.made.agent.stage_failures["predict"] == 1
    assert usage(agent) == before


def test_the_page_policy_is_swapped_while_it_runs(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    (before,) = agent.tick(2).containers
    calls = agent.made.calls()
    said = calls["set-policy"]({"name": "lru"})
    assert said == {"what": "page policy", "before": "by policy", "now": "lru"}
    (after,) = agent.tick(1).containers
    assert before.cold_bytes is not None
    assert after.cold_bytes is None
    with pytest.raises(KeyError, match="there are lru, idle-age, survival"):
        calls["set-policy"]({"name": "magic"})
    assert agent.tick(1).page_policy == "lru"
    calls["set-policy"]({"name": "by-policy"})
    assert agent.tick(1).page_policy == "by policy"


def test_the_report_is_plain_json(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(20)
    said = json.loads(json.dumps(agent.made.calls()["report"]({})))
    assert {each["policy"] for each in said["containers"]} == {str(agent.policy_file)}
    assert said["capabilities"]["observeOnly"] is False
    assert json.loads(json.dumps(agent.made.calls()["models"]({})))["version"] == 0


def test_a_policy_that_changes_is_in_force_with_the_next_tick(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(2)
    agent.say(COLD | {"importance": "Critical", "reclaim": {"mode": "Predictive", "maxPressure": 0.1}})
    (report,) = agent.tick(1).containers
    assert (report.importance, report.mode) == ("Critical", "Predictive")


def test_a_signal_ends_an_action_at_its_next_part(tmp_path, monkeypatch):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(10)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    whole = agent.made.agent.reclaimer.taker.reclaim(each, 48 * MIB)
    handlers = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    stop = ended_by_signals(agent.made.agent)
    before = usage(agent)
    agent.node.kernel.happen_before("memory.reclaim", lambda: handlers[signal.SIGTERM](signal.SIGTERM, None))
    outcome = agent.made.agent.actor.act(dataclasses.replace(whole, part_bytes=4 * MIB))
    assert stop.is_set()
    assert (outcome.answer.value, outcome.expected.usage_bytes) == ("partial", -4 * MIB)
    assert before - usage(agent) == 4 * MIB

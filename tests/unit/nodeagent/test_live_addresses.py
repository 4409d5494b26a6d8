"""Memory by address in the running agent: DAMON, plans, page-outs, and what takes their place."""

import pytest

from builders.agents import AgentOn
from builders.watched_agents import (
    HOT_PAGES,
    PAGES,
    PID,
    advised,
    looked,
    resident,
    shown,
    watched,
)
from plimsoll.pages.refault_set import MOST_PROBED_RATIO
from plimsoll_nodeagent.act.damon import ADMIN
from plimsoll_nodeagent.capabilities import Engine, Level
from plimsoll_nodeagent.kernelfs import Advice, TwinProcess

MANY_LOOKS = 60


def plan_of(agent: AgentOn):
    return next(iter(agent.made.agent.reclaimer.controlled.values())).addresses


def broken(*_: object) -> None:
    raise RuntimeError("as told")


def kdamonds(agent: AgentOn) -> str:
    return (agent.node.root / f"{ADMIN.strip('/')}/nr_kdamonds").read_text().strip()


@pytest.fixture
def known(tmp_path) -> AgentOn:
    """An agent that knows the memory of its container."""
    agent = watched(tmp_path)
    looked(agent, MANY_LOOKS)
    assert plan_of(agent).cold_bytes > 0
    return agent


def process_of(agent: AgentOn) -> TwinProcess:
    return agent.node.kernel.processes._alive[PID]


def test_what_is_cold_by_address_is_paged_out_and_what_is_hot_stays(known):
    report = known.tick(40)
    hot, cold = resident(process_of(known))
    assert hot == HOT_PAGES
    assert cold < PAGES - HOT_PAGES
    assert report.actions_total["pageout", "done"] > 0
    (container,) = report.containers
    assert container.looks >= MANY_LOOKS
    assert container.taken_bytes >= (PAGES - HOT_PAGES - cold) * 4096


def test_what_swap_could_not_take_is_not_believed_to_be_out(known):
    process = process_of(known)
    process.swap_pages = 64
    report = known.tick(20)
    assert report.actions_total["pageout", "done"] > 0
    went = PAGES - HOT_PAGES - resident(process)[1]
    assert went == 64
    plan = plan_of(known)
    assert int(plan._plan.budget.out.sum()) * 16 == went
    assert plan.idle_ages(known.now).total_bytes == (PAGES - went) * 4096


def test_what_the_kernel_took_itself_is_asked_for_and_not_offered_again(known):
    process = process_of(known)
    process.advise(HOT_PAGES, PAGES - HOT_PAGES, Advice.PAGEOUT)  # kswapd, say
    known.node.kernel.processes.show(process)
    stat = known.node.file(1, "memory.stat")
    stat.write_text(stat.read_text().replace("pgsteal 40", f"pgsteal {40 + PAGES - HOT_PAGES}"))
    known.tick(1, seconds=1.0)
    looked(known, 1)
    assert plan_of(known).cold_bytes == 0
    assert plan_of(known).idle_ages(known.now).total_bytes == HOT_PAGES * 4096


def test_the_page_policy_of_a_running_agent_reaches_its_live_predictor(known):
    calls = known.made.calls()
    calls["set-policy"]({"name": "reuse"})
    assert known.made.agent.reclaimer.expert == "reuse"
    looked(known, 1)
    plan = plan_of(known)
    assert plan.cold_bytes > 0
    calls["set-policy"]({"name": "survival"})
    known.tick(1)
    assert plan_of(known) is None
    assert kdamonds(known) == "0"
    calls["set-policy"]({"name": "by-policy"})
    looked(known, 3)
    assert plan_of(known) is not plan
    assert kdamonds(known) != "0"


def test_a_recycled_pid_is_not_paged_out(known):
    known.node.kernel.processes.end(PID)
    other = known.node.kernel.processes.add(TwinProcess(PID, pages=PAGES, started_ticks=999))
    known.tick(3, seconds=1.0)
    assert resident(other) == [HOT_PAGES, PAGES - HOT_PAGES]


def test_without_swap_nothing_is_taken_by_address(known):
    text = (known.node.root / "proc/meminfo").read_text()
    (known.node.root / "proc/meminfo").write_text(
        text.replace("SwapTotal:        524288", "SwapTotal:        0")
    )
    known.tick(6)
    assert advised(known, Advice.PAGEOUT.name) == []


def test_an_old_look_takes_nothing_by_address(known):
    known.made.agent.looks._rests_until = known.now + 1e6
    known.tick(6, seconds=31.0)
    assert advised(known, Advice.PAGEOUT.name) == []


def test_damon_that_others_hold_is_left_alone_and_idle_ages_speak(tmp_path):
    agent = AgentOn(tmp_path, containers=1, policy={"importance": "Low", "reclaim": {"mode": "Predictive"}})
    agent.node.process(PID, 1, pages=64)
    agent.node.kernel.damon.held_by_other = True
    report = agent.tick(8)
    assert report.capabilities.level(Engine.ACCESSES) is not Level.DAMON
    assert "holds DAMON" in next(
        each.why for each in report.capabilities.engines if each.engine is Engine.ACCESSES
    )
    assert kdamonds(agent) == "0"
    assert report.containers[0].cold_bytes is not None
    agent.node.kernel.damon.held_by_other = False
    report = agent.tick(15)
    assert kdamonds(agent) != "0"
    assert report.capabilities.level(Engine.ACCESSES) is Level.DAMON


def test_anothers_kdamonds_are_never_touched(tmp_path):
    agent = AgentOn(tmp_path, containers=1, policy={"reclaim": {"mode": "Predictive"}})
    agent.node.process(PID, 1, pages=64)
    agent.node.kernel.damon.write(agent.node.root / f"{ADMIN.strip('/')}/nr_kdamonds", "1")
    state = agent.node.root / f"{ADMIN.strip('/')}/0/state"
    state.write_text("on\n")
    agent.tick(20)
    assert kdamonds(agent) == "1"
    assert state.read_text() == "on\n"
    assert agent.made.agent.looks.was_refused
    agent.made.agent.close()
    assert state.read_text() == "on\n"


def test_cold_is_told_by_damon_where_the_kernel_keeps_no_generations(tmp_path):
    agent = watched(tmp_path)
    (agent.node.root / "sys/kernel/debug/lru_gen").unlink()
    agent.say({"importance": "Low", "reclaim": {"mode": "Cold"}})
    agent.tick(4)
    (report,) = agent.tick(1).containers  # probed, until enough has been seen
    assert report.cold_bytes <= MOST_PROBED_RATIO * agent.node.usage_bytes
    looked(agent, 20)
    (report,) = agent.tick(1, seconds=1.0).containers
    assert report.cold_bytes == (PAGES - HOT_PAGES) * 4096


def test_page_cache_that_no_look_sees_is_probed_for_beside_what_damon_tells(tmp_path):
    agent = watched(tmp_path)
    agent.unmap()
    (agent.node.root / "sys/kernel/debug/lru_gen").unlink()
    agent.say({"importance": "Low", "reclaim": {"mode": "Cold"}})
    looked(agent, 20)
    probed = []
    for _ in range(12):
        looked(agent, 1)
        (report,) = agent.tick(1, seconds=1.0).containers
        (each,) = agent.made.agent.reclaimer.controlled.values()
        probed.append(each.probed_bytes)  # none while what was taken on trial is not judged
        assert report.cold_bytes == each.aged.cold.cold_bytes + each.probed_bytes  # when it was planned
    assert 0 < each.aged_cold_bytes <= (PAGES - HOT_PAGES) * 4096
    assert 0 < max(probed) <= MOST_PROBED_RATIO * agent.node.usage_bytes


def test_cold_leaves_damon_alone_where_generations_tell(tmp_path):
    agent = watched(tmp_path)
    agent.say({"importance": "Low", "reclaim": {"mode": "Cold"}})
    agent.tick(3)
    assert kdamonds(agent) == "0"


def test_what_was_taken_comes_back_when_the_container_thrashes(known):
    known.tick(40)
    out = PAGES - HOT_PAGES - resident(process_of(known))[1]
    assert out
    stat = known.node.file(1, "memory.stat")
    refaults = "".join(
        f"workingset_refault_anon {10**6}\n" if line.startswith("workingset_refault_anon") else f"{line}\n"
        for line in stat.read_text().splitlines()
    )
    stat.write_text(refaults)
    report = known.tick(1)
    assert report.containers[0].reason == "thrashing"
    assert advised(known, Advice.WILLNEED.name)
    assert report.node.brought_back_total > 0


def test_nothing_comes_back_where_the_policy_has_no_prefetch(known):
    known.say({"importance": "Low", "reclaim": {"mode": "Predictive", "refaultBudget": 0.05}})
    known.tick(12)
    stat = known.node.file(1, "memory.stat")
    stat.write_text(stat.read_text().replace("workingset_refault_anon 3", f"workingset_refault_anon {10**6}"))
    assert known.tick(1).containers[0].reason == "thrashing"
    assert advised(known, Advice.WILLNEED.name) == []


def test_a_look_that_fails_ends_no_tick_and_nothing_half_known_is_used(known, monkeypatch):
    monkeypatch.setattr(known.made.agent.looks, "_observe", broken)
    report = known.tick(4)
    assert report.container_failures["look"] > 0
    assert "look" not in report.stage_failures
    assert plan_of(known) is None
    assert advised(known, Advice.PAGEOUT.name) == []


def test_a_look_that_fails_costs_no_other_container_its_plan(tmp_path, monkeypatch):
    agent = watched(tmp_path, containers=2)
    looked(agent, 20)
    first, second = (agent.made.agent.reclaimer.controlled[each.key] for each in agent.node.discovered())
    assert first.addresses.looks
    monkeypatch.setattr(agent.made.agent.looks, "_observe", broken)
    kept = second.addresses
    looked(agent, 2)
    assert first.fault == "look failed (RuntimeError)"
    assert (second.addresses, second.fault) == (kept, "")


def test_looks_that_fail_altogether_leave_no_plan(known, monkeypatch):
    monkeypatch.setattr(type(known.made.agent.looks.rota), "step", broken)
    report = known.tick(4)
    assert report.stage_failures["look"] > 0
    assert plan_of(known) is None
    assert advised(known, Advice.PAGEOUT.name) == []


def test_a_process_that_grows_is_followed(known):
    process = process_of(known)
    known.node.kernel.processes.end(PID)
    grown = known.node.kernel.processes.add(
        TwinProcess(PID, pages=2 * PAGES, started_ticks=process.started_ticks)
    )
    shown(known.node, grown)
    before = plan_of(known).looks
    looked(known, 2)
    assert plan_of(known).looks > before
    assert plan_of(known).idle_ages(known.now).total_bytes == 2 * PAGES * 4096


def test_at_exit_and_after_a_kill_damon_is_given_back(known):
    assert kdamonds(known) != "0"
    known.start()  # killed: nothing was closed
    assert kdamonds(known) == "0"
    looked(known, 2)
    known.tick(2)
    known.made.agent.close()
    assert kdamonds(known) == "0"


def test_an_agent_that_only_notes_watches_nothing_by_address(tmp_path):
    agent = AgentOn(tmp_path, containers=1, policy={"reclaim": {"mode": "Predictive"}}, mode="dry-run")
    agent.node.kernel.mode = type(agent.node.kernel.mode)("dry-run")
    agent.tick(5)
    assert kdamonds(agent) == "0"
    assert agent.made.agent.looks.absence == "the agent does not act"


def test_looks_cost_a_small_share_of_a_processor(known):
    looks = known.made.agent.looks
    spent = iter(range(10_000))
    looks.cpu = lambda: next(spent) * 0.1  # a tenth of a second each
    before = looks.looks_total
    looked(known, 60, seconds=1.0)
    assert 1 <= looks.looks_total - before <= 3


def test_kdamonds_that_are_taken_away_are_missed_and_had_again_once_nobody_has_any(tmp_path):
    """The agent had said that it watches, and an hour later written into those that somebody made instead."""
    agent = watched(tmp_path)
    looked(agent, 5)
    looks, admin = agent.made.agent.looks, agent.node.root / ADMIN.strip("/")
    agent.node.kernel.damon.write(admin / "0/state", "off")
    for number in ("0", "2"):
        agent.node.kernel.damon.write(admin / "nr_kdamonds", number)
    before = looks.looks_total
    looked(agent, 3)
    assert looks.refusals
    assert (admin / "0/contexts/nr_contexts").read_text().strip() == "0", "theirs is as they left it"
    agent.node.kernel.damon.write(admin / "nr_kdamonds", "0")
    looked(agent, 200)
    assert not looks.absence
    assert looks.looks_total > before

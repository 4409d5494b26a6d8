"""Pressure ahead in the running agent: forecasts second by second, and few actions before it is there."""

import math
from dataclasses import replace

import numpy as np
import pytest

from builders.agents import AgentOn
from builders.twin_node import MIB
from plimsoll.pages.cold import POLICY_NAMES
from plimsoll.pressure import registry
from plimsoll.pressure.bank import OUTCOMES_AT
from plimsoll.pressure.protocol import PressureForecast
from plimsoll.pressure.sample import ScopeKind
from plimsoll_nodeagent.sample.pressure_readings import numa_key
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

COLD = {"importance": "Low", "reclaim": {"mode": "Cold"}}
NODE_MEMINFO = """Node {0} MemTotal:        1048576 kB
Node {0} MemFree:          {1} kB
Node {0} Inactive(file):    65536 kB
Node {0} SReclaimable:      16384 kB
"""
VMSTAT = """pgalloc_dma32 1000
pgalloc_normal {allocated}
allocstall_normal 2
allocstall_movable 3
compact_stall {compactions}
workingset_refault_anon 5
workingset_refault_file 6
oom_kill 0
"""


def machine(agent: AgentOn, *, allocated: int = 2000, compactions: int = 0, free_kib: int = 524288) -> None:
    """Write the files of the whole machine, beside those that the builder has."""
    write, root = agent.node.tree.write, agent.node.root
    write(root / "proc/vmstat", VMSTAT.format(allocated=allocated, compactions=compactions))
    for numa_node in (0, 1):
        base = root / f"sys/devices/system/node/node{numa_node}"
        write(base / "meminfo", NODE_MEMINFO.format(numa_node, free_kib))
        write(base / "numastat", f"numa_hit 9\nlocal_node {allocated}\nother_node 7\n")


def agent_on(directory, **of: object) -> AgentOn:
    agent = AgentOn(directory, policy=dict(COLD), **of)
    machine(agent)
    return agent


def heeded(agent: AgentOn, seconds: int) -> None:
    """So many seconds between two ticks."""
    for _ in range(seconds):
        agent.now += 1.0
        agent.made.agent.heed(0.0, lambda: agent.now)


def alarm(agent: AgentOn, key, probability: float = 0.9, **changes: float) -> None:
    """Let a scope's newest forecast be this one: what the network says of a twin is no test of the acts."""
    spoken = agent.made.agent.pressing.forecasts.spoken
    calm = {"psi_some_ratio": 0.0, **changes}
    spoken[key] = replace(
        spoken[key],
        sample=replace(spoken[key].sample, **calm),
        forecast=PressureForecast(agent.now, probability),
    )


def key_of(agent: AgentOn, number: int = 1):
    return agent.node.container(number).key


def usage(agent: AgentOn, number: int = 1) -> int:
    return int(agent.node.file(number, "memory.current").read_text())


def proven(agent: AgentOn) -> None:
    """As after hours in which nothing came back: the refault accounts know what may go."""
    for each in agent.made.agent.reclaimer.controlled.values():
        each.law.budget.out_byte_seconds = 1e15


def pressing(agent: AgentOn):
    return agent.made.agent.pressing


def test_the_machine_is_forecast_by_seconds_and_containers_every_tick(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    heeded(agent, 3)
    spoken = pressing(agent).forecasts.spoken
    assert set(spoken) == {KUBE_NODE, numa_key(0), numa_key(1), key_of(agent, 1), key_of(agent, 2)}
    assert {spoken[each].kind for each in (numa_key(0), numa_key(1))} == {ScopeKind.NUMA_NODE}
    for each in (KUBE_NODE, numa_key(0), numa_key(1)):
        assert spoken[each].forecast.seconds == agent.now
        assert 0.0 <= spoken[each].forecast.probability <= 1.0
    assert spoken[key_of(agent)].forecast.seconds == agent.now - 3.0
    report = agent.tick(1)
    assert [each.pressure_forecast is not None for each in report.node.numa] == [True, True]
    assert all(each.pressure_forecast is not None for each in report.containers)


def test_what_the_files_say_reaches_the_features(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(1)
    heeded(agent, 1)
    machine(agent, allocated=2000 + 512, compactions=4, free_kib=262144)
    heeded(agent, 2)
    node = pressing(agent).forecasts.spoken[KUBE_NODE].sample
    assert node.allocation_bytes_per_second == 256 * 4096
    assert node.compactions == 4.0
    assert node.direct_reclaims_per_second == 0.0
    assert 0.0 < node.fragmentation_ratio < 1.0
    second = pressing(agent).forecasts.spoken[numa_key(1)].sample
    assert second.allocation_bytes_per_second == 256 * 4096
    assert second.free_ratio == 0.25
    assert second.available_ratio == pytest.approx(0.25 + (65536 + 8192) / 1048576)
    assert second.fragmentation_ratio == 1.0


def test_a_calm_node_is_forecast_every_other_second_and_one_that_is_not_every_second(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    spoken = pressing(agent).forecasts.spoken

    def made(seconds: int) -> int:
        times = set()
        for _ in range(seconds):
            heeded(agent, 1)
            times.add(spoken[KUBE_NODE].forecast.seconds)
        return len(times)

    heeded(agent, 1)
    assert made(10) <= 6
    agent.stall(1, 0.9)
    assert made(1) == 1
    alarm(agent, numa_key(0), 0.3)
    heeded(agent, 1)
    assert spoken[KUBE_NODE].forecast.seconds == agent.now


def test_an_event_has_its_container_sampled_within_the_second(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    heeded(agent, 2)
    events = agent.node.file(1, "memory.events")
    events.write_text(events.read_text().replace("max 5\n", "max 6\n"))
    heeded(agent, 1)
    spoken = pressing(agent).forecasts.spoken
    one, other = spoken[key_of(agent, 1)], spoken[key_of(agent, 2)]
    assert (one.forecast.seconds, one.sample.events_max) == (agent.now, 1.0)
    assert other.forecast.seconds == agent.now - 3.0


@pytest.mark.parametrize("stalls", [True, False])
def test_the_nodes_own_trigger_has_a_calm_machine_looked_at_in_the_next_second(tmp_path, stalls: bool):
    agent = agent_on(tmp_path)
    agent.tick(2)
    if stalls:
        agent.node.kernel.stall("/proc/pressure")
    heeded(agent, 1)
    spoken, before = pressing(agent).forecasts.spoken, agent.now
    assert spoken[KUBE_NODE].forecast.seconds == before
    heeded(agent, 1)
    assert spoken[KUBE_NODE].forecast.seconds == (agent.now if stalls else before)


def test_forecasts_are_judged_when_their_horizon_is_over(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    heeded(agent, 4)
    assert pressing(agent).forecasts.score.judged == 0
    heeded(agent, 8)
    score = pressing(agent).forecasts.score
    assert score.judged > 0
    assert score.pressed == 0
    report = agent.tick(1, seconds=1.0)
    assert report.node.ahead.judged >= score.judged
    assert 0.0 <= report.node.ahead.brier <= 1.0


def test_a_container_that_stalls_between_two_ticks_counts_as_pressed(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    heeded(agent, 2)
    agent.stall(1, 0.5)
    heeded(agent, 8)
    assert pressing(agent).forecasts.score.pressed >= 1


def test_whoever_is_near_trouble_is_read_every_second(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    alarm(agent, key_of(agent), 0.4)
    heeded(agent, 1)
    assert pressing(agent).forecasts.spoken[key_of(agent)].forecast.seconds == agent.now
    assert pressing(agent).forecasts.spoken[key_of(agent, 2)].forecast.seconds < agent.now


def test_a_splintered_numa_node_is_compacted_before_pressure_is_there(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    heeded(agent, 1)
    alarm(agent, numa_key(1), fragmentation_ratio=1.0, free_ratio=0.5)
    pressing(agent).act(agent.now)
    line = (agent.node.root / "proc/buddyinfo").read_text().splitlines()[1]
    assert line.split()[4:] == ["1", *["0"] * 8, "1", "0"]
    assert pressing(agent).outcomes == {("compact", "proactive"): 1}
    assert pressing(agent).counts.futile == 0


def test_five_compactions_without_effect_and_the_numa_node_is_left_alone(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    for _ in range(30):
        heeded(agent, 1)
        alarm(agent, numa_key(0), fragmentation_ratio=1.0, free_ratio=0.5)
        pressing(agent).act(agent.now)
    counts = pressing(agent).counts
    assert counts.futile == 5
    assert counts.proactive == 5 + pressing(agent).outcomes["compact", "proactive"] - counts.proactive


def test_foreseen_pressure_of_the_node_takes_what_containers_offer(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(60)
    heeded(agent, 1)
    proven(agent)
    before = usage(agent) + usage(agent, 2)
    offered = sum(each.law.offer_bytes(agent.now) for each in agent.made.agent.reclaimer.controlled.values())
    assert offered > MIB
    alarm(agent, KUBE_NODE, free_ratio=0.01, allocation_bytes_per_second=float(MIB))
    pressing(agent).act(agent.now)
    taken = before - usage(agent) - usage(agent, 2)
    assert 0 < taken <= min(offered, 0.02 * (2 << 30))
    assert pressing(agent).reclaimed_bytes == taken
    assert pressing(agent).outcomes == {("reclaim", "proactive"): 1}


def test_foreseen_pressure_of_a_container_takes_its_own_cold_memory_and_nobody_elses(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(60)
    heeded(agent, 1)
    proven(agent)
    first, second = usage(agent), usage(agent, 2)
    alarm(agent, key_of(agent), free_ratio=0.0, allocation_bytes_per_second=0.0)
    pressing(agent).act(agent.now)
    assert usage(agent) < first
    assert usage(agent, 2) == second


def test_what_a_tick_has_decided_is_not_offered_ahead_of_pressure_too(tmp_path, monkeypatch):
    agent = agent_on(tmp_path, containers=1)
    agent.tick(60)
    proven(agent)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    offers, act = [], pressing(agent).act

    def alarmed(now_seconds: float) -> None:
        alarm(agent, KUBE_NODE, free_ratio=0.01, allocation_bytes_per_second=float(MIB))
        offers.append(each.law.offer_bytes(now_seconds))
        act(now_seconds)

    monkeypatch.setattr(pressing(agent), "act", alarmed)
    before = usage(agent)
    agent.tick(1, seconds=100.0)
    assert each.decision.reclaim_bytes > 0
    assert offers[0] > 0
    cold = each.law.last_reading.cold_bytes
    assert before - usage(agent) <= cold
    assert offers[0] <= cold - each.decision.reclaim_bytes


def test_two_alarms_of_one_second_take_no_more_than_was_offered(tmp_path):
    agent = agent_on(tmp_path, containers=1)
    agent.tick(60)
    heeded(agent, 1)
    proven(agent)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    offered, before = each.law.offer_bytes(agent.now), usage(agent)
    assert offered > MIB
    alarm(agent, KUBE_NODE, free_ratio=0.01, allocation_bytes_per_second=float(MIB))
    alarm(agent, key_of(agent), free_ratio=0.0, allocation_bytes_per_second=float(64 * MIB))
    pressing(agent).act(agent.now)
    assert pressing(agent).outcomes == {("reclaim", "proactive"): 2}
    assert 0 < before - usage(agent) <= offered


def test_swap_that_filled_since_the_tick_is_no_room_for_acts_ahead(tmp_path):
    agent = agent_on(tmp_path, containers=1)
    agent.tick(60)
    heeded(agent, 1)
    proven(agent)
    (each,) = agent.made.agent.reclaimer.controlled.values()
    each.file_bytes = 0  # what goes is anonymous
    assert each.law.offer_bytes(agent.now) > MIB
    meminfo = agent.node.root / "proc/meminfo"
    lines = ["SwapFree: 0 kB" if at.startswith("SwapFree") else at for at in meminfo.read_text().splitlines()]
    meminfo.write_text("\n".join(lines) + "\n")
    before = usage(agent)
    alarm(agent, KUBE_NODE, free_ratio=0.01, allocation_bytes_per_second=float(MIB))
    pressing(agent).act(agent.now)
    assert usage(agent) == before


@pytest.mark.parametrize("probability", [math.nan, 0.3])
def test_no_alarm_is_no_act(tmp_path, probability: float):
    agent = agent_on(tmp_path)
    agent.tick(30)
    heeded(agent, 1)
    before = usage(agent)
    for key in list(pressing(agent).forecasts.spoken):
        alarm(agent, key, probability, free_ratio=0.01, fragmentation_ratio=1.0)
    pressing(agent).act(agent.now)
    assert usage(agent) == before
    assert not pressing(agent).outcomes


@pytest.mark.parametrize("why", ["no policy", "read", "no psi", "stalls"])
def test_nothing_is_done_ahead_where_nothing_may(tmp_path, why: str):
    agent = agent_on(tmp_path, **({"mode": "read"} if why == "read" else {}))
    if why == "read":
        agent.node.kernel.mode = type(agent.node.kernel.mode)("read")
    agent.tick(30)
    heeded(agent, 1)
    if why == "no policy":
        agent.policy_file.unlink()
        agent.tick(1)
    if why == "no psi":
        reclaimer = agent.made.agent.reclaimer
        reclaimer.capabilities = replace(reclaimer.capabilities, engines=())
    before = usage(agent) + usage(agent, 2)
    stalls = {"psi_some_ratio": 0.2} if why == "stalls" else {}
    for key in (KUBE_NODE, *(numa_key(each) for each in (0, 1))):
        fragmented = 0.0 if why == "stalls" else 1.0
        alarm(agent, key, free_ratio=0.01, fragmentation_ratio=fragmented, **stalls)
    writes = len(agent.node.kernel.notes)
    pressing(agent).act(agent.now)
    assert usage(agent) + usage(agent, 2) == before
    assert len(agent.node.kernel.notes) == writes


def test_what_goes_wrong_between_two_ticks_is_counted_and_ends_nothing(tmp_path, monkeypatch, caplog):
    agent = agent_on(tmp_path)
    agent.tick(2)

    def broken(*_: object) -> None:
        raise RuntimeError("as told")

    monkeypatch.setattr(agent.made.agent.pressing.forecasts, "note", broken)
    heeded(agent, 4)
    assert agent.made.agent.stage_failures["press"] >= 2
    assert caplog.text.count("nothing is acted on by it") == 1


def test_files_that_are_not_there_are_no_forecast_and_no_harm(tmp_path):
    agent = AgentOn(tmp_path, policy=dict(COLD))
    for name in ("proc/buddyinfo", "proc/pressure/memory", "proc/meminfo"):
        (agent.node.root / name).unlink()
    agent.tick(2)
    heeded(agent, 3)
    assert KUBE_NODE not in pressing(agent).forecasts.spoken
    assert not agent.made.agent.stage_failures["press"]


def test_a_clock_that_goes_back_is_survived(tmp_path):
    agent = agent_on(tmp_path)
    agent.tick(2)
    heeded(agent, 10)
    agent.now -= 5_000.0
    heeded(agent, 10)
    assert not agent.made.agent.stage_failures["press"]
    assert pressing(agent).forecasts.spoken[KUBE_NODE].forecast.seconds >= agent.now - 1.0


def outcomes_of_the_bank(agent: AgentOn) -> float:
    """How many the kube node's row has seen."""
    forecasts = pressing(agent).forecasts
    row = forecasts._rows[KUBE_NODE]
    return float(forecasts._bank.learned(np.array([row]))[0, OUTCOMES_AT])


@pytest.mark.parametrize("how", ["by its flag", "while it runs"])
def test_the_named_baseline_has_the_word_learns_and_gives_it_back(tmp_path, how: str):
    agent = agent_on(tmp_path, flags=("--pressure-predictor", "mlp4") if how == "by its flag" else ())
    agent.tick(2)
    calls, forecasts = agent.made.calls(), pressing(agent).forecasts
    if how == "while it runs":
        heeded(agent, 8)
        assert forecasts.predictor == "boosted"
        assert calls["set-policy"]({"name": "mlp4"})["before"] == "boosted"
    heeded(agent, 2)
    assert forecasts.predictor == "mlp4"
    blind = forecasts.spoken[KUBE_NODE].forecast.probability
    learned = outcomes_of_the_bank(agent)
    heeded(agent, 120)
    assert forecasts.score.judged > 0
    assert forecasts.score.pressed == 0
    assert forecasts.spoken[KUBE_NODE].forecast.probability < blind - 0.1  # nothing came
    assert outcomes_of_the_bank(agent) > learned  # it learns beside
    assert calls["report"]({})["pressure"]["predictor"] == "mlp4"
    calls["set-policy"]({"name": "boosted"})
    heeded(agent, 2)
    assert forecasts.predictor == "boosted"
    assert forecasts.score.judged == 0  # what was judged was the other's


def test_a_page_policy_and_a_predictor_are_never_of_one_name():
    assert not set(registry.NAMES) & {*POLICY_NAMES, "by-policy"}

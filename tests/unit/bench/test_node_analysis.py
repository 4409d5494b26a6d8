"""The node benchmark's table: pairs within rounds, intervals, what is said of what was not measured."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


@pytest.fixture(scope="module")
def analysis():
    sys.path.append(str(ROOT / "bench"))
    try:
        import node_analysis
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return node_analysis


def block(number, arm, usage_mib=100.0, p99_ms=20.0, **more):
    """A line as the guest writes it."""
    service = {"n": 1000, "errors": 0, "p50_ms": 5.0, "p99_ms": p99_ms, "mean_ms": 6.0}
    measured = {
        "seconds": 10.0,
        "psi_some_percent": {"redis": more.get("psi", 0.2), "jvm": 0.0},
        "refaults_anon": more.get("refaults", 40),
        "refaults_file": 5,
        "swap_ins": 30,
        "cpu_percent_of_a_core": {"agent": 4.0, "senpai": 1.0},
        "kernel_threads_cpu_percent": 0.5,
    }
    return {
        "kind": "block",
        "round": number,
        "arm": arm,
        "usage_bytes": {"redis": 0.6 * usage_mib * MIB, "jvm": 0.4 * usage_mib * MIB},
        "zram_bytes": more.get("zram_mib", 0) * MIB,
        "arm_resident_bytes": 0 if arm == "off" else 50 * MIB,
        "latency": dict.fromkeys(("redis", "jvm", "web"), service),
        "batch_chunks": 70,
        "measured": measured,
    }


def cell(number, arm, *, level=95, ooms=0, stall=0, daemon=0, proactive=0, forecasts=None):
    return {
        "kind": "cell",
        "round": number,
        "arm": arm,
        "level": level,
        "oom_kill": ooms,
        "compact_stall": stall,
        "compact_daemon_wake": daemon,
        "compact_proactive": proactive,
        "compact_late": 0,
        "bursts": [[10, 20_000.0], [30, 60_000.0]],
        "forecasts": forecasts or {},
    }


def by_name(rows):
    return {row.name: row for row in rows}


def test_arms_are_compared_within_their_round(analysis):
    # The host was slow in round 1 for everybody: what is saved is the same share all the same.
    lines = [block(0, "off", 100), block(0, "agent", 70), block(1, "off", 200), block(1, "agent", 140)]
    row = by_name(analysis.node_rows(lines, 7, "c"))["node.saved_percent"]
    assert row.value == pytest.approx(30.0)
    assert (row.low, row.high, row.n) == (pytest.approx(30.0), pytest.approx(30.0), 2)


def test_a_round_that_lacks_an_arm_is_no_pair(analysis):
    lines = [block(0, "off", 100), block(0, "agent", 70), block(1, "agent", 10)]
    row = by_name(analysis.node_rows(lines, 7, "c"))["node.saved_percent"]
    assert (row.value, row.n) == (pytest.approx(30.0), 1)
    assert math.isnan(row.low)


def test_what_is_saved_net_counts_zram_and_the_agent(analysis):
    lines = [block(0, "off", 400), block(0, "agent", 200, zram_mib=70)]
    rows = by_name(analysis.node_rows(lines, 7, "c"))
    assert rows["node.saved_percent"].value == pytest.approx(50.0)
    assert rows["node.saved_net_percent"].value == pytest.approx(20.0)


def test_senpai_stands_against_the_agent(analysis):
    lines = [block(0, "off", 100), block(0, "agent", 70), block(0, "senpai", 95)]
    assert by_name(analysis.node_rows(lines, 7, "c"))["node.saved_percent"].against == {
        "senpai": pytest.approx(5.0)
    }


def test_an_arm_without_a_block_is_not_measured_and_says_so(analysis):
    row = by_name(analysis.node_rows([block(0, "off")], 7, "c"))["node.saved_percent"]
    assert row.value is None
    assert "agent" in row.why


def test_every_row_of_the_contract_is_there_even_without_a_line(analysis):
    rows = by_name([*analysis.node_rows([], 7, "c"), *analysis.stress_rows([], "boosted", 7, "c")])
    wanted = {f"node.{name}" for name in ("saved_percent", "p99_slowdown_percent", "psi_some_percent")}
    wanted |= {"node.agent_cpu_percent", "node.agent_rss_mib", "pressure.proactive_percent"}
    wanted |= {f"pressure.accuracy_percent.{band}" for band in analysis.BANDS}
    wanted |= {f"pressure.{name}_reduction_percent.95" for name in ("oom", "compaction")}
    assert wanted <= rows.keys()
    assert all(row.value is None and row.why for row in rows.values())


def test_the_interval_holds_the_mean_and_narrows_with_more_rounds(analysis):
    drawn = np.random.default_rng(3).normal(10, 4, 400)
    few, many = analysis.bootstrapped(drawn[:10], 7), analysis.bootstrapped(drawn, 7)
    assert few.low < few.value < few.high
    assert many.width < few.width / 3
    assert many.low < 10 < many.high


def test_the_interval_covers_as_often_as_it_says(analysis):
    random = np.random.default_rng(11)
    found = [analysis.bootstrapped(random.normal(0, 1, 30), 7, draws=500) for _ in range(300)]
    covered = np.mean([each.low <= 0 <= each.high for each in found])
    assert 0.88 < covered < 0.98


def test_a_wide_interval_of_p99_is_judged_by_counters(analysis):
    lines = [
        block(n, arm, p99_ms=20 + 5 * n * (arm == "agent")) for n in range(4) for arm in ("off", "agent")
    ]
    said = analysis.judgement(analysis.node_rows(lines, 7, "c"))
    assert "counters" in said
    assert "refaults_anon_per_second 4 (4 when off)" in said


def test_a_narrow_interval_of_p99_is_judged_by_itself(analysis):
    lines = [
        block(n, arm, p99_ms=20.02 if arm == "agent" else 20) for n in range(4) for arm in ("off", "agent")
    ]
    assert "by itself" in analysis.judgement(analysis.node_rows(lines, 7, "c"))


def test_reductions_are_of_sums_against_the_reactive_kernel(analysis):
    lines = [
        cell(0, "reactive", ooms=6, stall=10),
        cell(0, "mlp4", ooms=4, stall=8),
        cell(0, "boosted", ooms=1, stall=2, daemon=1, proactive=3),
        cell(1, "reactive", ooms=2, stall=10),
        cell(1, "mlp4", ooms=4, stall=8),
        cell(1, "boosted", ooms=1, stall=2, daemon=1, proactive=3),
    ]
    rows = by_name(analysis.stress_rows(lines, "boosted", 7, "c"))
    assert rows["pressure.oom_reduction_percent.95"].value == pytest.approx(75.0)
    assert rows["pressure.oom_reduction_percent.95"].against == {"mlp4": pytest.approx(0.0)}
    assert rows["pressure.compaction_reduction_percent.95"].value == pytest.approx(40.0)
    assert rows["pressure.proactive_percent"].value == pytest.approx(50.0)
    assert rows["pressure.response_ms_per_mib.95"].value == pytest.approx(2.0)


def test_no_kill_to_prevent_is_no_reduction_of_any_size(analysis):
    lines = [cell(0, "reactive"), cell(0, "boosted")]
    row = by_name(analysis.stress_rows(lines, "boosted", 7, "c"))["pressure.oom_reduction_percent.95"]
    assert row.value is None
    assert "had none" in row.why


def test_accuracy_is_of_cells_in_which_nobody_acted_and_stands_beside_the_commoner_answer(analysis):
    hits = {"boosted": {"90-95": [100, 94, 20, 15]}, "mlp4": {"90-95": [100, 80, 20, 5]}}
    wrong = {"boosted": {"90-95": [1000, 0, 0, 0]}, "mlp4": {}}
    lines = [cell(0, "reactive", forecasts=hits), cell(0, "boosted", forecasts=wrong)]
    rows = by_name(analysis.stress_rows(lines, "boosted", 7, "c"))
    row = rows["pressure.accuracy_percent.90-95"]
    assert (row.value, row.n) == (94.0, 100)
    assert row.against == {"mlp4": 80.0, "always the commoner": 80.0}
    assert rows["pressure.accuracy_percent.0-50"].value is None

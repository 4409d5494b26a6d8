"""The node benchmark's page: its tables are the results', its settings the benchmark's."""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/node-benchmark.md").read_text("utf-8")


@pytest.fixture(scope="module")
def made():
    sys.path += [str(ROOT / "docs"), str(ROOT / "bench")]
    try:
        import node_tables

        import node
        import node_analysis
    finally:
        sys.path.remove(str(ROOT / "docs"))
        sys.path.remove(str(ROOT / "bench"))
    return SimpleNamespace(bench=node, analysis=node_analysis, tables=node_tables)


def lines():
    """Two rounds of everything, as the guest writes them."""
    service = {"n": 10, "errors": 0, "p50_ms": 5.0, "p99_ms": 20.0, "mean_ms": 6.0}
    counts = dict.fromkeys(("refaults_anon", "refaults_file", "swap_ins"), 12)
    measured = {"seconds": 10.0, "psi_some_percent": {"redis": 0.1}, "kernel_threads_cpu_percent": 0.5}
    measured |= counts | {"cpu_percent_of_a_core": {"agent": 4.0, "senpai": 1.0}}
    blocks = [
        {
            "kind": "block",
            "round": number,
            "arm": arm,
            "usage_bytes": {"redis": usage},
            "zram_bytes": 1,
            "arm_resident_bytes": 1,
            "latency": dict.fromkeys(("redis", "jvm", "web"), service),
            "batch_chunks": 3,
            "measured": measured,
        }
        for number in (0, 1)
        for arm, usage in (("off", 1000), ("senpai", 900), ("agent", 640))
    ]
    compactions = {"compact_stall": 3, "compact_daemon_wake": 1, "compact_proactive": 2, "compact_late": 0}
    forecasts = {name: {"90-95": [50, 40, 10, 8]} for name in ("mlp4", "boosted")}
    cells = [
        {"kind": "cell", "round": 0, "arm": arm, "level": 95, "oom_kill": kills, "bursts": [[10, 2e4]]}
        | compactions
        | {"forecasts": forecasts}
        for arm, kills in (("reactive", 8), ("mlp4", 4), ("boosted", 2))
    ]
    return blocks, cells


@pytest.fixture(scope="module")
def document(made):
    blocks, cells = lines()
    rows = [*made.analysis.node_rows(blocks, 7, "c"), *made.analysis.stress_rows(cells, "boosted", 7, "c")]
    return {
        "commit": "c",
        "seed": 7,
        "seconds": 1.0,
        "machine": {"cores": 2, "memory_gib": 24, "kernel": "k"},
        "machines": [],
        "errors": [],
        "judgement": made.analysis.judgement(rows),
        "rows": [asdict(row) for row in rows],
    }


def test_every_table_on_the_page_can_be_made_from_results(made, document):
    names = re.findall(r"<!-- table ([a-z]+) -->", PAGE)
    assert sorted(names) == sorted(made.tables.TABLES)
    filled = made.tables.with_node_tables(PAGE, document)
    assert made.tables.NOT_YET not in filled
    assert "| resident memory saved, % | - | 10 | 36 [36, 36] | 2 |" in filled
    assert "| oom below the reactive kernel, % | 95 | - | 50 | 75 |" in filled
    assert "| 90-95 | 50 | 80 | 80 | 80 |" in filled
    assert "not measured" in filled  # the bands without a forecast


def test_without_results_the_page_says_so(made):
    filled = made.tables.with_node_tables(PAGE, None)
    assert filled.count(made.tables.NOT_YET) == len(made.tables.TABLES)


def test_results_can_be_written_as_json(document):
    assert json.loads(json.dumps(document))["rows"]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("redis_keys", "{:,} values"),
        ("jvm_heap_mib", "a heap of {} MiB"),
        ("batch_file_mib", "a file of {} MiB"),
        ("batch_buffer_mib", "a buffer of {} MiB"),
        ("zipf_exponent", "exponent {}"),
    ],
)
def test_the_settings_on_the_page_are_the_benchmark_s(made, key, text):
    assert text.format(made.bench.MIXED[key]) in PAGE


def test_the_share_of_requests_for_what_is_asked_for_least_is_zipf_s(made):
    (percent,) = re.findall(r"about (\d+) % of the\s+requests go to the nine tenths", PAGE)
    keys, exponent = made.bench.MIXED["redis_keys"], made.bench.MIXED["zipf_exponent"]
    weights = [(rank + 1) ** -exponent for rank in range(keys)]
    assert 100 * sum(weights[keys // 10 :]) / sum(weights) == pytest.approx(int(percent), abs=0.7)


def test_the_rates_on_the_page_are_the_benchmark_s(made):
    asked = [float(found) for found in re.findall(r"asked (\d+) times a second", PAGE)]
    assert asked == list(made.bench.MIXED["requests_per_second"].values())


def test_the_bursts_on_the_page_are_the_benchmark_s(made):
    least, most = made.bench.STRESS["burst_ratio"]
    assert f"bursts of {100 * least:.0f} to {100 * most:.0f} %" in PAGE

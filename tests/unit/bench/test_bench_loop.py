"""The bench of the loop runs: the real operator on a small fleet, every row measured or saying why not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from builders.benches import bench_modules

ROOT = Path(__file__).parents[3]
MEASURED = (
    "loop.refresh_seconds.50",
    "loop.memory_mib.50",
    "loop.update_one_ms",
    "loop.decide_one_ms",
    "loop.webhook_p99_ms",
    "loop.api_writes_per_minute.50",
)


@pytest.mark.slow
def test_a_quick_run_measures_every_row_or_says_why_not():
    command = [sys.executable, "bench/loop.py", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((ROOT / "bench" / "results" / "loop-quick.json").read_text())["rows"]
    values = {row["name"]: row["value"] for row in rows}
    assert all(values[name] > 0 for name in MEASURED), done.stdout
    refresh, restore = values["loop.refresh_seconds.50"], values["loop.restore_seconds.50"]
    assert values["loop.first_loop_seconds.50"] == pytest.approx(refresh + restore)
    assert all(row["why"] for row in rows if row["value"] is None)


def test_an_update_and_a_decision_are_told_apart_and_together():
    bench = bench_modules(main="loop").main
    rows = {row.name: row for row in bench.update_rows(20, 7)}
    update, decide, both = (rows[f"loop.{name}_one_ms"] for name in ("update", "decide", "update_and_decide"))
    assert 0 < update.value < both.value
    assert 0 < decide.value < both.value
    assert update.value < rows["loop.update_asking_again_one_ms"].value, "the model is asked once more"
    assert all(row.low <= row.value <= row.high and row.n == 20 for row in rows.values())

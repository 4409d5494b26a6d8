"""The operator is killed with SIGKILL at 20 seeded moments of a run, and started again each time.

After each restart no limit is lost (what is in the spec stays until a decision changes it, and the original
resources stay recorded), none is applied twice (every accepted write changed something), and none falls
because of the restart (nothing is lowered in the operator's first hour, whatever it has forgotten).
"""

import random
import threading
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from plimsoll.api.quantity import parse_quantity
from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.sandbox.run import RunSettings, SandboxRun, sandbox_run
from plimsoll_cli.sandbox.scenario import MIB, SAMPLE, WARMUP_BINS, load_scenario

pytestmark = pytest.mark.slow

KILLS = 20
SEED = 11
SETTLE_SECONDS = 3600.0
BINS = 480
# Live bin to how many times as much is used for a quarter of an hour; the second goes beyond the first.
LEAPS = {40: 12.0, 130: 40.0}


class Killer:
    """Kills the operator at seeded moments: some of its own loops after its start, somewhere within one.

    Its loops count, not the world's hours: one that is still starting has nothing to lose.
    """

    def __init__(self, run: SandboxRun) -> None:
        self.starts: list[float] = []  # world seconds
        self._run = run
        self._rng = random.Random(SEED)
        self._due_loops = self._rng.randint(18, 26)
        self._ooms = 0

    def on_frame(self, frame: dict) -> None:
        ooms = sum(row["ooms"] for row in frame["rows"])
        if (
            ooms > self._ooms
        ):  # these moments besides: one loop has answered the kill, the next may be cut off
            self._ooms, self._due_loops = ooms, min(self._due_loops, self._loops() + 2)
        if len(self.starts) == KILLS or self._loops() < self._due_loops:
            return
        threading.Event().wait(self._rng.uniform(0.0, 0.08))  # anywhere in the operator's work of this bin
        self._run.operator.kill()
        self.starts.append(httpx.get(f"{self._run.url}/clock").json()["now"])
        self._due_loops = self._loops() + self._rng.randint(2, 7)
        self._run.start_operator()

    def _loops(self) -> int:
        """Loops that all operators so far have ended."""
        return self._run.operator.log.read_text(errors="replace").count('"stages"')


def played(directory: Path) -> list[Path]:
    """Eleven recorded containers, and one that no forecast can save: it leaps to twelve times what it used.

    Recorded ones are killed so rarely that an operator which raises in time leaves a run without a kill.
    """
    source = SAMPLE / "google2011_job.parquet"
    drawn = load_scenario([source], seed=4, bins=BINS, pods=11).workloads
    recorded, made = directory / "recorded.parquet", directory / "made.parquet"
    kept = pc.is_in(pc.field("series_id"), pa.array([each.series_id for each in drawn]))
    pq.write_table(pq.read_table(source).filter(kept), recorded)
    usage_bytes = np.full(WARMUP_BINS + BINS, 40.0 * MIB)
    for live_bin, times in LEAPS.items():
        usage_bytes[WARMUP_BINS + live_bin : WARMUP_BINS + live_bin + 3] *= times
    columns = {
        "series_id": ["leaps"] * len(usage_bytes),
        "timestamp": BIN_SECONDS * np.arange(len(usage_bytes)),
        "memory_bytes": usage_bytes,
    }
    pq.write_table(pa.table(columns), made)
    return [recorded, made]


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[dict, list[float]]:
    traces = played(tmp_path_factory.mktemp("traces"))
    settings = RunSettings(traces, seed=4, hours=BINS / 12, pods=12, frame_seconds=0.0, frames_awaited=True)
    with sandbox_run(settings) as run:
        killer = Killer(run)
        outcome = run.outcome(killer.on_frame)
    return outcome, killer.starts


def test_it_was_killed_twenty_times_and_worked_in_between(killed):
    outcome, starts = killed
    assert (len(starts), outcome["operator_starts"]) == (KILLS, KILLS + 1)
    assert len(outcome["resizes"]) > 0


def test_no_limit_is_applied_twice(killed):
    outcome, _ = killed
    versions = [resize["version"] for resize in outcome["resizes"]]
    assert len(set(versions)) == len(versions)
    for before, after in pairwise(sorted(outcome["resizes"], key=lambda r: (r["pod"], r["version"]))):
        same = (before["pod"], before["limit"], before["request"])
        assert same != (after["pod"], after["limit"], after["request"])


def test_no_kill_is_answered_twice(killed):
    outcome, starts = killed
    kills = defaultdict(list)
    for each in outcome["events"]:
        if each["kind"] == "OOMKilled":
            kills[each["container"]].append(each["seconds"])
    # Within an hour of a kill the next operator reads of it in the pod's status as well.
    soon = any(0 < start - at < 3600.0 for times in kills.values() for at in times for start in starts)
    assert soon, f"no start soon after an OOM kill: kills {dict(kills)}, starts {starts}"
    for workload, times in kills.items():
        answers = [each for each in outcome["said"] if each["pod"].startswith(workload)]
        answered = sorted(each["seconds"] for each in answers if each["reason"] == "OomKilled")
        for before, after in pairwise(at for at in answered if at > times[0]):
            assert any(before < at <= after for at in times), f"{workload}: no kill between two answers"


def test_no_limit_is_lost(killed):
    outcome, _ = killed
    assert outcome["lost_originals"] == []
    last = {
        resize["pod"]: parse_quantity(resize["limit"]) for resize in outcome["resizes"] if resize["limit"]
    }
    for pod, limit in outcome["spec_limits"].items():
        assert limit == last.get(pod, limit)


def test_none_falls_because_of_the_restart(killed):
    outcome, starts = killed
    limits: dict[str, int] = dict(outcome["first_limits"])
    for resize in sorted(outcome["resizes"], key=lambda r: r["version"]):
        limit = parse_quantity(resize["limit"])
        lowered = limit < limits.get(resize["pod"], limit)
        limits[resize["pod"]] = limit
        if lowered:
            # At the very second of a kill it is the killed one that has written.
            assert not any(start < resize["seconds"] < start + SETTLE_SECONDS for start in starts)

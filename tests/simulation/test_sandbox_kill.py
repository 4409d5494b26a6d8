"""The operator is killed with SIGKILL at 20 seeded moments of a run, and started again each time.

After each restart no limit is lost (what is in the spec stays until a decision changes it, and the original
resources stay recorded), none is applied twice (every accepted write changed something), and none falls
because of the restart (nothing is lowered in the operator's first hour, whatever it has forgotten).
"""

import random
import threading
from itertools import pairwise

import httpx
import pytest

from plimsoll.api.quantity import parse_quantity
from plimsoll_cli.sandbox.run import RunSettings, SandboxRun, sandbox_run
from plimsoll_cli.sandbox.scenario import SAMPLE

pytestmark = pytest.mark.slow

KILLS = 20
SEED = 11
SETTLE_SECONDS = 3600.0


class Killer:
    """Kills the operator at seeded moments: some bins after it was last started, somewhere within the bin."""

    def __init__(self, run: SandboxRun) -> None:
        self.starts: list[float] = []  # world seconds
        self._run = run
        self._rng = random.Random(SEED)
        self._due_bins = self._rng.randint(13, 30)

    def on_frame(self, frame: dict) -> None:
        if len(self.starts) == KILLS or frame["bins"] < self._due_bins:
            return
        threading.Event().wait(self._rng.uniform(0.0, 0.08))  # anywhere in the operator's work of this bin
        self._run.operator.kill()
        self.starts.append(httpx.get(f"{self._run.url}/clock").json()["now"])
        self._run.start_operator()
        self._due_bins = frame["bins"] + self._rng.randint(3, 12)


@pytest.fixture(scope="module")
def killed() -> tuple[dict, list[float]]:
    settings = RunSettings([SAMPLE], seed=7, hours=32.0, pods=10, frame_seconds=0.0)
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

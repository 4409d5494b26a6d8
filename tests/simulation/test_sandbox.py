"""The whole sandbox: the world and the real operator as processes, on the shipped sample, for a few hours.

Nothing is mocked. Whatever the operator does is read from the API's audit and the kubelets' events.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.api.quantity import parse_quantity
from plimsoll_cli.sandbox.run import RunError, RunSettings, sandbox_run
from plimsoll_cli.sandbox.scenario import SAMPLE

pytestmark = pytest.mark.slow


def settings(**changed) -> RunSettings:
    return RunSettings(**{"traces": [SAMPLE], "seed": 7, "hours": 3.0, "pods": 12, **changed})


def play(run_settings: RunSettings) -> dict:
    pids = []
    with sandbox_run(run_settings) as run:
        outcome = run.outcome(lambda _: None)
        pids += [run.world.pid, run.operator.pid]
    assert not any(is_running(pid) for pid in pids)
    return outcome


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# The Lease is of real time, whatever time the world has: an operator that got no processor for ten seconds
# has lost it, and acts a loop later. Nobody else wants it here.
LEADS_ON = ("--lease-duration", "600")


@pytest.fixture(scope="module")
def outcome() -> dict:
    return play(settings(operator_flags=LEADS_ON))


def test_the_operator_resizes_what_the_policy_gives_it(outcome):
    assert len(outcome["resizes"]) > 0
    assert outcome["event_counts"]["Resized"] > 0
    assert outcome["stalled_bins"] == 0


def test_no_resize_is_written_twice(outcome):
    versions = [resize["version"] for resize in outcome["resizes"]]
    assert len(set(versions)) == len(versions)


def test_one_seed_plays_the_same_whatever_else_the_machine_does(outcome):
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        again = play(settings(operator_flags=LEADS_ON))
    finally:
        for each in busy:
            each.kill()
            each.wait()
    assert again["stalled_bins"] == 0
    assert again["arms"] == outcome["arms"]
    assert again["events"] == outcome["events"]
    assert asked(again) == asked(outcome)


def asked(outcome: dict) -> list[tuple]:
    """What was written to pods and when; within a loop the writes go side by side, in any order."""
    return sorted((r["seconds"], r["pod"], r["limit"], r["request"]) for r in outcome["resizes"])


def test_every_arm_lives_the_same_days(outcome):
    days = {arm["arm"]: arm["container_days"] for arm in outcome["arms"]}
    assert set(days) == {"plimsoll", "static", "vpa", "oracle"}
    assert len(set(days.values())) == 1


def test_the_outcome_names_seed_and_series(outcome):
    assert outcome["seed"] == 7
    assert len({series["id"] for series in outcome["series"]}) == 12


def test_requests_never_exceed_limits(outcome):
    for resize in outcome["resizes"]:
        if resize["request"] and resize["limit"]:
            assert parse_quantity(resize["request"]) <= parse_quantity(resize["limit"])


def test_the_api_may_fail_now_and_then():
    faults = (
        {"code": 500, "share": 0.05},
        {"code": 429, "share": 0.05, "retry_after_seconds": 0, "verbs": ["patch", "create", "update"]},
        {"code": 409, "share": 0.05, "verbs": ["patch", "update"]},
        {"drop": True, "share": 0.03, "verbs": ["patch", "get"]},
        {"code": 500, "share": 0.05, "verbs": ["patch"], "after_write": True},
    )
    outcome = play(settings(faults=faults, hours=4.0))
    assert sum(outcome["faults_injected"].values()) > 5
    assert len(outcome["resizes"]) > 0
    assert outcome["event_counts"]["Resized"] > 0


def test_an_operator_that_dies_is_told_with_its_log():
    broken = settings(operator_flags=("--usage-source", "no-such-source"))
    with pytest.raises(RunError, match="usage-source: Input should be"), sandbox_run(broken) as run:
        run.outcome(lambda _: None)


def test_a_world_that_cannot_begin_is_told_with_its_log(tmp_path: Path):
    with pytest.raises(RunError, match="no such file"), sandbox_run(settings(traces=[tmp_path / "none"])):
        pass

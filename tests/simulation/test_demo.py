"""What `make demo` claims, computed from the very run that it makes: `plimsoll sandbox` without any flag.

In: the shipped sample's unseen series, the real operator as a child process. Out: the outcome document. The
run is a minute of work for two cores, so it is made once.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll_cli.sandbox.command import DEFAULT_HOURS, DEFAULT_SEED
from plimsoll_cli.traces.sample import sample_facts

pytestmark = pytest.mark.slow

MOST_SECONDS = 300.0  # wall time on a machine that does other things; a quiet one takes less than a minute


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("demo") / "outcome.json"
    command = [str(Path(sys.executable).parent / "plimsoll"), "sandbox", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text("utf-8"))


@pytest.fixture(scope="module")
def arms(outcome) -> dict[str, dict]:
    return {arm["arm"]: arm for arm in outcome["arms"]}


def test_fewer_kills_than_vpa_at_no_more_slack(arms):
    ours, vpa = arms["plimsoll"], arms["vpa"]
    assert ours["ooms"] < vpa["ooms"] < arms["static"]["ooms"]
    assert ours["slack"] <= vpa["slack"]


def test_it_plays_all_series_that_nothing_was_trained_on(outcome):
    assert {series["id"] for series in outcome["series"]} == set(sample_facts()["unseen"])
    assert (outcome["seed"], outcome["bins"]) == (DEFAULT_SEED, DEFAULT_HOURS * 12)
    assert outcome["stalled_bins"] == 0


def test_no_persons_limit_is_lost(outcome):
    assert outcome["lost_originals"] == []

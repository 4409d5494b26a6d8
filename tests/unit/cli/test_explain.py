"""`plimsoll explain`: a profile's numbers as sentences, and a recorded series through the same pipeline."""

import json
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from builders.clusterworld import MIB, usage_mib
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.objective import oom_price_of
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.live import LiveRecommender
from plimsoll_cli.advice.explanation import Decided, Explanation, Kills, Promises, Usage, Wanted
from plimsoll_cli.traces.parquet import read_traces, source_warmup_bins
from plimsoll_cli.traces.sample import sample_directory

WEB = "demo/Deployment/web"
SERIES = "gcd-4974863111-d1"  # was killed once and moved since
SHORT = "nezha-adservice-5f6585d649-fnmft-1"  # quick to replay


@pytest.fixture
def web(told, world):
    (found,) = told("explain", WEB, at=world)["containers"]
    return found


def test_forecast_recommendation_and_decision_are_the_profiles(web):
    assert web["quantiles"][1] == {"level": 0.95, "value_bytes": 250 * MIB}
    assert web["wanted"] == {
        "target_bytes": 320 * MIB,
        "request_bytes": 260 * MIB,
        "lower_bytes": 300 * MIB,
        "upper_bytes": 400 * MIB,
        "buffer_bytes": 70 * MIB,
    }
    assert (web["decided"]["kind"], web["decided"]["reason"]) == ("raise", "OOMKilled")
    assert web["limit_bytes"] == 640 * MIB
    assert web["original"] == {"request_bytes": 400 * MIB, "limit_bytes": 512 * MIB}


def test_the_price_is_that_of_the_policy_that_speaks_for_it(web):
    assert web["oom_price"] == pytest.approx(oom_price_of("slack:0.2"))
    assert web["price_from"] == "limits.objective slack:0.2 of MemoryPolicy demo/everything"


def test_the_price_and_the_model_are_those_that_the_operator_used(plimsoll, told, own_world):
    path = "/apis/plimsoll.dev/v1alpha1/namespaces/demo/memoryprofiles/deployment-web"
    containers = own_world.get(path)["status"]["containers"]
    containers[0]["recommendation"]["oomPrice"] = 0.9
    containers[0]["forecast"]["standIn"] = "the first fit is not done; auto stands in"
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"status": {"containers": containers}}
    own_world.http.patch(f"{path}/status", json=body, headers=headers).raise_for_status()
    (found,) = told("explain", WEB, at=own_world)["containers"]
    assert found["oom_price"] == 0.9
    begins = f"{oom_price_of('slack:0.2'):.3g}"
    assert found["price_from"].endswith(
        f"slack:0.2 of MemoryPolicy demo/everything, which begins at {begins}"
    )
    shown = plimsoll("explain", WEB, at=own_world).stdout
    assert ": the first fit is not done; auto stands in)" in shown


def test_the_kept_history_tells_peaks_that_the_status_does_not(web):
    usage = usage_mib("web-6d4cf9b7f5-x7k2p") * MIB
    assert web["usage"]["peak_history_bytes"] == pytest.approx(usage.max(), rel=0.002)
    assert web["usage"]["history_hours"] >= 96


def test_changes_are_the_events_of_its_own_pods(web, world):
    (change,) = web["changes"]
    ago, _, said = change.partition(" ago, ")
    assert ago in world.ages(300)
    assert said.startswith("pod web-6d4cf9b7f5-x7k2p: Raised: limit of main 512.0 MiB")


AGE = re.compile(r"(?<=[ ,])\d+(s|m)(?= ago)")
"""By the clock of the machine, which may take its time between making the world and the answer."""


def test_sentences_have_the_numbers(plimsoll, world):
    shown = AGE.sub("AGE", plimsoll("explain", WEB, at=world).stdout)
    for words in (
        "demo/Deployment/web, container main: limit 640.0Mi in force, mode InPlace by MemoryPolicy",
        "200.0Mi now (usage), AGE ago",
        "class:          growth",
        "leak:           it grows by 20.0Mi an hour, told since 2h, reaches its limit in 2",
        "stays below 210.0Mi with 50 %, 250.0Mi with 95 %, 270.0Mi with 99 %, 300.0Mi with 99.9 %",
        "promised 0.1 %, realised 0.08 % of 280 hours above the limit; the buffer is 3 % thicker for it",
        "a buffer of 70.0Mi above the raw forecast's 95 % quantile",
        "between 300.0Mi and 400.0Mi a change gains too little",
        "present use + 2% = 204.0Mi",
        "OOM-killed 2 times at 512.0Mi, last AGE ago, then raised to 640.0Mi",
        "raise (OOMKilled), AGE ago: limit 512.0Mi -> 640.0Mi",
        "request 400.0Mi, limit 512.0Mi before Plimsoll; plimsoll restore puts them back",
    ):
        assert words in shown
    # Events are quoted as the operator wrote them.
    assert "change:         AGE ago, pod web-6d4cf9b7f5-x7k2p: Raised: limit of main 512.0Mi" in shown
    assert not re.search("[KMGT]iB", shown)


def test_amounts_have_the_units_of_manifests_whoever_said_them(world, told):
    (container,) = told("explain", WEB, at=world)["containers"]
    sentences = "\n".join(container["sentences"])
    assert "Raised: limit of main 512.0Mi" in sentences
    assert "MiB" in container["changes"][0]  # a program gets what was written
    text = "1.25 GiB is wanted, 1280Mi is allowed; 3 MiBs and 12 GiBPS are no amounts"
    decided = Decided("hold", "Capped", text)
    known = Explanation(
        "w", "app", None, None, None, None, Usage(), "", (), Wanted(), None, "", Kills(), decided, None
    )
    (*_, line) = known.sentences()
    assert line.endswith("1.25Gi is wanted, 1280Mi is allowed; 3 MiBs and 12 GiBPS are no amounts")


def test_a_profile_that_knows_little_says_only_that(plimsoll, world):
    shown = plimsoll("explain", "shop/deploy/web", at=world).stdout
    assert "recommendation: none: not enough history yet" in shown
    assert "hold (NoHistory), 2h ago: not enough history to say anything yet" in shown
    assert "condition:      Conflict is True: two policies speak for it equally" in shown
    assert "forecast:" not in shown


def test_every_profile_of_a_daemonset_is_explained(told, world):
    assert len(told("explain", "log", at=world)["containers"]) == 2


def test_a_restore_is_shown(plimsoll, own_world):
    plimsoll("restore", WEB, at=own_world)
    assert "before Plimsoll; being restored" in plimsoll("explain", WEB, at=own_world).stdout


def test_policy_and_events_that_may_not_be_read_are_left_out(told, own_world):
    own_world.forbid("memorypolicies")
    own_world.forbid("events")
    (found,) = told("explain", WEB, at=own_world)["containers"]
    assert (found["oom_price"], found["changes"]) == (None, [])
    assert found["wanted"]["target_bytes"] == 320 * MIB


def test_a_checkpoint_that_is_no_history_is_left_out(told, own_world):
    path = "/apis/plimsoll.dev/v1alpha1/namespaces/demo/memoryprofiles/deployment-web"
    containers = own_world.get(path)["status"]["containers"]
    containers[0]["checkpoint"] = "bm90aGluZw=="
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"status": {"containers": containers}}
    own_world.http.patch(f"{path}/status", json=body, headers=headers).raise_for_status()
    (found,) = told("explain", WEB, at=own_world)["containers"]
    assert found["usage"]["peak_history_bytes"] is None


def test_an_empty_profile_is_said(plimsoll, world):
    result = plimsoll("explain", "cart", at=world)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the MemoryProfile of shop/StatefulSet/cart is still empty" in result.stderr


def test_an_unknown_workload_names_what_comes_near(plimsoll, world):
    result = plimsoll("explain", "demo/Deployment/webb", at=world)
    assert (result.exit_code, "did you mean demo/Deployment/web" in result.stderr) == (1, True)


# -- a recorded series --


def sample_series(name):
    for batch in read_traces([sample_directory()]):
        if name in batch.series_ids:
            return batch.take([batch.series_ids.index(name)])
    raise AssertionError(name)


def test_a_series_ends_as_its_replay_ends(told):
    (found,) = told("explain", SERIES, "--traces", "sample")["containers"]
    batch = sample_series(SERIES)
    replay = replay_limits(
        batch, LiveRecommender(PipelineSettings()), ReplaySettings(source_warmup_bins(batch))
    )
    limits = replay.limit_bytes[0]
    assert found["limit_bytes"] == pytest.approx(limits[-1], abs=1)
    assert found["kills"]["count"] == int((batch.usage_bytes[0] > limits).sum())
    known = limits[np.isfinite(limits)]
    changes = int((known[1:] != known[:-1]).sum())
    assert len(found["changes"]) == min(changes, 5) > 0
    assert all(" -> " in change for change in found["changes"])


def test_an_explanation_agrees_with_the_recommendation(told):
    (found,) = told("explain", SHORT, "--traces", "sample")["containers"]
    rows = {row["name"]: row for row in told("recommend", "--traces", "sample")}
    # The replay's kills are remembered and may hold the floor up; without one both say the same.
    assert found["wanted"]["target_bytes"] >= rows[SHORT]["recommended_limit_bytes"]
    assert found["usage"]["current_bytes"] == rows[SHORT]["usage_bytes"]


def test_a_series_in_which_nothing_was_seen_has_no_limit_in_force(plimsoll, tmp_path):
    columns = {"series_id": ["app"] * 576, "timestamp": [300 * bin_ for bin_ in range(576)]}
    path = tmp_path / "nan.parquet"
    pq.write_table(pa.table(columns | {"memory_bytes": [math.nan] * 576}), path)
    result = plimsoll("explain", "app", "--traces", path)
    assert result.exit_code == 0
    assert "in force" not in result.stdout


def test_an_objective_moves_the_price(told):
    prices = [
        told("explain", SHORT, "--traces", "sample", "--objective", each)["containers"][0]["oom_price"]
        for each in ("slack:0.1", "oom:1")
    ]
    assert prices[0] < prices[1]


def test_yaml_says_the_same_as_json(plimsoll):
    shown = [plimsoll("explain", SHORT, "--traces", "sample", "-o", each).stdout for each in ("json", "yaml")]
    assert json.loads(shown[0]) == yaml.safe_load(shown[1])


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["gcd-4974863111-dx", "--traces", "sample"], 1, "did you mean gcd-4974863111-d"),
        (["x", "--traces", "sample"], 1, "no series 'x'"),
        (["x", "--traces", "sample", "-n", "demo"], 2, "leave --namespace away"),
        ([SHORT, "--traces", "sample", "--objective", "cheap"], 2, "objective 'cheap'"),
        ([SHORT, "--traces", "sample", "-o", "csv"], 2, "use -o json or -o yaml"),
        (["web", "--objective", "slack:0.2"], 2, "--objective goes with --traces"),
    ],
)
def test_wrong_input_is_one_sentence(plimsoll, arguments, status, sentence):
    result = plimsoll("explain", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert sentence in result.stderr


def test_a_recording_that_is_not_there_is_named(plimsoll):
    result = plimsoll("explain", SHORT, "--traces", "none.parquet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: none.parquet: no such file or directory\n"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Usage(), None),
        (
            Usage(basis="needed", basis_reason="its agent tells", needed_bytes=200 * MIB),
            "the limit is made for what is needed (200.0Mi needed now): its agent tells",
        ),
        (
            Usage(basis="usage", basis_reason="no agent tells"),
            "the limit is made for all that is used: no agent tells",
        ),
    ],
)
def test_what_the_limit_is_made_for_is_said_with_its_reason(seen, said):
    none = Explanation(
        "w", "app", None, None, None, None, seen, "", (), Wanted(), None, "", Kills(), None, None
    )
    lines = [line.split(":", 1)[1].strip() for line in none.sentences() if line.strip().startswith("basis:")]
    assert lines == ([said] if said else [])
    assert none.document()["usage"]["basis"] == seen.basis


@pytest.mark.parametrize(
    ("promised", "said"),
    [
        (1e-4, "promised less than 0.01 %, realised 0.07 %"),
        (0.0, "promised less than 0.01 %, realised 0.07 %"),
        (1.4e-4, "promised 0.014 %, realised 0.07 %"),
    ],
)
def test_a_promise_at_the_end_of_the_scale_is_no_figure(promised, said):
    kept = Promises(280.0, promised, 7e-4, 0.03)
    told = Explanation(
        *("w", "app", None, None, None, None, Usage(), "", (), Wanted(), None, "", Kills(), None, None),
        promises=kept,
    )
    assert any(said in line for line in told.sentences())
    assert told.document()["promises"]["promised_fraction"] == promised  # programs get what was summed

"""`plimsoll recommend` over a cluster, Prometheus and traces: the operator's own pipeline, and every way in
which a source can fail."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest
import yaml

from builders.answering import Answer, answering, as_json
from builders.clusterworld import MIB, usage_mib
from builders.series import mixed_batch, truncated
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.series import batch_of
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity
from plimsoll_cli.advice.judge import Severity, advise
from plimsoll_cli.advice.prometheus import workload_of_name
from plimsoll_cli.advice.traces import NOW_SECONDS, subjects_in_traces
from plimsoll_cli.traces.parquet import read_traces
from plimsoll_cli.traces.sample import sample_directory

LEARNED = {
    ("demo", "Deployment", "web", "main"),
    ("demo", "StatefulSet", "db", "db"),
    ("demo", "DaemonSet", "log", "log"),
    ("demo", "Pod", "alone", "app"),
    ("demo", "CronJob", "report", "job"),
    ("demo", "Gadget", "gadget", "app"),
    ("shop", "Deployment", "web", "main"),
}


def key(row):
    return row["namespace"], row["kind"], row["name"], row["container"]


def by_key(rows):
    return {(*key(row), row["node_class"]): row for row in rows}


def numbers(rows):
    return [value for row in rows for value in row.values() if isinstance(value, float)]


# -- a cluster --


def test_every_kind_of_owner_is_one_row_per_container(told, world):
    rows = told("recommend", "--prometheus", world.prometheus_url, at=world)
    assert {key(row) for row in rows} == LEARNED
    found = by_key(rows)
    assert found["demo", "Deployment", "web", "main", None]["pods"] == 2
    assert {row["node_class"] for row in rows if row["kind"] == "DaemonSet"} == {"small", "large"}


def test_current_values_recommended_values_and_their_difference(told, world):
    row = by_key(told("recommend", "--prometheus", world.prometheus_url, at=world))[
        "demo", "Deployment", "web", "main", None
    ]
    assert (row["request_bytes"], row["limit_bytes"]) == (400 * MIB, 512 * MIB)
    assert row["difference_bytes"] == row["recommended_limit_bytes"] - 512 * MIB
    assert row["slack_saved_bytes"] == -2 * row["difference_bytes"] > 0
    assert row["recommended_request_bytes"] <= row["recommended_limit_bytes"]
    assert row["severity"] == "excess"


def test_recommends_what_the_operators_pipeline_says_of_the_same_samples(told, world):
    row = by_key(told("recommend", "--prometheus", world.prometheus_url, at=world))[
        "demo", "StatefulSet", "db", "db", None
    ]
    history = History(Quantity.WORKING_SET, 1)
    rows = history.add_rows(1)
    usage = usage_mib("db-0") * MIB
    last_bin = world.now_seconds // BIN_SECONDS - 1
    seconds = (last_bin - np.arange(len(usage))[::-1]) * BIN_SECONDS + BIN_SECONDS / 2
    history.append(np.repeat(rows, len(usage)), seconds, usage, world.now_seconds)
    made = LimitPipeline(history, PipelineSettings()).decide(rows, world.now_seconds)
    # The backfill has the newest day in bins and older ones in hours: equal but for the oldest of either. The
    # world's time is the clock's, so how much that is depends on the minute.
    for name in ("lower", "upper"):
        assert row[f"{name}_bytes"] == pytest.approx(getattr(made, f"{name}_bytes")[0], rel=0.03)
    assert row["recommended_limit_bytes"] == pytest.approx(made.target_bytes[0], rel=0.03)


@pytest.mark.parametrize(
    ("workload", "severity"),
    [
        (("demo", "StatefulSet", "db"), "critical"),
        (("demo", "Pod", "alone"), "warning"),
        (("demo", "CronJob", "report"), "excess"),
    ],
)
def test_severity_says_what_deserves_the_eye(told, world, workload, severity):
    rows = told("recommend", "--prometheus", world.prometheus_url, at=world)
    (row,) = (row for row in rows if key(row)[:3] == workload)
    assert row["severity"] == severity
    assert row["why"]


def test_the_most_severe_stands_first_and_the_last_line_sums_up(plimsoll, world):
    result = plimsoll("recommend", "--prometheus", world.prometheus_url, at=world)
    lines = [line.split() for line in result.stdout.splitlines() if line.strip().startswith(("demo", "shop"))]
    order = [each.value for each in Severity if each is not Severity.UNSET]  # also what a limit column says
    severities = [next(word for word in line if word in order) for line in lines]
    assert severities == sorted(severities, key=order.index)
    assert severities[0] == Severity.CRITICAL
    assert result.stdout.splitlines()[-1].startswith("8 containers: 1 critical, ")
    assert re.search(r"Limits of \d+ of them: \S+i -> \S+i, \S+i of slack saved\.", result.stdout)


def test_one_sample_is_too_short_a_history_and_is_called_so(told, bare_world):
    rows = by_key(told("recommend", at=bare_world))
    row = rows["demo", "Deployment", "web", "main", None]
    assert row["severity"] == "unknown"
    assert row["why"].startswith("not enough data: 1 h of history")
    assert row["recommended_limit_bytes"] is None
    largest = max(usage_mib(pod)[-1] for pod in ("web-6d4cf9b7f5-x7k2p", "web-6d4cf9b7f5-q9v4m"))
    assert row["usage_bytes"] == pytest.approx(largest * MIB, rel=1e-4)


def test_one_sample_is_enough_to_see_a_limit_that_is_nearly_reached(told, bare_world):
    row = by_key(told("recommend", at=bare_world))["demo", "StatefulSet", "db", "db", None]
    assert row["severity"] == "critical"
    assert row["recommended_limit_bytes"] > row["limit_bytes"] == 720 * MIB


def test_says_where_more_history_comes_from(plimsoll, bare_world):
    assert "--prometheus URL" in plimsoll("recommend", at=bare_world).stderr


def test_the_history_that_an_operator_keeps_is_used(told, world):
    row = by_key(told("recommend", at=world))["demo", "Deployment", "web", "main", None]
    assert row["history_hours"] >= 96
    assert row["recommended_limit_bytes"] is not None


def test_no_number_is_ever_nan(told, world, plimsoll):
    assert all(math.isfinite(value) for value in numbers(told("recommend", at=world)))
    assert "nan" not in plimsoll("recommend", at=world).stdout.lower()


@pytest.mark.parametrize(
    ("flags", "count"),
    [(("-n", "shop"), 1), (("-l", "app=web"), 2), (("-n", "demo", "-l", "app=db"), 1), (("-A",), 8)],
)
def test_filters(told, world, flags, count):
    assert len(told("recommend", *flags, at=world)) == count


def test_flags_name_kubeconfig_and_context(plimsoll, world):
    result = plimsoll("recommend", "--kubeconfig", world.kubeconfig, "--context", "sandbox", "-n", "shop")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("yaml", yaml.safe_load),
        ("csv", lambda text: list(csv.DictReader(io.StringIO(text)))),
        ("json", json.loads),
    ],
)
def test_programs_can_read_every_format(plimsoll, world, output, read):
    rows = read(plimsoll("recommend", "-n", "shop", "-o", output, at=world).stdout)
    assert [row["name"] for row in rows] == ["web"]


# -- Prometheus alone --


def test_without_a_kubeconfig_prometheus_tells_who_runs(plimsoll, world):
    result = plimsoll("recommend", "--prometheus", world.prometheus_url, "-o", "json")
    assert result.exit_code == 0, result.stderr
    assert "taken from Prometheus alone" in result.stderr
    rows = {key(row): row for row in json.loads(result.stdout)}
    row = rows["demo", "Deployment", "web", "main"]
    assert (row["pods"], row["limit_bytes"]) == (2, 512 * MIB)
    assert row["recommended_limit_bytes"] is not None
    assert ("demo", "StatefulSet", "db", "db") in rows


@pytest.mark.parametrize(
    ("pod", "kind", "name"),
    [
        ("web-6d4cf9b7f5-x7k2p", "Deployment", "web"),
        ("my-web-app-6d4cf9b7f5-x7k2p", "Deployment", "my-web-app"),
        ("db-12", "StatefulSet", "db"),
        ("fluent-bit-x7k2p", "DaemonSet", "fluent-bit"),
        ("alone", "Pod", "alone"),
    ],
)
def test_a_pods_name_tells_its_workload(pod, kind, name):
    found = workload_of_name("demo", pod)
    assert (found.kind, found.name) == (kind, name)


def test_owners_come_from_kube_state_metrics_where_it_is_scraped(plimsoll):
    def series(**labels):
        return {"metric": labels, "value": [0, "1048576"]}

    def answer(asked):
        query = asked.query["query"]
        found = []
        if "kube_pod_owner" in query:
            found = [series(namespace="demo", pod="x", owner_kind="ReplicaSet", owner_name="y")]
        elif "kube_replicaset_owner" in query:
            found = [series(namespace="demo", replicaset="y", owner_kind="Rollout", owner_name="z")]
        elif asked.path.endswith("/query") and "working_set" in query:
            found = [series(namespace="demo", pod="x", container="app")]
        return as_json({"status": "success", "data": {"result": found}})

    with answering(answer) as server:
        result = plimsoll("recommend", "--prometheus", server.url, "-o", "json")
    (row,) = json.loads(result.stdout)
    assert key(row) == ("demo", "Rollout", "z", "app")
    assert row["why"] == "not enough data: Prometheus knows no sample of it"


# -- traces --


def test_the_sample_that_ships_has_a_row_for_every_series(told):
    rows = told("recommend", "--traces", "sample")
    recorded = [name for batch in read_traces([sample_directory()]) for name in batch.series_ids]
    assert [row["name"] for row in rows] == recorded
    assert {row["severity"] for row in rows} == {"unset"}
    assert all(row["recommended_limit_bytes"] > 0 for row in rows)


def test_a_trace_is_judged_by_the_pipeline_that_replays_it():
    batch = mixed_batch()
    whole = batch.take([i for i in range(len(batch)) if batch.length_bins[i] == batch.bins])
    whole = truncated(whole, whole.bins // 12 * 12)
    live = LiveRecommender(PipelineSettings())
    live.start(BatchFacts(len(whole), 36, 12, 1))
    nothing = np.full(len(whole), np.nan)
    for number in range(whole.bins):
        live.observe(ObservedBin(number, whole.usage_bytes[:, number], nothing, np.zeros(len(whole), bool)))
    plan = live.decide(whole.bins, nothing)
    advice = advise(list(subjects_in_traces([whole])), PipelineSettings(), NOW_SECONDS)
    ready = [each for each in advice if each.limit_bytes is not None]
    assert ready
    for each in ready:
        place = whole.series_ids.index(each.subject.key.workload.name)
        assert each.limit_bytes == math.ceil(plan.limit_bytes[place] / MIB) * MIB


def test_a_short_series_has_not_enough_data():
    batch = batch_of("s", {"short": np.full(20, 64.0 * MIB)})
    (advice,) = advise(list(subjects_in_traces([batch])), PipelineSettings(), NOW_SECONDS)
    assert advice.limit_bytes is None
    assert advice.why.startswith("not enough data: 2 h of history")


def test_a_dearer_kill_asks_for_more_memory(told):
    cheap, dear = (
        told("recommend", "--traces", "sample", "--objective", each) for each in ("slack:0.1", "oom:1")
    )
    total = [sum(row["recommended_limit_bytes"] for row in rows) for rows in (cheap, dear)]
    assert total[0] < total[1]


def test_an_operating_point_that_no_price_is_known_for_is_noted(plimsoll):
    noted = plimsoll("recommend", "--traces", "sample", "--objective", "oom:1").stderr
    assert "that of oom:3.83 stands for it" in noted


# -- what can go wrong --


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--objective", "cheap"], 2, "objective 'cheap'"),
        (["--history", "2"], 2, "--history: '2' is not a duration"),
        (["--history", "60d"], 2, "--history 60d: must lie between 6h and 28d"),
        (["--traces", "none.parquet"], 2, "none.parquet: no such file"),
        (["--traces", "sample", "--context", "x"], 2, "leave --context away"),
        (["--traces", "sample", "-n", "a", "-l", "b=c"], 2, "leave --namespace and --selector away"),
        (["--traces", "sample", "--history", "14d"], 2, "leave --history away"),
        (
            ["--traces", "sample", "-A", "--quantity", "usage"],
            2,
            "leave --all-namespaces and --quantity away",
        ),
        (["-n", "a", "-A"], 2, "exclude each other"),
        (["--prometheus", "localhost:9090"], 2, "begins with http://"),
        ([], 2, "no kubeconfig"),
        (["--prometheus", "http://127.0.0.1:1"], 2, "cannot reach Prometheus at http://127.0.0.1:1"),
        (["--prometheus", "http://127.0.0.1:1", "-l", "a=b"], 2, "no kubeconfig"),
    ],
)
def test_wrong_or_missing_input_is_one_sentence(plimsoll, arguments, status, sentence):
    result = plimsoll("recommend", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unreachable_server_is_named(plimsoll, tmp_path, world):
    away = tmp_path / "away"
    away.write_text(world.kubeconfig.read_text().replace(world.fake.url, "http://127.0.0.1:1"))
    result = plimsoll("recommend", "--kubeconfig", away)
    assert result.exit_code == 2
    assert "cannot reach the API server at http://127.0.0.1:1" in result.stderr


@pytest.mark.parametrize("text", ["{", "clusters: 3", "current-context: gone"])
def test_a_broken_kubeconfig_is_named(plimsoll, tmp_path, text):
    broken = tmp_path / "broken"
    broken.write_text(text)
    result = plimsoll("recommend", "--kubeconfig", broken)
    assert result.exit_code == 2
    assert f"kubeconfig {broken}" in result.stderr


def test_an_unknown_context_is_named(plimsoll, world):
    result = plimsoll("recommend", "--context", "production", at=world)
    assert result.exit_code == 2
    assert "production" in result.stderr


def test_what_may_not_be_read_is_said(plimsoll, own_world):
    own_world.forbid("pods")
    result = plimsoll("recommend", at=own_world)
    assert result.exit_code == 2
    assert "not allowed (403)" in result.stderr


def test_a_cluster_without_a_metrics_api_is_told_apart(plimsoll, own_world):
    own_world.fake.call(own_world.fake.api.computed.pop, ("metrics.k8s.io", "pods"))
    own_world.fake.call(own_world.fake.api.routes.__setitem__, *_unavailable())
    result = plimsoll("recommend", at=own_world)
    assert result.exit_code == 2
    assert "is metrics-server installed?" in result.stderr


def _unavailable():
    async def handle(_request):
        import aiohttp.web

        return aiohttp.web.json_response({"kind": "Status", "code": 503}, status=503)

    return "/apis/metrics.k8s.io/v1beta1/pods", handle


def test_no_pods_is_said(plimsoll, world):
    result = plimsoll("recommend", "-n", "plimsoll-system", at=world)
    assert result.exit_code == 1
    assert "no pod runs in namespace plimsoll-system" in result.stderr


def test_prometheus_down_is_said_before_any_row(plimsoll, world):
    result = plimsoll("recommend", "--prometheus", "http://127.0.0.1:1", at=world)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot reach Prometheus at http://127.0.0.1:1" in result.stderr


def test_half_of_prometheus_recommends_for_that_half_and_says_so(plimsoll, own_world):
    own_world.unanswered = 'namespace="shop"'
    result = plimsoll("recommend", "--prometheus", own_world.prometheus_url, "-o", "json", at=own_world)
    assert result.exit_code == 2
    rows = by_key(json.loads(result.stdout))
    lost = rows["shop", "Deployment", "web", "main", None]
    assert lost["recommended_limit_bytes"] is None
    assert "query timed out" in lost["why"]
    assert rows["demo", "Deployment", "web", "main", None]["recommended_limit_bytes"] is not None
    assert "did not answer for shop/Deployment/web" in result.stderr


def test_a_partial_answer_recommends_nothing(plimsoll, own_world):
    own_world.partial = True
    result = plimsoll("recommend", "--prometheus", own_world.prometheus_url, "-o", "json", at=own_world)
    assert result.exit_code == 2
    assert {row["recommended_limit_bytes"] for row in json.loads(result.stdout)} == {None}
    assert "answered in part: a store is down" in result.stderr


def test_prometheus_that_is_no_prometheus_is_said(plimsoll):
    with answering(lambda _: Answer(b"<html>", 200)) as server:
        result = plimsoll("recommend", "--prometheus", server.url)
    assert result.exit_code == 2
    assert "no JSON" in result.stderr

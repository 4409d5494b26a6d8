"""The past of a workload out of a real HTTP server that answers as Prometheus does."""

import re

import httpx
import numpy as np
import pytest

from builders.answering import Answer, Asked, answering, as_json
from plimsoll.usage.sample import Quantity
from plimsoll.workload import WorkloadRef
from plimsoll_operator.observe.backfill import PastRequest, past_of, pod_selector
from plimsoll_operator.observe.prometheus import PrometheusApi
from plimsoll_operator.observe.source import SourceError

NOW = 1_790_000_100.0
DAY = 86_400.0
WEB = WorkloadRef("shop", "Deployment", "web")


def request(workload=WEB, node_class="", pods=("web-5d9-abcde",)):
    return PastRequest(workload, node_class, pods, Quantity.WORKING_SET)


def matrix(*series, **more):
    result = [{"metric": {"container": name}, "values": values} for name, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}} | more


def every_point(asked: Asked, value: float):
    start, end, step = (float(asked.query[name]) for name in ("start", "end", "step"))
    return [[at, str(value)] for at in np.arange(start, end + 1, step)]


def prometheus(asked: Asked) -> Answer:
    """7 in every hour, 5 in every bin; one kill two hours ago under a limit of 1000."""
    query, step = asked.query["query"], int(asked.query["step"])
    points = every_point(asked, 7 if step == 3600 else 5)
    if "restarts_total" in query:
        return as_json(matrix(("app", [[points[-2][0], "1"]])))
    if "resource_limits" in query:
        return as_json(matrix(("app", every_point(asked, 1000))))
    return as_json(matrix(("app", points)))


def past(answer, oldest=NOW - 28 * DAY, **of):
    with answering(answer) as server:
        api = PrometheusApi(server.url, 5.0)
        try:
            return past_of(api, request(**of), oldest, NOW), server.asked
        finally:
            api.close()


def test_brings_hours_of_weeks_and_bins_of_the_last_day():
    pasts, _ = past(prometheus)
    app = pasts["app"]
    hours, bins = app.bytes_ == 7, app.bytes_ == 5
    assert 28 * 24 - 2 <= hours.sum() <= 28 * 24
    assert 287 <= bins.sum() <= 288
    assert (app.seconds <= NOW).all()
    assert (app.seconds >= NOW - 28 * DAY).all()


def test_each_point_is_put_into_the_middle_of_the_bin_it_speaks_of():
    pasts, _ = past(prometheus)
    bins = pasts["app"].seconds[pasts["app"].bytes_ == 5]
    assert set(bins % 300) == {150.0}
    assert bins[-1] == NOW // 300 * 300 - 150


def test_brings_oom_kills_with_the_limit_then_in_force():
    pasts, _ = past(prometheus)
    assert len(pasts["app"].oom_seconds) == 1
    assert pasts["app"].oom_limit_bytes.tolist() == [1000.0]


def test_asks_for_no_more_than_prometheus_gives_at_once():
    _, asked = past(prometheus)
    for each in asked:
        span = float(each.query["end"]) - float(each.query["start"])
        assert span / float(each.query["step"]) < 11_000


def test_a_workload_nobody_knew_has_no_past_and_no_error():
    pasts, asked = past(lambda _: as_json(matrix()))
    assert pasts == {}
    assert not any("resource_limits" in each.query["query"] for each in asked)


@pytest.mark.parametrize("failing", ["[3600s]", "[300s]", "restarts_total", "resource_limits"])
def test_any_part_that_fails_fails_the_whole(failing):
    def answer(asked: Asked) -> Answer:
        return Answer(b"boom", 500) if failing in asked.query["query"] else prometheus(asked)

    with pytest.raises(SourceError, match="HTTP 500"):
        past(answer)


def test_a_partial_answer_fails_the_whole():
    with pytest.raises(SourceError, match="in part: store away"):
        past(lambda _: as_json(matrix(warnings=["store away"])))


def test_a_server_that_is_away_raises_what_the_caller_expects():
    with answering(prometheus) as server:
        url = server.url
    api = PrometheusApi(url, 1.0)
    with pytest.raises(httpx.HTTPError):
        past_of(api, request(), NOW - DAY, NOW)
    api.close()


@pytest.mark.parametrize(
    ("kind", "name", "pod", "is_ours"),
    [
        ("Deployment", "web", "web-5d9c8b7f6-x2x4z", True),
        ("Deployment", "web", "web-api-5d9c8b7f6-x2x4z", False),
        ("Deployment", "web", "web-5d9c8b7f6-x2x4zq", False),
        ("StatefulSet", "db", "db-12", True),
        ("StatefulSet", "db", "db-main-0", False),
        ("DaemonSet", "log", "log-x2x4z", True),
        ("Job", "load", "load-x2x4z", True),
        ("Job", "load", "load-3-x2x4z", True),
        ("CronJob", "nightly", "nightly-29383920-x2x4z", True),
        ("CronJob", "nightly", "nightly-29383920-0-x2x4z", True),
        ("CronJob", "nightly", "nightlyb-29383920-x2x4z", False),
        ("ReplicaSet", "rs", "rs-x2x4z", True),
        ("Deployment", "my.web", "my.web-5d9-x2x4z", True),
        ("Deployment", "my.web", "myxweb-5d9-x2x4z", False),
    ],
)
def test_pods_of_the_past_are_found_by_their_controllers_pattern(kind, name, pod, is_ours):
    selector = pod_selector(request(WorkloadRef("shop", kind, name)))
    pattern = re.search(r'pod=~"(.*)"', selector)[1]
    assert bool(re.fullmatch(pattern, pod)) is is_ours
    assert "\\" not in pattern


def test_other_kinds_and_node_classes_are_asked_by_their_live_pods():
    rollout = request(WorkloadRef("shop", "Rollout", "web"), pods=("web-a", "web-b.c"))
    assert 'pod=~"web-a|web-b[.]c"' in pod_selector(rollout)
    daemon = request(WorkloadRef("shop", "DaemonSet", "log"), node_class="big", pods=("log-x2x4z",))
    assert 'pod=~"log-x2x4z"' in pod_selector(daemon)

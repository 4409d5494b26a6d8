"""Live samples and the query API of Prometheus against a real HTTP server."""

import threading

import numpy as np
import pytest

from builders.answering import Answer, Asked, answering, as_json
from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.prometheus import PrometheusApi, PrometheusSource
from plimsoll_operator.observe.source import SourceError

NOW = 1_790_000_000.0
WORKING_SET = frozenset({Quantity.WORKING_SET})


def vector(*series, **more):
    result = [
        {"metric": {"namespace": ns, "pod": pod, "container": name}, "value": [NOW, value]}
        for ns, pod, name, value in series
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": result}} | more


def fetch(answer, wanted=WORKING_SET, timeout=5.0, **api):
    with answering(answer) as server:
        source = PrometheusSource(PrometheusApi(server.url + "/", timeout, **api), 60.0)
        try:
            return source.fetch(NOW, wanted), server.asked
        finally:
            source.close()


def test_asks_once_a_quantity_for_the_maximum_of_the_last_interval_and_for_its_cache():
    def answer(asked: Asked) -> Answer:
        value = "5" if "usage_bytes" in asked.query["query"] else "3"
        return as_json(vector(("shop", "a-1", "app", value)))

    fetched, asked = fetch(answer, frozenset(Quantity))
    queries = [each.query["query"] for each in asked]
    assert ["_file_bytes" in query for query in queries] == [False, True, False, True, False]
    assert "throttled_periods" in queries[-1]
    assert "max_over_time" in asked[0].query["query"]
    assert asked[0].query["time"] == f"{NOW:.3f}"
    assert np.nanmax(fetched.batch.usage_bytes) == 5
    assert np.nanmax(fetched.batch.working_set_bytes) == 3


def test_who_is_throttled_is_told_with_the_sample_and_silence_is_no():
    def answer(asked: Asked) -> Answer:
        query = asked.query["query"]
        if "throttled" in query:
            assert query.endswith("> 0.25")
            return as_json(vector(("shop", "b-1", "app", "0.6"), ("shop", "gone", "app", "0.9")))
        return as_json(vector(("shop", "a-1", "app", "9"), ("shop", "b-1", "app", "8")))

    fetched, _ = fetch(answer)
    assert fetched.batch.throttled.tolist() == [False, True]

    def refuses(asked: Asked) -> Answer:
        if "throttled" in asked.query["query"]:
            return as_json({"status": "error", "error": "too many samples"})
        return answer(asked)

    fetched, _ = fetch(refuses)
    assert (fetched.problems, fetched.notices) == (
        (),
        ("Prometheus, CPU throttling: HTTP 200: too many samples",),
    )
    assert fetched.batch.throttled.tolist() == [False, False]


def test_file_cache_comes_with_the_sample_and_its_absence_is_no_problem():
    def answer(asked: Asked) -> Answer:
        if "active_file_bytes" not in asked.query["query"]:
            return as_json(vector(("shop", "a-1", "app", "9"), ("shop", "b-1", "app", "8")))
        assert "min_over_time" in asked.query["query"]
        assert "inactive" not in asked.query["query"]  # a working set holds none of these
        return as_json(vector(("shop", "a-1", "app", "4")))

    fetched, _ = fetch(answer)
    assert fetched.batch.names == (("shop", "a-1", "app"), ("shop", "b-1", "app"))
    np.testing.assert_array_equal(fetched.batch.cache_bytes, [4.0, np.nan])

    def refuses(asked: Asked) -> Answer:
        return (
            answer(asked)
            if "working_set" in asked.query["query"]
            else as_json({"status": "error", "error": "no"})
        )

    fetched, _ = fetch(refuses)
    assert not fetched.problems
    assert "file cache" in fetched.notices[0]
    assert np.isnan(fetched.batch.cache_bytes).all()


def test_a_series_without_a_pod_or_a_value_is_passed_over():
    document = vector(("shop", "a-1", "app", "3"), ("", "a-1", "app", "4"), ("shop", "b-1", "app", "NaN"))
    document["data"]["result"] += [
        7,
        {"metric": None},
        {"metric": {"namespace": "x", "pod": "y", "container": "z"}, "value": []},
    ]
    fetched, _ = fetch(lambda _: as_json(document))
    assert [name[1] for name in fetched.batch.names] == ["a-1", "b-1"]
    assert np.isnan(fetched.batch.working_set_bytes[1])


def test_a_partial_answer_is_noticed_and_what_came_is_taken():
    fetched, _ = fetch(lambda _: as_json(vector(("s", "a", "c", "3"), warnings=["store 2 is away"])))
    assert fetched.problems == ()
    assert "store 2 is away" in fetched.notices[0]
    assert len(fetched.batch.names) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"<html>", 502), "HTTP 502"),
        (Answer(b"[1]"), "no success"),
        (as_json({"status": "error", "error": "query timed out"}, 503), "query timed out"),
        (as_json({"status": "success", "data": {"result": 3}}), "no list of series"),
        (as_json({"status": "success"}), "no list of series"),
    ],
)
def test_an_answer_that_is_none_is_a_problem_in_the_servers_words(answer, said):
    fetched, _ = fetch(lambda _: answer)
    assert said in fetched.problems[0]
    assert fetched.batch.names == ()


def test_a_server_that_is_too_slow_is_a_problem():
    held = threading.Event()

    def slow(_: Asked) -> Answer:
        return Answer(b"{}", held=held)

    with answering(slow) as server:
        source = PrometheusSource(PrometheusApi(server.url, 0.05), 60.0)
        fetched = source.fetch(NOW, WORKING_SET)
        held.set()
        source.close()
    assert "timed out" in fetched.problems[0]


def test_the_token_is_read_anew_for_each_question(tmp_path):
    token = tmp_path / "token"
    token.write_text("one\n")
    with answering(lambda _: as_json(vector())) as server:
        api = PrometheusApi(server.url, 5.0, token_file=str(token))
        api.query("up", NOW)
        token.write_text("two\n")
        api.query("up", NOW)
        token.unlink()
        with pytest.raises(SourceError, match="token of Prometheus"):
            api.query("up", NOW)
        api.close()
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer one", "Bearer two"]


def test_a_long_question_goes_into_the_body():
    with answering(lambda _: as_json(vector())) as server:
        api = PrometheusApi(server.url, 5.0)
        api.query_range("up{pod=~'" + "a|" * 2000 + "'}", NOW - 60, NOW, 30)
        api.close()
    assert server.asked[0].query["step"] == "30"
    assert "content-type" in server.asked[0].headers

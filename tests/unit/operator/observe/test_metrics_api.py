"""The metrics API source against a real HTTP server: pages, gaps, garbage, slowness."""

import threading

import httpx
import numpy as np
import pytest

from builders.answering import Answer, Asked, answering, as_json
from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.metrics_api import MetricsApiSource

NOW = 1_790_000_000.0
STAMP = "2026-09-21T14:13:20Z"  # NOW
WANTED = frozenset({Quantity.WORKING_SET})


def pod(name, memory="100Mi", timestamp=STAMP, container="app"):
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "x"}},
        "timestamp": timestamp,
        "window": "15s",
        "containers": [{"name": container, "usage": {"cpu": "3m", "memory": memory}}],
    }


def fetch(answer, timeout=5.0):
    with answering(answer) as server:
        source = MetricsApiSource(httpx.Client(base_url=server.url, timeout=timeout))
        try:
            return source.fetch(NOW, WANTED), server.asked
        finally:
            source.close()


def test_gives_one_working_set_a_container_stamped_with_its_own_time():
    fetched, _ = fetch(lambda _: as_json({"items": [pod("a-1"), pod("b-1", "1Gi")]}))
    assert fetched.problems == ()
    assert fetched.batch.names == (("shop", "a-1", "app"), ("shop", "b-1", "app"))
    assert fetched.batch.working_set_bytes.tolist() == [100 * 2**20, 2**30]
    assert np.isnan(fetched.batch.usage_bytes).all()
    assert fetched.batch.seconds.tolist() == [NOW, NOW]


def test_follows_pages_to_the_end():
    def paged(asked: Asked) -> Answer:
        at = int(asked.query.get("continue", "0"))
        metadata = {"continue": str(at + 1)} if at < 2 else {}
        return as_json({"metadata": metadata, "items": [pod(f"a-{at}")]})

    fetched, asked = fetch(paged)
    assert [name[1] for name in fetched.batch.names] == ["a-0", "a-1", "a-2"]
    assert len(asked) == 3
    assert asked[0].query["limit"]


def test_a_page_that_fails_is_a_problem_and_keeps_what_came_before():
    def second_fails(asked: Asked) -> Answer:
        if "continue" in asked.query:
            return Answer(b"boom", 500)
        return as_json({"metadata": {"continue": "x"}, "items": [pod("a-1")]})

    fetched, _ = fetch(second_fails)
    assert "500" in fetched.problems[0]
    assert len(fetched.batch.names) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"items": 3}', b'{"items": [', b"[" * 100_000, b'"\xff"'],
)
def test_garbage_is_a_problem_and_never_an_exception(body):
    fetched, _ = fetch(lambda _: Answer(body))
    assert fetched.problems[0].startswith("metrics API: ")
    assert fetched.batch.names == ()


@pytest.mark.parametrize("memory", ["NaN", "-5Mi", "", "ten", None, [], {}, True, "1e400"])
def test_a_value_that_is_no_quantity_is_nan_and_its_neighbour_stays(memory):
    fetched, _ = fetch(lambda _: as_json({"items": [pod("a-1", memory), pod("b-1")]}))
    assert fetched.problems == ()
    assert np.isnan(fetched.batch.working_set_bytes[0])
    assert fetched.batch.working_set_bytes[1] == 100 * 2**20


@pytest.mark.parametrize("stamp", [None, "yesterday", "2026-09-21T14:13:20", 5])
def test_a_time_that_is_none_is_nan(stamp):
    fetched, _ = fetch(lambda _: as_json({"items": [pod("a-1", timestamp=stamp)]}))
    assert np.isnan(fetched.batch.seconds[0])


@pytest.mark.parametrize("broken", [{}, {"metadata": {}, "containers": 3}, 7, None, {"metadata": None}])
def test_a_pod_that_is_none_is_passed_over(broken):
    fetched, _ = fetch(lambda _: as_json({"items": [broken, pod("b-1")]}))
    assert fetched.problems == ()
    assert fetched.batch.names == (("shop", "b-1", "app"),)


def test_a_server_that_is_too_slow_is_a_problem():
    held = threading.Event()

    def slow(_: Asked) -> Answer:
        return Answer(b"{}", held=held)

    with answering(slow) as server:
        source = MetricsApiSource(httpx.Client(base_url=server.url, timeout=0.05))
        fetched = source.fetch(NOW, WANTED)
        held.set()
        source.close()
    assert "timed out" in fetched.problems[0]


def test_a_server_that_is_not_there_is_a_problem():
    with answering(lambda _: Answer()) as server:
        url = server.url
    source = MetricsApiSource(httpx.Client(base_url=url, timeout=1.0))
    assert source.fetch(NOW, WANTED).problems
    source.close()

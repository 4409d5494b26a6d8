"""What an API server promises about watches: every change once, in order, from any version it still knows."""

import json
from collections.abc import Iterator

import httpx
import pytest

from builders.manifests import pod

WATCH_SECONDS = 30.0


def events(ns, version: str, count: int, **params: str) -> list[dict]:
    """The first `count` events of a watch that starts after `version`."""
    found: list[dict] = []
    for event in stream(ns, version, **params):
        found.append(event)
        if len(found) == count:
            return found
    return found


def until_deleted(ns, version: str) -> list[dict]:
    """Events up to the first deletion."""
    found: list[dict] = []
    for event in stream(ns, version):
        found.append(event)
        if event["type"] == "DELETED":
            break
    return found


def stream(ns, version: str, **params: str) -> Iterator[dict]:
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "20", **params}
    with ns.http.stream("GET", ns.path("pods"), params=query, timeout=WATCH_SECONDS) as response:
        if response.status_code != 200:
            yield {"type": "HTTP", "object": json.loads(response.read())}
            return
        for line in response.iter_lines():
            yield json.loads(line)


def test_a_watch_tells_every_change_in_order(ns):
    start = ns.get("pods").json()["metadata"]["resourceVersion"]
    ns.create("pods", pod("a")).raise_for_status()
    ns.patch("pods", "a", {"metadata": {"labels": {"x": "1"}}}).raise_for_status()
    ns.delete("pods", "a").raise_for_status()
    told = until_deleted(ns, start)
    # A pod with a kube node is first marked as going, then goes.
    assert [event["type"] for event in told] in (
        ["ADDED", "MODIFIED", "DELETED"],
        ["ADDED", "MODIFIED", "MODIFIED", "DELETED"],
    )
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in told]
    assert versions == sorted(set(versions))
    assert all(event["object"]["kind"] == "Pod" for event in told)


def test_a_watch_goes_on_where_the_last_one_ended(ns):
    start = ns.get("pods").json()["metadata"]["resourceVersion"]
    for name in ("a", "b", "c"):
        ns.create("pods", pod(name)).raise_for_status()
    first = events(ns, start, 1)
    rest = events(ns, first[-1]["object"]["metadata"]["resourceVersion"], 2)
    assert [event["object"]["metadata"]["name"] for event in first + rest] == ["a", "b", "c"]


def test_a_watch_over_all_namespaces_sees_this_one(cluster, ns):
    start = cluster.http.get("/api/v1/pods").json()["metadata"]["resourceVersion"]
    ns.create("pods", pod("seen")).raise_for_status()
    query = {"watch": "true", "resourceVersion": start, "timeoutSeconds": "20"}
    with cluster.http.stream("GET", "/api/v1/pods", params=query, timeout=WATCH_SECONDS) as response:
        event = json.loads(next(response.iter_lines()))
    assert (event["type"], event["object"]["metadata"]["namespace"]) == ("ADDED", ns.namespace)


def test_a_label_selector_turns_leaving_into_deleted(ns):
    start = ns.get("pods").json()["metadata"]["resourceVersion"]
    ns.create("pods", pod("other")).raise_for_status()
    ns.create("pods", pod("a", labels={"tier": "web"})).raise_for_status()
    ns.patch("pods", "a", {"metadata": {"labels": {"tier": "db"}}}).raise_for_status()
    told = events(ns, start, 2, labelSelector="tier=web")
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in told] == [("ADDED", "a"), ("DELETED", "a")]


def test_a_version_that_was_compacted_away_is_gone(cluster, ns):
    cluster.forget_changes()
    told = events(ns, "1", 1)
    assert [(event["type"], event["object"]["code"]) for event in told] in (
        [("ERROR", 410)],
        [("HTTP", 410)],
    )


def test_a_watch_ends_by_itself_after_its_timeout(ns):
    version = ns.get("pods").json()["metadata"]["resourceVersion"]
    assert list(stream(ns, version, timeoutSeconds="1")) == []


@pytest.mark.parametrize("version", ["0", ""])
def test_without_a_version_a_watch_starts_with_what_exists(ns, version):
    ns.create("pods", pod("a")).raise_for_status()
    try:
        told = events(ns, version, 1)
    except httpx.ReadTimeout:
        told = []
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in told] == [("ADDED", "a")]

"""What the fake API does beyond the contract suite: old versions, pages, faults, computed resources.

The rules it shares with a real API server are in tests/contract.
"""

import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from builders.manifests import pod
from plimsoll_cli.sandbox.api import FaultRule, SandboxApi
from plimsoll_cli.sandbox.api.store import FIRST_VERSION, Collection

PODS = "/api/v1/namespaces/default/pods"
NOW = 1_780_272_000.0


@asynccontextmanager
async def served(count: int = 0):
    api = SandboxApi(lambda: NOW, seed=1)
    kind = api.operations.type("", "v1", "pods")
    for number in range(count):
        api.operations.create(kind, "default", pod(f"p{number:05}"))
    async with api.listen() as url, aiohttp.ClientSession(url) as http:
        yield api, http


async def listed(http: aiohttp.ClientSession, **query: str) -> dict:
    async with http.get(PODS, params=query) as answer:
        return await answer.json()


async def watched(http: aiohttp.ClientSession, count: int, **query: str) -> list[dict]:
    events = []
    async with http.get(PODS, params={"watch": "true", "timeoutSeconds": "5", **query}) as answer:
        async for line in answer.content:
            events.append(json.loads(line))
            if len(events) == count:
                break
    return events


async def test_is_a_1_37_with_what_kopf_looks_for():
    async with served() as (_, http):
        async with http.get("/version") as answer:
            assert (await answer.json())["minor"] == "37"
        async with http.get("/apis") as answer:
            groups = {g["name"]: g["preferredVersion"]["version"] for g in (await answer.json())["groups"]}
        async with http.get("/api/v1") as answer:
            names = {r["name"] for r in (await answer.json())["resources"]}
    assert groups["autoscaling"] == "v2"
    assert {"pods", "pods/status", "pods/resize", "pods/eviction", "nodes", "events"} <= names


async def test_stored_times_are_the_worlds():
    async with served(1) as (_, http):
        found = await listed(http)
    assert found["items"][0]["metadata"]["creationTimestamp"] == "2026-06-01T00:00:00Z"


async def test_pages_cover_all_and_an_expired_page_is_gone():
    async with served(25) as (api, http):
        names, token = [], ""
        for _ in range(3):
            page = await listed(http, limit="10", **({"continue": token} if token else {}))
            names += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"].get("continue", "")
        assert (names, token) == ([f"p{n:05}" for n in range(25)], "")
        token = (await listed(http, limit="10"))["metadata"]["continue"]
        api.operations.create(api.operations.type("", "v1", "pods"), "default", pod("later"))
        api.store.compact()
        gone = await listed(http, limit="10", **{"continue": token})
        assert (gone["code"], gone["reason"]) == (410, "Expired")


async def test_a_watch_from_before_a_compaction_is_told_gone():
    async with served(3) as (api, http):
        version = (await listed(http))["metadata"]["resourceVersion"]
        api.operations.create(api.operations.type("", "v1", "pods"), "default", pod("later"))
        api.store.compact()
        (event,) = await watched(http, 1, resourceVersion=version)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_watch_from_another_life_of_the_api_is_told_gone():
    async with served() as (_, http):
        (event,) = await watched(http, 1, resourceVersion=str(FIRST_VERSION + 10**6))
        assert event["object"]["code"] == 410


async def test_streaming_lists_end_with_a_marked_bookmark():
    async with served(2) as (_, http):
        query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
        events = await watched(http, 3, **query)
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    assert events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_the_log_forgets_its_oldest_changes(monkeypatch):
    monkeypatch.setattr("plimsoll_cli.sandbox.api.store.LOG_LENGTH", 3)
    api = SandboxApi(lambda: NOW)
    kind = api.operations.type("", "v1", "pods")
    for number in range(5):
        api.operations.create(kind, "default", pod(f"p{number}"))
    collection: Collection = api.store.collection(kind.id)
    assert [change.after.key[1] for change in collection.log] == ["p2", "p3", "p4"]
    assert len(collection.changes_since(collection.forgotten_version)) == 3


@pytest.mark.parametrize(
    ("rule", "status", "header"),
    [
        (FaultRule(code=500, count=1), 500, None),
        (FaultRule(code=409, count=1, verbs=frozenset({"list"})), 409, None),
        (FaultRule(code=429, count=1, retry_after_seconds=3), 429, "3"),
    ],
)
async def test_injected_faults_answer_as_told_and_then_stop(rule, status, header):
    async with served(1) as (api, http):
        api.faults.rules = [rule]
        async with http.get(PODS) as answer:
            assert (answer.status, answer.headers.get("Retry-After")) == (status, header)
        async with http.get(PODS) as answer:
            assert answer.status == 200
        assert api.faults.injected == {str(status): 1}


async def test_a_lost_answer_to_a_write_that_happened():
    async with served() as (api, http):
        api.faults.rules = [FaultRule(code=500, count=1, after_write=True, plural="pods")]
        async with http.post(PODS, json=pod("a")) as answer:
            assert answer.status == 500
        async with http.get(f"{PODS}/a") as answer:
            assert answer.status == 200


async def test_a_dropped_connection_is_no_answer():
    async with served() as (api, http):
        api.faults.rules = [FaultRule(drop=True, count=1)]
        # aiohttp tries an idempotent request again once on a kept connection; a POST it does not.
        with pytest.raises(aiohttp.ClientError):
            async with http.post(PODS, json=pod("a")):
                pass


async def test_computed_resources_are_read_only():
    async with served() as (api, http):
        api.computed["metrics.k8s.io", "pods"] = lambda _, name: (
            [{"metadata": {"name": "a"}}] if name != "b" else []
        )
        path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"
        async with http.get(path) as answer:
            assert len((await answer.json())["items"]) == 1
        async with http.get(f"{path}/b") as answer:
            assert answer.status == 404
        async with http.delete(f"{path}/a") as answer:
            assert answer.status == 405


async def test_the_audit_keeps_accepted_and_refused_resizes_apart():
    async with served(1) as (api, http):
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        for limit in ("256Mi", "nonsense"):
            body = {"spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": limit}}}]}}
            async with http.patch(f"{PODS}/p00000/resize", data=json.dumps(body), headers=headers) as answer:
                await answer.read()
        (kept,) = api.audit.writes("pods", "resize")
        assert kept.body["spec"]["containers"][0]["resources"]["limits"]["memory"] == "256Mi"
        assert [entry.code for entry in api.audit.entries if entry.subresource == "resize"] == [200, 400]


async def test_a_page_of_a_large_cluster_is_only_a_page():
    async with served(5000) as (api, http):
        await listed(http, limit="1")
        before = api.store.version
        page = await listed(http, limit="500")
        assert (len(page["items"]), page["metadata"]["remainingItemCount"]) == (500, 4500)
        assert api.store.version == before

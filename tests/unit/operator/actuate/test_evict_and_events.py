"""In: groups, budgets, clocks. Out: who may be evicted, and which Events are written."""

from dataclasses import replace

import pytest

from builders.clusters import NOW, owner, raw_pod, raw_policy
from builders.kubeapi import MemoryApi
from plimsoll.workload import WorkloadRef
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import ApiError, PodRef
from plimsoll_operator.actuate.events import PER_MINUTE, Events
from plimsoll_operator.actuate.evict import Evictions
from plimsoll_operator.membership import Group
from plimsoll_operator.owners import Top

POD = PodRef("shop", "web-0", "uid-web-0")


def group(kind="Deployment", replicas=2, ready=True, mode="InPlaceOrRecreate", **updates):
    policy = parse.policy(raw_policy(mode=mode, updates=updates)).policy
    made = Group(Top(WorkloadRef("shop", kind, "web")), "", policy)
    for number in range(replicas):
        pod = parse.pod(raw_pod(f"web-{number}", owner=owner(kind, "web")))
        made.pods[pod.uid] = replace(pod, ready=ready or number == 0)
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (group(), ""),
        (group(mode="InPlace"), "allows no eviction"),
        (group(kind="Job"), "does not come back"),
        (group(kind="Pod"), "does not come back"),
        (group(replicas=1), "only replica"),
        (group(kind="DaemonSet", replicas=1), ""),
        (group(ready=False), "not ready"),
        (group(budget={"evictionsPerHour": 0}), "has spent"),
    ],
)
def test_who_may_be_evicted(made, words):
    refusal = Evictions(admitting=True).refusal(made.pods["uid-web-0"], made, NOW)
    assert words in refusal
    assert bool(words) == bool(refusal)


def test_without_a_webhook_an_eviction_gains_nothing():
    made = group()
    assert "webhook" in Evictions(admitting=False).refusal(made.pods["uid-web-0"], made, NOW)


def test_the_hourly_budget_slides():
    made, evictions = group(budget={"evictionsPerHour": 1}), Evictions(admitting=True)
    evictions.count(made, NOW)
    assert evictions.refusal(made.pods["uid-web-0"], made, NOW + 60)
    assert not evictions.refusal(made.pods["uid-web-0"], made, NOW + 3601)


async def test_the_same_event_is_not_repeated_for_a_while():
    api = MemoryApi()
    events = Events(api, "me")
    assert await events.say(POD, "Forecast", "up", NOW)
    assert not await events.say(POD, "Forecast", "up again", NOW + 60)
    assert await events.say(POD, "OomKilled", "other reason", NOW + 60)
    assert await events.say(POD, "Forecast", "later", NOW + 601)


async def test_no_more_events_than_the_api_server_should_see():
    events = Events(MemoryApi(), "me")
    written = [await events.say(replace(POD, uid=str(n)), "Forecast", "", NOW) for n in range(PER_MINUTE + 5)]
    assert sum(written) == PER_MINUTE


async def test_an_event_that_is_refused_is_lost_and_no_more():
    api = MemoryApi()
    api.fail("create", ApiError(403, "Forbidden", ""))
    assert not await Events(api, "me").say(POD, "Forecast", "", NOW)

"""Pods of which the webhook must have heard: new ones, under a policy, once each."""

from dataclasses import replace

from builders.clusters import NOW, raw_pod, stamp
from builders.loops import MINUTE, rig
from plimsoll_operator import parse
from plimsoll_operator.created import Created


def created(seconds, name="web-1", **fields):
    raw = raw_pod(name, **fields)
    raw["metadata"]["creationTimestamp"] = stamp(seconds)
    return raw


def test_only_what_was_created_after_the_first_look_counts():
    old, new = parse.pod(created(NOW - 20)), parse.pod(created(NOW + 40))
    assert (old.created_seconds, new.created_seconds) == (NOW - 20, NOW + 40)
    counting = Created()
    assert counting.count([old, new], NOW) == 0, "nobody knows who was asked before"
    others = [replace(new, mirror=True), replace(new, created_seconds=None)]
    assert counting.count([old, new, *others], NOW + MINUTE) == 1
    assert counting.count([], NOW + 2 * MINUTE) == 0


async def test_a_loop_counts_a_new_pod_once_and_none_that_no_policy_reaches():
    made = rig()

    def due():
        return made.metrics.value("plimsoll_webhook_due_pods_total")

    await made.once(NOW)
    await made.once(NOW + MINUTE)
    assert due() == 0.0
    made.api.put("pods", created(NOW + 70))
    made.api.put("namespaces", {"metadata": {"name": "elsewhere"}})
    made.api.put("pods", created(NOW + 70, "other-1", namespace="elsewhere", labels={"app": "other"}))
    await made.once(NOW + 2 * MINUTE)
    assert due() == 1.0
    for minute in range(3, 6):  # it is resized meanwhile, and its record is another each time
        await made.once(NOW + minute * MINUTE)
    assert made.limit("web-1") == 2048
    assert due() == 1.0


async def test_a_replica_that_does_not_lead_counts_too():
    made = rig()
    await made.once(NOW, leading=False)
    made.api.put("pods", created(NOW + 30))
    await made.once(NOW + MINUTE, leading=False)
    assert made.metrics.value("plimsoll_webhook_due_pods_total") == 1.0

"""In: pods with resize conditions, own writes. Out: overlays and verdicts, as tables."""

from dataclasses import replace

import pytest

from builders.clusters import GIB, MIB, NOW, raw_pod, resize_condition
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import MemoryValues, PodRef, resize_body
from plimsoll_operator.actuate.resize import (
    Expectation,
    Expectations,
    Patience,
    Verdict,
    settled,
    values_in_force,
    verdict,
)

WROTE = {"app": MemoryValues(2 * GIB, None)}


def a_pod(version=5, **fields):
    return replace(parse.pod(raw_pod(**fields)), resource_version=version)


def test_an_own_write_is_overlaid_until_the_index_has_it():
    kept = Expectations()
    kept.wrote("uid-web-0", Expectation(9, WROTE, NOW))
    shown = kept.overlaid(a_pod(8), NOW).containers[0].spec
    assert (shown.limit_bytes, shown.request_bytes) == (2 * GIB, 512 * MIB)
    caught_up = a_pod(9)
    assert kept.overlaid(caught_up, NOW) is caught_up
    assert len(kept) == 0


def test_two_writes_to_one_pod_both_count():
    kept = Expectations()
    kept.wrote("uid-web-0", Expectation(9, WROTE, NOW))
    kept.wrote("uid-web-0", Expectation(10, {"side": MemoryValues(MIB, None)}, NOW))
    assert kept.overlaid(a_pod(9), NOW).containers[0].spec.limit_bytes == 2 * GIB


@pytest.mark.parametrize("later", [500.0, -500.0, float("nan")])
def test_an_index_that_stays_behind_is_believed_in_the_end(later):
    kept = Expectations()
    kept.wrote("uid-web-0", Expectation(9, WROTE, NOW))
    assert kept.overlaid(a_pod(5), NOW + later).containers[0].spec.limit_bytes == GIB


def test_pods_that_are_gone_are_forgotten():
    kept = Expectations()
    kept.wrote("uid-web-0", Expectation(9, WROTE, NOW))
    kept.keep_only(set())
    assert len(kept) == 0


PENDING, PROGRESS = "PodResizePending", "PodResizeInProgress"
VERDICTS = [
    (PENDING, "Deferred", "", 10_000, False, Verdict.WAIT),
    (PENDING, "Deferred", "", 60, True, Verdict.WAIT),
    (PENDING, "Deferred", "", 300, True, Verdict.EVICT),
    (PENDING, "Infeasible", "node too small", 0, False, Verdict.TAKE_BACK),
    (PENDING, "Infeasible", "node too small", 0, True, Verdict.EVICT),
    (
        PENDING,
        "Infeasible",
        "In-place resize of containers with swap is not supported.",
        0,
        True,
        Verdict.LEARN,
    ),
    (PENDING, "Infeasible", "infeasible alongside Memory Manager policy Static", 0, False, Verdict.LEARN),
    (PENDING, "Infeasible", "infeasible alongside Memory Manager policy Static", 0, True, Verdict.EVICT),
    (PROGRESS, "", "", 10_000, True, Verdict.WAIT),
    (PROGRESS, "Error", "below current usage", 60, True, Verdict.WAIT),
    (PROGRESS, "Error", "below current usage", 600, True, Verdict.TAKE_BACK),
]


@pytest.mark.parametrize(("kind", "reason", "message", "age", "may_evict", "wanted"), VERDICTS)
def test_verdicts(kind, reason, message, age, may_evict, wanted):
    pod = a_pod(conditions=[resize_condition(kind, reason, message, NOW - age)])
    assert verdict(pod, NOW, Patience(), may_evict=may_evict) is wanted


def test_nothing_under_way_is_nothing_to_do():
    assert verdict(a_pod(), NOW, Patience(), may_evict=True) is Verdict.WAIT
    assert settled(a_pod())


def test_what_is_in_force_is_what_a_resize_is_taken_back_to():
    raw = raw_pod()
    raw["spec"]["containers"][0]["resources"]["limits"]["memory"] = "2Gi"
    pod = parse.pod(raw)
    assert values_in_force(pod) == {"app": MemoryValues(GIB, 512 * MIB)}
    assert not settled(pod)


def test_native_sidecars_are_patched_among_the_init_containers():
    values = {"app": MemoryValues(GIB, None), "proxy": MemoryValues(MIB, MIB, sidecar=True)}
    body = resize_body(PodRef("shop", "web-0", "u"), values)
    assert body["metadata"] == {"uid": "u"}
    assert body["spec"]["containers"] == [{"name": "app", "resources": {"limits": {"memory": str(GIB)}}}]
    assert [each["name"] for each in body["spec"]["initContainers"]] == ["proxy"]

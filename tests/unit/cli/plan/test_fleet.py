"""In: advice about containers, which make up a pod. Out: what pods used and request; what is not known."""

import numpy as np
import pytest

from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_cli.advice.judge import Advice, Seen, Severity
from plimsoll_cli.advice.subject import Subject
from plimsoll_cli.plan.fleet import FORCE, OWN, VPA, PodOf, Source, fleet_of
from plimsoll_cli.plan.live import KubeNodes

SOURCE = Source("a test", 7, "UTC", in_force=True)
GIB = 2**30


def advice(hourly, request=None, own=None, exceeding=None):
    """A container; the last hour is the one that runs."""
    subject = Subject(ContainerKey(WorkloadRef("n", "Deployment", "w"), "c"), request_bytes=request)
    seen = Seen(None, None, None, 0, 0, np.array([*hourly, 999], dtype=np.float32))
    return Advice(subject, Severity.OK, "", seen, request_bytes=own, exceeding=exceeding)


NEVER = [np.nan] * 4


def test_containers_of_a_pod_are_added_hour_by_hour():
    made = fleet_of(SOURCE, [advice([1, 2, 3, 4]), advice([np.nan, 10, 10, 20])], [PodOf("p", (0, 1))])
    assert made.pods.hourly_bytes == pytest.approx(np.array([[np.nan, 12, 13, 24]]), nan_ok=True)


def test_a_container_that_was_never_seen_counts_with_its_request():
    known, unseen = advice([1, 2, 3, 4], 3, 2), advice(NEVER, 8)
    made = fleet_of(SOURCE, [known, unseen], [PodOf("both", (0, 1)), PodOf("one", (1,))])
    assert made.pods.hourly_bytes == pytest.approx(
        np.array([[9, 10, 11, 12], [np.nan, np.nan, np.nan, 8]]), nan_ok=True
    )
    assert made.pods.request_bytes[FORCE].tolist() == [11, 8]
    assert made.pods.request_bytes[OWN].tolist() == [10, 8]
    assert made.pods.request_bytes[VPA][1] == 8
    assert made.notes == ("2 containers with no history here: the request counts as the use",)


def test_containers_that_were_never_seen_in_the_same_hour_count_each_in_its_own():
    made = fleet_of(
        SOURCE, [advice([1, 2, np.nan, np.nan]), advice([np.nan, np.nan, 5, 6])], [PodOf("p", (0, 1))]
    )
    assert made.pods.hourly_bytes.tolist() == [[1, 2, 5, 6]]


def test_what_ended_earlier_in_the_day_is_laid_there():
    made = fleet_of(SOURCE, [advice([1, 2, 3, 4])], [PodOf("p", (0,))], behind_hours=[3])
    assert made.pods.hourly_bytes == pytest.approx(np.array([[4, np.nan, np.nan, np.nan]]), nan_ok=True)


def test_promises_weigh_by_pods():
    both = [advice([1] * 4, exceeding=0.01), advice([1] * 4, exceeding=0.04), advice(NEVER)]
    pods = [PodOf(f"p{each}", (0,)) for each in range(3)] + [PodOf("q", (1,)), PodOf("r", (2,))]
    made = fleet_of(SOURCE, both, pods)
    assert made.exceeding == pytest.approx(0.0175)
    assert (made.promised, made.containers) == (4, 5)
    assert made.notes[0].startswith("1 container with neither history nor request")


def test_unlike_nodes_are_planned_with_the_middle_one_and_that_is_said():
    unlike = KubeNodes((16 * GIB, 64 * GIB, 32 * GIB, 32 * GIB))
    assert unlike.typical_bytes == 32 * GIB
    assert unlike.note == "kube nodes have 16.0Gi to 64.0Gi: planned with the middle one, 32.0Gi"
    assert not KubeNodes((16 * GIB, 16 * GIB)).note

"""Gates on an API server: taken at creation, lifted by the operator's adapter and by the sweeper; the same on
fake and real.

In: pods as admission holds them. Out: pods without our gate, and with everybody else's. The operator is not
there at all: what lifts the gate then is the sweeper, over HTTP (and TLS with a token, on the real one).
"""

import threading
import time
from urllib.parse import urlsplit

import pytest

from builders.apiserver import free_port
from builders.manifests import container, pod
from builders.operator_process import NAMESPACE, start_operator
from builders.placing import patched
from builders.waiting import wait_for
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import ApiError, PodRef
from plimsoll_operator.place.affinity import Verdict, placement_patch
from plimsoll_operator.place.gate import GATE, GATE_SECONDS, LONGEST_SECONDS
from plimsoll_operator.place.sweeper import Address, Pods, Sweeper, SweepError, run

NOW = 1_800_000_000.0
NO_UID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def pods(cluster, request, tmp_path) -> Pods:
    """The sweeper's two calls, as it makes them in its pod."""
    at = urlsplit(cluster.url)
    if cluster.name == "fake":
        return Pods(Address(at.hostname, at.port, tmp_path, plain=True))
    (tmp_path / "token").write_text("admin-token")
    (tmp_path / "ca.crt").write_bytes(request.getfixturevalue("apiserver").ca_file.read_bytes())
    return Pods(Address(at.hostname, at.port, tmp_path))


def held(ns, name: str, until: float = NOW + 6, *others: str) -> dict:
    """A pod that waits: created as the webhook answered."""
    body = pod(name, container("app"))
    del body["spec"]["nodeName"]
    body["spec"]["schedulingGates"] = [{"name": each} for each in others]
    verdict = Verdict(("n1",), 0.5, 0.02, "abc", room_until_seconds=until)
    made = ns.create("pods", patched(body, list(placement_patch(body, verdict))))
    assert made.status_code == 201, made.text
    return made.json()


def gates(ns, name: str) -> list[str]:
    return [each["name"] for each in ns.get("pods", name).json()["spec"].get("schedulingGates") or ()]


def test_a_held_pod_is_taken_as_it_is_and_says_until_when(ns):
    made = held(ns, "a")
    assert parse.pod(made).gate.until_seconds == NOW + 6
    assert parse.pod(made).live
    assert gates(ns, "a") == [GATE]


def test_no_gate_can_be_put_on_later(ns):
    ns.create("pods", pod("a")).raise_for_status()
    answer = ns.patch("pods", "a", {"spec": {"schedulingGates": [{"name": GATE}]}})
    assert answer.status_code == 422, answer.text


async def test_the_operator_lifts_its_own_gate_and_may_do_so_twice(api, ns):
    made = held(ns, "a", NOW, "example.com/wait")
    ref = PodRef(ns.namespace, "a", made["metadata"]["uid"])
    for _ in range(2):
        await api.lift_gate(ref)
        assert gates(ns, "a") == ["example.com/wait"]


@pytest.mark.parametrize(("name", "status"), [("a", 409), ("nobody", 404)])
async def test_the_gate_of_another_pod_of_that_name_is_left_alone(api, ns, name, status):
    held(ns, "a")
    with pytest.raises(ApiError) as refused:
        await api.lift_gate(PodRef(ns.namespace, name, NO_UID))
    assert refused.value.status == status
    assert gates(ns, "a") == [GATE]


def test_with_the_operator_gone_the_sweeper_lifts_what_is_overdue(ns, pods):
    held(ns, "late", NOW - 1)
    held(ns, "waits", NOW + 6, "example.com/wait")
    ns.create("pods", pod("runs")).raise_for_status()
    seconds = [0.0]
    sweeper = Sweeper(pods, lambda: NOW, lambda: seconds[0])
    sweeper.sweep()
    assert gates(ns, "late") == []
    assert gates(ns, "waits") == ["example.com/wait", GATE]
    seconds[0] = LONGEST_SECONDS
    sweeper.sweep()
    assert gates(ns, "waits") == ["example.com/wait"]


def test_the_sweeper_reads_page_by_page_and_sees_no_pod_that_has_its_node(ns, pods, monkeypatch):
    monkeypatch.setattr("plimsoll_operator.place.sweeper.PAGE", 2)
    for number in range(5):
        held(ns, f"p{number}")
    ns.create("pods", pod("placed")).raise_for_status()
    mine = [each["metadata"] for each in pods.waiting() if each["metadata"]["namespace"] == ns.namespace]
    assert [each["name"] for each in mine] == [f"p{number}" for number in range(5)]


def test_a_pod_that_went_meanwhile_is_told_apart_from_one_that_cannot_be_lifted(ns, pods):
    held(ns, "a")
    for name in ("a", "nobody"):
        with pytest.raises(SweepError) as refused:
            pods.lift(ns.namespace, name, NO_UID)
        assert refused.value.status in {404, 409, 422}
    assert gates(ns, "a") == [GATE]


@pytest.mark.slow
def test_killed_with_gates_on_the_operator_leaves_them_to_the_sweeper(cluster, ns, pods, tmp_path):
    cluster.install_crds()
    cluster.http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}})
    flags = ("--interval", "500ms", "--usage-source", "kubelet", "--placement-gates")
    webhook = ("--webhook-port", str(free_port()))
    operator = start_operator(tmp_path, cluster.kubeconfig, f"gates-{cluster.name}", *flags, *webhook)
    try:
        operator.wait_until_ready()
        wait_for(lambda: operator.metric("plimsoll_leader") == 1.0, "the Lease")
        held(ns, "first", time.time() + 3600)
        wait_for(lambda: gates(ns, "first") == [], "the operator to let it go")
        outcome = 'outcome="no-room"'  # nothing is known of its workload, so nobody leaves for it
        # More than one where tests before this one have left pods with gates in their namespaces.
        wait_for(lambda: (operator.metric("plimsoll_gates_total", outcome) or 0.0) >= 1.0, "the metric")
    finally:
        operator.child.stop(kill=True)
    held(ns, "second", time.time() + GATE_SECONDS)
    began, pause = time.monotonic(), threading.Event()

    def ended(seconds: float) -> bool:
        pause.wait(seconds)
        return gates(ns, "second") == [] or time.monotonic() - began > 30

    run(Sweeper(pods), ended)
    assert gates(ns, "second") == []
    assert GATE_SECONDS - 0.5 < time.monotonic() - began < 10.0

"""In: pods with gates, two clocks, an API server that fails. Out: which gates are lifted when. Nothing is
replaced but the clocks and, where it must fail, the API server.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from plimsoll_operator.place.gate import GATE, GATE_ANNOTATION, LONGEST_SECONDS, Gate, gate_of, overdue, told
from plimsoll_operator.place.sweeper import (
    HEALTHY_SECONDS,
    PERIOD_SECONDS,
    Sweeper,
    SweepError,
    address_of,
    finish,
    main,
    run,
    serve_health,
)

NOW = 1_800_000_000.0


def gated(name="a", until=NOW + 6, gates=(GATE,), **annotations):
    given = {GATE_ANNOTATION: told(until)} if isinstance(until, float) else dict(annotations)
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "annotations": given},
        "spec": {"schedulingGates": [{"name": each} for each in gates]},
    }


class Cluster:
    """The two calls of the sweeper on pods in memory; each entry of `failures` fails one listing."""

    def __init__(self, *pods):
        self.pods = {each["metadata"]["uid"]: each for each in pods}
        self.failures, self.refusals, self.lifted = [], [], []

    def waiting(self):
        if self.failures:
            raise self.failures.pop(0)
        yield from list(self.pods.values())

    def lift(self, namespace, name, uid):
        if self.refusals:
            raise self.refusals.pop(0)
        self.lifted.append(name)
        spec = self.pods[uid]["spec"]
        spec["schedulingGates"] = [each for each in spec["schedulingGates"] if each["name"] != GATE]


class Clocks:
    """Wall and monotonic, moved by hand."""

    def __init__(self):
        self.seconds = 0.0
        self.skew_seconds = 0.0

    def wall(self):
        return NOW + self.seconds + self.skew_seconds

    def monotonic(self):
        return self.seconds


def sweeping(*pods):
    cluster, clocks = Cluster(*pods), Clocks()
    return Sweeper(cluster, clocks.wall, clocks.monotonic), cluster, clocks


def test_a_gate_stands_until_its_time_is_over():
    sweeper, cluster, clocks = sweeping(gated())
    assert sweeper.sweep() == 1
    clocks.seconds = 5.9
    assert sweeper.sweep() == 1
    clocks.seconds = 6.0
    assert sweeper.sweep() == 0
    assert cluster.lifted == ["a"]
    assert sweeper.sweep() == 0
    assert cluster.lifted == ["a"]


@pytest.mark.parametrize("skew_seconds", [-3600.0, 3600.0])
def test_clocks_that_differ_hold_nobody_for_longer(skew_seconds):
    sweeper, cluster, clocks = sweeping(gated())
    clocks.skew_seconds = skew_seconds
    while not cluster.lifted:
        sweeper.sweep()
        clocks.seconds += PERIOD_SECONDS
    assert clocks.seconds - PERIOD_SECONDS < 10.0
    assert LONGEST_SECONDS + PERIOD_SECONDS < 10.0


@pytest.mark.parametrize(
    "body",
    [
        gated(until=None),
        gated(until=None, **{GATE_ANNOTATION: "soon"}),
        gated(until=None, **{GATE_ANNOTATION: "2026-11-21T00:00:00"}),  # of which zone?
        {**gated(), "metadata": {"name": "a", "namespace": "shop", "uid": "uid-a"}},
    ],
)
def test_a_gate_that_says_no_time_goes_at_once(body):
    sweeper, cluster, _ = sweeping(body)
    sweeper.sweep()
    assert cluster.lifted == ["a"]


def test_gates_of_others_are_none_of_its_business():
    theirs = gated("b", until=NOW - 1, gates=("example.com/wait",))
    sweeper, cluster, _ = sweeping(theirs, gated("c", until=NOW - 1, gates=("example.com/wait", GATE)))
    assert sweeper.sweep() == 0
    assert cluster.lifted == ["c"]
    assert cluster.pods["uid-c"]["spec"]["schedulingGates"] == [{"name": "example.com/wait"}]


@pytest.mark.parametrize(
    "raw", [{}, {"spec": None}, {"spec": {"schedulingGates": "x"}}, {"spec": {"schedulingGates": [1]}}]
)
def test_whatever_stands_in_a_pod_is_no_exception(raw):
    assert gate_of(raw) is None


def test_one_that_cannot_be_lifted_keeps_nobody_else_waiting_and_is_tried_again():
    sweeper, cluster, _ = sweeping(gated("a", until=NOW - 1), gated("b", until=NOW - 1))
    cluster.refusals = [SweepError("500", 500)]
    assert sweeper.sweep() == 1
    assert cluster.lifted == ["b"]
    assert sweeper.sweep() == 0
    assert cluster.lifted == ["b", "a"]


def test_one_that_is_gone_is_done():
    sweeper, cluster, _ = sweeping(gated("a", until=NOW - 1))
    cluster.refusals = [SweepError("404", 404)]
    assert sweeper.sweep() == 0


def test_an_api_server_that_fails_is_asked_again_ever_more_slowly_and_then_at_the_usual_pace():
    sweeper, cluster, clocks = sweeping(gated("a", until=NOW - 1))
    cluster.failures = [SweepError("no answer")] * 4 + [ValueError("nonsense")]
    pauses = []

    def ended(seconds):
        pauses.append(seconds)
        clocks.seconds += seconds
        return len(pauses) > 7

    run(sweeper, ended)
    assert pauses == [0.0, 1.5, 3.0, 6.0, 6.0, 1.5, 1.5, 1.5]
    assert cluster.lifted == ["a"]


def test_told_to_end_it_lifts_everything_also_what_comes_meanwhile():
    sweeper, cluster, clocks = sweeping(gated("a", until=NOW + 6))
    cluster.failures = [SweepError("no answer")]

    def pause(seconds):
        clocks.seconds += seconds
        if clocks.seconds == 2.0:
            late = gated("b", until=NOW + 60)
            cluster.pods[late["metadata"]["uid"]] = late

    finish(sweeper, pause)
    assert cluster.lifted == ["a", "b"]


def test_it_is_ready_while_rounds_succeed():
    sweeper, _, clocks = sweeping()
    assert not sweeper.healthy()
    sweeper.sweep()
    assert sweeper.healthy()
    clocks.seconds = HEALTHY_SECONDS
    assert not sweeper.healthy()
    server = serve_health(sweeper, 0)
    try:
        port = server.server_address[1]
        with pytest.raises(urllib.request.HTTPError, match="503"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10)
        sweeper.sweep()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert answer.read().startswith(b"ok")
    finally:
        server.shutdown()
        server.server_close()


def test_outside_of_a_pod_it_says_so(capsys):
    assert main([], {}) == 1
    with pytest.raises(SweepError, match="this is no pod"):
        address_of({"KUBERNETES_SERVICE_HOST": "api", "KUBERNETES_SERVICE_PORT": "https"})


def test_overdue_is_what_the_annotation_says_or_having_waited_too_long():
    assert overdue(Gate(NOW), NOW, 0.0)
    assert not overdue(Gate(NOW + 1), NOW, LONGEST_SECONDS - 0.1)
    assert overdue(Gate(NOW + 1), NOW, LONGEST_SECONDS)


def test_it_imports_nothing_heavy_and_ends_when_told_to():
    script = (
        "import sys, json, plimsoll_operator.place.sweeper as it\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    found = set(json.loads(done.stdout))
    assert not found & {"numpy", "pydantic", "aiohttp", "kopf", "kubernetes", "asyncio", "plimsoll", "yaml"}
    assert "plimsoll_operator" in found


def test_a_process_without_an_api_server_goes_on_trying_until_it_is_told_to_end():
    environment = {**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    command = [sys.executable, "-m", "plimsoll_operator.place.sweeper", "--health-port=0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert "pods not listed" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

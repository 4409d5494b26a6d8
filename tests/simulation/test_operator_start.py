"""The operator's first minute against trouble: the real child process on the sandbox's API over HTTP.

In: missing CRDs, refused lists and watches, a port that is taken, a kubeconfig that is none. Out: it waits
and says why on /readyz, or it ends with exit code 1 and one clear sentence; it never hangs.
"""

import json
import socket
from pathlib import Path

import httpx
import pytest

from builders.crds import CRDS
from builders.fakeapi import FakeApi, running_fake_api
from builders.operator_process import NAMESPACE, OperatorProcess, start_operator
from builders.waiting import wait_for
from plimsoll_cli.sandbox.api import FaultRule
from plimsoll_operator.crds import load

pytestmark = pytest.mark.slow

ENDS_SECONDS = 60.0
READS = frozenset({"list", "watch"})


@pytest.fixture
def fake():
    with running_fake_api() as served:
        httpx.post(f"{served.url}/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}})
        yield served


@pytest.fixture
def started(tmp_path):
    operators: list[OperatorProcess] = []

    def start(kubeconfig: Path, *flags: str) -> OperatorProcess:
        operators.append(start_operator(tmp_path, kubeconfig, "first", "--interval", "1s", *flags))
        return operators[-1]

    yield start
    for each in operators:
        each.child.stop()


def install(fake: FakeApi) -> None:
    for crd in load():
        httpx.post(f"{fake.url}{CRDS}", json=crd).raise_for_status()


def ended(operator: OperatorProcess) -> str:
    """Its last sentence, after it has ended with exit code 1."""
    child = operator.child
    wait_for(lambda: child.process.poll() is not None, "the operator's end", ENDS_SECONDS)
    assert child.process.returncode == 1, child.tail()
    said = json.loads(child.tail(1))
    assert said["level"] == "critical"
    return said["message"]


def not_ready(operator: OperatorProcess) -> str:
    try:
        answer = httpx.get(f"{operator.url}/readyz", timeout=5)
    except httpx.TransportError:
        return ""
    return answer.text if answer.status_code == 503 else ""


def test_missing_crds_are_waited_for_and_named(fake, started, tmp_path):
    operator = started(fake.kubeconfig(tmp_path))
    wait_for(
        lambda: "CRD memorypolicies.plimsoll.dev is not installed" in not_ready(operator), "a reason", 60
    )
    install(fake)
    operator.wait_until_ready()
    operator.wait_for_loops(1)


def test_a_list_that_is_forbidden_ends_the_process(fake, started, tmp_path):
    install(fake)
    rule = FaultRule(code=403, verbs=READS, plural="resourcequotas")
    fake.call(fake.api.faults.rules.append, rule)
    assert "forbids what the operator needs: GET /api/v1/resourcequotas" in ended(
        started(fake.kubeconfig(tmp_path))
    )


def test_a_watch_that_is_refused_ends_the_process(fake, started, tmp_path):
    """A field selector that the API server does not take: a list of the same kind may yet be answered."""
    install(fake)
    fake.call(fake.api.faults.rules.append, FaultRule(code=400, verbs=READS, plural="configmaps"))
    assert ended(started(fake.kubeconfig(tmp_path))).startswith(
        "the watch of configmaps.v1 failed for good: "
    )


def test_a_port_that_is_taken_is_named(fake, started, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = ended(started(fake.kubeconfig(tmp_path), "--metrics-port", port))
    assert said.startswith("cannot start: ")
    assert "address already in use" in said


def test_a_kubeconfig_that_is_none_is_named(started, tmp_path):
    path = tmp_path / "broken.kubeconfig"
    path.write_text('{"apiVersion": "v1", "kind": "Config", "current-context": "nowhere"}')
    assert ended(started(path)).startswith("cannot start: ConfigException: ")


def test_an_api_server_that_does_not_answer_is_said_while_it_is_waited_for(started, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, not listening: every connection is refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "gone",
            "clusters": [{"name": "gone", "cluster": {"server": url}}],
            "users": [{"name": "gone", "user": {}}],
            "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "gone"}}],
        }
        path = tmp_path / "gone.kubeconfig"
        path.write_text(json.dumps(config))
        operator = started(path)
        wait_for(lambda: "NoAnswer" in not_ready(operator), "a reason", 60)

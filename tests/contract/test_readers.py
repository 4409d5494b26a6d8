"""What docs/rbac.md gives to people for the commands that only read, on a real API server.

In: the page's own commands, run by kubectl. Out: what the group may do afterwards. `view` is filled by a
controller that does not run here, so what it will hold is read off the role that it is filled from.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest

from builders.apiserver import ApiServer, binaries

pytestmark = pytest.mark.apiserver

PAGE = Path(__file__).parents[2] / "docs" / "rbac.md"
ASKED = [  # (group, resource): what the commands list, as cli/plimsoll_cli asks for it
    ("", "pods"),
    ("", "configmaps"),
    ("apps", "replicasets"),
    ("batch", "jobs"),
    ("policy", "poddisruptionbudgets"),
    ("events.k8s.io", "events"),
]


def commands() -> list[list[str]]:
    (block,) = (
        each for each in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "readers" in each
    )
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def http(apiserver: ApiServer) -> httpx.Client:
    client = apiserver.client()
    client.post("/api/v1/namespaces", json={"metadata": {"name": "plimsoll-system"}})
    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(apiserver.kubeconfig()),
        "HOME": str(apiserver.directory),
    }
    for program, *words in commands():
        assert program == "kubectl"
        subprocess.run([binaries() / "kubectl", *words], env=environment, check=True, timeout=60)
    return client


def allowed(http: httpx.Client, **attributes: str) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "anna", "groups": ["platform-team"], "resourceAttributes": attributes},
    }
    answer = http.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review).raise_for_status()
    return bool(answer.json()["status"]["allowed"])


def test_nodes_and_the_operators_lease_may_be_read_and_nothing_is_written(http: httpx.Client):
    lease = {"group": "coordination.k8s.io", "resource": "leases", "namespace": "plimsoll-system"}
    assert allowed(http, verb="list", resource="nodes")
    assert allowed(http, verb="get", name="plimsoll-operator", **lease)
    assert not allowed(http, verb="get", name="another", **lease)
    assert not allowed(http, verb="update", name="plimsoll-operator", **lease)
    assert not allowed(http, verb="patch", resource="nodes")


@pytest.mark.parametrize(("group", "resource"), ASKED)
def test_the_rest_is_in_view(http: httpx.Client, group: str, resource: str):
    role = http.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregate-to-view").json()
    fitting = [
        each for each in role["rules"] if group in each["apiGroups"] and resource in each.get("resources", ())
    ]
    assert any({"get", "list"} <= set(each["verbs"]) for each in fitting)

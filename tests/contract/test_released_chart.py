"""The last release's chart on a real API server, under today's operator, and the upgrade from it.

In: tests/e2e/released, Helm in this process. Out: today's operator is Ready and works with the roles and
the CRDs of that chart (tests/e2e installs it with this checkout's images), and lacks what those roles do not
name and nothing else; an upgrade brings what came since.
"""

from pathlib import Path

import pytest

from builders.apiserver import ApiServer
from builders.chart import LEAST, NAMESPACE, default_images
from builders.crds import policy
from builders.installed import Helm
from builders.operator_process import start_operator
from builders.released import ReleasedChart, known
from builders.waiting import wait_for
from plimsoll_operator.rights import RIGHTS

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

ADMISSION = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
OWN_NODE = "plimsoll-agent-own-node"


def served(helm: Helm) -> tuple[bool, bool]:
    """Whether the API server has a field, and an admission policy, that the release did not have."""
    return "relief" in helm.schema_of_policies()["placement"]["properties"], helm.http.get(
        f"{ADMISSION}/{OWN_NODE}"
    ).is_success


def not_yet_granted(helm: Helm) -> set[str]:
    """Resources that today's operator uses and the installed roles do not name."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    roles = (
        f"{rbac}/clusterroles/plimsoll-operator",
        f"{rbac}/namespaces/{NAMESPACE}/roles/plimsoll-operator",
    )
    granted = {plural for role in roles for rule in helm.get(role)["rules"] for plural in rule["resources"]}
    return {right.resource for right in RIGHTS if right.needed == "always"} - granted


def test_todays_operator_works_with_the_last_releases_roles_and_kinds(
    helm: Helm, apiserver: ApiServer, tmp_path: Path
):
    chart = ReleasedChart().unpacked(tmp_path)
    helm.install(known({**LEAST, "crds": {"install": True}}, chart), chart)
    assert served(helm) == (False, False)
    came_since = not_yet_granted(helm)
    arguments = ("--interval", "500ms", "--usage-source", "kubelet")
    operator = start_operator(tmp_path, apiserver.kubeconfig("operator"), "chart", *arguments)
    try:
        operator.wait_until_ready()
        wait_for(lambda: operator.metric("plimsoll_leader") == 1.0, "the Lease")
        operator.wait_for_loops(2)
        log = operator.child.log.read_text()
    finally:
        operator.child.stop()
    refused = [line for line in log.splitlines() if "orbidden" in line or "ot enough permissions" in line]
    unexplained = [line for line in refused if not any(f"{each}." in line for each in came_since)]
    assert not unexplained


def test_an_upgrade_from_the_last_release_and_back_keeps_policies(
    helm: Helm, real_namespace: str, tmp_path: Path
):
    chart = ReleasedChart().unpacked(tmp_path)
    helm.install(chart=chart)
    assert served(helm) == (False, False)
    root = f"/apis/plimsoll.dev/v1alpha1/namespaces/{real_namespace}"
    helm.http.post(f"{root}/memorypolicies", json=policy("web", mode="InPlace")).raise_for_status()
    before = helm.get(f"{root}/memorypolicies/web")
    helm.upgrade({"agent": {"act": {"enabled": True}}})
    assert served(helm) == (True, True)
    agents = helm.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/plimsoll-agent")
    pod = agents["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == default_images()[1]
    helm.rollback(1)
    assert served(helm) == (False, False)
    after = helm.get(f"{root}/memorypolicies/web")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]

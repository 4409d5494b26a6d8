"""The chart on a real API server: Helm installs, upgrades, rolls back and uninstalls it for real.

In: the chart, Helm in this process. Out: what the API server then holds. There is no kubelet, so nothing runs
here but the operator that a test starts itself, under the name and with the rights that the chart gives it.
"""

import base64
import copy
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import helm_python
import httpx
import pytest

from builders.apiserver import ApiServer, free_port
from builders.chart import CHART, EVERYTHING, LEAST, NAMESPACE, RELEASE, VALUE_SETS, Object, Rendered, older
from builders.crds import policy
from builders.installed import Helm
from builders.manifests import container, pod
from builders.operator_process import start_operator
from builders.waiting import wait_for
from plimsoll_operator.place.gate import GATE, lifted

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

API = "/apis/plimsoll.dev/v1alpha1"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/plimsoll-operator"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/plimsoll-operator-webhook"
PROFILE = {
    "apiVersion": "plimsoll.dev/v1alpha1",
    "kind": "MemoryProfile",
    "metadata": {"name": "deployment-web"},
    "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
}


# -- every object is valid ----------------------------------------------------------------------------------


def collection(http: httpx.Client, body: Object) -> str | None:
    """Path of an object's collection from the server's own discovery; None where its group is not served."""
    root = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else f"/api/{body['apiVersion']}"
    served = http.get(root)
    if served.status_code == 404:
        return None
    (resource,) = (
        each
        for each in served.json()["resources"]
        if each["kind"] == body["kind"] and "/" not in each["name"]
    )
    namespace = f"/namespaces/{body['metadata']['namespace']}" if resource["namespaced"] else ""
    return f"{root}{namespace}/{resource['name']}"


CLAIMED = {
    "operator": {"replicas": 1},
    "fleetMemory": {
        "enabled": True,
        "shared": False,
        "volume": {"claim": {"enabled": True, "storageClass": "fast"}},
    },
}
ADDED = {"seLinuxOptions": {"type": "spc_t"}, "appArmorProfile": {"type": "RuntimeDefault"}}
OVERRIDDEN = {
    "podLabels": {"team": "a"},
    "global": {"imagePullSecrets": [{"name": "shared"}]},
    **{
        part: {
            "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "supplementalGroups": [5]},
            "containerSecurityContext": ADDED,
            "serviceAccount": {"name": f"{part}-of-ours", "annotations": {"example.com/a": "b"}},
            "extraArgs": ["--help=false"],
            "extraEnv": [{"name": "A", "value": "b"}],
        }
        for part in ("operator", "agent")
    },
}
SETS = {**VALUE_SETS, "claimed": CLAIMED, "overridden": OVERRIDDEN}


@pytest.mark.parametrize("name", SETS)
def test_the_api_server_takes_every_object_twice_without_an_unknown_field(helm: Helm, name: str):
    with helm_python.Chart.load(CHART) as chart:
        rendered = Rendered(chart.render(dict(SETS[name]), name=RELEASE, namespace=NAMESPACE))
    for namespace in {each["metadata"].get("namespace", NAMESPACE) for each in rendered.objects}:
        helm.http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    checked: list[str] = []
    others = set()
    for body in rendered.objects:
        path = collection(helm.http, body)
        if path is None:
            others.add(body["apiVersion"])
            continue
        for _ in range(2):
            answer = helm.http.patch(
                f"{path}/{body['metadata']['name']}",
                params={"dryRun": "All", "fieldManager": "t", "force": "true", "fieldValidation": "Strict"},
                content=json.dumps(body),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
            assert answer.is_success, f"{body['kind']} {body['metadata']['name']}: {answer.text}"
        checked.append(body["kind"])
    # Kinds of others, which test_foreign_kinds.py asks their own CRDs about.
    assert others <= {"cert-manager.io/v1", "monitoring.coreos.com/v1", "keda.sh/v1alpha1"}
    assert (
        len(checked) >= {"default": 24, "everything": 22, "least": 9, "claimed": 25, "overridden": 24}[name]
    )
    assert ("PersistentVolumeClaim" in checked) is (name == "claimed")


# -- install, upgrade, rollback, uninstall ------------------------------------------------------------------


def test_an_upgrade_keeps_the_certificate_and_a_rollback_too(helm: Helm):
    helm.install()
    made = helm.get(SECRET)["data"]
    assert helm.get(CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"] == made["ca.crt"]
    helm.upgrade({"operator": {"replicas": 3}})
    assert helm.get(SECRET)["data"] == made
    assert helm.get(CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"] == made["ca.crt"]
    helm.rollback(1)
    assert helm.get(SECRET)["data"] == made
    deployment = helm.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/plimsoll-operator")
    assert deployment["spec"]["replicas"] == 2


def test_another_priority_is_another_class_so_that_an_upgrade_goes_through(helm: Helm):
    root = "/apis/scheduling.k8s.io/v1/priorityclasses"
    helm.install()
    refused = helm.http.patch(
        f"{root}/plimsoll-operator-1000000",
        content=json.dumps({"value": 5}),
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert refused.status_code == 422
    assert "may not be changed" in refused.text
    values = {"priorityClasses": {"operatorValue": 5, "agentValue": -7}}
    helm.upgrade(values)
    classes = {"plimsoll-operator-5": 5, "plimsoll-agent-nonpreempting--7": -7}
    assert {name: helm.get(f"{root}/{name}")["value"] for name in classes} == classes
    assert helm.http.get(f"{root}/plimsoll-operator-1000000").status_code == 404
    helm.rollback(1)
    assert helm.get(f"{root}/plimsoll-operator-1000000")["value"] == 1000000
    assert helm.http.get(f"{root}/plimsoll-operator-5").status_code == 404


def test_an_upgrade_brings_new_fields_and_loses_no_policy_and_no_profile(
    helm: Helm, real_namespace: str, tmp_path: Path
):
    helm.install(chart=older(tmp_path))
    assert "importance" not in helm.schema_of_policies()
    root = f"{API}/namespaces/{real_namespace}"
    helm.http.post(f"{root}/memorypolicies", json=policy("web", mode="InPlace")).raise_for_status()
    helm.http.post(f"{root}/memoryprofiles", json=PROFILE).raise_for_status()
    before = [helm.get(f"{root}/{path}") for path in ("memorypolicies/web", "memoryprofiles/deployment-web")]
    helm.upgrade()
    assert "importance" in helm.schema_of_policies()
    helm.get(f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/plimsoll-operator")
    helm.rollback(1)
    helm.upgrade()
    after = [helm.get(f"{root}/{path}") for path in ("memorypolicies/web", "memoryprofiles/deployment-web")]
    assert [each["metadata"]["uid"] for each in after] == [each["metadata"]["uid"] for each in before]
    assert after[1]["spec"] == before[1]["spec"]


def test_an_uninstall_leaves_policies_and_nothing_that_blocks(helm: Helm, real_namespace: str):
    helm.install()
    root = f"{API}/namespaces/{real_namespace}"
    helm.http.post(f"{root}/memorypolicies", json=policy("web")).raise_for_status()
    helm.uninstall()
    assert helm.http.get(CONFIGURATION).status_code == 404
    assert helm.http.get(SECRET).status_code == 404
    kept = helm.get(f"{root}/memorypolicies/web")["metadata"]
    assert "finalizers" not in kept
    assert "annotations" not in kept
    for kind in ("clusterroles", "clusterrolebindings"):
        names = [
            each["metadata"]["name"]
            for each in helm.get(f"/apis/rbac.authorization.k8s.io/v1/{kind}")["items"]
        ]
        assert [each for each in names if each.startswith(f"{RELEASE}-")] == []
    made = helm.http.post(f"/api/v1/namespaces/{real_namespace}/pods", json=pod("web-0", container("app")))
    assert made.is_success, made.text
    # And again, onto what was kept.
    helm.install()


def test_pods_start_within_the_timeout_while_no_operator_answers(helm: Helm, real_namespace: str):
    helm.install()
    wait_for(lambda: helm.get(CONFIGURATION)["webhooks"], "the webhook to be registered")
    made = helm.http.post(f"/api/v1/namespaces/{real_namespace}/pods", json=pod("web-1", container("app")))
    assert made.is_success, made.text
    assert made.elapsed.total_seconds() < helm.get(CONFIGURATION)["webhooks"][0]["timeoutSeconds"] + 1
    given = pod("web-1", container("app"))["spec"]["containers"][0]["resources"]
    assert made.json()["spec"]["containers"][0]["resources"] == given


# -- admission and rights -----------------------------------------------------------------------------------


def enforced(http: httpx.Client, namespace: str, level: str) -> None:
    body = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    http.patch(f"/api/v1/namespaces/{namespace}", json=body, headers=headers).raise_for_status()


def as_pod(template: Object, name: str) -> Object:
    body = copy.deepcopy(template)
    body["spec"].pop("serviceAccountName", None)
    body["spec"].pop("priorityClassName", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body["spec"]}


@pytest.mark.parametrize(
    ("kind", "level", "allowed"),
    [
        ("Deployment", "restricted", True),
        ("DaemonSet", "privileged", True),
        ("DaemonSet", "baseline", False),
    ],
)
def test_pod_security_admission(helm: Helm, real_namespace: str, kind: str, level: str, allowed: bool):
    with helm_python.Chart.load(CHART) as chart:
        rendered = Rendered(chart.render({}, name=RELEASE, namespace=NAMESPACE))
    enforced(helm.http, real_namespace, level)
    body = as_pod(rendered.one(kind)["spec"]["template"], kind.lower())
    answer = helm.http.post(f"/api/v1/namespaces/{real_namespace}/pods", params={"dryRun": "All"}, json=body)
    assert answer.is_success == allowed, answer.text
    assert allowed or "violates PodSecurity" in answer.text


def test_the_operator_runs_with_the_charts_rights_and_passes_helm_test(
    helm: Helm, apiserver: ApiServer, tmp_path: Path
):
    helm.install({**LEAST, "crds": {"install": True}})  # another test may not have brought them
    webhook_port = free_port()
    operator = start_operator(
        tmp_path,
        apiserver.kubeconfig("operator"),
        "chart",
        *("--interval", "500ms", "--usage-source", "kubelet"),
        *("--webhook-port", str(webhook_port), "--webhook-cert-dir", str(tmp_path / "certificate")),
    )
    try:
        operator.wait_until_ready()
        wait_for(lambda: operator.metric("plimsoll_leader") == 1.0, "the Lease")
        operator.wait_for_loops(2)
        own, others = tmp_path / "certificate" / "tls.crt", apiserver.ca_file
        authorities = (own, others, tmp_path / "no-ca.crt")
        passed, refused, unverified = (helm_test(operator.port, webhook_port, each) for each in authorities)
        of_secret, of_others = (
            helm_test(operator.port, webhook_port, "-", pem=each) for each in (own, others)
        )
        unasked = helm_test(operator.port)
        log = operator.child.log.read_text()
    finally:
        operator.child.stop()
    assert "orbidden" not in log, [line for line in log.splitlines() if "orbidden" in line]
    assert "ot enough permissions" not in log
    assert passed.returncode == 0, passed.stderr
    assert passed.stdout.splitlines()[-1].startswith("webhook: answers")
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr
    assert unverified.returncode == 0, unverified.stderr
    assert "NOT VERIFIED" in unverified.stdout
    assert "NOT VERIFIED" not in passed.stdout
    assert (of_secret.returncode, of_secret.stdout) == (0, passed.stdout)
    assert "certificate verify failed" in of_others.stderr
    assert unasked.returncode == 0, unasked.stderr
    assert unasked.stdout.splitlines()[-1].startswith("webhook: NOT ASKED")


def helm_test(
    port: int, *webhook: int | str | Path, pem: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What `helm test` runs in its pod; the webhook's port and its authority's file, or `-` and its PEM."""
    script = (CHART / "files" / "helm_test.py").read_text()
    given = {"WEBHOOK_CA": pem.read_text()} if pem else {}
    return subprocess.run(
        [sys.executable, "-c", script, "127.0.0.1", *map(str, (port, *webhook))],
        env={**os.environ, **given}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_operators_account_may_not_do_what_is_not_its_own(helm: Helm, apiserver: ApiServer):
    helm.install(LEAST)
    for verb, group, resource, name, allowed in (
        ("list", "", "configmaps", "plimsoll-control", True),
        ("patch", "", "pods/resize", "", True),
        ("list", "", "configmaps", "", False),
        ("list", "", "secrets", "", False),
        ("patch", "", "pods", "", False),
        ("delete", "", "pods", "", False),
        ("create", "", "pods/exec", "", False),
        ("patch", "apps", "deployments", "", False),
        ("delete", "plimsoll.dev", "memoryprofiles", "", True),  # 28 days after the last pod of a workload
        ("delete", "plimsoll.dev", "memorypolicies", "", False),
        ("patch", "plimsoll.dev", "memorypolicies", "", False),
        ("patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", False),
    ):
        assert _may(apiserver, "operator", verb, group, resource, name) is allowed, (verb, resource, name)


def test_who_may_patch_pods_may_lift_our_gate_and_nothing_else(
    helm: Helm, apiserver: ApiServer, real_namespace: str
):
    helm.install({**LEAST, "webhook": {}, "placement": {"gates": {"enabled": True}}})
    operator, path = apiserver.client("operator"), f"/api/v1/namespaces/{real_namespace}/pods"
    body = pod("waits", container("app"), schedulingGates=[{"name": GATE}, {"name": "example.com/wait"}])
    del body["spec"]["nodeName"]
    made = helm.http.post(path, json=body).raise_for_status().json()
    borne = [*made["spec"].get("tolerations", ()), {"key": "x", "operator": "Exists"}]

    def patch(change: Object) -> httpx.Response:
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        return operator.patch(f"{path}/waits", content=json.dumps(change), headers=headers)

    image = {"spec": {"containers": [{"name": "app", "image": "registry.invalid/other:1"}]}}
    # The API server takes some seconds to hear of a new admission policy.
    numbers = count()
    probe = lambda: patch({"metadata": {"labels": {"n": str(next(numbers))}}})  # noqa: E731
    wait_for(lambda: probe().status_code == 422, "the admission policy", 60)
    for change, said in (
        (image, "Plimsoll changes no image"),
        ({"metadata": {"labels": {"app": "x"}}}, "Plimsoll changes no metadata"),
        ({"metadata": {"annotations": {"x": "y"}}}, "Plimsoll changes no metadata"),
        ({"spec": {"nodeSelector": {"zone": "a"}}}, "nothing in a pod's spec but its own gate"),
        ({"spec": {"tolerations": borne}}, "nothing in a pod's spec but its own gate"),
        (
            {"spec": {"schedulingGates": [{"$patch": "delete", "name": "example.com/wait"}]}},
            "its own gate only",
        ),
    ):
        answer = patch(change)
        assert (answer.status_code, said in answer.text) == (422, True), answer.text
    answer = patch(lifted(made["metadata"]["uid"]))
    assert answer.is_success, answer.text
    assert answer.json()["spec"]["schedulingGates"] == [{"name": "example.com/wait"}]
    assert _may(apiserver, "operator", "patch", "", "pods", "")
    assert not _may(apiserver, "operator", "update", "", "pods", "")


def _may(apiserver: ApiServer, user: str, verb: str, group: str, resource: str, name: str) -> bool:
    resource, _, subresource = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = apiserver.client(user).post(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review
    )
    answer.raise_for_status()
    return bool(answer.json()["status"]["allowed"])


def test_agents_get_their_own_namespace_and_every_value_installs(helm: Helm):
    served = copy.deepcopy(dict(EVERYTHING))
    served["agent"]["namespace"] = "plimsoll-nodes"
    served["monitoring"] = {"dashboard": {"enabled": True}}
    served["webhook"] = {}
    served["worker"]["autoscaling"] = {"kind": "hpa"}  # KEDA's kinds are not here
    helm.install(served)
    scaled = helm.get(
        "/apis/autoscaling/v2/namespaces/plimsoll-system/horizontalpodautoscalers/plimsoll-worker"
    )
    assert scaled["spec"]["metrics"][0]["external"]["metric"]["name"] == "plimsoll_forecast_queue_depth"
    agents = helm.get("/apis/apps/v1/namespaces/plimsoll-nodes/daemonsets/plimsoll-agent")
    (seccomp,) = (
        each["securityContext"]["seccompProfile"] for each in agents["spec"]["template"]["spec"]["containers"]
    )
    assert seccomp["type"] == "Localhost"
    authority = helm.get(CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(authority).startswith(b"-----BEGIN CERTIFICATE-----")


def test_a_namespace_of_others_never_becomes_the_releases(helm: Helm, real_namespace: str):
    with pytest.raises(helm_python.HelmError, match=r"agent\.createNamespace=true"):
        helm.install({"agent": {"namespace": real_namespace}})
    helm.install({"agent": {"namespace": real_namespace, "createNamespace": False}})
    own = {"agent": {"namespace": f"{real_namespace}-own"}}
    helm.upgrade(own)
    helm.upgrade(own)  # its own, the second time
    helm.uninstall()
    helm.get(f"/api/v1/namespaces/{real_namespace}")


@pytest.mark.parametrize(
    ("name", "namespace"), [("other", NAMESPACE), (RELEASE, "elsewhere"), ("other", "elsewhere")]
)
def test_a_second_release_is_refused_until_the_first_is_uninstalled(
    helm: Helm, apiserver: ApiServer, name: str, namespace: str
):
    # Helm itself would refuse for the CRDs, which belong to the first, unless told to take them over.
    values = {"crds": {"install": False}, "fullnameOverride": "second"}
    where = {"namespace": namespace, "create_namespace": True}
    taken = f"release `{RELEASE}` in namespace `{NAMESPACE}` is on this cluster already"
    helm.install()
    with helm_python.Config(kubeconfig_path=apiserver.kubeconfig(), namespace=namespace) as config:
        try:
            with pytest.raises(helm_python.HelmError, match=taken):
                config.install(CHART, name, values, **where)
            helm.upgrade()  # the first is not in its own way
            helm.uninstall()
            config.install(CHART, name, values, **where)
        finally:
            config.uninstall(name, ignore_not_found=True)


def test_what_others_label_or_install_is_no_release_of_ours(helm: Helm):
    root = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    ours, others = {"app.kubernetes.io/part-of": "plimsoll"}, {"meta.helm.sh/release-name": "other"}
    for name, labels, annotations in (("labelled", ours, {}), ("installed", {}, others)):
        metadata = {"name": f"of-others-{name}", "labels": labels, "annotations": annotations}
        body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata}
        helm.http.post(root, json=body).raise_for_status()
    try:
        helm.install()
    finally:
        for name in ("labelled", "installed"):
            helm.http.delete(f"{root}/of-others-{name}")

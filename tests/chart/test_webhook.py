"""The webhook's registration and certificate: it can be away without hurting anybody."""

import base64
import subprocess
from pathlib import Path

import pytest

from builders.chart import EVERYTHING, NAMESPACE, VALUE_SETS, Object, render
from plimsoll_operator.admission import ANSWER_SECONDS, WEBHOOK_PATH

HOST = "plimsoll-operator.plimsoll-system.svc"


def webhook(values: Object) -> Object:
    (found,) = render(values).one("MutatingWebhookConfiguration")["webhooks"]
    return found


@pytest.mark.parametrize("name", ["default", "everything"])
def test_a_pod_is_never_kept_from_starting(name: str):
    found = webhook(VALUE_SETS[name])
    assert (found["failurePolicy"], found["sideEffects"]) == ("Ignore", "None")
    assert ANSWER_SECONDS < found["timeoutSeconds"] <= 2
    excluded = found["namespaceSelector"]["matchExpressions"][0]
    assert excluded["key"] == "kubernetes.io/metadata.name"
    assert {"kube-system", NAMESPACE} <= set(excluded["values"])


def test_excluded_namespaces_are_added():
    values = webhook(EVERYTHING)["namespaceSelector"]["matchExpressions"][0]["values"]
    assert values == ["istio-system", "kube-system", "plimsoll-agents", NAMESPACE]


def test_it_is_asked_about_new_pods_only():
    (rule,) = webhook({})["rules"]
    assert rule == {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
        "scope": "Namespaced",
    }
    assert webhook({})["clientConfig"]["service"]["path"] == WEBHOOK_PATH


def test_the_certificate_is_for_the_service_and_signed_by_the_registered_authority(tmp_path: Path):
    rendered = render()
    secret, registered = rendered.one("Secret")["data"], webhook_of(rendered)
    pem = {name: base64.b64decode(secret[name]) for name in ("ca.crt", "tls.crt", "tls.key")}
    for name, text in pem.items():
        (tmp_path / name).write_bytes(text)
    assert base64.b64decode(registered["clientConfig"]["caBundle"]) == pem["ca.crt"]
    verify = ["openssl", "verify", "-verify_hostname", HOST, "-CAfile", "ca.crt", "tls.crt"]
    done = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "tls.crt: OK", done.stderr


def webhook_of(rendered) -> Object:
    return rendered.one("MutatingWebhookConfiguration")["webhooks"][0]


def test_the_service_leads_to_the_operators_port():
    rendered = render()
    named = webhook_of(rendered)["clientConfig"]["service"]
    service = rendered.one("Service")
    assert (named["name"], named["namespace"]) == (
        service["metadata"]["name"],
        service["metadata"]["namespace"],
    )
    (port,) = (each for each in service["spec"]["ports"] if each["port"] == named["port"])
    template = rendered.one("Deployment", "-operator")["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    container = template["spec"]["containers"][0]
    assert {each["name"]: each["containerPort"] for each in container["ports"]}[port["targetPort"]] == 8443
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["PLIMSOLL_WEBHOOK_PORT"] == "8443"
    assert env["PLIMSOLL_WEBHOOK_CERT_DIR"] in {each["mountPath"] for each in container["volumeMounts"]}


def test_cert_manager_makes_the_secret_that_is_mounted_and_fills_in_the_authority():
    rendered = render(EVERYTHING)
    certificate, issuer = rendered.one("Certificate"), rendered.one("Issuer")
    configuration = rendered.one("MutatingWebhookConfiguration")
    named = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert named == f"{NAMESPACE}/{certificate['metadata']['name']}"
    assert "caBundle" not in configuration["webhooks"][0]["clientConfig"]
    assert certificate["spec"]["issuerRef"]["name"] == issuer["metadata"]["name"]
    assert HOST in certificate["spec"]["dnsNames"]
    volumes = rendered.one("Deployment", "-operator")["spec"]["template"]["spec"]["volumes"]
    assert certificate["spec"]["secretName"] in {each.get("secret", {}).get("secretName") for each in volumes}
    assert rendered.of_kind("Secret") == []


@pytest.mark.parametrize(("name", "optional"), [("default", False), ("everything", True)])
def test_helm_test_waits_for_no_authority_that_an_issuer_may_not_give(name: str, optional: bool):
    (volume,) = render(VALUE_SETS[name]).one("Pod", "-test")["spec"]["volumes"]
    assert volume["secret"].get("optional", False) is optional


def test_an_issuer_that_exists_is_used():
    reference = {"name": "company", "kind": "ClusterIssuer"}
    rendered = render({"webhook": {"certificate": {"source": "cert-manager", "issuerRef": reference}}})
    assert rendered.of_kind("Issuer") == []
    assert rendered.one("Certificate")["spec"]["issuerRef"] == {"group": "cert-manager.io", **reference}


def test_a_certificate_of_ones_own():
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    rendered = render(
        {"webhook": {"certificate": {"source": "secret", "secretName": "mine", "caBundle": pem}}}
    )
    assert base64.b64decode(webhook_of(rendered)["clientConfig"]["caBundle"]).decode() == pem
    assert rendered.of_kind("Secret") == []
    test = rendered.one("Pod", "-test")["spec"]
    (asking,) = test["containers"]
    assert asking["args"][-2:] == ["443", "-"]
    assert asking["env"] == [{"name": "WEBHOOK_CA", "value": pem}]
    assert "volumes" not in test


def test_helm_test_stands_where_the_operator_may():
    node = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    operator = {
        "nodeSelector": {"pool": "control"},
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "affinity": {"nodeAffinity": node, "podAntiAffinity": {}},
    }
    rendered = render({"operator": operator, "podAnnotations": {"a.example/b": "c", "helm.sh/hook": "no"}})
    pod, stands = rendered.one("Pod", "-test"), rendered.one("Deployment", "-operator")["spec"]["template"]
    for key in ("nodeSelector", "tolerations"):
        assert pod["spec"][key] == stands["spec"][key]
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "control"}
    assert pod["spec"]["affinity"] == {"nodeAffinity": node}  # beside which pods is not its affair
    annotations = pod["metadata"]["annotations"]
    assert (annotations["a.example/b"], annotations["helm.sh/hook"]) == ("c", "test")


def test_without_a_webhook_nothing_of_it_is_left():
    rendered = render({"webhook": {"enabled": False}})
    assert rendered.of_kind("MutatingWebhookConfiguration") == rendered.of_kind("Secret") == []
    assert "webhook" not in rendered.texts["plimsoll/templates/operator/deployment.yaml"].replace(
        "answers the webhook", ""
    )

"""What a real API server makes of our CRDs: refusals with a sentence that names the field, defaults,
columns.

In: the shipped YAML, applied. Nothing is faked: CEL rules, their cost budget and strict field validation
are the API server's own.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from builders.crds import API, CRDS, install_crds, policy
from plimsoll.api.check import Severity, check
from plimsoll.api.v1alpha1 import KINDS, MemoryPolicy

pytestmark = pytest.mark.apiserver

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.yaml"))
SELECTOR = {"matchLabels": {"app": "web"}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
MANY_LABELS = {f"label-{index}": "x" * 63 for index in range(32)}


@pytest.fixture(scope="module")
def http(apiserver) -> httpx.Client:
    install_crds(apiserver.client())
    return apiserver.client()


@pytest.fixture
def policies(http: httpx.Client, real_namespace: str) -> str:
    return f"{API}/namespaces/{real_namespace}/memorypolicies"


@pytest.fixture
def cluster_policies(http: httpx.Client) -> Iterator[str]:
    yield f"{API}/clustermemorypolicies"
    http.delete(f"{API}/clustermemorypolicies")


def refused(http: httpx.Client, path: str, body: dict) -> str:
    answer = http.post(path, json=body, params={"fieldValidation": "Strict"})
    assert answer.status_code in (400, 422), answer.text
    return answer.json()["message"]


def container(name: str = "app", **limits) -> dict:
    return {"containers": [{"name": name, "limits": limits}]}


REFUSALS = [
    # (what is wrong, spec, path of the field, sentence)
    ("an unknown field", {"cooldown": "5m"}, 'unknown field "spec.cooldown"', ""),
    ("an unknown nested field", {"limits": {"maximum": "1Gi"}}, 'unknown field "spec.limits.maximum"', ""),
    ("an unknown mode", {"mode": "Auto"}, "spec.mode", 'Unsupported value: "Auto"'),
    (
        "min above max",
        {"limits": {"min": "2Gi", "max": "1G"}},
        "spec.limits.min",
        "limits.min must not be above",
    ),
    (
        "min just above max",
        {"limits": {"min": "1025Mi", "max": "1Gi"}},
        "spec.limits.min",
        "must not be above",
    ),
    (
        "a negative min",
        {"limits": {"min": "-1Gi"}},
        "spec.limits.min",
        "a memory quantity cannot be negative",
    ),
    ("a negative max", {"limits": {"max": "-5"}}, "spec.limits.max", "a memory quantity cannot be negative"),
    ("nonsense", {"limits": {"max": "lots"}}, "spec.limits.max", "not a memory quantity: write for example"),
    ("a max of 4 KiB", {"limits": {"max": "4096"}}, "spec.limits.max", "must be at least 16Mi; a number"),
    ("a max a byte too small", {"limits": {"max": "16777215"}}, "spec.limits.max", "must be at least 16Mi"),
    ("a cap of a byte", {"leak": {"cap": "1"}}, "spec.leak.cap", "must be at least 16Mi"),
    (
        "an override's max of 4 KiB",
        container(max="4Ki"),
        "spec.containers[0].limits.max",
        "must be at least 16Mi",
    ),
    ("a thousandth", {"limits": {"max": "512m"}}, "spec.limits.max", "not a memory quantity"),
    ("a bare number", {"limits": {"max": 5}}, "spec.limits.max", "must be of type string"),
    ("a negative leak cap", {"leak": {"cap": "-1Gi"}}, "spec.leak.cap", "cannot be negative"),
    ("both targets", {"selector": SELECTOR, "targetRef": TARGET}, "spec.targetRef", "set exactly one of"),
    (
        "objective and price",
        {"limits": {"objective": "slack:0.25", "oomPrice": 10}},
        "spec.limits.objective",
        "set limits.objective or limits.oomPrice, not both",
    ),
    ("a free OOM kill", {"limits": {"oomPrice": 0}}, "spec.limits.oomPrice", "greater than 0"),
    ("an objective of nothing", {"limits": {"objective": "oom:"}}, "spec.limits.objective", "should match"),
    ("no kill at all", {"limits": {"objective": "oom:0"}}, "spec.limits.objective", "oom:X with X > 0"),
    (
        "buffer min above max",
        {"limits": {"buffer": {"min": 0.5, "max": 0.2}}},
        "spec.limits.buffer.min",
        "limits.buffer.min must not be above limits.buffer.max",
    ),
    (
        "a negative buffer",
        {"limits": {"buffer": {"min": -0.1}}},
        "spec.limits.buffer.min",
        "greater than or equal",
    ),
    (
        "a negative cooldown",
        {"updates": {"cooldown": "-5m"}},
        "spec.updates.cooldown",
        "write a whole number",
    ),
    (
        "a cooldown in moons",
        {"updates": {"cooldown": "2mo"}},
        "spec.updates.cooldown",
        "write a whole number",
    ),
    ("a cooldown too long", {"updates": {"cooldown": "8d"}}, "spec.updates.cooldown", "between 0s and 7d"),
    ("no horizon", {"forecast": {"horizon": "0s"}}, "spec.forecast.horizon", "between 5m and 7d"),
    ("a long history", {"forecast": {"history": "5w"}}, "spec.forecast.history", "between 1h and 28d"),
    ("a bad holiday", {"forecast": {"holidays": ["Xmas"]}}, "spec.forecast.holidays[0]", "should match"),
    (
        "minChange above one",
        {"updates": {"minChange": 5}},
        "spec.updates.minChange",
        "less than or equal to 1",
    ),
    (
        "an hour nobody has",
        {"updates": {"window": "Mon 25:00-26:00"}},
        "spec.updates.window",
        "not an update window",
    ),
    (
        "a day nobody has",
        {"updates": {"window": "Mo-Fr 22:00-06:00"}},
        "spec.updates.window",
        "not an update window",
    ),
    (
        "a budget below zero",
        {"updates": {"budget": {"resizesPerHour": -1}}},
        "budget.resizesPerHour",
        "greater than",
    ),
    (
        "two of one container",
        {"containers": [{"name": "app"}, {"name": "app"}]},
        "spec.containers[1]",
        "Duplicate",
    ),
    ("a container's name", {"containers": [{"name": "App!"}]}, "spec.containers[0].name", "should match"),
    (
        "an override's min above its max",
        container(min="2Gi", max="1Gi"),
        "spec.containers[0].limits.min",
        "limits.min must not be above limits.max",
    ),
    (
        "an override's min above the policy's max",
        {"limits": {"max": "1Gi"}} | container(min="2Gi"),
        "spec.containers",
        "containers[].limits.min must not be above spec.limits.max",
    ),
    (
        "an override's max below the policy's min",
        {"limits": {"min": "1Gi"}} | container(max="512Mi"),
        "spec.containers",
        "containers[].limits.max must not be below spec.limits.min",
    ),
    (
        "In without values",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
        "spec.selector.matchExpressions[0].values",
        "values are needed with In and NotIn",
    ),
    (
        "Exists with values",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}},
        "spec.selector.matchExpressions[0].values",
        "must be absent with Exists",
    ),
]


@pytest.mark.parametrize(
    ("spec", "field", "sentence"), [each[1:] for each in REFUSALS], ids=[each[0] for each in REFUSALS]
)
def test_refuses_and_names_the_field(
    http: httpx.Client, policies: str, spec: dict, field: str, sentence: str
):
    message = refused(http, policies, policy(**spec))
    assert field in message
    assert sentence in message


@pytest.mark.parametrize("spec", [each[1] for each in REFUSALS], ids=[each[0] for each in REFUSALS])
def test_policy_check_refuses_the_same_without_an_api_server(spec: dict):
    assert any(each.severity is Severity.ERROR for each in check([policy(**spec)]))


def headed(**metadata: object) -> dict:
    """A policy with this in its metadata."""
    return policy() | {"metadata": {"name": "web", **metadata}}


DOCUMENTS = [
    # (what is wrong, document, what of it the API server names)
    ("a name with capitals", headed(name="Bad_Name"), "metadata.name"),
    ("a name that is too long", headed(name="a" * 254), "metadata.name"),
    ("a name that is a number", headed(name=5), "ObjectMeta.name"),
    ("a namespace that none can have", headed(namespace="BAD NS"), "namespace"),
    ("a label that is a number", headed(labels={"a": 1}), "labels"),
    ("a label's key with a space", headed(labels={"a b": "c"}), "metadata.labels"),
    ("a label that is too long", headed(labels={"a": "c" * 64}), "metadata.labels"),
    ("a label that ends in a dash", headed(labels={"a": "c-"}), "metadata.labels"),
    ("an annotation that is a boolean", headed(annotations={"a": True}), "annotations"),
    ("an annotation's key with two slashes", headed(annotations={"a/b/c": ""}), "metadata.annotations"),
    ("annotations without end", headed(annotations={"a": "x" * 2**18}), "metadata.annotations"),
    ("finalizers that are a text", headed(finalizers="a"), "finalizers"),
    ("a generation that is a text", headed(generation="1"), "generation"),
    ("an unknown field of metadata", headed(label={}), 'unknown field "metadata.label"'),
    ("metadata that is a list", policy() | {"metadata": [1]}, "ObjectMeta"),
    ("a spec that is a list", policy() | {"spec": []}, "spec"),
    ("a spec that is false", policy() | {"spec": False}, "spec"),
    ("a spec that is a number", policy() | {"spec": 0}, "spec"),
    ("no spec", policy() | {"spec": None}, "spec"),
    ("a kind that is a list", policy() | {"kind": ["MemoryPolicy"]}, "kind"),
]


@pytest.mark.parametrize(
    ("body", "named"), [each[1:] for each in DOCUMENTS], ids=[each[0] for each in DOCUMENTS]
)
def test_a_document_is_refused_by_both(http: httpx.Client, policies: str, body: dict, named: str):
    assert named in refused(http, policies, body)
    assert any(each.severity is Severity.ERROR for each in check([body]))


TAKEN = [
    headed(name="web.v2"),
    headed(labels={"a": "", "example.com/b_C.d": "x_Y.z-1"}, annotations={"Example.com/a": "any text\n"}),
    headed(labels=None, finalizers=[], generation=7, creationTimestamp=None),
]


@pytest.mark.parametrize("body", TAKEN)
def test_a_document_is_taken_by_both(http: httpx.Client, policies: str, body: dict):
    answer = http.post(policies, json=body, params={"fieldValidation": "Strict"})
    assert answer.status_code == 201, answer.text
    assert check([body]) == []


def test_the_least_limit_itself_is_taken(http: httpx.Client, policies: str):
    body = policy(limits={"max": "16Mi"}, leak={"cap": "16777216"}, **container(max="16384Ki"))
    answer = http.post(policies, json=body, params={"fieldValidation": "Strict"})
    assert answer.status_code == 201, answer.text
    assert check([body]) == []


def test_refuses_a_policy_for_nothing(http: httpx.Client, policies: str):
    message = refused(http, policies, policy() | {"spec": {}})
    assert "set exactly one of spec.targetRef and spec.selector" in message


def test_a_cluster_policy_is_refused_like_a_namespaced_one(http: httpx.Client, cluster_policies: str):
    body = policy(kind="ClusterMemoryPolicy", limits={"min": "2Gi", "max": "1Gi"})
    assert "spec.limits.min" in refused(http, cluster_policies, body)
    body = policy(kind="ClusterMemoryPolicy", targetRef=TARGET)
    assert 'unknown field "spec.targetRef"' in refused(http, cluster_policies, body)


def test_an_unknown_field_is_pruned_where_the_client_turns_strictness_off(http: httpx.Client, policies: str):
    answer = http.post(policies, json=policy(colour="red"), params={"fieldValidation": "Ignore"})
    assert answer.status_code == 201
    assert "colour" not in answer.json()["spec"]


def test_defaults_are_filled_in_and_are_the_models_own(http: httpx.Client, policies: str):
    made = http.post(policies, json=policy(), params={"fieldValidation": "Strict"}).json()
    assert made["spec"]["mode"] == "Recommend"
    assert made["spec"]["reclaim"]["mode"] == made["spec"]["placement"]["node"] == "Off"
    assert made["spec"]["leak"]["action"] == "Alert"
    assert made["spec"]["limits"] == {
        "basis": "usage",
        "controlled": "RequestsAndLimits",
        "buffer": {},
    }
    assert MemoryPolicy.model_validate(made).spec == MemoryPolicy.model_validate(policy()).spec


def test_a_policy_at_every_bound_of_size_is_taken(http: httpx.Client, policies: str):
    limits = {"min": "1Gi", "max": "2.5Gi", "buffer": {"min": 0.1}}
    body = policy(
        selector={"matchLabels": MANY_LABELS},
        limits={"min": "1" + "0" * 17, "max": "8Ei", "objective": "slack:0.25"},
        containers=[
            {"name": f"sidecar-{index}-*", "mode": "InPlace", "limits": limits} for index in range(32)
        ],
        updates={"window": "; ".join(["Mon-Fri 22:00-06:00 Europe/Zurich"] * 7)},
    )
    answer = http.post(policies, json=body, params={"fieldValidation": "Strict"})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_the_docs_are_taken(
    http: httpx.Client, policies: str, cluster_policies: str, path: Path
):
    for body in yaml.safe_load_all(path.read_text("utf-8")):
        namespaced = body["kind"] == "MemoryPolicy"
        body["metadata"].pop("namespace", None)
        query = {"fieldValidation": "Strict"}
        answer = http.post(policies if namespaced else cluster_policies, json=body, params=query)
        assert answer.status_code == 201, answer.text


def test_status_is_a_subresource_of_its_own(http: httpx.Client, policies: str):
    status = {"workloads": 3, "conditions": [{"type": "Conflict", "status": "False"}]}
    made = http.post(policies, json=policy() | {"status": status}).json()
    assert "status" not in made
    merge = {"Content-Type": "application/merge-patch+json"}
    body = {"spec": {"mode": "InPlace"}, "status": status}
    changed = http.patch(f"{policies}/web/status", json=body, headers=merge).json()
    assert changed["status"] == status
    assert changed["spec"]["mode"] == "Recommend"
    assert changed["metadata"]["generation"] == made["metadata"]["generation"]


def test_kubectl_get_shows_the_columns_of_the_models(http: httpx.Client, policies: str):
    http.post(policies, json=policy(mode="InPlace", importance="High")).raise_for_status()
    table = http.get(policies, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == [
        "Name",
        "Mode",
        "Kind",
        "Target",
        "Importance",
        "Workloads",
        "Conflict",
        "NotYetActive",
        "Age",
    ]
    assert table["rows"][0]["cells"][:5] == ["web", "InPlace", "Deployment", "web", "High"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_is_served_as_declared(http: httpx.Client, kind):
    crd = http.get(f"{CRDS}/{kind.crd_name}").json()
    states = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
    assert states["Established"] == states["NamesAccepted"] == "True"
    assert states.get("NonStructuralSchema", "False") == "False"
    resources = {each["name"]: each for each in http.get(API).json()["resources"]}
    served = resources[kind.plural]
    assert served["kind"] == kind.name
    assert served["namespaced"] is kind.namespaced
    assert served["shortNames"] == [kind.short_name]
    assert served["categories"] == ["plimsoll"]
    assert f"{kind.plural}/status" in resources


def test_a_full_profile_is_kept_whole(http: httpx.Client, policies: str):
    profiles = policies.replace("memorypolicies", "memoryprofiles")
    head = {"apiVersion": "plimsoll.dev/v1alpha1", "kind": "MemoryProfile"}
    head |= {"metadata": {"name": "deployment-web"}}
    http.post(profiles, json=head | {"spec": {"targetRef": TARGET}}).raise_for_status()
    status = {
        "policy": "MemoryPolicy prod/web",
        "mode": "InPlace",
        "pods": 2,
        "updatedTime": "2026-11-21T10:00:00Z",
        "containers": [
            {
                "name": "app",
                "mode": "InPlace",
                "usage": {"quantity": "usage", "current": "200Mi", "peakDay": "256Mi", "history": "6d"},
                "forecast": {
                    "model": "seasonal",
                    "horizon": "1h",
                    "quantiles": [{"level": 0.99, "value": "300Mi"}],
                },
                "recommendation": {
                    "lower": "280Mi",
                    "target": "320Mi",
                    "upper": "400Mi",
                    "buffer": "20Mi",
                    "request": "300Mi",
                },
                "lastDecision": {
                    "kind": "raise",
                    "reason": "OOMKilled",
                    "message": "...",
                    "from": "256Mi",
                    "to": "320Mi",
                },
                "originalResources": {"request": "128Mi", "limit": "256Mi"},
                "oom": {"count": 1, "lastTime": "2026-11-21T09:00:00Z", "limit": "256Mi", "floor": "308Mi"},
                "checkpoint": "A" * 10_924,
            }
        ],
        "conditions": [{"type": "NotYetActive", "status": "False", "reason": "", "message": ""}],
    }
    query = {"fieldValidation": "Strict"}
    headers = {"Content-Type": "application/merge-patch+json"}
    kept = http.patch(
        f"{profiles}/deployment-web/status", json={"status": status}, params=query, headers=headers
    )
    assert kept.json()["status"] == status

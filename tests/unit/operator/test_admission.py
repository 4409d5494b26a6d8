"""The webhook over real TLS: pods get their memory, and nothing that goes wrong stops a pod.

In: AdmissionReviews as an API server sends them. Not replaced: server, TLS, certificate. What the
webhook asks (`initial`) is the test's.
"""

import asyncio
import base64
import io
import json
import ssl
import time

import aiohttp
import pytest
from prometheus_client import generate_latest

from plimsoll_operator import admission
from plimsoll_operator.actuate.api import MemoryValues
from plimsoll_operator.admission import PodAdmission, memory_patch
from plimsoll_operator.main import _observer
from plimsoll_operator.serve.certificate import VALID_DAYS
from plimsoll_operator.serve.http import Health, WebhookServing, start_serving
from plimsoll_operator.serve.metrics import Metrics

MIB = 2**20


def pod(**container):
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"} | container]}}


def review(document, **request):
    asked = {"uid": "u-1", "operation": "CREATE", "namespace": "shop", "object": document} | request
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


def applied(document, patch):
    """The document after a patch of `add` operations, as the API server applies it."""
    document = json.loads(json.dumps(document))
    for operation in patch:
        assert operation["op"] == "add"
        *path, last = operation["path"].removeprefix("/").split("/")
        at = document
        for part in path:
            at = at[int(part)] if isinstance(at, list) else at[part]
        at[last] = operation["value"]
    return document


class Initial:
    """Answers what the test says, and remembers what it was asked."""

    def __init__(self):
        self.values = {"app": MemoryValues(256 * MIB, 128 * MIB)}
        self.error = None
        self.hangs = False
        self.asked = []

    async def __call__(self, document, namespace):
        self.asked.append((document["metadata"]["name"], namespace))
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        return self.values


@pytest.fixture
def initial():
    return Initial()


@pytest.fixture
async def post(initial, tmp_path):
    """A function that posts a body to the webhook, trusting only its own certificate."""
    outcomes = []
    webhook = WebhookServing(
        PodAdmission(initial, lambda outcome, _: outcomes.append(outcome)),
        tmp_path / "certificate",
        ("127.0.0.1", "localhost"),
        "127.0.0.1",
        0,
    )
    metrics = Metrics("test")
    serving = await start_serving(metrics, Health(), "127.0.0.1", None, webhook)
    trust = ssl.create_default_context(cafile=tmp_path / "certificate" / "tls.crt")
    session = aiohttp.ClientSession()

    async def send(body):
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        url = f"https://127.0.0.1:{serving.webhook_port}/mutate-pods"
        async with session.post(url, data=data, ssl=trust) as response:
            return response.status, await response.json()

    send.outcomes, send.metrics = outcomes, metrics
    yield send
    await session.close()
    await serving.close()


def patch_of(answer):
    response = answer["response"]
    assert response["allowed"] is True
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else []


async def test_the_certificates_end_is_told_in_unix_seconds(post):
    shown = post.metrics.value("plimsoll_webhook_certificate_end_timestamp_seconds")
    assert shown == pytest.approx(time.time() + VALID_DAYS * 86_400, abs=600)


def test_outcomes_are_there_before_the_first_review():
    metrics = Metrics("test")
    _observer(metrics)
    shown = generate_latest(metrics.registry).decode()
    for outcome in ("patched", "unchanged", "error", "timeout"):
        assert f'plimsoll_webhook_requests_total{{outcome="{outcome}"}} 0.0' in shown


async def test_a_new_pod_gets_its_limit_and_request(post, initial):
    status, answer = await post(review(pod()))
    assert status == 200
    assert answer["apiVersion"] == "admission.k8s.io/v1"
    assert answer["response"]["uid"] == "u-1"
    resources = applied(pod(), patch_of(answer))["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"memory": str(256 * MIB)}, "requests": {"memory": str(128 * MIB)}}
    assert initial.asked == [("a", "shop")]
    assert post.outcomes == ["patched"]


async def test_a_pod_that_nobody_knows_is_unchanged(post, initial):
    initial.values = {}
    _, answer = await post(review(pod()))
    assert answer["response"] == {"uid": "u-1", "allowed": True}
    assert post.outcomes == ["unchanged"]


async def test_an_exception_lets_the_pod_through_unchanged(post, initial):
    initial.error = RuntimeError("no profile")
    _, answer = await post(review(pod()))
    assert answer["response"] == {"uid": "u-1", "allowed": True}
    assert post.outcomes == ["error"]


async def test_an_answer_that_takes_too_long_lets_the_pod_through_unchanged(post, initial, monkeypatch):
    monkeypatch.setattr(admission, "ANSWER_SECONDS", 0.01)
    initial.hangs = True
    _, answer = await post(review(pod()))
    assert answer["response"] == {"uid": "u-1", "allowed": True}
    assert post.outcomes == ["timeout"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        {},
        {"spec": None},
        {"spec": {"containers": 3}},
        {"spec": {"containers": [None]}},
        {"metadata": 3},
    ],
)
async def test_a_pod_that_is_none_is_let_through_for_the_api_server_to_refuse(post, document):
    _, answer = await post(review(document))
    assert answer["response"] == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize("operation", ["UPDATE", "DELETE"])
async def test_only_creation_is_answered(post, initial, operation):
    _, answer = await post(review(pod(), operation=operation))
    assert patch_of(answer) == []
    assert initial.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"request": 3}', b"\xff", b"[" * 100_000])
async def test_what_is_no_review_is_refused_and_the_server_goes_on(post, body):
    status, _ = await post(body)
    assert status == 400
    assert (await post(review(pod())))[0] == 200


async def test_many_reviews_at_once_are_all_answered(post):
    answers = await asyncio.gather(*(post(review(pod(), uid=f"u-{i}")) for i in range(100)))
    assert [answer["response"]["uid"] for _, answer in answers] == [f"u-{i}" for i in range(100)]


async def test_a_pod_with_many_large_fields_fits(post):
    big = pod(env=[{"name": "x", "value": "y" * 3_000_000}])
    assert (await post(review(big)))[0] == 200


@pytest.mark.parametrize(
    ("resources", "paths"),
    [
        (None, ["/resources", "/resources/limits", "/resources/requests"]),
        ({}, ["/resources/limits", "/resources/requests"]),
        ({"limits": {"cpu": "1"}}, ["/resources/limits/memory", "/resources/requests"]),
        (
            {"limits": {"memory": "1Gi"}, "requests": None},
            ["/resources/limits/memory", "/resources/requests"],
        ),
        ({"limits": {"memory": str(256 * MIB)}, "requests": {"memory": str(128 * MIB)}}, []),
    ],
)
def test_the_patch_touches_memory_and_nothing_else(resources, paths):
    document = pod(**({} if resources is None else {"resources": resources}))
    patch = list(memory_patch(document, {"app": MemoryValues(256 * MIB, 128 * MIB)}))
    assert [each["path"].removeprefix("/spec/containers/0") for each in patch] == paths
    after = applied(document, patch)["spec"]["containers"][0]["resources"]
    assert after["limits"]["memory"] == str(256 * MIB)
    assert after["limits"].get("cpu") == ((resources or {}).get("limits") or {}).get("cpu")


def test_a_value_that_is_to_stay_is_not_in_the_patch():
    patch = list(memory_patch(pod(), {"app": MemoryValues(None, 5)}))
    assert [each["path"] for each in patch] == [
        "/spec/containers/0/resources",
        "/spec/containers/0/resources/requests",
    ]
    assert list(memory_patch(pod(), {"app": MemoryValues(None, None)})) == []


def test_native_sidecars_are_patched_where_they_stand():
    document = pod()
    document["spec"]["initContainers"] = [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}]
    patch = list(memory_patch(document, {"proxy": MemoryValues(5, None)}))
    assert patch[-1]["path"] == "/spec/initContainers/1/resources/limits"

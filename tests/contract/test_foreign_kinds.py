"""What the chart makes of other people's kinds is what those people's CRDs take.

In: the CRDs of prometheus-operator, cert-manager and KEDA out of their Go modules (kind/foreign-crds.sh; that
of NodeResourceTopology is for test_agent_account.py), on the real API server. Out: every such object is
applied with strict field validation, as a dry run.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from builders.apiserver import ApiServer
from builders.chart import EVERYTHING, NAMESPACE, Object, render
from builders.crds import CRDS
from builders.others_tools import MissingError, foreign_crds
from builders.waiting import wait_for

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

MONITORED = EVERYTHING["monitoring"]
VALUES: Mapping[str, Mapping[str, Any]] = {
    "everything": EVERYTHING,
    "everything, an issuer of somebody's": {
        **EVERYTHING,
        "webhook": {
            "certificate": {"source": "cert-manager", "issuerRef": {"name": "ca", "kind": "ClusterIssuer"}}
        },
        "coordination": {
            "enabled": True,
            "certificate": {"source": "cert-manager", "issuerRef": {"name": "ca"}},
        },
    },
    "monitors alone": {"monitoring": MONITORED},
}
KINDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate", "Issuer", "ScaledObject"}


@pytest.fixture(scope="module")
def plurals(apiserver: ApiServer) -> Iterator[dict[tuple[str, str], str]]:
    """(apiVersion, kind) of what their CRDs serve -> plural."""
    try:
        crds = foreign_crds()
    except MissingError as missing:
        pytest.skip(str(missing))
    http, served = apiserver.client(), {}
    for crd in crds:
        http.post(CRDS, json=crd).raise_for_status()
        spec = crd["spec"]
        for version in (each["name"] for each in spec["versions"] if each["served"]):
            served[f"{spec['group']}/{version}", spec["names"]["kind"]] = spec["names"]["plural"]
    for (version, _), plural in served.items():
        wait_for(lambda path=f"/apis/{version}/{plural}": http.get(path).is_success, plural, 60)
    for namespace in (NAMESPACE, "plimsoll-agents"):
        http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    yield served
    for crd in crds:
        http.delete(f"{CRDS}/{crd['metadata']['name']}")


def applied(http: httpx.Client, body: Object, plurals: Mapping[tuple[str, str], str]) -> httpx.Response:
    plural, where = plurals[body["apiVersion"], body["kind"]], body["metadata"]
    return http.patch(
        f"/apis/{body['apiVersion']}/namespaces/{where['namespace']}/{plural}/{where['name']}",
        params={"dryRun": "All", "fieldManager": "t", "force": "true", "fieldValidation": "Strict"},
        content=json.dumps(body),
        headers={"Content-Type": "application/apply-patch+yaml"},
    )


@pytest.mark.parametrize("name", VALUES)
def test_their_crds_take_what_is_rendered(
    apiserver: ApiServer, plurals: Mapping[tuple[str, str], str], name: str
):
    http, seen = apiserver.client(), set()
    for body in render(VALUES[name]).objects:
        if (body["apiVersion"], body["kind"]) not in plurals:
            assert body["kind"] not in KINDS, f"{body['apiVersion']} is not what they serve"
            continue
        answer = applied(http, body, plurals)
        assert answer.is_success, f"{body['kind']} {body['metadata']['name']}: {answer.text}"
        seen.add(body["kind"])
    assert seen >= {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert seen == KINDS or name != "everything"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_their_crds_refuse_a_field_that_they_do_not_know(
    apiserver: ApiServer, plurals: Mapping[tuple[str, str], str], kind: str
):
    body = copy.deepcopy(render(EVERYTHING).of_kind(kind)[0])
    body["spec"]["noSuchField"] = True
    answer = applied(apiserver.client(), body, plurals)
    assert not answer.is_success
    assert "noSuchField" in answer.text

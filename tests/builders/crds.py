"""Our CRDs on an API server, and policies as plain dicts.

In: an HTTP client that may write CRDs. Out: the kinds are served when `install_crds` returns; installing
twice is harmless.
"""

import json
from typing import Any

import httpx

from plimsoll_operator.crds import load

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API = "/apis/plimsoll.dev/v1alpha1"


def install_crds(http: httpx.Client) -> None:
    """Apply every shipped CRD and follow each until the API server says that it is established."""
    for crd in load():
        name = crd["metadata"]["name"]
        answer = http.patch(
            f"{CRDS}/{name}",
            params={"fieldManager": "tests", "force": "true"},
            content=json.dumps(crd),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert answer.is_success, answer.text
        _follow_until_established(http, name)


def _follow_until_established(http: httpx.Client, name: str) -> None:
    query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": "30"}
    with http.stream("GET", CRDS, params=query) as events:
        for line in events.iter_lines():
            conditions = json.loads(line)["object"].get("status", {}).get("conditions") or ()
            if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                return
    raise AssertionError(f"{name} was not established within 30 s")


def policy(name: str = "web", kind: str = "MemoryPolicy", **spec: Any) -> dict[str, Any]:
    """A policy; a MemoryPolicy without a target gets the Deployment of its own name."""
    if kind == "MemoryPolicy" and not {"targetRef", "selector"} & spec.keys():
        spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, **spec}
    return {"apiVersion": "plimsoll.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

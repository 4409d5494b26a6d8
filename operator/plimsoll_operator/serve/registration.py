"""Registers the webhook with the API server, where nobody else does (`--manage-webhook`).

In: the address at which the API server reaches us and the CA it must trust. Out: one
MutatingWebhookConfiguration, created or brought up to date. With Helm or cert-manager this stays off: the
right to write webhook configurations is the right to change every object of a cluster. `failurePolicy:
Ignore`: a pod starts unchanged while we are away.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from plimsoll_operator.actuate.api import ApiError, Body, KubeApi, Resource

WEBHOOK_CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", namespaced=False
)
CONFIGURATION_NAME = "plimsoll-operator"
WEBHOOK_NAME = "pods.plimsoll.dev"
TIMEOUT_SECONDS = 2
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def webhook_configuration(
    client: Mapping[str, Any], authority_pem: bytes, excluded_namespaces: Sequence[str]
) -> Body:
    """Return the configuration; `client` is `{"url": ...}` or `{"service": {...}}`."""
    config = {**client, "caBundle": base64.b64encode(authority_pem).decode()}
    excluded = {"key": NAMESPACE_LABEL, "operator": "NotIn", "values": sorted(excluded_namespaces)}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION_NAME},
        "webhooks": [
            {
                "name": WEBHOOK_NAME,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Ignore",
                "reinvocationPolicy": "IfNeeded",  # sidecars that other webhooks inject get their limit too
                "timeoutSeconds": TIMEOUT_SECONDS,
                "clientConfig": config,
                "namespaceSelector": {"matchExpressions": [excluded]},
                "rules": [rule],
            }
        ],
    }


async def register(api: KubeApi, body: Body) -> None:
    """Create the configuration, or replace ours if it differs; raises `ApiError`."""
    try:
        await api.create(WEBHOOK_CONFIGURATIONS, "", body)
    except ApiError as error:
        if not error.conflict:
            raise
        present = await api.read(WEBHOOK_CONFIGURATIONS, "", CONFIGURATION_NAME)
        version = present["metadata"].get("resourceVersion", "")
        replacement = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        await api.replace(WEBHOOK_CONFIGURATIONS, "", CONFIGURATION_NAME, replacement)

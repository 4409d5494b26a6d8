"""Mutating webhooks, called when an object is created, as MutatingWebhookConfigurations ask.

In: a new object and the stored configurations. Out: the object after all patches, or a refusal; a webhook
that does not answer in its time is passed over or refused, by its failurePolicy. `matchConditions` (CEL)
are not judged: a webhook that has some is called.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Iterator
from typing import Any

import aiohttp

from .errors import ApiError
from .operations import Operations
from .patching import json_patch
from .resources import ResourceType
from .selectors import matches_selector

JsonObject = dict[str, Any]
_CONFIGURATIONS = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
# Kubernetes' own default for webhooks that name no timeout.
_DEFAULT_TIMEOUT_SECONDS = 10


def _rule_matches(rule: JsonObject, kind: ResourceType, operation: str) -> bool:
    def has(field: str, value: str) -> bool:
        return bool({"*", value} & set(rule.get(field) or ()))

    return (
        has("operations", operation)
        and has("apiGroups", kind.group)
        and has("apiVersions", kind.version)
        and bool({"*", "*/*", kind.plural} & set(rule.get("resources") or ()))
    )


class MutatingAdmission:
    """Calls the webhooks that are configured in the store."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._session: aiohttp.ClientSession | None = None
        self.calls = 0
        self.failures = 0

    async def close(self) -> None:
        """End the client session."""
        if self._session is not None:
            await self._session.close()

    async def admit(
        self, kind: ResourceType, namespace: str | None, obj: JsonObject, *, dry_run: bool
    ) -> JsonObject:
        """The object as the webhooks leave it."""
        for webhook in self._webhooks(kind, namespace, obj):
            try:
                answer = await self._call(webhook, kind, namespace, obj, dry_run=dry_run)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, ssl.SSLError) as error:
                self.failures += 1
                if webhook.get("failurePolicy", "Fail") == "Fail":
                    why = f"failed calling webhook {webhook['name']!r}: {error!r}"
                    raise ApiError(500, "InternalError", f"Internal error occurred: {why}") from error
                continue
            obj = _apply(webhook["name"], obj, answer)
        return obj

    def _webhooks(self, kind: ResourceType, namespace: str | None, obj: JsonObject) -> Iterator[JsonObject]:
        configurations = list(self._operations.store.collection(_CONFIGURATIONS).page(None, None))
        if not configurations:
            return
        space = self._operations.store.get(("", "namespaces"), "", namespace or "")
        for stored in configurations:
            for webhook in stored.load().get("webhooks") or ():
                if not any(_rule_matches(rule, kind, "CREATE") for rule in webhook.get("rules") or ()):
                    continue
                if not _selected(webhook.get("namespaceSelector"), space.labels if space else {}):
                    continue
                if _selected(webhook.get("objectSelector"), (obj.get("metadata") or {}).get("labels") or {}):
                    yield webhook

    async def _call(
        self,
        webhook: JsonObject,
        kind: ResourceType,
        namespace: str | None,
        obj: JsonObject,
        *,
        dry_run: bool,
    ) -> JsonObject:
        config = webhook["clientConfig"]
        if "url" not in config:
            raise ValueError("only clientConfig.url can be reached in the sandbox")
        self.calls += 1
        if self._session is None:
            self._session = aiohttp.ClientSession()
        review = _review(self.calls, kind, namespace, obj, dry_run=dry_run)
        seconds = webhook.get("timeoutSeconds") or _DEFAULT_TIMEOUT_SECONDS
        async with (
            asyncio.timeout(seconds),
            self._session.post(config["url"], json=review, ssl=_trust(config)) as response,
        ):
            response.raise_for_status()
            answer: JsonObject = (await response.json())["response"]
            return answer


def _selected(selector: JsonObject | None, labels: dict[str, str]) -> bool:
    return not selector or matches_selector(selector, labels)


def _trust(config: JsonObject) -> ssl.SSLContext | bool:
    if not config["url"].startswith("https:"):
        return True
    bundle = config.get("caBundle")
    context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
    context.check_hostname = bool(bundle)
    return context


def _review(
    number: int, kind: ResourceType, namespace: str | None, obj: JsonObject, *, dry_run: bool
) -> JsonObject:
    metadata = obj.get("metadata") or {}
    group_kind = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    group_resource = {"group": kind.group, "version": kind.version, "resource": kind.plural}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": f"sandbox-{number}",
            "kind": group_kind,
            "requestKind": group_kind,
            "resource": group_resource,
            "requestResource": group_resource,
            "name": metadata.get("name", ""),
            "namespace": namespace or "",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": []},
            "object": {"apiVersion": kind.api_version, "kind": kind.kind, **obj},
            "oldObject": None,
            "dryRun": dry_run,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    }


def _apply(name: str, obj: JsonObject, answer: JsonObject) -> JsonObject:
    if not answer.get("allowed"):
        status = answer.get("status") or {}
        why = status.get("message") or "denied"
        code = status.get("code") or 403
        raise ApiError(code, "Forbidden", f"admission webhook {name!r} denied the request: {why}")
    if not answer.get("patch"):
        return obj
    return json_patch(obj, json.loads(base64.b64decode(answer["patch"])))

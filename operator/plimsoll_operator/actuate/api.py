"""The few calls the operator makes to a Kubernetes API, as a narrow protocol with one real adapter.

In: plain dicts and names. Out: plain dicts, and `ApiError` with a status for everything that went wrong.
Reading of many objects is kopf's work; here are single reads, the Lease, profiles, events, resizes and
evictions. The adapter stands on `kubernetes.aio`'s `ApiClient` (address, TLS, tokens that rotate), not on
its typed calls: their models take 130 MB of memory to import, and every body here is a dict anyway.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.config_exception import ConfigException

from plimsoll_operator.place.gate import lifted

Body = dict[str, Any]
REQUEST_TIMEOUT_SECONDS = 15.0
FIELD_MANAGER = "plimsoll-operator"

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object as it stands in the path; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, an object or one of its subresources."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(["namespaces", namespace] if namespace else []), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


PODS = Resource("", "v1", "pods")
EVENTS = Resource("events.k8s.io", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
PROFILES = Resource("plimsoll.dev", "v1alpha1", "memoryprofiles")
POLICIES = Resource("plimsoll.dev", "v1alpha1", "memorypolicies")
NODE_MEMORIES = Resource("plimsoll.dev", "v1alpha1", "nodememories", namespaced=False)
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", namespaced=False)
CLUSTER_POLICIES = Resource("plimsoll.dev", "v1alpha1", "clustermemorypolicies", namespaced=False)


@dataclass(frozen=True, slots=True)
class PodRef:
    """One pod, not its name: a pod recreated under the same name has another uid and is left alone."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class MemoryValues:
    """What is written for one container; None leaves a value as it is (in place it cannot be taken away)."""

    limit_bytes: int | None
    request_bytes: int | None
    sidecar: bool = False  # a native sidecar: it stands among the init containers


class ApiError(Exception):
    """The API server refused, or did not answer (`status` 0). `retry_after_seconds` is what it asked for."""

    def __init__(self, status: int, reason: str, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def missing(self) -> bool:
        """The object (or its kind) is not there."""
        return self.status in (404, 410)

    @property
    def conflict(self) -> bool:
        """Somebody else wrote first, or the object is another one by now."""
        return self.status == 409

    @property
    def passing(self) -> bool:
        """Worth trying again: no answer, too many requests, or the server's own trouble."""
        return self.status in (0, 408, 429) or self.status >= 500

    @property
    def unanswered(self) -> bool:
        """The call may have been carried out all the same: what is lost may be the answer alone."""
        return self.status in (0, 408) or self.status >= 500


class KubeApi(Protocol):
    """What the operator asks of a Kubernetes API. Every call may raise `ApiError`, and nothing else."""

    async def version(self) -> str:
        """The server's version, e.g. `v1.37.1`."""
        ...

    async def read(self, resource: Resource, namespace: str, name: str) -> Body:
        """One object."""
        ...

    async def read_path(self, path: str) -> Body:
        """Any other document, e.g. discovery at `/apis/apps/v1`."""
        ...

    async def count(self, resource: Resource) -> int:
        """How many objects of a kind there are now, without reading them all."""
        ...

    async def page(self, resource: Resource, limit: int, token: str = "") -> tuple[list[Body], str]:
        """At most `limit` objects of a kind of all namespaces, and the next page's token ("": none)."""
        ...

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Create an object; 409 where the name is taken."""
        ...

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """Replace an object; 409 where `metadata.resourceVersion` in `body` is not the newest."""
        ...

    async def patch_status(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """Merge `body` into the object through its status subresource: only `status` changes.

        Merging replaces lists whole. A `metadata.uid` in `body` that is not the object's is a 409.
        """
        ...

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete an object; 409 where the one of that name has another uid."""
        ...

    async def resize(self, pod: PodRef, values: Mapping[str, MemoryValues]) -> Body:
        """Set containers' memory through `pods/resize`; the answer is the pod.

        Containers not named keep what they have, and so does everything but memory. The write is refused with
        409 where the pod of that name has another uid, 404 where there is none, 422 where the values
        are not allowed. Setting what is already set changes nothing and succeeds.
        """
        ...

    async def evict(self, pod: PodRef, *, dry_run: bool = False) -> None:
        """Ask for the pod's eviction; 429 while a disruption budget does not allow it. A dry run asks only
        whether it would be allowed.
        """
        ...

    async def lift_gate(self, pod: PodRef) -> Body:
        """Take our scheduling gate off the pod, and no other; the answer is the pod.

        Refused with 409 where the pod of that name has another uid, 404 where there is none. Where the gate
        is gone already nothing changes, and it succeeds.
        """
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...


def resize_body(pod: PodRef, values: Mapping[str, MemoryValues]) -> Body:
    """The strategic merge patch of a resize: containers by name, memory only, the uid as a precondition."""
    spec: Body = {}
    for name, each in values.items():
        place = "initContainers" if each.sidecar else "containers"
        spec.setdefault(place, []).append({"name": name, "resources": _resources(each)})
    return {"metadata": {"uid": pod.uid}, "spec": spec}


def _resources(values: MemoryValues) -> Body:
    pairs = (("limits", values.limit_bytes), ("requests", values.request_bytes))
    return {key: {"memory": str(value)} for key, value in pairs if value is not None}


class KubernetesApi:
    """The adapter over `kubernetes.aio`."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @classmethod
    async def connect(cls, context: str = "", environment: Mapping[str, str] = os.environ) -> "KubernetesApi":
        """Find the API server as every client does: $KUBECONFIG, the pod's account, ~/.kube/config."""
        configuration = Configuration()
        if environment.get("KUBECONFIG"):
            await _load_file(environment["KUBECONFIG"], context, configuration)
        else:
            try:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except ConfigException:
                await _load_file(None, context, configuration)
        return cls(ApiClient(configuration))

    async def version(self) -> str:
        """See `KubeApi.version`."""
        return str((await self._call("GET", "/version")).get("gitVersion", ""))

    async def read(self, resource: Resource, namespace: str, name: str) -> Body:
        """See `KubeApi.read`."""
        return await self._call("GET", resource.path(namespace, name))

    async def read_path(self, path: str) -> Body:
        """See `KubeApi.read_path`."""
        return await self._call("GET", path)

    async def count(self, resource: Resource) -> int:
        """See `KubeApi.count`."""
        page = await self._call("GET", resource.path(), query={"limit": "1"})
        remaining = (page.get("metadata") or {}).get("remainingItemCount") or 0
        return len(page.get("items") or ()) + int(remaining)

    async def page(self, resource: Resource, limit: int, token: str = "") -> tuple[list[Body], str]:
        """See `KubeApi.page`."""
        query = {"limit": str(limit)} | ({"continue": token} if token else {})
        found = await self._call("GET", resource.path(), query=query)
        return list(found.get("items") or ()), str((found.get("metadata") or {}).get("continue") or "")

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """See `KubeApi.create`."""
        return await self._call("POST", resource.path(namespace), body)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.replace`."""
        return await self._call("PUT", resource.path(namespace, name), body)

    async def patch_status(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.patch_status`."""
        return await self._call("PATCH", resource.path(namespace, name, "status"), body, MERGE)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """See `KubeApi.delete`."""
        body: Body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._call("DELETE", resource.path(namespace, name), body)

    async def resize(self, pod: PodRef, values: Mapping[str, MemoryValues]) -> Body:
        """See `KubeApi.resize`."""
        path = PODS.path(pod.namespace, pod.name, "resize")
        return await self._call("PATCH", path, resize_body(pod, values), STRATEGIC)

    async def evict(self, pod: PodRef, *, dry_run: bool = False) -> None:
        """See `KubeApi.evict`."""
        options: Body = {"preconditions": {"uid": pod.uid}}
        if dry_run:
            options["dryRun"] = ["All"]
        body: Body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": options,
        }
        await self._call("POST", PODS.path(pod.namespace, pod.name, "eviction"), body)

    async def lift_gate(self, pod: PodRef) -> Body:
        """See `KubeApi.lift_gate`."""
        return await self._call("PATCH", PODS.path(pod.namespace, pod.name), lifted(pod.uid), STRATEGIC)

    async def close(self) -> None:
        """See `KubeApi.close`."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _call(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Body:
        parameters = list((query or {}).items())
        if method in ("POST", "PUT", "PATCH"):
            parameters.append(("fieldManager", FIELD_MANAGER))
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": FIELD_MANAGER}
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=parameters,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=REQUEST_TIMEOUT_SECONDS)
            text = await response.read()  # type: ignore[no-untyped-call]
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, "NoAnswer", f"{method} {path}: {type(error).__name__}: {error}") from error
        return _answer(method, path, response.status, response.headers, text)


async def _load_file(path: str | None, context: str, configuration: Configuration) -> None:
    named = context or None
    await load_kube_config(path, context=named, client_configuration=configuration)  # type: ignore[no-untyped-call]


def _answer(method: str, path: str, status: int, headers: Mapping[str, str], text: bytes) -> Body:
    try:
        document = json.loads(text) if text else {}
    except ValueError:
        document = {"message": text[:200].decode("utf-8", "replace")}
    if not isinstance(document, dict):
        document = {"message": str(document)[:200]}
    if 200 <= status < 300:
        return document
    message = f"{method} {path}: {document.get('message', '')}"
    if status == 422 and "metadata.uid" in message:
        # What a patch that names another uid really gets ("field is immutable"); a replace gets the 409.
        raise ApiError(409, "Conflict", message)
    raise ApiError(status, str(document.get("reason", "")), message, _retry_after(headers, document))


def _retry_after(headers: Mapping[str, str], document: Body) -> float:
    details = document.get("details")
    asked = headers.get("Retry-After") or (
        details.get("retryAfterSeconds") if isinstance(details, dict) else 0
    )
    try:
        return max(0.0, float(asked or 0))
    except (TypeError, ValueError):
        return 0.0

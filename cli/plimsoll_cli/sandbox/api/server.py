"""The fake Kubernetes API over HTTP: kmock for discovery, our own store and rules for objects.

In: HTTP requests as kopf, the official clients and kubectl's kin make them. Out: what kube-apiserver 1.37
would answer for the resources Plimsoll touches. kmock 0.8 scans all objects of all kinds at every request,
knows no resourceVersion, paging, conflicts or subresources (docs/decisions/0010-sandbox-api.md), so object
paths are served here.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp.web

from .admission import MutatingAdmission
from .audit import Audit, AuditEntry
from .discovery import Discovery
from .errors import ApiError, bad_request
from .faults import FaultRule, Faults
from .operations import Operations, Page, Selection
from .patching import decode
from .resources import ResourceRegistry, ResourceType
from .store import ObjectStore, Stored, encode
from .watch import Watch, stream

Json = Any  # one JSON value of any shape
JsonObject = dict[str, Any]
# Answers computed on request instead of stored objects: (namespace, name) -> items.
Computed = Callable[[str | None, str | None], list[JsonObject]]
# Paths outside the API proper (the world's clock, Prometheus): request -> response.
Route = Callable[[aiohttp.web.BaseRequest], Awaitable[aiohttp.web.StreamResponse]]

_HEALTH = frozenset({"/healthz", "/readyz", "/livez"})
_REVIEWS = frozenset({"selfsubjectaccessreviews", "subjectaccessreviews", "localsubjectaccessreviews"})
_MAX_BODY_BYTES = 3 * 1024 * 1024  # kube-apiserver's own limit on a request


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names."""

    kind: ResourceType
    namespace: str | None
    name: str
    subresource: str


def verb_of(method: str, target: Target, query: Mapping[str, str]) -> str:
    """Kubernetes' word for a request."""
    if method == "GET":
        if query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE" and not target.name:
        return "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(
        method, method.lower()
    )


class SandboxApi:
    """A Kubernetes API in this process; `listen()` serves it."""

    def __init__(self, now: Callable[[], float], seed: int = 0) -> None:
        self._discovery = Discovery()
        self.registry = ResourceRegistry(self._discovery.resources)
        self.store = ObjectStore()
        self.operations = Operations(self.store, self.registry, now, seed)
        self.admission = MutatingAdmission(self.operations)
        self.faults = Faults(seed)
        self.audit = Audit()
        self.computed: dict[tuple[str, str], Computed] = {}
        self.routes: dict[str, Route] = {}
        self._now = now

    @asynccontextmanager
    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve until the context ends; yields the base URL."""
        async with self._discovery:
            server = aiohttp.web.Server(self, handler_cancellation=True)
            runner = aiohttp.web.ServerRunner(server, shutdown_timeout=0.2)
            await runner.setup()
            site = aiohttp.web.TCPSite(runner, host, port)
            await site.start()
            address = runner.addresses[0]
            try:
                yield f"http://{address[0]}:{address[1]}"
            finally:
                await runner.cleanup()
                await self.admission.close()

    async def __call__(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        """Serve one request."""
        self.audit.requests += 1
        path = request.path
        if path in _HEALTH:
            return aiohttp.web.Response(text="ok")
        route = self.routes.get(path) or self.routes.get(path.rpartition("/")[0] + "/*")
        if route is not None:
            return await route(request)
        try:
            target = self._target(path)
            if target is None:
                return await self._discovery(request)
            return await self._serve(request, target)
        except ApiError as error:
            return _error(error)

    def _target(self, path: str) -> Target | None:
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) >= 3:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) >= 4:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        namespace = None
        if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        kind = self.operations.type(group, version, rest[0])
        name, subresource = [*rest[1:3], "", ""][:2]
        if subresource and subresource not in kind.subresources:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource {path}")
        return Target(kind, namespace, name, subresource)

    async def _serve(self, request: aiohttp.web.BaseRequest, target: Target) -> aiohttp.web.StreamResponse:
        verb = verb_of(request.method, target, request.query)
        fault = self.faults.draw(verb, target.kind.plural, target.subresource) if self.faults.rules else None
        if fault is not None and not fault.after_write:
            await _trouble(request, fault)
        if verb == "watch":
            selection = self._selection(target, request.query)
            return await stream(request, Watch(self.operations, target.kind, selection, request.query))
        response = await self._answer(request, target, verb)
        if fault is not None and fault.after_write:
            await _trouble(request, fault)
        return response

    def _selection(self, target: Target, query: Mapping[str, str]) -> Selection:
        selection = Selection.parse(target.namespace, query)
        if not target.name:
            return selection
        only = Selection.parse(target.namespace, {"fieldSelector": f"metadata.name={target.name}"})
        return Selection(target.namespace, selection.labels, only.fields)

    async def _answer(
        self, request: aiohttp.web.BaseRequest, target: Target, verb: str
    ) -> aiohttp.web.StreamResponse:
        body = await request.read() if request.body_exists else b""
        if len(body) > _MAX_BODY_BYTES:
            raise ApiError(413, "RequestEntityTooLarge", "the request is larger than 3 MiB")
        if (target.kind.group, target.kind.plural) in self.computed:
            return self._computed(target, verb)
        if verb == "list":
            return _list(target.kind, self._page(target, request.query))
        if verb == "get":
            return self._get(target)
        return await self._write(request, target, verb, body)

    def _page(self, target: Target, query: Mapping[str, str]) -> Page:
        limit = query.get("limit", "")
        selection = Selection.parse(target.namespace, query)
        return self.operations.page(
            target.kind, selection, int(limit) if limit.isdigit() else None, query.get("continue")
        )

    def _get(self, target: Target) -> aiohttp.web.Response:
        stored = self.operations.get(target.kind, target.namespace, target.name)
        if target.subresource == "scale":
            return _json(_scale(stored.load()))
        return _json(stored.raw)

    def _computed(self, target: Target, verb: str) -> aiohttp.web.Response:
        if verb not in ("get", "list"):
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on this resource")
        items = self.computed[target.kind.group, target.kind.plural](target.namespace, target.name or None)
        if verb == "list":
            metadata = {"resourceVersion": str(self.store.version)}
            head = {
                "kind": f"{target.kind.kind}List",
                "apiVersion": target.kind.api_version,
                "metadata": metadata,
            }
            return _json({**head, "items": items})
        if not items:
            raise ApiError(404, "NotFound", f'{target.kind.plural} "{target.name}" not found')
        return _json(items[0])

    async def _write(
        self, request: aiohttp.web.BaseRequest, target: Target, verb: str, body: bytes
    ) -> aiohttp.web.Response:
        media_type = request.content_type
        document = decode(media_type, body) if verb == "patch" else _document(body)
        dry_run = request.query.get("dryRun") == "All"
        code, version, name = 500, "", target.name
        try:
            response, stored = await self._written(target, verb, media_type, document, dry_run=dry_run)
            code = response.status
            if stored is not None:
                version, name = str(stored.version), stored.key[1]
        except ApiError as error:
            code = error.code
            raise
        else:
            return response
        finally:
            kept = document if self.audit.keeps_body(target.kind.plural, target.subresource) else None
            entry = AuditEntry(
                len(self.audit.entries),
                self._now(),
                verb,
                target.kind.plural,
                target.subresource,
                target.namespace or "",
                name,
                code,
                request.headers.get("User-Agent", ""),
                version,
                kept,
            )
            if not dry_run:
                self.audit.note(entry)

    async def _written(
        self, target: Target, verb: str, media_type: str, document: Json, *, dry_run: bool
    ) -> tuple[aiohttp.web.Response, Stored | None]:
        kind, namespace, name, sub = target.kind, target.namespace, target.name, target.subresource
        match verb:
            case "create":
                return await self._create(target, document, dry_run=dry_run)
            case "update":
                stored = self.operations.update(kind, namespace, name, sub, document, dry_run=dry_run)
            case "patch":
                stored = self.operations.patch(
                    kind, namespace, name, sub, media_type, document, dry_run=dry_run
                )
            case "delete":
                stored = self.operations.delete(kind, namespace, name, document, dry_run=dry_run)
            case "deletecollection":
                chosen = list(self.store.collection(kind.id).page(None, namespace))
                for each in chosen:
                    self.operations.delete(kind, *each.key, {}, dry_run=dry_run)
                return _json(
                    {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
                ), None
            case _:
                raise ApiError(
                    405, "MethodNotAllowed", "the server does not allow this method on this resource"
                )
        return _json(stored.raw), stored

    async def _create(
        self, target: Target, document: Json, *, dry_run: bool
    ) -> tuple[aiohttp.web.Response, Stored | None]:
        if not isinstance(document, dict):
            raise bad_request("the body must be an object")
        if target.subresource == "eviction":
            self.operations.evict(target.namespace or "", target.name, document)
            success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            return _json(success, status=201), None
        if target.subresource == "binding":
            patch = {"spec": {"nodeName": document["target"]["name"]}}
            return _json({}, status=201), self.operations.change(
                target.kind, target.namespace or "", target.name, "", patch
            )
        if target.kind.plural in _REVIEWS:
            return _json({**document, "status": {"allowed": True}}, status=201), None
        if target.kind.id == ("", "pods"):
            document = await self.admission.admit(target.kind, target.namespace, document, dry_run=dry_run)
        stored = self.operations.create(target.kind, target.namespace, document, dry_run=dry_run)
        return _json(stored.raw, status=201), stored


def _document(body: bytes) -> Json:
    if not body:
        return {}
    try:
        return json.loads(body)
    except ValueError as error:
        raise bad_request(f"couldn't read the body: {error}") from error


def _json(document: Json, status: int = 200) -> aiohttp.web.Response:
    raw = document if isinstance(document, bytes) else encode(document)
    return aiohttp.web.Response(body=raw, status=status, content_type="application/json")


def _list(kind: ResourceType, page: Page) -> aiohttp.web.Response:
    metadata: JsonObject = {"resourceVersion": str(page.version)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
    if page.remaining:
        metadata["remainingItemCount"] = page.remaining
    head = encode({"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata})
    return _json(head[:-1] + b',"items":[' + b",".join(stored.raw for stored in page.items) + b"]}")


def _scale(obj: JsonObject) -> JsonObject:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: obj["metadata"].get(key) for key in ("name", "namespace", "uid", "resourceVersion")
        },
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {"replicas": status.get("replicas", 0), "selector": selector},
    }


def _error(error: ApiError) -> aiohttp.web.Response:
    response = _json(error.status(), status=error.code)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


async def _trouble(request: aiohttp.web.BaseRequest, fault: FaultRule) -> None:
    """Delay, drop or refuse, as the fault says; a mere delay returns."""
    if fault.delay_seconds:
        await asyncio.sleep(fault.delay_seconds)
    if fault.drop and request.transport is not None:
        request.transport.abort()
        raise ApiError(503, "ServiceUnavailable", "connection dropped on purpose")
    if fault.code:
        reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
        reason = reasons.get(fault.code, "ServiceUnavailable")
        raise ApiError(fault.code, reason, "injected fault", retry_after_seconds=fault.retry_after_seconds)

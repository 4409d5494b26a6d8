"""A metrics.k8s.io server on loopback, hung into a real API server as metrics-server would be.

In: pods and bytes of memory by container. Out: an APIService through which any client of the API server reads
them. The aggregator reaches it by a Service of type ExternalName, the only kind that may point at loopback.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from builders.apiserver import new_authority, new_certificate
from builders.waiting import wait_for

ROOT = "/apis/metrics.k8s.io/v1beta1"
NAMESPACE = "kube-system"
SERVICE = "metrics"
PodKey = tuple[str, str]  # namespace, name
_VERBS = ["get", "list"]
DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "metrics.k8s.io/v1beta1",
    "resources": [
        {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": _VERBS},
        {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": _VERBS},
    ],
}


@dataclass
class MetricsApi:
    """What the pods use now; replace `usage` to let them use something else."""

    port: int = 0
    usage: Mapping[PodKey, Mapping[str, float]] = field(default_factory=dict)
    labels: Mapping[PodKey, Mapping[str, str]] = field(default_factory=dict)
    requests: int = 0

    def answer(self, path: str) -> dict[str, Any] | None:
        """The document at a path, or None."""
        if path == ROOT:
            return DISCOVERY
        parts = path.removeprefix(ROOT).strip("/").split("/")
        if parts == ["pods"]:
            return self._list(None)
        if len(parts) == 3 and parts[::2] == ["namespaces", "pods"]:
            return self._list(parts[1])
        return None

    def _list(self, namespace: str | None) -> dict[str, Any]:
        self.requests += 1
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        chosen = (item for item in self.usage.items() if namespace in (None, item[0][0]))
        items = [self._pod(key, containers, now) for key, containers in chosen]
        return {
            "kind": "PodMetricsList",
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": items,
        }

    def _pod(self, key: PodKey, containers: Mapping[str, float], now: str) -> dict[str, Any]:
        used = [
            {"name": name, "usage": {"cpu": "10m", "memory": f"{int(value) // 1024}Ki"}}
            for name, value in containers.items()
        ]
        metadata = {"namespace": key[0], "name": key[1], "labels": dict(self.labels.get(key, {}))}
        return {"metadata": metadata, "timestamp": now, "window": "15s", "containers": used}


def _handler(api: MetricsApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            document = api.answer(self.path.partition("?")[0])
            body = json.dumps(document or {}).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Silence."""

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle of an answer is no news."""


@contextmanager
def running_metrics_api(directory: Path) -> Iterator[MetricsApi]:
    """Serve an empty `MetricsApi` over TLS until the block ends."""
    new_authority(directory, "metrics-ca")
    new_certificate(directory, "metrics", "metrics-ca", [f"{SERVICE}.{NAMESPACE}.svc"])
    api = MetricsApi()
    server = _Server(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "metrics.crt", directory / "metrics.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, name="metrics-api", daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def register_metrics_api(http: httpx.Client, api: MetricsApi, authority: Path) -> None:
    """Make `http`'s API server pass metrics.k8s.io on to `api`; returns when it does."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    http.post(f"/api/v1/namespaces/{NAMESPACE}/services", json=service)
    bundle = base64.b64encode(authority.read_bytes()).decode()
    registered = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "caBundle": bundle,
            "service": {"namespace": NAMESPACE, "name": SERVICE, "port": api.port},
        },
    }
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    http.delete(f"{services}/v1beta1.metrics.k8s.io")
    http.post(services, json=registered).raise_for_status()
    wait_for(lambda: http.get(f"{ROOT}/pods").status_code == 200, "the aggregator to reach the metrics API")

"""An API server in a few lines, on loopback: what the agent's own small client talks to in tests.

In: objects by path, errors that are to come. Out: an address; every call is kept. Merge patches go into the
object's status as an API server merges them (null removes).
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from plimsoll_nodeagent.control.kubeapi import KubeApi

NODE_MEMORIES = "/apis/plimsoll.dev/v1alpha1/nodememories"
TOPOLOGIES = "/apis/topology.node.k8s.io/v1alpha2/noderesourcetopologies"
NOT_FOUND = (404, {"message": "not found"})


class PlainApi:
    """Lists by path; NodeMemories by name, and NodeResourceTopologies where the kind is there."""

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {
            "/api/v1/pods": [],
            "/api/v1/namespaces": [{"metadata": {"name": "shop"}}],
            "/apis/plimsoll.dev/v1alpha1/memorypolicies": [],
            "/apis/plimsoll.dev/v1alpha1/clustermemorypolicies": [],
        }
        self.nodes: dict[str, dict[str, Any]] = {}
        self.topologies: dict[str, dict[str, Any]] | None = None
        self.calls: list[str] = []
        self.failing: int | None = None
        self.port = 0

    def connect(self) -> KubeApi:
        """A client of this server."""
        return KubeApi("127.0.0.1", self.port, plain=True)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, object]:
        """What the server says."""
        self.calls.append(f"{method} {path}")
        if self.failing is not None:
            return self.failing, {"message": "as the test wants it"}
        plain = path.partition("?")[0]
        if plain.startswith(TOPOLOGIES):
            return self._topology(method, plain.removeprefix(TOPOLOGIES).strip("/"), body)
        if method == "GET":
            return 200, {"items": self.lists[plain]}
        if method == "POST":
            name = body["metadata"]["name"]
            self.nodes[name] = body | {"metadata": {**body["metadata"], "uid": f"uid-of-{name}"}}
            return 201, body
        name = plain.removeprefix(f"{NODE_MEMORIES}/").removesuffix("/status")
        if name not in self.nodes:
            return NOT_FOUND
        status = self.nodes[name].get("status", {}) | body["status"]
        self.nodes[name]["status"] = {key: value for key, value in status.items() if value is not None}
        return 200, self.nodes[name]

    def _topology(self, method: str, name: str, body: Any) -> tuple[int, object]:
        if self.topologies is None or (method != "POST" and name not in self.topologies):
            return NOT_FOUND
        if method == "GET":
            return 200, self.topologies[name]
        if method == "POST":
            name, version = body["metadata"]["name"], 0
            if name in self.topologies:
                return 409, {"message": "already exists"}
            merged = body
        else:
            version = int(self.topologies[name]["metadata"]["resourceVersion"])
            if body["metadata"]["resourceVersion"] != str(version):
                return 409, {"message": "the object has been modified"}
            merged = self.topologies[name] | body
            merged["metadata"] = self.topologies[name]["metadata"] | body["metadata"]
        merged["metadata"]["resourceVersion"] = str(version + 1)
        self.topologies[name] = merged
        return 200, merged


@contextmanager
def serving(api: PlainApi) -> Iterator[PlainApi]:
    """Serve for as long as the test takes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, said = api.answer(self.command, self.path, body)
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815 -- the base class's names

        log_message: Callable[..., None] = lambda *_: None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The agent's server: /metrics, /healthz and /readyz, in threads of their own beside the loop.

In: the text of the metrics and a `Health`. Out: a running server that `close` ends. It is Python's own: the
agent has no event loop, and its memory is counted on every node. Callers are bounded in number and time, so
that a slow or hostile one costs a thread for some seconds and nothing more.
"""

import gzip
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from plimsoll_nodeagent.discover.hierarchy import DEFAULT_CGROUP_ROOT
from plimsoll_nodeagent.loop import Snapshot

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
MOST_REQUESTS = 16
GZIP_LEVEL = 1  # labels repeat: the fastest level already leaves a tenth


@dataclass(slots=True)
class Health:
    """What /healthz and /readyz say. Stuck is a loop that has ended no tick for `limit_seconds`."""

    limit_seconds: float
    latest: Callable[[], Snapshot | None]
    monotonic: Callable[[], float] = time.monotonic
    cgroup_root: str = DEFAULT_CGROUP_ROOT  # as people are told where was looked
    _last_beat: float = field(init=False)

    def __post_init__(self) -> None:
        self._last_beat = self.monotonic()

    def beat(self) -> None:
        """A tick ended as it should."""
        self._last_beat = self.monotonic()

    def report(self) -> tuple[bool, dict[str, object]]:
        """Return whether the agent is well, and what there is to say."""
        age_seconds = self.monotonic() - self._last_beat
        alive = age_seconds <= self.limit_seconds
        snapshot = self.latest()
        status = "stuck" if not alive else "starting" if snapshot is None else "ok"
        said: dict[str, object] = {"status": status, "last_tick_seconds_ago": round(age_seconds, 1)}
        return alive, said | ({} if snapshot is None else described(snapshot))

    def readiness(self) -> tuple[bool, str]:
        """Return whether the pods of this node are seen, and a sentence that says so or why not.

        One that sees none lives, for a restart would not help it; but it must not pass for one that works.
        """
        alive, said = self.report()
        snapshot = self.latest()
        if not alive:
            return False, f"The loop is stuck: no look has ended for {said['last_tick_seconds_ago']} s."
        if snapshot is None:
            return False, f"No cgroup with the memory controller was found under {self.cgroup_root} yet."
        if not snapshot.sees_pods:
            return False, (
                f"No kubepods cgroup was found under {self.cgroup_root}: no kubelet runs here, "
                "or its root is elsewhere (--cgroup-root)."
            )
        return True, f"Pods are watched under {', '.join(each.path for each in snapshot.roots)}."


def described(snapshot: Snapshot) -> dict[str, object]:
    """Return what was found, for people: the kernel, what it lacks, and how much is watched."""
    features = snapshot.features
    return {
        "kernel": features.kernel,
        "missing": [
            {"what": each.what, "why": each.why.value, "without": each.without} for each in features.missing
        ],
        "kubepods": [{"path": each.path, "driver": each.driver.value} for each in snapshot.roots],
        "pods": snapshot.pods,
        "containers": len(snapshot.samples),
        "containers_left_out": snapshot.left_out,
        "reads_failed": {reason.value: count for reason, count in sorted(snapshot.failures_total.items())},
    }


class AgentServer(ThreadingHTTPServer):
    """Listens at once, serves after `start`."""

    daemon_threads = True

    def __init__(self, address: str, port: int, metrics: Callable[[], bytes], health: Health) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.metrics = metrics
        self.health = health
        self._slots = threading.BoundedSemaphore(MOST_REQUESTS)
        super().__init__((address, port), _Handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve in the background."""
        threading.Thread(target=self.serve_forever, name="serve", daemon=True).start()

    def close(self) -> None:
        """End the server after `start`."""
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- socketserver's
        """Take a caller in if there is room."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer one caller."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """A caller that went away is no news; all else is an error of ours."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            logger.error("a request failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection (HTTP/1.0)."""

    server: AgentServer
    timeout = REQUEST_SECONDS
    server_version = "plimsoll-agent"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer /metrics, /healthz and /readyz."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, self.server.metrics())
        elif path == "/healthz":
            well, said = self.server.health.report()
            self._answer(_status(well), "application/json", json.dumps(said).encode() + b"\n")
        elif path == "/readyz":
            ready, sentence = self.server.health.readiness()
            self._answer(_status(ready), "text/plain", f"{sentence}\n".encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics, /healthz and /readyz\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 -- the base class's names
        """Requests are not logged one by one."""

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, GZIP_LEVEL)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _status(good: bool) -> HTTPStatus:  # noqa: FBT001 -- an answer's one fact
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE

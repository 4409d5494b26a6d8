"""What a `plimsoll-worker` tells of itself: /metrics and /healthz on a thread of its own.

In: jobs that end, beats. Out: a small HTTP server. A worker that has one job in hand for longer than its time
is dead for the others as well, who have taken the job over by then: the probe says so, and the kubelet starts
it anew.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from plimsoll_operator.serve.definition import SLOW_SECONDS, MetricDefinition, MetricKind
from plimsoll_operator.serve.metrics import Metrics

HEALTHY, STUCK, UNKNOWN = 200, 503, 404
COUNT_SECONDS = 60.0
DEFINITIONS: tuple[MetricDefinition, ...] = (
    MetricDefinition(
        "plimsoll_build_info", MetricKind.GAUGE, "1", "Always 1; the version is a label.", ("version",)
    ),
    MetricDefinition(
        "plimsoll_worker_jobs_total",
        MetricKind.COUNTER,
        "fits",
        "Jobs that this worker has ended, by outcome (fitted, failed, aside).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_worker_jobs_aside",
        MetricKind.GAUGE,
        "fits",
        "Jobs of the whole stream that are set aside, the newest thousand (`plimsoll-worker --aside`).",
    ),
    MetricDefinition(
        "plimsoll_worker_job_seconds",
        MetricKind.HISTOGRAM,
        "seconds",
        "Wall time of one job.",
        buckets=SLOW_SECONDS,
    ),
    MetricDefinition(
        "plimsoll_worker_redis_failures_total",
        MetricKind.COUNTER,
        "failures",
        "Times Redis did not do what it was asked; the worker asks again.",
    ),
)


@dataclass(slots=True)
class WorkerPulse:
    """When the worker last came round, and what it has done. Threads may share it."""

    limit_seconds: float
    metrics: Metrics
    monotonic: Callable[[], float] = time.monotonic
    _beaten: float = field(init=False)
    _counted: float = -math.inf

    def __post_init__(self) -> None:
        self._beaten = self.monotonic()

    def beat(self) -> None:
        """The worker looks for work, or has just ended some."""
        self._beaten = self.monotonic()

    def counts_due(self) -> bool:
        """True once a minute: time to look how the stream is doing."""
        due = self.monotonic() - self._counted >= COUNT_SECONDS
        self._counted = self.monotonic() if due else self._counted
        return due

    def ended(self, outcome: str, since_seconds: float) -> None:
        """A job has ended that began at a reading of `monotonic`."""
        self.metrics.count("plimsoll_worker_jobs_total", outcome=outcome)
        self.metrics.observe("plimsoll_worker_job_seconds", self.monotonic() - since_seconds)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of one GET."""
        if path == "/metrics":
            return HEALTHY, CONTENT_TYPE_LATEST, generate_latest(self.metrics.registry)
        if path != "/healthz":
            return UNKNOWN, "text/plain", b"/metrics and /healthz\n"
        age_seconds = self.monotonic() - self._beaten
        status = HEALTHY if age_seconds <= self.limit_seconds else STUCK
        return status, "text/plain", f"the worker last came round {age_seconds:.0f} s ago\n".encode()


def serve(pulse: WorkerPulse, address: str, port: int) -> ThreadingHTTPServer:
    """Serve until the process ends or `shutdown` is called; port 0 takes any free one. Raises OSError."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET alone."""

        timeout: ClassVar[float] = 10.0

        def do_GET(self) -> None:
            status, kind, body = pulse.answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A probe every few seconds is no news."""

    server = ThreadingHTTPServer((address, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="worker-serving", daemon=True).start()
    return server

"""The operator's two servers: /metrics, /healthz and /readyz in the clear, the webhook over TLS.

In: metrics, a `Health` that the loop keeps, and (optionally) the webhook's routes and certificate. Out:
running servers in the operator's own event loop, and one object that ends them. Liveness is the age of the
loop's heartbeat: a process that still answers but no longer loops is restarted. Readiness is what is needed
to act and to admit.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from plimsoll_operator.admission import LARGEST_REVIEW_BYTES, PodAdmission
from plimsoll_operator.serve.certificate import ServerCertificate
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.serve.watchdog import LoopWatchdog

Check = Callable[[], bool]
SHUTDOWN_SECONDS = 2.0


@dataclass(slots=True)
class Health:
    """What the probes ask. `checks` are named conditions of readiness, e.g. `indices`, `engine`.

    `heartbeat_limit_seconds` is wall time: a loop that has not beaten for longer counts as stuck.
    """

    heartbeat_limit_seconds: float = 600.0
    checks: Mapping[str, Check] = field(default_factory=dict)
    monotonic: Callable[[], float] = time.monotonic
    why: dict[str, str] = field(default_factory=dict)  # check -> why it does not hold, in words
    _last_beat: float = field(init=False)

    def __post_init__(self) -> None:
        self._last_beat = self.monotonic()

    def beat(self) -> None:
        """The loop came round (or waits, as it should)."""
        self._last_beat = self.monotonic()

    def age_seconds(self) -> float:
        """Return wall seconds since the last heartbeat."""
        return self.monotonic() - self._last_beat

    def alive(self) -> bool:
        """True while the loop beats."""
        return self.age_seconds() <= self.heartbeat_limit_seconds

    def missing(self) -> list[str]:
        """Return the names of the checks that do not hold."""
        return [name for name, check in self.checks.items() if not check()]

    def sentence(self) -> str:
        """Return what is missing and why; "" where nothing is."""
        found = ((name, self.why.get(name, "")) for name in self.missing())
        return ", ".join(f"{name} ({why})" if why else name for name, why in found)


@dataclass(frozen=True, slots=True)
class WebhookServing:
    """What the TLS server needs. Port 0: any free one. `hosts` are the names of a self-made certificate."""

    admission: PodAdmission
    certificate_directory: Path
    hosts: Sequence[str]
    address: str
    port: int


class Serving:
    """Servers and background tasks that are running."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics_port = 0
        self.webhook_port = 0
        self.certificate: ServerCertificate | None = None
        self.watchdog: LoopWatchdog | None = None

    async def close(self) -> None:
        """End tasks and servers."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for runner in self._runners:
            await runner.cleanup()

    async def serve_metrics(self, metrics: Metrics, health: Health, address: str, port: int) -> None:
        """Serve /metrics, /healthz and /readyz; port 0 takes any free one."""
        app = web.Application()
        app.add_routes(probe_routes(metrics, health))
        self.metrics_port = await self._listen(app, address, port, None)

    async def serve_webhook(self, webhook: WebhookServing, metrics: Metrics) -> None:
        """Serve the admission webhook over TLS and follow its certificate."""
        made = await ServerCertificate.prepare(webhook.certificate_directory, webhook.hosts)
        metrics.follow("plimsoll_webhook_certificate_end_timestamp_seconds", lambda: made.ends_seconds)
        self.certificate = made
        app = web.Application(client_max_size=LARGEST_REVIEW_BYTES)
        app.add_routes(webhook.admission.routes())
        self.webhook_port = await self._listen(app, webhook.address, webhook.port, self.certificate)
        self._tasks.append(asyncio.create_task(self.certificate.follow(), name="webhook-certificate"))

    def watch_loop(self, metrics: Metrics) -> None:
        """Measure holds of the event loop."""
        self.watchdog = LoopWatchdog(metrics)
        self._tasks.append(asyncio.create_task(self.watchdog.run(), name="loop-watchdog"))

    async def _listen(
        self, app: web.Application, address: str, port: int, certificate: ServerCertificate | None
    ) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        context = certificate.context if certificate is not None else None
        await web.TCPSite(runner, address, port, ssl_context=context).start()
        return int(runner.addresses[0][1])


async def start_serving(
    metrics: Metrics,
    health: Health,
    address: str,
    metrics_port: int | None,
    webhook: WebhookServing | None = None,
) -> Serving:
    """Start what is asked for (`metrics_port` None: no probes); the caller closes what it gets."""
    serving = Serving()
    try:
        serving.watch_loop(metrics)
        if metrics_port is not None:
            await serving.serve_metrics(metrics, health, address, metrics_port)
        if webhook is not None:
            await serving.serve_webhook(webhook, metrics)
    except BaseException:
        await serving.close()
        raise
    return serving


def probe_routes(metrics: Metrics, health: Health) -> list[web.RouteDef]:
    """Return the routes of /metrics, /healthz and /readyz."""

    async def show_metrics(_request: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_request: web.Request) -> web.Response:
        text = f"last heartbeat {health.age_seconds():.1f} s ago\n"
        return web.Response(status=200 if health.alive() else 503, text=text)

    async def readyz(_request: web.Request) -> web.Response:
        missing = health.sentence()
        text = f"not ready: {missing}\n" if missing else "ready\n"
        return web.Response(status=503 if missing else 200, text=text)

    return [
        web.get("/metrics", show_metrics),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
    ]

"""`plimsoll-operator`: kopf with our indices and nothing else, the engine, the loop, the servers.

In: settings. Out: a process that runs until it is told to end. Everything is put together in `start`, which
kopf calls once the indices exist (empty yet); the loop waits until they are complete.
"""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import kopf

from plimsoll.api.precedence import PROTECTED_NAMESPACES
from plimsoll_operator import cache, handlers
from plimsoll_operator.actuate.api import ApiError, KubeApi, KubernetesApi
from plimsoll_operator.admission import OUTCOMES, PodAdmission
from plimsoll_operator.assemble import assemble
from plimsoll_operator.clock import Clock, FollowedClock, SystemClock, clock_from_environment
from plimsoll_operator.initial import InitialResources
from plimsoll_operator.loop import Loop
from plimsoll_operator.parts import Parts
from plimsoll_operator.place.answering import PlacementAnswer
from plimsoll_operator.place.gatekeeper import GateKeeper
from plimsoll_operator.records import PodRecord
from plimsoll_operator.remembering import Remembered
from plimsoll_operator.serve.certificate import certificate_directory
from plimsoll_operator.serve.http import Health, Serving, WebhookServing, start_serving
from plimsoll_operator.serve.logs import configure_logs
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.serve.watchdog import TimedEventLoop
from plimsoll_operator.settings import OperatorSettings, settings_from
from plimsoll_operator.watching import LastWords, words
from plimsoll_operator.world import World

if TYPE_CHECKING:
    from plimsoll_operator.coordinate.assemble import Serving as AgentsServing

logger = logging.getLogger(__name__)

COMPLETE_POLL_SECONDS = 0.2
STUCK_INTERVALS = 10.0  # a loop that has not come round for so many intervals is stuck
LEAST_STUCK_SECONDS = 300.0
FORBIDDEN = 403
STOP_SECONDS = 20.0
FIRST_LOOPS = 3
# Seldom: each collection holds the loop, and little here is cyclic. Until the first loops are done and what
# they made is set aside, nothing walks the oldest generation: that would take seconds for 50,000 pods.
COLLECT_AFTER = (5_000, 20, 20)
COLLECT_AT_FIRST = (5_000, 20, 1_000_000)


class Operator(handlers.Hooks):
    """The process: made by `main`, started and ended by kopf."""

    def __init__(self, settings: OperatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._wakes = settings.wake_on_oom and isinstance(clock, SystemClock)
        self._tasks: list[asyncio.Task[None]] = []
        self._serving: Serving | None = None
        self._agents: AgentsServing | None = None
        self._loop: Loop | None = None
        self._parts: Parts | None = None
        self._api: KubeApi | None = None
        self._remembered: Remembered | None = None
        self._gates: GateKeeper | None = None
        self._complete = False
        self._health = Health()
        self._kept = ExitStack()  # what goes when the process ends
        self.last_words = LastWords()
        self.ending = asyncio.Event()  # kopf ends when it is set
        self.failure = ""  # why the process ends, where nobody told it to

    def pod_seen(self, record: PodRecord) -> None:
        """An OOM kill that no loop has seen starts one (a followed clock has its own time for that).

        A pod that another replica gave a kube node is expected there.
        """
        if self._parts is not None and self._parts.placer is not None:
            self._parts.placer.seen(record)
        if self._gates is not None:
            self._gates.seen(record)
        if not self._wakes or not self._complete or self._loop is None or self._parts is None:
            return
        if self._parts.membership.kill_is_new(record):
            self._loop.wake()

    async def start(self, indices: handlers.KopfIndices) -> None:
        """Put everything together and start it. What fails here would fail again: kopf shall not retry."""
        try:
            await self._start(indices)
        except Exception as error:
            self.fail(f"cannot start: {words(error)}")
            await self.stop()
            raise kopf.PermanentError(self.failure) from error

    def fail(self, sentence: str) -> None:
        """End the process; the first sentence is the reason."""
        self.failure = self.failure or sentence
        self.ending.set()

    async def _start(self, indices: handlers.KopfIndices) -> None:
        settings = self._settings
        self.last_words.listen()
        gc.freeze()  # modules stay
        gc.set_threshold(*COLLECT_AT_FIRST)
        self._api = await KubernetesApi.connect(settings.kubeconfig_context)
        made = assemble(settings, self._clock, self._api, indices)
        self._parts = parts = made.parts
        self._remembered, self._gates = made.remembered, made.gates
        self._loop = Loop(parts)
        if isinstance(self._clock, FollowedClock):
            self._clock.shows = indices.shows_pods
        await parts.engine.start()
        self._serving = await self._serve(parts, indices)
        if settings.agents_port:
            # gRPC is a quarter of what an operator imports: only who hears agents pays for it.
            from plimsoll_operator.coordinate.assemble import serve  # noqa: PLC0415

            self._agents = await serve(settings, self._api, self._loop, parts, self._clock.now)
        self._spawn("lease", parts.leader.keep())
        self._spawn("loop", self._run(parts, indices))
        if self._gates is not None:
            self._spawn("gates", self._gates.forever())
        if self._remembered is not None:
            self._spawn("memory", self._remembered.forever())

    async def stop(self) -> None:
        """End everything; the Lease is given up, so that a standby need not wait."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._close()
        except TimeoutError:
            logger.warning("not everything was closed within %.0f s", STOP_SECONDS)
        self._kept.close()

    async def _close(self) -> None:
        if self._agents is not None:
            await self._agents.close()
        if self._parts is not None:
            await self._parts.leader.release()
            await self._parts.engine.close()
        if self._remembered is not None:
            await self._remembered.close()
        if self._serving is not None:
            await self._serving.close()
        if self._api is not None:
            await self._api.close()
        await self._clock.close()

    async def _run(self, parts: Parts, indices: handlers.KopfIndices) -> None:
        while not await self._indices_complete(parts, indices):
            await asyncio.sleep(COMPLETE_POLL_SECONDS)
            self._health.beat()
            _set_aside()
        self._complete = True
        logger.info("indices are complete")
        _set_aside()
        assert self._loop is not None
        await self._loop.forever(self._beat)

    def _beat(self) -> None:
        """The loop came round; what the first ones have made stays as well."""
        self._health.beat()
        if self._loop is not None and self._loop.loops <= FIRST_LOOPS:
            _set_aside()
            if self._loop.loops == FIRST_LOOPS:
                gc.set_threshold(*COLLECT_AFTER)

    async def _indices_complete(self, parts: Parts, indices: handlers.KopfIndices) -> bool:
        try:
            why = await indices.missing(parts.api)
        except ApiError as error:
            why = f"not compared yet: {error}"
            if error.status == FORBIDDEN:  # kopf does not ask again either
                self.fail(f"the API server forbids what the operator needs: {error.message}")
        if why and why != self._health.why.get("indices"):
            logger.warning("waiting for the indices: %s", why)
        self._health.why["indices"] = why
        return not why

    async def _serve(self, parts: Parts, indices: handlers.KopfIndices) -> Serving:
        settings = self._settings
        limit = max(LEAST_STUCK_SECONDS, STUCK_INTERVALS * settings.interval)
        self._health = Health(
            limit, {"indices": lambda: self._complete, "engine": lambda: parts.engine.ready}
        )
        webhook = None
        if settings.webhook_port:
            initial = InitialResources(
                world=lambda: self._loop.world if self._loop is not None else World(),
                profile=lambda *key: parts.keeper.profiles.newest(key, indices.profile(*key)),
                membership=parts.membership,
                owners=parts.owners,
                asks=parts.asks,
                now=self._clock.now,
                control=lambda: self._loop.control if self._loop is not None else None,
                remembered_seconds=settings.remembered_for,
            )
            place = PlacementAnswer(parts.placer, initial) if parts.placer is not None else None
            webhook = WebhookServing(
                PodAdmission(initial, _observer(parts.metrics), place),
                self._kept.enter_context(certificate_directory(settings.webhook_cert_dir)),
                webhook_hosts(settings),
                settings.metrics_address,
                settings.webhook_port,
            )
        port = settings.metrics_port or None
        return await start_serving(parts.metrics, self._health, settings.metrics_address, port, webhook)

    def _spawn(self, name: str, coroutine: Any) -> None:  # noqa: ANN401 -- any coroutine
        task = asyncio.create_task(coroutine, name=f"plimsoll {name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task of ours that ends by itself has failed, and without it the process is of no use."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(f"{task.get_name()} ended: {words(error)}")


def _set_aside() -> None:
    """What came with the indices lives as long as the process: the collector need not walk it again.

    It would, each time there is a quarter more, and hold the loop 0.2 s for 10,000 containers. Only what is
    new is looked through for garbage first; walking everything would be such a hold itself.
    """
    gc.collect(1)
    gc.freeze()


def webhook_hosts(settings: OperatorSettings) -> tuple[str, ...]:
    """Names under which the API server may call the webhook."""
    service = f"plimsoll-operator.{settings.namespace}"
    return (service, f"{service}.svc", "localhost", "127.0.0.1")


def kopf_registry(operator: Operator, settings: OperatorSettings) -> kopf.OperatorRegistry:
    """The indices, and the start and the end of the process."""
    made = handlers.registry(operator, settings.namespace)
    names = (*handlers.COUNTED, "replicasets", "jobs", "cronjobs", "node_memories", "control")

    @kopf.on.login(registry=made)
    async def login(logger: kopf.Logger, **kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
        return await connection(logger=logger, **kwargs)

    @kopf.on.startup(registry=made)
    async def start(settings: kopf.OperatorSettings, **indices: Any) -> None:  # noqa: ANN401
        cache.kopf_settings(settings)
        await operator.start(handlers.KopfIndices({name: indices[name] for name in names}))

    @kopf.on.cleanup(registry=made)
    async def stop(**_: object) -> None:
        await operator.stop()

    return made


async def connection(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 -- kopf's own arguments
    """How kopf reaches the API server: the same order as everywhere, the light loaders first."""
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(**kwargs) or kopf.login_via_client(**kwargs)
    return kopf.login_with_service_account(**kwargs) or kopf.login_via_client(**kwargs)


def _observer(metrics: Metrics) -> Any:  # noqa: ANN401 -- a callback
    for each in OUTCOMES:  # a series that begins with its first review would show no increase by it
        metrics.count("plimsoll_webhook_requests_total", 0.0, outcome=each)

    def observe(outcome: str, seconds: float) -> None:
        metrics.count("plimsoll_webhook_requests_total", outcome=outcome)
        metrics.observe("plimsoll_webhook_seconds", seconds)

    return observe


def run(settings: OperatorSettings) -> None:
    """Run until a signal comes."""
    configure_logs(settings.log_level)
    excluded = sorted(PROTECTED_NAMESPACES | settings.own_namespaces)
    logger.info("starting", extra={"identity": settings.own_identity(), "excluded_namespaces": excluded})
    operator = Operator(settings, clock_from_environment())
    registry = kopf_registry(operator, settings)
    kopf_settings = kopf.OperatorSettings()
    cache.kopf_settings(kopf_settings)
    try:
        with asyncio.Runner(loop_factory=TimedEventLoop) as runner:
            runner.run(
                kopf.operator(
                    registry=registry,
                    settings=kopf_settings,
                    memories=cache.Forgetful(),
                    insights=cache.insights(),
                    clusterwide=True,
                    standalone=True,
                    stop_flag=operator.ending,
                )
            )
    except Exception as error:  # kopf's own tasks: no answer from the API server, no credentials
        logger.debug("kopf failed", exc_info=True)
        operator.fail(operator.last_words.sentence or f"the operator cannot go on: {words(error)}")
    if operator.failure:
        logger.critical("%s", operator.failure)
        raise SystemExit(1)


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """The console script."""
    run(settings_from(sys.argv[1:] if arguments is None else arguments, environment))


if __name__ == "__main__":
    main()

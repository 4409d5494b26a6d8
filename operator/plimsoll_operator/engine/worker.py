"""The engine's process: `python -m plimsoll_operator.engine.worker`, started by `client.py`.

In: frames on standard input, the first of them the settings. Out: one reply a frame on standard output
(whatever else writes there goes to standard error). It ends when its input does, so that it never outlives
the operator. An exception becomes an error reply: the process goes on, the caller holds.
"""

import gc
import logging
import os
import signal
import sys
from typing import IO

from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import (
    START,
    Ask,
    CheckpointRequest,
    Forget,
    Observe,
    Relate,
    Reply,
    Request,
    Restore,
    Sync,
    TellNeeds,
    TickRequest,
    read_frame,
    write_frame,
)
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.engine.past import PastLoader
from plimsoll_operator.forecasters.pool import FitPool, PoolSettings, WorkerPool
from plimsoll_operator.observe.choice import prometheus_api, usage_source
from plimsoll_operator.serve.logs import configure_logs

log = logging.getLogger(__name__)


def main() -> None:
    """Serve frames until the input ends."""
    requests, replies = _take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the operator; its end closes our input
    settings = read_frame(requests)
    if not isinstance(settings, EngineSettings):
        return
    configure_logs(settings.log_level)
    try:
        core = engine_core(settings)
    except Exception as error:  # the operator says it to the person who started it
        write_frame(replies, Reply(START, error=f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from error
    write_frame(replies, Reply(START))
    gc.freeze()  # modules and tables that stay: collections need not walk them again
    try:
        serve(core, requests, replies)
    finally:
        core.close()


def engine_core(settings: EngineSettings) -> EngineCore:
    """Return an engine with the sources that the settings name."""
    past = None
    if settings.prometheus_url:
        past = PastLoader(
            prometheus_api(settings), settings.backfill_seconds, settings.backfill_budget_seconds
        )
    return EngineCore(settings, usage_source(settings), past, pool=fit_pool(settings))


def fit_pool(settings: EngineSettings) -> FitPool | None:
    """Who fits Prophet and refits own weights: workers at a Redis, processes of this machine, or nobody."""
    if settings.forecast_redis:
        # They need the extra `redis`.
        from plimsoll.store.levels.address import parse_redis_address  # noqa: PLC0415
        from plimsoll.store.levels.work import WorkStream  # noqa: PLC0415
        from plimsoll_operator.forecasters.stream_pool import StreamPool  # noqa: PLC0415

        return StreamPool(WorkStream(parse_redis_address(settings.forecast_redis)))
    if settings.forecast_workers:
        return WorkerPool(PoolSettings(workers=settings.forecast_workers))
    return None


def serve(core: EngineCore, requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer one frame after the other."""
    while isinstance(request := read_frame(requests), Request):
        try:
            reply = Reply(request.number, answer(core, request.ask))
        except Exception as error:
            log.exception("engine request failed", extra={"request": type(request.ask).__name__})
            reply = Reply(request.number, error=f"{type(error).__name__}: {error}")
        try:
            write_frame(replies, reply)
        except BrokenPipeError:
            return


def answer(core: EngineCore, ask: Ask) -> object:
    """Return the value that answers one question."""
    value: object = None
    match ask:
        case Sync():
            core.sync(ask)
        case Forget(rows):
            core.forget(rows)
        case Observe(events):
            value = core.observe(events)
        case TickRequest(now_seconds, everything, loads):
            value = core.tick(now_seconds, everything=everything, loads=loads)
        case Restore(checkpoints, steered):
            value = core.restore(checkpoints, steered=steered)
        case Relate(steps, quantity):
            core.relate(steps, quantity)
        case TellNeeds(needs):
            core.tell_needs(needs)
        case CheckpointRequest(rows):
            value = core.checkpoints(rows)
    return value


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the two pipes to ourselves: a stray `print` must not get between frames."""
    requests = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return requests, replies


if __name__ == "__main__":
    main()

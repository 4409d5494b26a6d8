"""`plimsoll-worker`: does what operators have put into a stream of Redis, one fit or refit after the other.

In: `--redis URL`, jobs. Out: answers. Run as many as there is work: `plimsoll-worker --counts` prints what
an autoscaler looks at. It ends with SIGTERM after the job in hand; one that is killed leaves its job to
others. A job that has had three workers is set aside and answered as failed: the fourth would die as well;
`plimsoll-worker --aside` prints those, each with its reason.
With `--metrics-port` it serves what it does, and whether it still comes round (`worker_serving`).
"""

import argparse
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from plimsoll.forecast.prophet import FitAnswer
from plimsoll.store.content import ContentError
from plimsoll.store.levels.address import RedisAddressError, parse_redis_address
from plimsoll.store.levels.breaker import MOST_SECONDS
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.levels.work import MOST_TRIES, Job, WorkStream
from plimsoll_operator.forecasters.fits import fit
from plimsoll_operator.forecasters.jobs import answer_bytes, task_of
from plimsoll_operator.forecasters.pool import Answer, Fitter
from plimsoll_operator.forecasters.prophet_fit import missing_package
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS, WorkerPulse, serve
from plimsoll_operator.serve.metrics import Metrics

logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0  # a job that a worker has had for so long is given to another
LOOK_SECONDS = 1.0


def pulse_of(idle_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> WorkerPulse:
    """The pulse of a worker whose job is another's after so long, and which is stuck from then on."""
    return WorkerPulse(idle_seconds, Metrics(version("plimsoll"), DEFINITIONS), monotonic)


def work_once(
    stream: WorkStream,
    worker: str,
    fitter: Fitter,
    idle_seconds: float = IDLE_SECONDS,
    pulse: WorkerPulse | None = None,
) -> int:
    """Do the jobs that are there for one worker now, at most one; returns how many. Raises `LevelError`."""
    pulse = pulse or pulse_of(idle_seconds)
    pulse.beat()
    jobs = stream.take(worker, 1, idle_seconds)
    for job in jobs:
        since = pulse.monotonic()
        answer, why_aside = _done(job, fitter)
        stream.finish(job, answer_bytes(answer), why_aside)
        pulse.ended("aside" if why_aside else "failed" if answer.failure else "fitted", since)
    return len(jobs)


def work(
    stream: WorkStream,
    worker: str,
    fitter: Fitter,
    wait: Callable[[float], bool],
    idle_seconds: float,
    pulse: WorkerPulse | None = None,
) -> int:
    """Work until `wait(seconds)` says that it is over; returns how many jobs were done."""
    pulse = pulse or pulse_of(idle_seconds)
    done, pause = 0, LOOK_SECONDS
    while True:
        try:
            count = work_once(stream, worker, fitter, idle_seconds, pulse)
            if pulse.counts_due():
                pulse.metrics.set("plimsoll_worker_jobs_aside", float(stream.counts().aside))
            pause = LOOK_SECONDS
        except LevelError as error:
            logger.warning("%s; looking again in %g s", error, pause)
            pulse.metrics.count("plimsoll_worker_redis_failures_total")
            count, pause = 0, min(2 * pause, MOST_SECONDS)
        done += count
        if wait(0.0 if count else pause):
            return done


def _done(job: Job, fitter: Fitter) -> tuple[Answer, str]:
    """The answer, and why the job is set aside ("": it is not)."""
    if job.tries > MOST_TRIES:
        why = f"set aside: {job.tries - 1} workers have not finished it"
        logger.error("job %s is %s", job.ident, why)
        return FitAnswer(0, failure=why), why
    try:
        return fitter(task_of(job.payload)), ""
    except ContentError as error:
        return FitAnswer(0, failure=str(error)), f"set aside: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; the exit status is 2 where it cannot begin."""
    parser = argparse.ArgumentParser(
        "plimsoll-worker", description="Fits Prophet, and refits own weights, for operators, by Redis."
    )
    parser.add_argument("--redis", default=os.environ.get("PLIMSOLL_REDIS", ""), help="where the jobs are")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds before a job is another's")
    parser.add_argument("--metrics-port", type=int, default=0, help="port of /metrics and /healthz; 0: none")
    # In a pod, probes and scrapes come from outside.
    parser.add_argument("--metrics-address", default="0.0.0.0", help="address of that port")  # noqa: S104
    parser.add_argument("--counts", action="store_true", help="print how many jobs there are, and end")
    parser.add_argument(
        "--aside", action="store_true", help="print which jobs were set aside and why, and end"
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO)
    try:
        stream = WorkStream(parse_redis_address(given.redis))
        if given.counts:
            counts = stream.counts()
            print(json.dumps({"jobs": counts.jobs, "under_way": counts.under_way, "aside": counts.aside}))
            return 0
        if given.aside:
            for ident, why in stream.aside():
                print(json.dumps({"job": ident, "why": why}))
            return 0
    except (RedisAddressError, LevelError) as error:
        parser.exit(2, f"plimsoll-worker: {error}\n")
    if missing := missing_package():
        parser.exit(2, f"plimsoll-worker: {missing}\n")
    pulse = pulse_of(given.idle)
    if given.metrics_port:
        try:
            serve(pulse, given.metrics_address, given.metrics_port)
        except (OSError, OverflowError) as error:
            parser.exit(2, f"plimsoll-worker: --metrics-port {given.metrics_port}: {error}\n")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: over.set())
    work(stream, f"{socket.gethostname()}-{os.getpid()}", fit, over.wait, given.idle, pulse)
    stream.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

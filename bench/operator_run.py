"""The real operator, a child process, on a fleet of a given size: times, memory, writes, admission latency.

In: a size and a deadline. Out: `OperatorRun`. The operator finds what a restarted one finds in an old cluster
(profiles with four weeks of history), so its first loop refreshes every container: forecast, price, guards,
writes. Meanwhile admission reviews come in at a steady rate over TLS. The API it talks to and this measuring
process share the machine's cores with it.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

import procfs
from fleet import Fleet

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from builders.apiserver import Child, free_port

REVIEWS_PER_SECOND = 20.0
LOOK_SECONDS = 0.25
MEMORY_SECONDS = 2.0
LOAD_SECONDS = 300.0
# One in so many reviews is of a pod whose workload has a recommendation; all are, in this fleet.
BENCH = Path(__file__).parent


@dataclass(slots=True)
class OperatorRun:
    """What was measured with one fleet. Loops: seconds of each, the first is the refresh of everything."""

    containers: int
    start_seconds: float = 0.0  # from the start of the process to complete indices
    ready_seconds: float = 0.0  # to /readyz
    loop_seconds: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)  # seconds by stage, one a loop
    memory_mib: list[float] = field(default_factory=list)  # proportional set size of all our processes
    peak_mib: float = 0.0
    webhook_ms: list[float] = field(default_factory=list)
    webhook_failures: int = 0  # reviews that got no answer; those of the operator's end are among them
    webhook_at: list[float] = field(default_factory=list)  # when each was sent, Unix seconds
    writes: dict[str, int] = field(default_factory=dict)
    minutes: float = 0.0  # from the first loop's end to the measurement's
    writes_first: int = 0  # up to the end of the first loop
    cpu_seconds: float = 0.0
    hold_seconds: float | None = None  # the longest its event loop was held
    hold_cpu_seconds: float | None = None  # the same, in processor time of its own thread
    problem: str | None = None

    @property
    def writes_per_minute(self) -> float | None:
        """After the first loop."""
        total = sum(self.writes.values())
        return (total - self.writes_first) / self.minutes if self.minutes > 0 else None


@dataclass(frozen=True, slots=True)
class _Ports:
    metrics: int
    webhook: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the operator of one run is."""

    child: Child
    url: str
    ports: _Ports
    directory: Path


def measure(fleet: Fleet, interval_seconds: float, loops: int, deadline: float) -> OperatorRun:
    """Run until `loops` loops have ended or `deadline` (monotonic) has come; what was seen by then counts."""
    return asyncio.run(_measure(fleet, interval_seconds, loops, deadline))


async def _measure(fleet: Fleet, interval_seconds: float, loops: int, deadline: float) -> OperatorRun:
    run = OperatorRun(fleet.containers)
    with tempfile.TemporaryDirectory(prefix="plimsoll-loop-") as name:
        directory = Path(name)
        try:
            async with _served(fleet, directory) as url:
                ports = _Ports(free_port(), free_port())
                child = _operator(directory, url, ports, interval_seconds)
                child.start()
                try:
                    await _watch(run, _Place(child, url, ports, directory), fleet, loops, deadline)
                finally:
                    child.stop()
        except (OSError, RuntimeError, aiohttp.ClientError, TimeoutError) as error:
            run.problem = f"{type(error).__name__}: {error}"
    return run


@asynccontextmanager
async def _served(fleet: Fleet, directory: Path) -> AsyncIterator[str]:
    """The fleet's API in a process of its own."""
    argv = [
        *(sys.executable, str(BENCH / "fleet_api.py"), "--containers", str(fleet.containers)),
        *("--replicas", str(fleet.replicas), "--seed", str(fleet.seed)),
    ]
    with (directory / "api.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=BENCH
        )
        try:
            line = await asyncio.wait_for(process.stdout.readline(), LOAD_SECONDS)
            if not line:
                raise RuntimeError(f"the fleet's API ended: {(directory / 'api.log').read_text()[-2000:]}")
            yield line.decode().strip()
        finally:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


def _operator(directory: Path, url: str, ports: _Ports, interval_seconds: float) -> Child:
    cluster = {"name": "bench", "cluster": {"server": url}}
    context = {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [cluster],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [context],
    }
    (directory / "kubeconfig").write_text(json.dumps(config))
    argv = [
        *(str(Path(sys.executable).with_name("plimsoll-operator")), "--identity", "bench"),
        *("--interval", f"{interval_seconds}s", "--settle", "1s", "--metrics-address", "127.0.0.1"),
        *("--metrics-port", str(ports.metrics), "--webhook-port", str(ports.webhook)),
        *("--webhook-cert-dir", str(directory / "webhook"), "--usage-source", "metrics-api"),
    ]
    environment = {"KUBECONFIG": str(directory / "kubeconfig")}
    return Child("plimsoll-operator", argv, directory / "operator.log", environment)


async def _watch(run: OperatorRun, place: _Place, fleet: Fleet, loops: int, deadline: float) -> None:
    child, url, directory = place.child, place.url, place.directory
    async with aiohttp.ClientSession() as session:
        reviews: asyncio.Task[None] | None = None
        started, measured, ended = time.monotonic(), 0.0, 0.0
        try:
            while len(run.loop_seconds) < loops:
                if child.process is None or child.process.poll() is not None:
                    raise RuntimeError(f"the operator ended\n{child.tail()}")
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{len(run.loop_seconds)} of {loops} loops in the time given\n{child.tail(3)}"
                    )
                _read_log(run, directory / "operator.log", started)
                if reviews is None and await _ready(session, place.ports.metrics):
                    run.ready_seconds = time.monotonic() - started
                    reviews = asyncio.create_task(_review(run, place.ports.webhook, fleet))
                if run.loop_seconds and not ended:
                    ended = time.monotonic()
                    run.writes_first = sum((await _writes(session, url)).values())
                if time.monotonic() - measured > MEMORY_SECONDS:
                    run.memory_mib.append(await asyncio.to_thread(procfs.pss_mib, child.pid))
                    measured = time.monotonic()
                    if reviews is not None:
                        await _holds(run, session, place.ports.metrics)
                await asyncio.sleep(LOOK_SECONDS)
            run.memory_mib.append(await asyncio.to_thread(procfs.pss_mib, child.pid))
        finally:
            if reviews is not None:
                reviews.cancel()
                await asyncio.gather(reviews, return_exceptions=True)
            run.peak_mib, run.cpu_seconds = procfs.peak_mib(child.pid), procfs.cpu_seconds(child.pid)
            run.writes = await _writes(session, url)
            await _holds(run, session, place.ports.metrics)
            run.minutes = (time.monotonic() - ended) / 60 if ended else 0.0


def _read_log(run: OperatorRun, log: Path, started: float) -> None:
    """The operator's own account of its loops: one timed line each."""
    run.loop_seconds.clear()
    run.stages.clear()
    for line in log.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("message") == "indices are complete" and not run.start_seconds:
            run.start_seconds = time.monotonic() - started
        if "stages" in said:
            if " failed" in said["message"]:
                raise RuntimeError(f"a loop failed\n{log.read_text()[-3000:]}")
            run.stages.append(said["stages"])
            run.loop_seconds.append(float(said["stages"]["loop"]))


async def _ready(session: aiohttp.ClientSession, port: int) -> bool:
    """What /readyz says: only then does a Service send admission reviews."""
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _holds(run: OperatorRun, session: aiohttp.ClientSession, port: int) -> None:
    """The longest times its event loop was held, as it measures them itself; each gauge spans a minute."""
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            name, _, value = line.rpartition(" ")
            if name == "plimsoll_event_loop_hold_seconds_max":
                run.hold_seconds = max(run.hold_seconds or 0.0, float(value))
            elif name == "plimsoll_event_loop_hold_cpu_seconds_max":
                run.hold_cpu_seconds = max(run.hold_cpu_seconds or 0.0, float(value))


async def _writes(session: aiohttp.ClientSession, url: str) -> dict[str, int]:
    async with session.get(f"{url}/bench/stats") as answer:
        return (await answer.json())["writes"]


async def _review(run: OperatorRun, port: int, fleet: Fleet) -> None:
    """Admission reviews of new replicas at a steady rate; each one's time counts from when it was due."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context, limit=32)
    sent: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector) as session:
        due, number = time.monotonic(), 0
        while True:
            task = asyncio.create_task(_one_review(run, session, fleet, number))
            sent.add(task)
            task.add_done_callback(sent.discard)
            due, number = due + 1 / REVIEWS_PER_SECOND, number + 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _one_review(run: OperatorRun, session: aiohttp.ClientSession, fleet: Fleet, number: int) -> None:
    pod = fleet.pod_manifest(number * 7919 % fleet.pods)
    request = {
        "uid": f"review-{number}",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": pod["metadata"]["namespace"],
        "operation": "CREATE",
        "object": pod,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    started, sent_at = time.monotonic(), time.time()
    try:
        async with session.post("/mutate-pods", json=review) as answer:
            allowed = (await answer.json())["response"]["allowed"]
    except aiohttp.ClientError:
        run.webhook_failures += 1
        return
    if allowed:
        run.webhook_ms.append((time.monotonic() - started) * 1000)
        run.webhook_at.append(sent_at)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))

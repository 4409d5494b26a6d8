"""The real VPA recommender on a real API server: how long one of its loops takes with so many VPAs.

In: a number of VPAs and a client rate limit. Out: seconds of its loops, as it reports them itself
(`vpa_recommender_execution_latency_seconds`, step `total`), and its memory. Each VPA has a Deployment with
one running pod of one container; their use comes through the aggregator, as metrics-server's would.
The recommender is built from its Go module (`kind/vm/build-binaries.sh vpa-recommender`).
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import yaml

import procfs
from fleet import STARTED, Manifest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from builders.apiserver import (
    ApiServer,
    Child,
    StartError,
    binaries,
    free_port,
    running_apiserver,
    why_unavailable,
)
from builders.metricsapi import MetricsApi, register_metrics_api, running_metrics_api
from builders.waiting import wait_for

NAMESPACE = "vpa-bench"
VPAS = f"/apis/autoscaling.k8s.io/v1/namespaces/{NAMESPACE}"
INTERVAL_SECONDS = 20
WRITERS = 24
BUILD = "kind/vm/build-binaries.sh vpa-recommender"
# The server's own limits on requests in flight must not be what is measured.
SERVER_FLAGS = ("--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000")


@dataclass(frozen=True, slots=True)
class VpaRun:
    """What was measured with `vpas` VPAs: seconds of each loop, memory, VPAs that got a recommendation."""

    vpas: int
    qps: float
    loop_seconds: tuple[float, ...]
    memory_mib: float
    recommended: int
    problem: str | None = None


def why_not() -> str | None:
    """One sentence naming what is missing, or None."""
    if reason := why_unavailable():
        return reason
    if not (os.access(binaries() / "vpa-recommender", os.X_OK) and crd_file().exists()):
        return f"the VPA recommender is not built: run `{BUILD}`"
    return None


def crd_file() -> Path:
    """VPA's own CRDs, kept beside the binary."""
    return binaries() / "vpa-crds.yaml"


def measure(vpas: int, rates: Mapping[float, int], seed: int, deadline: float) -> list[VpaRun]:
    """Load an API server once, then run a fresh recommender for each client rate (requests a second).

    `rates` says how many of its loops to measure at each rate; what fails is a run that says why.
    """
    with tempfile.TemporaryDirectory(prefix="plimsoll-vpa-") as name:
        directory = Path(name)
        (directory / "metrics").mkdir()
        with (
            running_apiserver(directory, SERVER_FLAGS) as api,
            running_metrics_api(directory / "metrics") as metrics,
        ):
            _load(api, metrics, vpas, seed)
            register_metrics_api(api.client(), metrics, directory / "metrics" / "metrics-ca.crt")
            return [_run(api, vpas, rate, loops, deadline) for rate, loops in rates.items()]


def _load(api: ApiServer, metrics: MetricsApi, vpas: int, seed: int) -> None:
    http = api.client()
    for crd in yaml.safe_load_all(crd_file().read_text()):
        http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=crd).raise_for_status()
    http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}}).raise_for_status()
    for plural in ("verticalpodautoscalers", "verticalpodautoscalercheckpoints"):
        wait_for(lambda each=plural: http.get(f"{VPAS}/{each}").status_code == 200, f"VPA's {plural}")
    base = np.random.default_rng(seed).lognormal(np.log(256 * 2**20), 1.0, vpas)
    names = [f"w-{index:05d}" for index in range(vpas)]
    asyncio.run(_create_all(api, names))
    metrics.usage = {(NAMESPACE, n): {"app": b} for n, b in zip(names, base, strict=True)}


async def _create_all(api: ApiServer, names: Sequence[str]) -> None:
    headers = {"Authorization": "Bearer admin-token"}
    connector = aiohttp.TCPConnector(limit=WRITERS, ssl=api.ssl_context())
    waiting = iter(names)
    async with aiohttp.ClientSession(api.url, headers=headers, connector=connector) as session:

        async def work() -> None:
            for name in waiting:
                await _create(session, name)

        await asyncio.gather(*(work() for _ in range(WRITERS)))


async def _create(session: aiohttp.ClientSession, name: str) -> None:
    space = f"namespaces/{NAMESPACE}"
    await _post(session, f"/apis/apps/v1/{space}/deployments", _deployment(name))
    await _post(session, f"/api/v1/{space}/pods", _pod(name))
    merge = {"Content-Type": "application/merge-patch+json"}
    async with session.patch(f"/api/v1/{space}/pods/{name}/status", json=_status(), headers=merge) as answer:
        answer.raise_for_status()
    await _post(session, f"{VPAS}/verticalpodautoscalers", _vpa(name))


async def _post(session: aiohttp.ClientSession, path: str, body: Manifest) -> None:
    async with session.post(path, json=body) as answer:
        if answer.status >= 400:
            raise StartError(f"POST {path}: {answer.status} {await answer.text()}")


def _run(api: ApiServer, vpas: int, rate: float, loops: int, deadline: float) -> VpaRun:
    port = free_port()
    argv = [
        str(binaries() / "vpa-recommender"), f"--kubeconfig={api.kubeconfig()}",
        f"--address=127.0.0.1:{port}", f"--recommender-interval={INTERVAL_SECONDS}s",
        f"--kube-api-qps={rate}", f"--kube-api-burst={2 * rate}", "--v=1",
    ]  # fmt: skip
    child = Child("vpa-recommender", argv, api.directory / f"vpa-{rate:g}.log")
    child.start()
    try:
        seconds = tuple(_loops(child, port, loops, deadline))
        return VpaRun(vpas, rate, seconds, procfs.pss_mib(child.pid), _recommended(api))
    except StartError as error:
        return VpaRun(vpas, rate, (), 0.0, 0, str(error).splitlines()[0])
    finally:
        child.stop()


def _loops(child: Child, port: int, loops: int, deadline: float) -> list[float]:
    """Seconds of each loop but the first, which finds no sample yet."""
    totals: list[float] = []

    def enough() -> bool:
        seen = _latency(port)
        if seen is not None and seen[1] > len(totals):
            totals.append(seen[0])
        return len(totals) > loops

    child.wait_until(enough, max(1.0, deadline - time.monotonic()))
    return [later - earlier for earlier, later in pairwise(totals)]


def _latency(port: int) -> tuple[float, int] | None:
    """Seconds and number of loops so far, as the recommender tells them."""
    name = "vpa_recommender_execution_latency_seconds"
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    except httpx.TransportError:
        return None
    found = {}
    for line in text.splitlines():
        for part in ("sum", "count"):
            if line.startswith(f'{name}_{part}{{step="total"}}'):
                found[part] = float(line.split()[-1])
    return (found["sum"], int(found["count"])) if len(found) == 2 else None


def _recommended(api: ApiServer) -> int:
    items = api.client().get(f"{VPAS}/verticalpodautoscalers").json()["items"]
    return sum(bool(item.get("status", {}).get("recommendation")) for item in items)


def _deployment(name: str) -> Manifest:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _spec()},
        },
    }


def _pod(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": _spec(),
    }


def _spec() -> Manifest:
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
    return {"containers": [{"name": "app", "image": "registry.invalid/app:1", "resources": resources}]}


def _status() -> Manifest:
    ready = [{"type": kind, "status": "True"} for kind in ("Initialized", "Ready", "ContainersReady")]
    container = {
        "name": "app",
        "image": "registry.invalid/app:1",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": STARTED}},
    }
    return {
        "status": {
            "phase": "Running",
            "startTime": STARTED,
            "conditions": ready,
            "containerStatuses": [container],
        }
    }


def _vpa(name: str) -> Manifest:
    return {
        "apiVersion": "autoscaling.k8s.io/v1",
        "kind": "VerticalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "updatePolicy": {"updateMode": "Off"},
        },
    }

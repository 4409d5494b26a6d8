"""The sandbox's API in a process of its own, loaded with a fleet: what the operator of the bench talks to.

In: size and seed of the fleet, on the command line. Out: the URL on the first line of stdout; it serves until
its stdin ends. Beside the API: the metrics API's answer as metrics-server gives it, resizes that take effect
after a second (as a kubelet would have it), and `/bench/stats`, which counts requests and writes.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter

import aiohttp.web
import numpy as np

from fleet import Fleet, namespace_of, pod_metrics, running_status
from plimsoll_cli.sandbox.api.rules import timestamp
from plimsoll_cli.sandbox.api.server import SandboxApi
from plimsoll_cli.sandbox.api.store import Change, ResourceId
from plimsoll_operator.crds import load

RESIZE_SECONDS = 1.0
PODS: ResourceId = ("", "pods")
POLICY = {
    "apiVersion": "plimsoll.dev/v1alpha1",
    "kind": "ClusterMemoryPolicy",
    "metadata": {"name": "everything"},
    "spec": {"selector": {}, "mode": "InPlace"},
}


class FleetApi:
    """A loaded `SandboxApi`."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.api = SandboxApi(time.time, fleet.seed)
        self._rng = np.random.default_rng([fleet.seed, 2])
        self._scrapes = 0

    def load(self) -> None:
        """Fill the store; versions before this moment are forgotten, as after a compaction."""
        operations, store = self.api.operations, self.api.store
        for crd in load():
            operations.create(
                operations.type("apiextensions.k8s.io", "v1", "customresourcedefinitions"), None, crd
            )
        namespaces = operations.type("", "v1", "namespaces")
        for name in (
            "plimsoll-system",
            *sorted({namespace_of(each) for each in range(self.fleet.workloads)}),
        ):
            operations.create(namespaces, None, {"metadata": {"name": name}})
        operations.create(operations.type("plimsoll.dev", "v1alpha1", "clustermemorypolicies"), None, POLICY)
        for resource, obj in self.fleet.objects():
            store.put(resource, obj)
        store.compact()
        store.observers.append(self._resized)
        self.api.routes["/apis/metrics.k8s.io/v1beta1/pods"] = self._metrics
        self.api.routes["/bench/stats"] = self._stats

    async def _metrics(self, _: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        self._scrapes += 1
        body = pod_metrics(self.fleet, self.fleet.use_bytes(self._rng), timestamp(time.time()))
        return aiohttp.web.Response(body=body, content_type="application/json")

    async def _stats(self, _: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        counts = Counter(
            f"{e.verb} {e.plural}{'/' if e.subresource else ''}{e.subresource} {e.code // 100}xx"
            for e in self.api.audit.entries
        )
        document = {"requests": self.api.audit.requests, "scrapes": self._scrapes, "writes": counts}
        return aiohttp.web.Response(body=json.dumps(document).encode(), content_type="application/json")

    def _resized(self, resource: ResourceId, change: Change) -> None:
        if resource != PODS or change.kind != "MODIFIED" or change.before is None:
            return
        if change.before.load()["spec"] != change.after.load()["spec"]:
            asyncio.get_running_loop().call_later(RESIZE_SECONDS, self._apply, *change.after.key)

    def _apply(self, namespace: str, name: str) -> None:
        stored = self.api.store.get(PODS, namespace, name)
        if stored is not None:
            pods = self.api.operations.type("", "v1", "pods")
            status = {"status": running_status(stored.load())}
            self.api.operations.change(pods, namespace, name, "status", status)


async def serve(fleet: Fleet) -> None:
    """Load, print the URL, serve until stdin ends."""
    served = FleetApi(fleet)
    async with served.api.listen() as url:
        served.load()
        print(url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, required=True)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    asyncio.run(serve(Fleet(arguments.containers, arguments.seed, arguments.replicas, time.time())))


if __name__ == "__main__":
    main()

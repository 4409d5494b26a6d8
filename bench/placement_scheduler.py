"""The model of kube-scheduler against kube-scheduler: a real API server, many nodes, recorded pods.

In: the pods of `bench/placement.py`'s draws; nodes that are objects with a capacity (nobody runs pods: the
scheduler needs no kubelet). Out: rows `placement.scheduler.*`: shortages and requests by node of the real
scheduler and of the model, alone and with the preferences that the operator would add, how often one was
heeded, and how long a pod takes.

    python bench/placement_scheduler.py [--traces DIRECTORY] [--nodes 1000] [--pods 10000]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from builders.apiserver import ApiServer, Child, binaries, running_apiserver
from placement import ALONE, PAST_DAYS, PLACED, SEED, Drawn, draws
from plimsoll.placement.choose import Chooser
from plimsoll.placement.fit import empty_nodes
from plimsoll.placement.lanes import LANES, loads_of
from plimsoll.placement.preference import terms_for, weights_of
from plimsoll.replay.placement import (
    MOST_PODS,
    NODE_CORES,
    NOWHERE,
    KubeScheduler,
    Places,
    nodes_to_score,
)
from plimsoll.replay.series import BINS_PER_DAY
from report import Row, write_results

COMMAND = "make bench-placement-scheduler"
AT_ONCE = 8
BATCH = 500  # pods whose preferences are made before the scheduler has bound them
WAIT_SECONDS = 900.0


def main() -> None:
    """Schedule, compare, write."""
    parser = argparse.ArgumentParser(description="the scheduler's model against the scheduler")
    parser.add_argument("--traces", type=Path, default=Path("sample"))
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument(
        "--filled", type=float, default=0.7, help="of all nodes, at the peak of the sum of use"
    )
    options = parser.parse_args()
    begun = time.monotonic()
    (drawn,) = draws(options.traces, options.pods, 1)
    used = drawn.usage_bytes[:, PAST_DAYS * BINS_PER_DAY :].sum(axis=0).max()
    capacity = float(used / options.nodes / options.filled)
    rows: list[Row] = []
    for arm in (ALONE, PLACED):
        modelled, _ = in_process(drawn, arm, options.nodes, capacity)
        real, rate = really(drawn, arm, options.nodes, capacity)
        rows += compared(drawn, arm, modelled, real, options.nodes, capacity)
        rows.append(Row(f"placement.scheduler.{arm}.pods_per_second", rate, "pods/s", options.pods, COMMAND))
    for row in rows:
        print(f"{row.name:60} {row.value:10.4g} {row.against}")
    print(write_results("placement_scheduler", rows, SEED, time.monotonic() - begun))


class Preferences:
    """What the operator's webhook would say of one pod after the other."""

    def __init__(self, drawn: Drawn, nodes: int, capacity: float) -> None:
        past = drawn.fleet(ALONE).hourly_bytes[:, : PAST_DAYS * LANES]
        self._loads = loads_of(past)
        self._chooser = Chooser(empty_nodes(np.full(nodes, capacity), LANES))
        self._terms = terms_for(nodes_to_score(nodes) / nodes)

    def of(self, pod: int, allowed: np.typing.NDArray[np.bool_]) -> list[int]:
        """Nodes for a pod, the best first."""
        ranked = self._chooser.rank(self._loads.take([pod]), self._terms, allowed)
        return [each.place for each in ranked]

    def went(self, pod: int, place: int) -> None:
        """The pod is, or is expected, there."""
        self._chooser.add(place, self._loads.take([pod]))

    def left(self, pod: int, place: int) -> None:
        """It is not there after all."""
        self._chooser.add(place, self._loads.take([pod]), -1.0)


def order_of(pods: int) -> list[int]:
    """The order in which pods come."""
    return [int(each) for each in np.random.default_rng(SEED).permutation(pods)]


def in_process(drawn: Drawn, arm: str, nodes: int, capacity: float) -> tuple[Places, int]:
    """Places by the model, and how many were not where most preferred."""
    scheduler = KubeScheduler(np.full(nodes, capacity), np.random.default_rng(SEED))
    said = Preferences(drawn, nodes, capacity) if arm == PLACED else None
    places, unheeded = np.full(len(drawn.own_bytes), NOWHERE, dtype=np.intp), 0
    for pod in order_of(len(places)):
        request = drawn.own_bytes[pod]
        wanted = said.of(pod, scheduler.feasible(request)) if said else []
        places[pod] = scheduler.place(request, wanted)
        unheeded += bool(wanted) and places[pod] != wanted[0]
        if said and places[pod] != NOWHERE:
            said.went(pod, int(places[pod]))
    return places, unheeded


# -- the real one ---------------------------------------------------------------------------------------


def really(drawn: Drawn, arm: str, nodes: int, capacity: float) -> tuple[Places, float]:
    """Places by kube-scheduler, and pods bound a second."""
    with tempfile.TemporaryDirectory() as name, running_apiserver(Path(name)) as api:
        client = api.client()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: make_node(client, number, capacity), range(nodes)))
            said = Preferences(drawn, nodes, capacity) if arm == PLACED else None
            places = np.full(len(drawn.own_bytes), NOWHERE, dtype=np.intp)
            requested = np.zeros(nodes)
            with kube_scheduler(api, Path(name)):
                began = time.monotonic()
                order = order_of(len(places))
                for start in range(0, len(order), BATCH):
                    batch = order[start : start + BATCH]
                    wanted = [prefer(said, drawn, pod, requested, capacity) for pod in batch]
                    list(
                        pool.map(lambda pair: make_pod(client, drawn, *pair), zip(batch, wanted, strict=True))
                    )
                    found = bound(client, batch)
                    for pod, guess in zip(batch, wanted, strict=True):
                        settle(said, pod, guess, found.get(pod, NOWHERE))
                        places[pod] = found.get(pod, NOWHERE)
                    requested = np.bincount(
                        places[places != NOWHERE], drawn.own_bytes[places != NOWHERE], minlength=nodes
                    )
                return places, len(order) / (time.monotonic() - began)


def prefer(
    said: Preferences | None,
    drawn: Drawn,
    pod: int,
    requested: np.typing.NDArray[np.float64],
    capacity: float,
) -> list[int]:
    """The preferences of a pod, which is expected at the first of them."""
    if said is None:
        return []
    wanted = said.of(pod, requested + drawn.own_bytes[pod] <= capacity)
    if wanted:
        said.went(pod, wanted[0])
        requested[wanted[0]] += drawn.own_bytes[pod]
    return wanted


def settle(said: Preferences | None, pod: int, wanted: Sequence[int], place: int) -> None:
    """Put right what was expected."""
    if said is None or (wanted and place == wanted[0]):
        return
    if wanted:
        said.left(pod, wanted[0])
    if place != NOWHERE:
        said.went(pod, place)


@contextmanager
def kube_scheduler(api: ApiServer, directory: Path) -> Iterator[None]:
    """The real scheduler, as it comes, allowed to ask as fast as it likes."""
    config = directory / "scheduler.yaml"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "clientConnection": {"kubeconfig": str(api.kubeconfig()), "qps": 2000, "burst": 2000},
                "leaderElection": {"leaderElect": False},
            }
        )
    )
    argv = [
        str(binaries() / "kube-scheduler"),
        f"--config={config}",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
    ]
    child = Child("kube-scheduler", argv, directory / "scheduler.log")
    child.start()
    try:
        yield
    finally:
        child.stop()


def make_node(client: httpx.Client, number: int, capacity: float) -> None:
    """A node that is Ready and has memory, and nothing behind it."""
    has = {"cpu": f"{NODE_CORES:.0f}", "memory": str(int(capacity)), "pods": str(MOST_PODS)}
    name = f"node-{number:05}"
    meta = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    made = client.post("/api/v1/nodes", json={"apiVersion": "v1", "kind": "Node", "metadata": meta})
    made.raise_for_status()
    ready = {"type": "Ready", "status": "True", "reason": "Simulated", "message": ""}
    status = {"status": {"capacity": has, "allocatable": has, "conditions": [ready]}}
    kind = {"Content-Type": "application/merge-patch+json"}
    client.patch(f"/api/v1/nodes/{name}/status", content=json.dumps(status), headers=kind).raise_for_status()
    # Admission taints a new node as not ready; the controller that takes the taint away does not run here.
    untainted = json.dumps({"spec": {"taints": None}})
    client.patch(f"/api/v1/nodes/{name}", content=untainted, headers=kind).raise_for_status()


def make_pod(client: httpx.Client, drawn: Drawn, pod: int, wanted: Sequence[int]) -> None:
    """A pod with its request and its preferences."""
    terms = [
        {
            "weight": weight,
            "preference": {
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": [f"node-{place:05}"]}]
            },
        }
        for place, weight in zip(wanted, weights_of(len(wanted)), strict=True)
    ]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}} if terms else {}
    resources = {"requests": {"memory": str(int(np.ceil(drawn.own_bytes[pod])))}}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{pod:06}"},
        "spec": {
            "containers": [{"name": "app", "image": "none", "resources": resources}],
            "affinity": affinity,
            # Nobody marks nodes here as not ready: what admission adds for that would only make pods longer.
            "automountServiceAccountToken": False,
        },
    }
    client.post("/api/v1/namespaces/default/pods", json=body).raise_for_status()


def bound(client: httpx.Client, pods: Sequence[int]) -> dict[int, int]:
    """Where pods are, once the scheduler has decided about each: bound, or said that it cannot be."""
    wanted, deadline = set(pods), time.monotonic() + WAIT_SECONDS
    while True:
        found = client.get("/api/v1/namespaces/default/pods", params={"resourceVersion": "0"}).json()["items"]
        mine = {int(each["metadata"]["name"][4:]): each for each in found}
        decided = {
            pod: each
            for pod, each in mine.items()
            if pod in wanted and (each["spec"].get("nodeName") or each["status"].get("conditions"))
        }
        if len(decided) == len(wanted):
            return {
                pod: int(each["spec"]["nodeName"][5:])
                for pod, each in decided.items()
                if each["spec"].get("nodeName")
            }
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(wanted) - len(decided)} pods are not decided about")
        time.sleep(0.2)


# -- beside each other ----------------------------------------------------------------------------------


def compared(
    drawn: Drawn, arm: str, modelled: Places, real: Places, nodes: int, capacity: float
) -> list[Row]:
    """Figures of the real scheduler, the model's beside them."""
    figures = {
        "model": figures_of(drawn, modelled, nodes, capacity),
        "real": figures_of(drawn, real, nodes, capacity),
    }
    return [
        Row(
            f"placement.scheduler.{arm}.{name}",
            value,
            unit,
            len(real),
            COMMAND,
            against={"model": figures["model"][name][0]},
        )
        for name, (value, unit) in figures["real"].items()
    ]


def figures_of(drawn: Drawn, places: Places, nodes: int, capacity: float) -> dict[str, tuple[float, str]]:
    """What came of places: nodes in use, pods without one, shortages, how uneven requests are."""
    placed = places != NOWHERE
    usage = drawn.usage_bytes[placed, PAST_DAYS * BINS_PER_DAY :]
    used = np.zeros((nodes, usage.shape[1]))
    np.add.at(used, places[placed], usage)
    requested = np.bincount(places[placed], drawn.own_bytes[placed], minlength=nodes)
    return {
        "nodes_used": (float((requested > 0).sum()), "nodes"),
        "unplaced": (float((~placed).sum()), "pods"),
        "short_node_bins": (float((used > capacity).sum()), "bins"),
        "requested_deviation": (float(requested.std() / requested.mean()), "of the mean"),
    }


if __name__ == "__main__":
    main()

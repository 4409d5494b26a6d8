"""The model of kube-scheduler against kube-scheduler: a real API server, many nodes, recorded pods.

In: the pods of `bench/placement.py`'s draws; nodes that kwok keeps, or (`--no-kwok`) that are objects with a
capacity and nothing behind them. Out: rows `placement.scheduler.*`: shortages and requests by node of the
real scheduler with the interval over nodes, the model's beside them as mean, least and most over seeds; alone
and with the preferences that the operator would add; and pods bound a second. Both get the same pods, in the
same order and the same batches (`bench/placement_model.py`).

    python bench/placement_scheduler.py [--traces DIRECTORY] [--nodes 1000] [--pods 10000] [--no-kwok]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from builders.apiserver import ApiServer, Child, binaries, running_apiserver
from placement_model import Outcome, Webhook, batches, capacity_for, figures_of, in_process
from placement_pods import ALONE, PLACED, SEED, Drawn, draws
from plimsoll.placement.preference import weights_of
from plimsoll.replay.kube_scheduler import MOST_PODS, NODE_CORES, NOWHERE, Places
from report import Row, bench_options, write_results

COMMAND = "make bench-placement-scheduler"
AT_ONCE = 8
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
    parser.add_argument("--seeds", type=int, default=5, help="runs of the model")
    parser.add_argument(
        "--kwok",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="nodes are kept and pods run by kwok (else nodes are objects that nobody keeps)",
    )
    options = bench_options(parser)
    begun = time.monotonic()
    (drawn,) = draws(options.traces, options.pods, 1)
    capacity = capacity_for(drawn, options.nodes, options.filled)
    rows: list[Row] = []
    for arm in (ALONE, PLACED):
        seeds = range(SEED, SEED + options.seeds)
        modelled = [in_process(drawn, arm, options.nodes, capacity, seed) for seed in seeds]
        places, rate = really(drawn, arm, options.nodes, capacity, kwok=options.kwok)
        outcomes = [figures_of(drawn, each, options.nodes, capacity) for each in (places, *modelled)]
        rows += compared(arm, outcomes[0], outcomes[1:], options.pods)
        rows.append(Row(f"placement.scheduler.{arm}.pods_per_second", rate, "pods/s", options.pods, COMMAND))
    for row in rows:
        print(f"{row.name:60} {row.value:10.4g} {row.against}")
    print(write_results("placement_scheduler", rows, SEED, time.monotonic() - begun))


# -- the real one ---------------------------------------------------------------------------------------


def really(drawn: Drawn, arm: str, nodes: int, capacity: float, *, kwok: bool) -> tuple[Places, float]:
    """Places by kube-scheduler, and pods bound a second."""
    with tempfile.TemporaryDirectory() as name, running_apiserver(Path(name)) as api, ExitStack() as running:
        client = api.client()
        pool = running.enter_context(ThreadPoolExecutor(AT_ONCE))
        list(pool.map(lambda number: make_node(client, number, capacity, kwok=kwok), range(nodes)))
        if kwok:
            child = running.enter_context(kept_by_kwok(api, Path(name)))
            child.wait_until(lambda: nodes_ready(client) == nodes, WAIT_SECONDS)
        running.enter_context(kube_scheduler(api, Path(name)))
        webhook = Webhook(drawn, arm, nodes, capacity)
        places = np.full(len(drawn.own_bytes), NOWHERE, dtype=np.intp)
        began = time.monotonic()
        for batch in batches(len(places), len(places)):
            pods = [pod for pod, _ in batch]
            wanted = webhook.batch(pods)
            list(pool.map(lambda pair: make_pod(client, drawn, *pair), zip(pods, wanted, strict=True)))
            found = bound(client, pods)
            went = [found.get(pod, NOWHERE) for pod in pods]
            webhook.settle(pods, wanted, went)
            places[pods] = went
        return places, len(places) / (time.monotonic() - began)


@contextmanager
def kept_by_kwok(api: ApiServer, directory: Path) -> Iterator[Child]:
    """Kwok, which keeps all nodes ready and runs whatever is bound to them."""
    argv = [
        str(binaries() / "kwok"),
        f"--kubeconfig={api.kubeconfig()}",
        f"--config={binaries() / 'kwok-stages.yaml'}",
        "--manage-all-nodes=true",
        "--cidr=10.0.0.0/8",
        "--node-ip=127.0.0.1",
        "--server-address=127.0.0.1:0",
    ]
    child = Child("kwok", argv, directory / "kwok.log")
    child.start()
    try:
        yield child
    finally:
        child.stop()


def nodes_ready(client: httpx.Client) -> int:
    """How many are."""
    found = client.get("/api/v1/nodes", params={"resourceVersion": "0"}).json()["items"]
    conditions = [node["status"].get("conditions") or () for node in found]
    return sum(any(each["type"] == "Ready" and each["status"] == "True" for each in of) for of in conditions)


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


def make_node(client: httpx.Client, number: int, capacity: float, *, kwok: bool) -> None:
    """A node that has memory; Ready, unless kwok is to make it so."""
    has = {"cpu": f"{NODE_CORES:.0f}", "memory": str(int(capacity)), "pods": str(MOST_PODS)}
    name = f"node-{number:05}"
    meta = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    made = client.post("/api/v1/nodes", json={"apiVersion": "v1", "kind": "Node", "metadata": meta})
    made.raise_for_status()
    ready = {"type": "Ready", "status": "True", "reason": "Simulated", "message": ""}
    status = {"status": {"capacity": has, "allocatable": has, "conditions": [] if kwok else [ready]}}
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


def compared(arm: str, real: Outcome, modelled: Sequence[Outcome], pods: int) -> list[Row]:
    """Figures of the real scheduler with the interval over nodes; of the model the mean, least and most over
    seeds beside them.
    """
    rows = []
    for name, (value, unit) in real.figures().items():
        low, high = real.interval(name)
        found = [each.figures()[name][0] for each in modelled]
        against = {"model": float(np.mean(found)), "model least": min(found), "model most": max(found)}
        rows.append(
            Row(f"placement.scheduler.{arm}.{name}", value, unit, pods, COMMAND, low, high, against=against)
        )
    return rows


if __name__ == "__main__":
    main()

"""Usage and working sets straight from every kubelet: `/stats/summary`, `/metrics/resource`, on its port.

In: the cluster's nodes (listed from the API server) and, per node, one HTTPS request with the service
account's token, which needs `get` on `nodes/stats` and `nodes/metrics` only. Out: one batch of all nodes; a
kubelet that does not answer is a notice that names it, and its containers hold. The way through the API
server's node proxy is an opt-in: its right, `nodes/proxy`, also allows `exec` in every container of the
cluster.
"""

import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.source import (
    BatchBuilder,
    Fetched,
    SourceError,
    failed,
    number,
    shortened,
    unix_seconds,
)

SUMMARY_PATH = "/stats/summary"  # usage and working set; the kubelet works harder for it
MEMORY_ONLY = {"only_cpu_and_memory": "true"}  # no disks, no networks: half the answer
RESOURCE_PATH = "/metrics/resource"  # working set only; cheap
NODE_LIST_SECONDS = 60.0  # how long a list of nodes is used
NODE_PAGE_SIZE = 500
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")
PROXY_WARNING = "kubelets are read through the API server: nodes/proxy also allows exec in every container"

_RESOURCE_LINE = re.compile(
    r"^container_memory_working_set_bytes\{(?P<labels>[^}]*)\}\s+(?P<value>\S+)(?:\s+(?P<milliseconds>-?\d+))?\s*$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(?P<name>[a-zA-Z_]\w*)="(?P<value>(?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class KubeNode:
    """One node and where its kubelet answers."""

    name: str
    base_url: str


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """How kubelets are reached."""

    port: int = 10250  # where a node does not say otherwise (status.daemonEndpoints)
    concurrency: int = 32  # kubelets asked at once
    node_proxy: bool = False


class KubeletSource:
    """All kubelets of one cluster."""

    name = "kubelet"
    quantities = frozenset({Quantity.USAGE, Quantity.WORKING_SET})

    def __init__(
        self, api: httpx.Client, kubelets: Sequence[httpx.Client], settings: KubeletSettings
    ) -> None:
        self._api = api
        self._kubelets = tuple(kubelets)
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="kubelet")
        self._nodes: tuple[KubeNode, ...] = ()
        self._nodes_listed_seconds = -math.inf

    def fetch(self, now_seconds: float, wanted: frozenset[Quantity]) -> Fetched:
        """Ask every kubelet once; each that fails is a notice, all failing is a problem."""
        try:
            nodes = self._current_nodes(now_seconds)
        except (httpx.HTTPError, SourceError) as error:
            return failed(f"list of nodes: {str(error) or type(error).__name__}")
        builder, notices = BatchBuilder(), [PROXY_WARNING] if self._settings.node_proxy else []
        failures = 0
        for node, answer in self._ask_all(nodes, wanted, now_seconds):
            if isinstance(answer, BatchBuilder):
                builder.extend(answer)
            else:
                failures += 1
                notices.append(f"kubelet of {node.name}: {answer}")
        problems = (f"no kubelet of {failures} answered",) if nodes and failures == len(nodes) else ()
        return Fetched(builder.build(), problems, shortened(notices))

    def close(self) -> None:
        """Stop the threads and close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in self._kubelets:
            client.close()
        self._api.close()

    def _ask_all(
        self, nodes: Sequence[KubeNode], wanted: frozenset[Quantity], now_seconds: float
    ) -> Iterator[tuple[KubeNode, "BatchBuilder | str"]]:
        answers = self._pool.map(lambda node: self._ask(node, wanted, now_seconds), nodes)
        return zip(nodes, answers, strict=True)

    def _ask(self, node: KubeNode, wanted: frozenset[Quantity], now_seconds: float) -> "BatchBuilder | str":
        """Return one node's samples, or what went wrong in words."""
        try:
            if Quantity.USAGE in wanted:
                return read_summary(self._get(node, SUMMARY_PATH, MEMORY_ONLY).content)
            answer = self._get(node, RESOURCE_PATH)
            return read_resource_metrics(answer.text, now_seconds)
        except (httpx.HTTPError, SourceError) as error:
            return str(error) or type(error).__name__

    def _get(self, node: KubeNode, path: str, parameters: Mapping[str, str] | None = None) -> httpx.Response:
        if self._settings.node_proxy:
            client = self._api
        else:
            client = self._kubelets[zlib.crc32(node.name.encode()) % len(self._kubelets)]
        return client.get(node.base_url + path, params=parameters).raise_for_status()

    def _current_nodes(self, now_seconds: float) -> tuple[KubeNode, ...]:
        if abs(now_seconds - self._nodes_listed_seconds) >= NODE_LIST_SECONDS:
            self._nodes = tuple(self._list_nodes())
            self._nodes_listed_seconds = now_seconds
        return self._nodes

    def _list_nodes(self) -> Iterator[KubeNode]:
        token = ""
        while True:
            parameters = {"limit": str(NODE_PAGE_SIZE)} | ({"continue": token} if token else {})
            page = _object(self._api.get("/api/v1/nodes", params=parameters).raise_for_status().content)
            for item in page.get("items") or []:
                node = _kube_node(item, self._settings)
                if node is not None:
                    yield node
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return


def read_summary(content: bytes) -> BatchBuilder:
    """Return the samples of a kubelet's `/stats/summary`; raises `SourceError` where it is none."""
    pods = _object(content).get("pods")
    if not isinstance(pods, list):
        raise SourceError(f"{SUMMARY_PATH} answered no list of pods")
    builder = BatchBuilder()
    for pod in pods:
        reference = pod.get("podRef") if isinstance(pod, dict) else None
        if not isinstance(reference, dict):
            continue
        for container in pod.get("containers") or []:
            _add_summary(reference, container, builder)
    return builder


def _add_summary(reference: dict[str, Any], container: object, builder: BatchBuilder) -> None:
    memory = container.get("memory") if isinstance(container, dict) else None
    if not isinstance(container, dict) or not isinstance(memory, dict):
        return  # a container that has ended has no memory
    name = (reference.get("namespace"), reference.get("name"), container.get("name"))
    if all(isinstance(part, str) for part in name):
        builder.add(
            (str(name[0]), str(name[1]), str(name[2])),
            unix_seconds(memory.get("time")),
            usage_bytes=number(memory.get("usageBytes")),
            working_set_bytes=number(memory.get("workingSetBytes")),
        )


def read_resource_metrics(text: str, now_seconds: float) -> BatchBuilder:
    """Return the working sets of a kubelet's `/metrics/resource`; raises `SourceError` where it is none."""
    if "# " not in text and "container_memory_working_set_bytes" not in text and text.strip():
        raise SourceError(f"{RESOURCE_PATH} answered no metrics")
    builder = BatchBuilder()
    for line in _RESOURCE_LINE.finditer(text):
        labels = {label["name"]: label["value"] for label in _LABEL.finditer(line["labels"])}
        name = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        stamp = line["milliseconds"]
        seconds = number(stamp) / 1000.0 if stamp else now_seconds
        if all(name):
            builder.add(name, seconds, working_set_bytes=number(line["value"]))
    return builder


def _kube_node(item: object, settings: KubeletSettings) -> KubeNode | None:
    """Return where a node's kubelet answers; None for a node without an address."""
    if not isinstance(item, dict):
        return None
    name = (item.get("metadata") or {}).get("name")
    status = item.get("status") or {}
    if not isinstance(name, str):
        return None
    if settings.node_proxy:
        return KubeNode(name, f"/api/v1/nodes/{name}/proxy")
    addresses = {entry.get("type"): entry.get("address") for entry in status.get("addresses") or []}
    host = next((addresses[kind] for kind in ADDRESS_TYPES if addresses.get(kind)), None)
    if host is None:
        return None
    said = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    port = said if isinstance(said, int) and said > 0 else settings.port
    return KubeNode(name, f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def _object(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"answered no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise SourceError("answered JSON that is no object")
    return answer

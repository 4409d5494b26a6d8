"""Working sets from the metrics API (`metrics.k8s.io`), as metrics-server and its like serve them.

In: `GET /apis/metrics.k8s.io/v1beta1/pods`, page by page where the server pages (metrics-server itself
answers all at once). Out: one sample a container, stamped with the time of the measurement. It gives the
working set only. Pods are turned into columns while the JSON is read, so that 50,000 of them never exist as
dictionaries together.
"""

import json
import math
from typing import Any

import httpx

from plimsoll.api.quantity import QuantityError, parse_quantity
from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.source import BatchBuilder, Fetched, SourceError, failed, unix_seconds

ROOT = "/apis/metrics.k8s.io/v1beta1"
PODS_PATH = f"{ROOT}/pods"
PAGE_SIZE = 2000  # pods asked for at once; about 1 MB of JSON
MAX_PAGES = 500  # a server that hands out continue tokens for ever is broken


class MetricsApiSource:
    """The metrics API of one cluster."""

    name = "metrics-api"
    quantities = frozenset({Quantity.WORKING_SET})

    def __init__(self, client: httpx.Client, namespace: str = "") -> None:
        self._client = client  # base URL: the API server
        self._path = f"{ROOT}/namespaces/{namespace}/pods" if namespace else PODS_PATH

    def fetch(self, now_seconds: float, wanted: frozenset[Quantity]) -> Fetched:  # noqa: ARG002 - the protocol's
        """Read all pods' working sets; a page that fails is a problem of the whole fetch."""
        builder = BatchBuilder()
        try:
            self._read_pages(builder)
        except (httpx.HTTPError, SourceError) as error:
            problem = f"metrics API: {str(error) or type(error).__name__}"
            return Fetched(builder.build(), problems=(problem,)) if builder.names else failed(problem)
        return Fetched(builder.build())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read_pages(self, builder: BatchBuilder) -> None:
        token = ""
        for _ in range(MAX_PAGES):
            parameters = {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
            answer = self._client.get(self._path, params=parameters).raise_for_status()
            token = _read_page(answer.content, builder)
            if not token:
                return
        raise SourceError(f"{PODS_PATH} did not end after {MAX_PAGES} pages")


def _read_page(content: bytes, builder: BatchBuilder) -> str:
    """Add one page's pods to `builder`; return the continue token ("" at the end)."""

    def absorb(item: dict[str, Any]) -> dict[str, Any] | None:
        if "containers" not in item or "metadata" not in item:
            return item
        _add_pod(item, builder)
        return None

    try:
        page = json.loads(content, object_hook=absorb)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{PODS_PATH} answered no JSON: {error}") from error
    if not isinstance(page, dict) or not isinstance(page.get("items"), list):
        raise SourceError(f"{PODS_PATH} answered no list of pods")
    metadata = page.get("metadata")
    token = metadata.get("continue") if isinstance(metadata, dict) else None
    return token if isinstance(token, str) else ""


def _add_pod(pod: dict[str, Any], builder: BatchBuilder) -> None:
    metadata, containers = pod["metadata"], pod["containers"]
    if not isinstance(metadata, dict) or not isinstance(containers, list):
        return
    seconds = unix_seconds(pod.get("timestamp"))
    namespace, name = metadata.get("namespace"), metadata.get("name")
    if not isinstance(namespace, str) or not isinstance(name, str):
        return
    for container in containers:
        if isinstance(container, dict) and isinstance(container.get("name"), str):
            builder.add(
                (namespace, name, container["name"]),
                seconds,
                working_set_bytes=_memory_bytes(container.get("usage")),
            )


def _memory_bytes(usage: object) -> float:
    text = usage.get("memory") if isinstance(usage, dict) else None
    if not isinstance(text, str | int):
        return math.nan
    try:
        return float(parse_quantity(text))
    except QuantityError:
        return math.nan

"""A small Prometheus on loopback: every container uses what the test says, and has always done so.

In: bytes by (namespace, pod, container). Out: the answers to instant and range queries over cAdvisor's memory
series; kube-state-metrics is not installed, so its series are empty.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from builders.answering import Answer, Asked, answering, as_json

ContainerName = tuple[str, str, str]  # namespace, pod, container


@dataclass
class Prometheus:
    """What it would measure now."""

    usage: dict[ContainerName, float] = field(default_factory=dict)
    url: str = ""

    def answer(self, asked: Asked) -> Answer:
        """One request of its query API."""
        query = asked.query.get("query", "")
        if not re.search(
            "container_memory_(usage|working_set)_bytes", query
        ):  # no file caches: an old cAdvisor
            return _vector("vector", [])
        if asked.path.endswith("/query_range"):
            return _vector("matrix", list(self._ranges(query, asked.query)))
        now = time.time()
        return _vector(
            "vector",
            [
                {"metric": {"namespace": n, "pod": p, "container": c}, "value": [now, str(value)]}
                for (n, p, c), value in dict(self.usage).items()
            ],
        )

    def _ranges(self, query: str, parameters: dict[str, str]) -> Iterator[dict]:
        start, end, step = (float(parameters[name]) for name in ("start", "end", "step"))
        times = [start + index * step for index in range(int((end - start) // step) + 1)]
        for container, value in self._by_container(query).items():
            yield {"metric": {"container": container}, "values": [[at, str(value)] for at in times]}

    def _by_container(self, query: str) -> dict[str, float]:
        """Maximum over the pods that the query's namespace and pattern name."""
        namespace = re.search(r'namespace="([^"]+)"', query)
        pattern = re.search(r'pod=~"([^"]+)"', query)
        found: dict[str, float] = {}
        for (n, pod, container), value in dict(self.usage).items():
            if namespace and n == namespace[1] and pattern and re.fullmatch(pattern[1], pod):
                found[container] = max(value, found.get(container, 0.0))
        return found


def _vector(kind: str, result: list[dict]) -> Answer:
    return as_json({"status": "success", "data": {"resultType": kind, "result": result}})


@contextmanager
def running_prometheus() -> Iterator[Prometheus]:
    """Serve a `Prometheus` that measures nothing yet, until the block ends."""
    prometheus = Prometheus()
    with answering(prometheus.answer) as server:
        prometheus.url = server.url
        yield prometheus

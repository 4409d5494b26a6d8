"""Every metric of the operator, in one table: the code, /metrics and the page in docs/ read the same.

In: names of the table with their labels. Out: `prometheus-client` metrics in a registry. A name or a label
that is not in the table is an error at once, so that nothing undocumented is served. Units are in the
names: `_seconds`, `_bytes`, `_total` (a counter), and none for plain counts.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from plimsoll_operator.serve.definition import MetricDefinition, MetricKind
from plimsoll_operator.serve.metrics_of_agents import AGENTS
from plimsoll_operator.serve.metrics_of_learning import LEARNING
from plimsoll_operator.serve.metrics_of_loop import LOOP
from plimsoll_operator.serve.metrics_of_pods import NEW_PODS

DEFINITIONS: tuple[MetricDefinition, ...] = (*LOOP, *AGENTS, *LEARNING, *NEW_PODS)


class Metrics:
    """A table's metrics in a registry of their own."""

    def __init__(self, version: str, definitions: Iterable[MetricDefinition] = DEFINITIONS) -> None:
        self.registry = CollectorRegistry()
        self._by_name: dict[str, Counter | Gauge | Histogram] = {
            each.name: _made(each, self.registry) for each in definitions
        }
        self.set("plimsoll_build_info", 1.0, version=version)

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        metric = self._by_name[name]
        assert isinstance(metric, Counter), name
        (metric.labels(**labels) if labels else metric).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        (metric.labels(**labels) if labels else metric).set(value)

    def follow(self, name: str, read: Callable[[], float]) -> None:
        """Let a gauge show what `read` says at each scrape."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        metric.set_function(read)

    def replace(self, name: str, label: str, values: Mapping[str, float]) -> None:
        """Set all of a one-label gauge's series; those that are not named go."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        metric.clear()
        for value_of_label, value in values.items():
            metric.labels(**{label: value_of_label}).set(value)

    def replace_many(self, name: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]) -> None:
        """The same for a gauge of several labels."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        metric.clear()
        for of_labels, value in values.items():
            metric.labels(**dict(zip(labels, of_labels, strict=True))).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add an observation to a histogram."""
        metric = self._by_name[name]
        assert isinstance(metric, Histogram), name
        (metric.labels(**labels) if labels else metric).observe(value)

    def value(self, name: str, **labels: str) -> float:
        """Return what a counter or gauge now shows; 0 where it was never set."""
        return self.registry.get_sample_value(name, labels) or 0.0


def _made(definition: MetricDefinition, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    name, text, labels = definition.name, definition.description, definition.labels
    if definition.kind is MetricKind.COUNTER:
        return Counter(name, text, labels, registry=registry)
    if definition.kind is MetricKind.GAUGE:
        return Gauge(name, text, labels, registry=registry)
    return Histogram(name, text, labels, registry=registry, buckets=definition.buckets)

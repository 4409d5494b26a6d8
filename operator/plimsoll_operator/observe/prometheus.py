"""Usage and working sets from Prometheus (or what speaks its API: Thanos, Mimir, VictoriaMetrics).

In: PromQL over cAdvisor's series. Out: one sample a container, its maximum over the last interval, so that
a peak between two ticks is seen and a series that ended is absent. With it comes the cache on the kernel's
lists of files, where cAdvisor tells it (its pull request 3445): the minimum, so that never too much of a
sample counts as cache; and whether the CPU quota held the container up, for starts. A partial answer
(`warnings`) is a notice: what is missing holds by its age. `PrometheusApi` is also what backfill speaks
through.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.source import (
    BatchBuilder,
    ContainerName,
    Fetched,
    SourceError,
    failed,
    number,
)

METRIC_NAMES = {
    Quantity.USAGE: "container_memory_usage_bytes",
    Quantity.WORKING_SET: "container_memory_working_set_bytes",
}
# Of a working set only active files are a part; tmpfs and shared memory are on neither list.
CACHE_NAMES = {
    Quantity.USAGE: (
        "container_memory_total_active_file_bytes",
        "container_memory_total_inactive_file_bytes",
    ),
    Quantity.WORKING_SET: ("container_memory_total_active_file_bytes",),
}
# Periods of the CPU quota in which the container wanted more, and all of them; none without a quota.
THROTTLED_NAMES = ("container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_periods_total")
LEAST_THROTTLED = 0.25  # of the periods; less is what any burst meets
CONTAINER = "(namespace, pod, container)"
# The cgroup of the pod itself has no container label, the pause container is called POD.
REAL_CONTAINERS = 'container!="",container!="POD"'
SHORTEST_RANGE_SECONDS = 120  # at least two scrapes of the usual 30-60 s
LONGEST_GET = 1500  # characters of a query that still goes into a URL


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels and `(unix seconds, value)` points, values possibly NaN."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PrometheusAnswer:
    """All series of one answer, and what the server said about their completeness."""

    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()


class PrometheusApi:
    """The query API of one Prometheus."""

    def __init__(self, url: str, timeout_seconds: float, token_file: str = "", ca_file: str = "") -> None:
        self.url = url.rstrip("/")
        self._token_file = token_file
        verify: Any = True
        if ca_file:
            import ssl  # noqa: PLC0415 - only where a CA is named

            verify = ssl.create_default_context(cafile=ca_file)
        self._client = httpx.Client(timeout=timeout_seconds, verify=verify)

    def query(self, query: str, at_seconds: float) -> PrometheusAnswer:
        """Evaluate an instant query; raises `SourceError` or `httpx.HTTPError`."""
        return self._call("query", {"query": query, "time": f"{at_seconds:.3f}"})

    def query_range(
        self, query: str, start_seconds: float, end_seconds: float, step_seconds: int
    ) -> PrometheusAnswer:
        """Evaluate a range query; raises `SourceError` or `httpx.HTTPError`."""
        parameters = {"query": query, "start": f"{start_seconds:.3f}", "end": f"{end_seconds:.3f}"}
        return self._call("query_range", parameters | {"step": str(step_seconds)})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, endpoint: str, parameters: dict[str, str]) -> PrometheusAnswer:
        url = f"{self.url}/api/v1/{endpoint}"
        if len(parameters["query"]) > LONGEST_GET:
            answer = self._client.post(url, data=parameters, headers=self._headers())
        else:
            answer = self._client.get(url, params=parameters, headers=self._headers())
        return read_answer(answer)

    def _headers(self) -> dict[str, str]:
        if not self._token_file:
            return {}
        try:  # read anew each time: tokens rotate
            return {"Authorization": f"Bearer {Path(self._token_file).read_text().strip()}"}
        except OSError as error:
            raise SourceError(f"token of Prometheus: {error}") from error


class PrometheusSource:
    """Live samples out of Prometheus."""

    name = "prometheus"
    quantities = frozenset({Quantity.USAGE, Quantity.WORKING_SET})

    def __init__(self, api: PrometheusApi, interval_seconds: float) -> None:
        self._api = api
        self._range_seconds = max(SHORTEST_RANGE_SECONDS, int(interval_seconds))

    def fetch(self, now_seconds: float, wanted: frozenset[Quantity]) -> Fetched:
        """Ask for each wanted quantity once."""
        builder, notices = BatchBuilder(), list[str]()
        answers: list[tuple[Quantity, PrometheusAnswer, dict[ContainerName, float]]] = []
        for quantity in sorted(wanted):
            try:
                answer = self._api.query(self._live_query(quantity), now_seconds)
            except (httpx.HTTPError, SourceError) as error:
                return failed(f"Prometheus: {str(error) or type(error).__name__}")
            notices += [f"Prometheus answered in part: {text}" for text in answer.warnings]
            answers.append((quantity, answer, self._cache(quantity, now_seconds, notices)))
        throttled = self._throttled(now_seconds, notices) if answers else frozenset()
        for quantity, answer, cache in answers:
            _add_series(answer, quantity, cache, throttled, builder)
        return Fetched(builder.build(), notices=tuple(notices))

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _live_query(self, quantity: Quantity) -> str:
        return f"max by {CONTAINER} (max_over_time({self._over_range(METRIC_NAMES[quantity])}))"

    def _cache(
        self, quantity: Quantity, now_seconds: float, notices: list[str]
    ) -> dict[ContainerName, float]:
        """Return the file cache of each container; without it, or without a part of it, all use counts."""
        names = (
            f"min by {CONTAINER} (min_over_time({self._over_range(name)}))" for name in CACHE_NAMES[quantity]
        )
        return self._beside(" + ".join(names), "file cache", now_seconds, notices)

    def _throttled(self, now_seconds: float, notices: list[str]) -> frozenset[ContainerName]:
        """Return the containers that their CPU quota held up: only these are answered, mostly none."""
        held_up, all_ = (f"sum by {CONTAINER} (rate({self._over_range(name)}))" for name in THROTTLED_NAMES)
        query = f"{held_up} / {all_} > {LEAST_THROTTLED}"
        return frozenset(self._beside(query, "CPU throttling", now_seconds, notices))

    def _beside(
        self, query: str, what: str, now_seconds: float, notices: list[str]
    ) -> dict[ContainerName, float]:
        """Return a value by container that samples can do without; where it fails, nothing and a notice."""
        try:
            answer = self._api.query(query, now_seconds)
        except (httpx.HTTPError, SourceError) as error:
            notices.append(f"Prometheus, {what}: {str(error) or type(error).__name__}")
            return {}
        return {name: value for name, _, value in _last_points(answer)}

    def _over_range(self, metric: str) -> str:
        return f"{metric}{{{REAL_CONTAINERS}}}[{self._range_seconds}s]"


def _add_series(
    answer: PrometheusAnswer,
    quantity: Quantity,
    cache: Mapping[ContainerName, float],
    throttled: Collection[ContainerName],
    builder: BatchBuilder,
) -> None:
    for name, seconds, value in _last_points(answer):
        of_it, held_up = cache.get(name, math.nan), name in throttled
        if quantity is Quantity.USAGE:
            builder.add(name, seconds, usage_bytes=value, cache_bytes=of_it, throttled=held_up)
        else:
            builder.add(name, seconds, working_set_bytes=value, cache_bytes=of_it, throttled=held_up)


def _last_points(answer: PrometheusAnswer) -> Iterator[tuple[ContainerName, float, float]]:
    """Container, time and value of the newest point of each series that is a container's."""
    for series in answer.series:
        labels = series.labels
        name = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        if all(name) and series.points:
            yield name, *series.points[-1]


def read_answer(answer: httpx.Response) -> PrometheusAnswer:
    """Return the series of an answer; raises `SourceError` with the server's own words where it failed."""
    try:
        body = json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"HTTP {answer.status_code}, no JSON: {error}") from error
    if not isinstance(body, dict) or body.get("status") != "success" or answer.is_error:
        said = body.get("error") if isinstance(body, dict) else None
        raise SourceError(f"HTTP {answer.status_code}: {said or 'no success'}")
    data = body.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise SourceError("answered no list of series")
    warnings = body.get("warnings")
    return PrometheusAnswer(
        series=tuple(_read_series(data["result"])),
        warnings=tuple(str(text) for text in warnings) if isinstance(warnings, list) else (),
    )


def _read_series(result: list[Any]) -> Iterator[Series]:
    for entry in result:
        labels = entry.get("metric") if isinstance(entry, dict) else None
        if not isinstance(labels, dict):
            continue
        points = entry.get("values") if "values" in entry else [entry.get("value")]
        yield Series({str(name): str(value) for name, value in labels.items()}, _read_points(points))


def _read_points(points: object) -> list[tuple[float, float]]:
    if not isinstance(points, list):
        return []
    return [(number(p[0]), number(p[1])) for p in points if isinstance(p, list | tuple) and len(p) == 2]

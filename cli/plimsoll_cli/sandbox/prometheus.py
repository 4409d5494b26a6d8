"""As much of Prometheus as the operator asks: recorded use before the run and since, OOM kills, limits.

In: `query_range` and `query` requests over cAdvisor's and kube-state-metrics' series, and what the world
has seen. Out: matrices and vectors per container. It does not parse PromQL: it knows the three questions
that backfill asks and the one that a usage source asks, by their metric, matchers and range, and refuses
every other with a sentence.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp.web
import numpy as np

from plimsoll.replay.series import FloatArray
from plimsoll.usage.sample import BIN_SECONDS

# Metric in the query -> which of a container's columns answers it, most telling first: the question for
# OOM kills names restarts and reasons together.
_QUESTIONS = (
    ("kube_pod_container_status_restarts_total", "ooms"),
    ("kube_pod_container_resource_limits", "limits"),
    ("container_memory_working_set_bytes", "usage"),
    ("container_memory_usage_bytes", "usage"),
)
_MATCHER = re.compile(r'(?P<label>namespace|pod)(?P<op>=~|=)"(?P<value>[^"]*)"')
_RANGE = re.compile(r"\[(?P<seconds>\d+)s\]")
_MOST_POINTS = 11_000  # as Prometheus: more points a series are refused


class QueryError(ValueError):
    """A question this Prometheus does not know."""


@dataclass(frozen=True, slots=True)
class PastContainer:
    """What is known of one container of one pod, by bin from `first_bin` on; NaN: nothing."""

    namespace: str
    pod: str
    container: str
    first_bin: int
    usage: FloatArray
    limits: FloatArray
    ooms: FloatArray  # kills in the bin


class Prometheus:
    """Answers from `known()`, called at every question."""

    def __init__(self, known: Callable[[], Sequence[PastContainer]]) -> None:
        self._known = known
        self.queries = 0

    async def handle(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        """The HTTP API's `query` and `query_range`, by GET or POST."""
        self.queries += 1
        asked: dict[str, str] = {**request.query, **{k: str(v) for k, v in (await request.post()).items()}}
        try:
            data = self._range(asked) if request.path.endswith("/query_range") else self._instant(asked)
        except (QueryError, KeyError, ValueError) as error:
            body = {"status": "error", "errorType": "bad_data", "error": str(error)}
            return aiohttp.web.json_response(body, status=400)
        return aiohttp.web.json_response({"status": "success", "data": data})

    def _range(self, asked: Mapping[str, str]) -> dict[str, Any]:
        start, end, step = float(asked["start"]), float(asked["end"]), float(asked["step"])
        if not (step > 0 and (end - start) / step < _MOST_POINTS):
            raise QueryError("exceeded maximum resolution of 11,000 points per timeseries")
        times = start + step * np.arange(math.floor((end - start) / step) + 1, dtype=np.float64)
        return {"resultType": "matrix", "result": self._answer(asked["query"], times, "values")}

    def _instant(self, asked: Mapping[str, str]) -> dict[str, Any]:
        times: FloatArray = np.array([float(asked["time"])])
        return {"resultType": "vector", "result": self._answer(asked["query"], times, "value")}

    def _answer(self, query: str, times: FloatArray, form: str) -> list[dict[str, Any]]:
        column = next((column for metric, column in _QUESTIONS if metric in query), None)
        window = _RANGE.search(query)
        if column is None or window is None:
            raise QueryError(f"the sandbox's Prometheus does not know this question: {query}")
        by_pod = "by (namespace, pod, container)" in query and column != "ooms"
        results = []
        for labels, past in _grouped(self._chosen(query), by_pod=by_pod).items():
            points = _points(past, column, times, int(window["seconds"]))
            if points:
                values = points if form == "values" else points[-1]
                results.append({"metric": dict(labels), form: values})
        return results

    def _chosen(self, query: str) -> list[PastContainer]:
        tests = {match["label"]: (match["op"], match["value"]) for match in _MATCHER.finditer(query)}
        return [p for p in self._known() if _is(tests, "namespace", p.namespace) and _is(tests, "pod", p.pod)]


def _is(tests: Mapping[str, tuple[str, str]], label: str, value: str) -> bool:
    operator, wanted = tests.get(label, ("=~", ".*"))
    return bool(re.fullmatch(wanted, value)) if operator == "=~" else value == wanted


def _grouped(
    chosen: Sequence[PastContainer], *, by_pod: bool
) -> dict[tuple[tuple[str, str], ...], list[PastContainer]]:
    groups: dict[tuple[tuple[str, str], ...], list[PastContainer]] = {}
    for past in chosen:
        labels: tuple[tuple[str, str], ...] = (("container", past.container),)
        if by_pod:
            labels = (("namespace", past.namespace), ("pod", past.pod), *labels)
        groups.setdefault(labels, []).append(past)
    return groups


def _points(group: Sequence[PastContainer], column: str, times: FloatArray, window: int) -> list[list[Any]]:
    """[time, text] of each time with something in (time - window, time]: its maximum, or sum of kills."""
    best = np.full(len(times), np.nan)
    bins_in_window = max(1, window // BIN_SECONDS)
    for past in group:
        values: FloatArray = getattr(past, column)
        # The bin that ends at or before `time` is the last in its window.
        last = np.floor(times / BIN_SECONDS).astype(np.int64) - 1 - past.first_bin
        for back in range(bins_in_window):
            at = last - back
            inside = (at >= 0) & (at < len(values))
            found = np.full(len(times), np.nan)
            found[inside] = values[at[inside]]
            best = np.where(np.isnan(best), found, _join(best, found, summed=column == "ooms"))
    told = np.isfinite(best) & ((best > 0) if column == "ooms" else True)
    return [
        [time, repr(value)] for time, value in zip(times[told].tolist(), best[told].tolist(), strict=True)
    ]


def _join(left: FloatArray, right: FloatArray, *, summed: bool) -> FloatArray:
    joined: FloatArray = left + np.nan_to_num(right) if summed else np.fmax(left, right)
    return joined

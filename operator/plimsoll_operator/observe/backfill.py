"""Weeks of history for a workload that is seen for the first time, out of Prometheus.

In: a workload, the pods it has now, and how far back to look. Out: per container, five-minute maxima of the
last day, hourly maxima before that, and the OOM kills that kube-state-metrics saw. Pods of the past are
found by the pattern that their controller names them with. All or nothing: an answer that failed or came in
part raises, so that the caller can hold and ask again; what is already in the history stays.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from plimsoll.usage.sample import BIN_SECONDS, DAY_SECONDS, HOUR_SECONDS, Float64Array, Quantity
from plimsoll.workload import WorkloadRef
from plimsoll_operator.observe.prometheus import (
    METRIC_NAMES,
    REAL_CONTAINERS,
    PrometheusAnswer,
    PrometheusApi,
)
from plimsoll_operator.observe.source import SourceError

# How controllers name their pods; Prometheus anchors a pattern at both ends.
POD_SUFFIXES = {
    "Deployment": "-[a-z0-9]{1,10}-[a-z0-9]{5}",
    "ReplicaSet": "-[a-z0-9]{5}",
    "ReplicationController": "-[a-z0-9]{5}",
    "StatefulSet": "-[0-9]+",
    "Job": "(-[0-9]+)?-[a-z0-9]{5}",
    "CronJob": "-[0-9]+(-[0-9]+)?-[a-z0-9]{5}",
    "DaemonSet": "-[a-z0-9]{5}",
}


@dataclass(frozen=True, slots=True)
class PastRequest:
    """Whose past is asked for."""

    workload: WorkloadRef
    node_class: str  # not "": only the pods that live now are asked for, others ran on other kinds of nodes
    pods: tuple[str, ...]  # names of those that live now
    quantity: Quantity


@dataclass(slots=True)
class ContainerPast:
    """What Prometheus knew of one container: n samples (times in the middle of their bin) and k OOM kills."""

    seconds: Float64Array = field(default_factory=lambda: np.empty(0))  # [n]
    bytes_: Float64Array = field(default_factory=lambda: np.empty(0))  # [n]
    oom_seconds: Float64Array = field(default_factory=lambda: np.empty(0))  # [k]
    oom_limit_bytes: Float64Array = field(default_factory=lambda: np.empty(0))  # [k] NaN where unknown


@dataclass(frozen=True, slots=True)
class _Span:
    """One resolution of the past: points every `step_seconds`, the first at `start_seconds`."""

    start_seconds: float
    end_seconds: float
    step_seconds: int

    @property
    def empty(self) -> bool:
        return self.end_seconds < self.start_seconds


def past_of(
    api: PrometheusApi, request: PastRequest, oldest_seconds: float, now_seconds: float
) -> dict[str, ContainerPast]:
    """Return the past of each container of a workload, by container; raises `SourceError` or `HTTPError`."""
    selector = pod_selector(request)
    pasts: dict[str, ContainerPast] = {}
    metric = METRIC_NAMES[request.quantity]
    recent_start = max(oldest_seconds, now_seconds - DAY_SECONDS)
    for span in (
        _span(oldest_seconds, now_seconds, HOUR_SECONDS),
        _span(recent_start, now_seconds, BIN_SECONDS),
    ):
        if not span.empty:
            query = _maxima(f"{metric}{{{selector},{REAL_CONTAINERS}}}", span)
            _add_maxima(_complete(api, query, span), span, pasts)
    _add_ooms(api, selector, _span(oldest_seconds, now_seconds, HOUR_SECONDS), pasts)
    return pasts


def pod_selector(request: PastRequest) -> str:
    """Return the label matchers that find a workload's pods, of now and of the past."""
    workload = request.workload
    suffix = POD_SUFFIXES.get(workload.kind)
    if suffix is None or request.node_class:
        pattern = "|".join(_literal(pod) for pod in sorted(set(request.pods)))
    else:
        pattern = _literal(workload.name) + suffix
    return f'namespace="{workload.namespace}",pod=~"{pattern}"'


def _literal(name: str) -> str:
    """Kubernetes names hold letters, digits, `-` and `.`; only the dot means something in a pattern."""
    return name.replace(".", "[.]")


def _span(oldest_seconds: float, now_seconds: float, step_seconds: int) -> _Span:
    """Points at whole bins: the one at t speaks of (t - step, t]."""
    first = math.ceil(oldest_seconds / step_seconds + 1) * step_seconds
    last = math.floor(now_seconds / step_seconds) * step_seconds
    return _Span(first, last, step_seconds)


def _maxima(selector: str, span: _Span) -> str:
    return f"max by (container) (max_over_time({selector}[{span.step_seconds}s]))"


def _complete(api: PrometheusApi, query: str, span: _Span) -> PrometheusAnswer:
    answer = api.query_range(query, span.start_seconds, span.end_seconds, span.step_seconds)
    if answer.warnings:
        raise SourceError(f"answered in part: {answer.warnings[0]}")
    return answer


def _add_maxima(answer: PrometheusAnswer, span: _Span, pasts: dict[str, ContainerPast]) -> None:
    for series in answer.series:
        name = series.labels.get("container", "")
        if not name or not series.points:
            continue
        points = np.array(series.points, dtype=np.float64)
        past = pasts.setdefault(name, ContainerPast())
        past.seconds = np.concatenate([past.seconds, points[:, 0] - span.step_seconds / 2])
        past.bytes_ = np.concatenate([past.bytes_, points[:, 1]])


def _add_ooms(api: PrometheusApi, selector: str, span: _Span, pasts: dict[str, ContainerPast]) -> None:
    """Take OOM kills from restarts whose last reason was one, with the limit that was then in force."""
    if span.empty:
        return
    window = f"[{span.step_seconds}s]"
    reason = f'kube_pod_container_status_last_terminated_reason{{{selector},reason="OOMKilled"}}'
    kills = (
        f"sum by (container) (changes(kube_pod_container_status_restarts_total{{{selector}}}{window})"
        f" * on (namespace, pod, container) group_left ()"
        f" max by (namespace, pod, container) (max_over_time({reason}{window}))) > 0"
    )
    killed = [series for series in _complete(api, kills, span).series if series.points]
    if not killed:
        return
    limits = _limits(api, selector, span)
    for series in killed:
        name = series.labels.get("container", "")
        times = np.array([at for at, count in series.points if count > 0], dtype=np.float64)
        past = pasts.setdefault(name, ContainerPast())
        past.oom_limit_bytes = np.array([limits.get((name, at), math.nan) for at in times])
        past.oom_seconds = times - span.step_seconds / 2


def _limits(api: PrometheusApi, selector: str, span: _Span) -> dict[tuple[str, float], float]:
    metric = f'kube_pod_container_resource_limits{{{selector},resource="memory"}}'
    answer = _complete(api, _maxima(metric, span), span)
    return {
        (series.labels.get("container", ""), at): limit
        for series in answer.series
        for at, limit in series.points
    }

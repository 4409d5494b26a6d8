"""The past of subjects out of Prometheus; and, where there is no kubeconfig, the subjects themselves.

In: a Prometheus (or what speaks its API). Out: weeks of maxima and OOM kills by the operator's own backfill,
and the words of what it could not answer. Without a cluster, containers come from cAdvisor's series, memory
values and owners from kube-state-metrics' where it is scraped, else a pod's name tells its workload.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import httpx

from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_cli.advice.subject import Subject
from plimsoll_cli.failure import ClusterError
from plimsoll_operator.observe.backfill import POD_SUFFIXES, ContainerPast, PastRequest, past_of
from plimsoll_operator.observe.prometheus import METRIC_NAMES, REAL_CONTAINERS, PrometheusApi, Series
from plimsoll_operator.observe.source import SourceError

CONCURRENCY = 8
TIMEOUT_SECONDS = 60.0  # weeks of a large workload take their time
LATELY_SECONDS = 900  # a container without a sample for so long does not run
Report = Callable[[int, int], None]
GroupKey = tuple[WorkloadRef, str]


@dataclass(slots=True)
class Pasts:
    """The subjects with their past, and what Prometheus did not answer, by workload."""

    subjects: list[Subject] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def with_past(
    api: PrometheusApi,
    subjects: Sequence[Subject],
    quantity: Quantity,
    oldest_seconds: float,
    now_seconds: float,
    report: Report,
) -> Pasts:
    """Ask for the past of every workload; one that fails leaves its own containers without a past."""
    groups: dict[GroupKey, list[Subject]] = defaultdict(list)
    for each in subjects:
        groups[each.key.workload, each.key.node_class].append(replace(each, quantity=quantity))
    requests = [_request(key, members, quantity) for key, members in groups.items()]

    def ask(request: PastRequest) -> dict[str, ContainerPast] | str:
        try:
            return past_of(api, request, oldest_seconds, now_seconds)
        except httpx.TransportError as error:
            raise _down(api, error) from error
        except (httpx.HTTPError, SourceError) as error:
            return str(error) or type(error).__name__

    made = Pasts()
    with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="prometheus") as pool:
        try:
            for members, answer in zip(groups.values(), pool.map(ask, requests), strict=True):
                _take(made, members, answer)
                report(len(made.subjects), len(subjects))
        except ClusterError:
            pool.shutdown(cancel_futures=True)
            raise
    return made


def subjects_in_prometheus(
    api: PrometheusApi, namespace: str | None, quantity: Quantity, now_seconds: float
) -> list[Subject]:
    """Return every container that Prometheus has seen lately, with its memory values where it knows them."""
    within = f',namespace="{namespace}"' if namespace else ""
    running = _instant(api, f"{METRIC_NAMES[quantity]}{{{REAL_CONTAINERS}{within}}}", now_seconds)
    limits = _amounts(api, "limits", within, now_seconds)
    requests = _amounts(api, "requests", within, now_seconds)
    owners = _owners(api, within, now_seconds)
    found: dict[ContainerKey, list[tuple[str, str, str]]] = defaultdict(list)
    for series in running:
        name = _name(series)
        if all(name):
            found[ContainerKey(_workload(name[0], name[1], owners), name[2])].append(name)
    return [
        Subject(
            key,
            tuple(sorted(name[1] for name in names)),
            _largest(limits, names),
            _largest(requests, names),
            quantity,
        )
        for key, names in sorted(found.items())
    ]


def workload_of_name(namespace: str, pod: str) -> WorkloadRef:
    """Return the workload whose controller names its pods so: `web-6d4cf9b7f5-x7k2p` is `web`'s."""
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        suffix = re.search(f"(?:{_GENERATED.get(kind, POD_SUFFIXES[kind])})$", pod)
        if suffix is not None and suffix.start() > 0:
            return WorkloadRef(namespace, kind, pod[: suffix.start()])
    return WorkloadRef(namespace, "Pod", pod)


# Narrower than what a known workload's pods match: Kubernetes draws generated names from these letters.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED = {"Deployment": f"-[{_LETTERS}]{{5,10}}-[{_LETTERS}]{{5}}", "DaemonSet": f"-[{_LETTERS}]{{5}}"}


def _request(key: GroupKey, members: Sequence[Subject], quantity: Quantity) -> PastRequest:
    pods = sorted({pod for each in members for pod in each.pods})
    return PastRequest(key[0], key[1], tuple(pods), quantity)


def _take(made: Pasts, members: Iterable[Subject], answer: dict[str, ContainerPast] | str) -> None:
    for each in members:
        if isinstance(answer, str):
            problem = f"Prometheus: {answer}"
            made.failures[str(each.key.workload)] = problem
            made.subjects.append(each.knowing(each.past, problem))
        else:
            known = answer.get(each.key.container)
            problem = "" if known is not None else "Prometheus knows no sample of it"
            made.subjects.append(each.knowing(known or each.past, problem))


def _down(api: PrometheusApi, error: Exception) -> ClusterError:
    return ClusterError(f"cannot reach Prometheus at {api.url}: {str(error) or type(error).__name__}")


def _instant(api: PrometheusApi, selector: str, now_seconds: float) -> tuple[Series, ...]:
    query = f"max by (namespace, pod, container) (max_over_time({selector}[{LATELY_SECONDS}s]))"
    try:
        answer = api.query(query, now_seconds)
    except httpx.TransportError as error:
        raise _down(api, error) from error
    except (httpx.HTTPError, SourceError) as error:
        raise ClusterError(f"Prometheus at {api.url}: {error}") from error
    if answer.warnings:
        raise ClusterError(f"Prometheus at {api.url} answered in part: {answer.warnings[0]}")
    return answer.series


def _amounts(
    api: PrometheusApi, which: str, within: str, now_seconds: float
) -> dict[tuple[str, str, str], int]:
    """Return limits or requests by container; empty where kube-state-metrics is not scraped."""
    selector = f'kube_pod_container_resource_{which}{{resource="memory"{within}}}'
    try:
        series = _instant(api, selector, now_seconds)
    except ClusterError:
        return {}
    return {_name(each): int(each.points[-1][1]) for each in series if each.points}


def _owners(
    api: PrometheusApi, within: str, now_seconds: float
) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Return owner kind and name by (kind, namespace, name) as kube-state-metrics tells them."""
    found: dict[tuple[str, str, str], tuple[str, str]] = {}
    for kind, metric, label in (
        ("Pod", "kube_pod_owner", "pod"),
        ("ReplicaSet", "kube_replicaset_owner", "replicaset"),
        ("Job", "kube_job_owner", "job_name"),
    ):
        by = f"namespace, {label}, owner_kind, owner_name"
        selector = f'{metric}{{owner_is_controller="true"{within}}}'
        try:
            answer = api.query(f"max by ({by}) (max_over_time({selector}[{LATELY_SECONDS}s]))", now_seconds)
        except (httpx.HTTPError, SourceError):
            return found
        for series in answer.series:
            of = series.labels
            owner = (of.get("owner_kind", ""), of.get("owner_name", ""))
            if all(owner):
                found[kind, of.get("namespace", ""), of.get(label, "")] = owner
    return found


def _workload(
    namespace: str, pod: str, owners: Mapping[tuple[str, str, str], tuple[str, str]]
) -> WorkloadRef:
    owner = owners.get(("Pod", namespace, pod))
    if owner is None:
        return workload_of_name(namespace, pod)
    above = owners.get((owner[0], namespace, owner[1]))
    kind, name = above if above is not None else owner
    return WorkloadRef(namespace, kind, name)


def _name(series: Series) -> tuple[str, str, str]:
    labels = series.labels
    return labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", "")


def _largest(
    amounts: Mapping[tuple[str, str, str], int], names: Iterable[tuple[str, str, str]]
) -> int | None:
    known = [amounts.get(name) for name in names]
    whole = [each for each in known if each is not None]
    return max(whole) if whole and len(whole) == len(known) else None

"""What a pod that is being created asks of a kube node, read off its spec.

In: the raw pod of an admission review. Out: `Needs`, or `DoubtError` with a word where something decides
about its node that we do not know (volumes, other pods, devices, another scheduler): then there is no
opinion, and the scheduler alone decides. Nothing here raises anything else, whatever the request holds.

Source: the filters of kube-scheduler's default profile (NodeUnschedulable, NodeName, TaintToleration,
NodeAffinity, NodePorts, NodeResourcesFit, VolumeBinding, PodTopologySpread, InterPodAffinity).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from plimsoll.api.selector import LabelSelector
from plimsoll_operator.parse.scalars import Raw, cpu_millis, cpu_request_millis, listed, part, quantity

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HOSTNAME = "kubernetes.io/hostname"
KNOWN_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
BOUND_VOLUMES = ("persistentVolumeClaim", "ephemeral")  # they may live in one zone or on one node
OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})


class DoubtError(Exception):
    """What decides about the pod's node cannot be told here; the message is one word for people."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a node selector term."""

    key: str
    operator: str
    values: tuple[str, ...]
    field: bool = False  # of matchFields: the key is metadata.name


Term = tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Toleration:
    """What the pod bears."""

    key: str
    operator: str
    value: str
    effect: str

    def bears(self, taint: tuple[str, str, str]) -> bool:
        """Whether it tolerates a taint (key, value, effect)."""
        key, value, effect = taint
        if self.effect not in ("", effect) or self.key not in ("", key):
            return False
        return self.operator == "Exists" or (self.key == key and self.value == value)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a kube node must have for the pod."""

    request_bytes: int = 0
    request_cpu_millis: int = 0
    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] | None = None  # one of them must hold; None: no required node affinity
    tolerations: tuple[Toleration, ...] = ()
    apart: bool = False  # no other pod of its workload may be on the node


def needs_of(pod: Raw, requests: Mapping[str, int]) -> Needs:
    """Read the spec; `requests` are memory requests by container that admission is about to write."""
    try:
        return _read(pod, part(pod, "spec"), requests)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DoubtError("unreadable") from error


def anti_affinity(pod: Raw) -> tuple[LabelSelector, ...]:
    """Of a pod whose needs are in no doubt: no pod of its namespace with such labels may be on its node."""
    terms = listed(part(part(part(pod, "spec"), "affinity"), "podAntiAffinity"), REQUIRED)
    return tuple(LabelSelector.model_validate(each["labelSelector"]) for each in terms)


def _read(pod: Raw, spec: Raw, requests: Mapping[str, int]) -> Needs:
    affinity = part(spec, "affinity")
    for word, here in _doubts(spec, affinity):
        if here:
            raise DoubtError(word)
    node_affinity = part(part(affinity, "nodeAffinity"), REQUIRED)
    terms = None
    if node_affinity:
        terms = tuple(_term(each) for each in listed(node_affinity, "nodeSelectorTerms"))
    memory, cpu = _requests(spec, requests)
    return Needs(
        memory,
        cpu,
        tuple((str(key), str(value)) for key, value in part(spec, "nodeSelector").items()),
        terms,
        tuple(_toleration(each) for each in listed(spec, "tolerations")),
        _apart(pod, part(affinity, "podAntiAffinity")),
    )


def _doubts(spec: Raw, affinity: Raw) -> Iterator[tuple[str, bool]]:
    containers = (*listed(spec, "containers"), *listed(spec, "initContainers"))
    yield "scheduler", spec.get("schedulerName") not in (None, "", "default-scheduler")
    yield "gates", bool(spec.get("schedulingGates"))
    yield "volumes", any(each.get(kind) for each in listed(spec, "volumes") for kind in BOUND_VOLUMES)
    yield "claims", bool(spec.get("resourceClaims"))
    ports = (port for each in containers for port in listed(each, "ports"))
    yield "ports", any(port.get("hostPort") for port in ports)
    yield "devices", any(_asks_for_more(each) for each in containers)
    yield "affinity", bool(part(affinity, "podAffinity").get(REQUIRED))
    spreads = listed(spec, "topologySpreadConstraints")
    yield "spread", any(each.get("whenUnsatisfiable") != "ScheduleAnyway" for each in spreads)


def _asks_for_more(container: Raw) -> bool:
    resources = part(container, "resources")
    return any(part(resources, kind).keys() - KNOWN_RESOURCES for kind in ("requests", "limits"))


def _apart(pod: Raw, anti: Raw) -> bool:
    """True where replicas must be on nodes of their own; any other required anti-affinity is a doubt."""
    wanted = listed(anti, REQUIRED)
    if not wanted:
        return False
    labels = {str(key): str(value) for key, value in part(part(pod, "metadata"), "labels").items()}
    for term in wanted:
        elsewhere = term.get("namespaces") or term.get("namespaceSelector") is not None
        keyed = term.get("matchLabelKeys") or term.get("mismatchLabelKeys")
        if term.get("topologyKey") != HOSTNAME or elsewhere or keyed:
            raise DoubtError("affinity")
        try:
            selector = LabelSelector.model_validate(term.get("labelSelector") or {"matchLabels": None})
        except ValidationError as error:
            raise DoubtError("affinity") from error
        if not selector.matches(labels):
            raise DoubtError("affinity")
    return True


def _term(raw: Raw) -> Term:
    lines = (*_lines(raw, "matchExpressions", field=False), *_lines(raw, "matchFields", field=True))
    return tuple(lines)


def _lines(raw: Raw, name: str, *, field: bool) -> Iterator[Requirement]:
    for each in listed(raw, name):
        values = tuple(str(value) for value in each.get("values") or ())
        line = Requirement(str(each["key"]), str(each["operator"]), values, field)
        if line.operator not in OPERATORS or (field and line.key != "metadata.name"):
            raise DoubtError("affinity")
        yield line


def _toleration(raw: Raw) -> Toleration:
    names = ("key", "operator", "value", "effect")
    key, operator, value, effect = (str(raw.get(name) or "") for name in names)
    return Toleration(key, operator or "Equal", value, effect)


def _requests(spec: Raw, written: Mapping[str, int]) -> tuple[int, int]:
    """Memory (bytes) and CPU (millis) the scheduler counts: never less, for init containers are taken at
    their largest beside all sidecars.
    """
    totals = []
    for read in (lambda each: _memory(each, written), cpu_request_millis):
        inits = listed(spec, "initContainers")
        sidecars = sum(read(each) for each in inits if each.get("restartPolicy") == "Always")
        regular = sum(read(each) for each in listed(spec, "containers"))
        largest = max((read(each) for each in inits if each.get("restartPolicy") != "Always"), default=0)
        totals.append(max(regular, largest) + sidecars)
    overhead, whole = part(spec, "overhead"), part(part(spec, "resources"), "requests")
    memory, cpu = quantity(overhead.get("memory")) or 0, cpu_millis(overhead.get("cpu")) or 0
    return (
        max(totals[0], quantity(whole.get("memory")) or 0) + memory,
        max(totals[1], cpu_millis(whole.get("cpu")) or 0) + cpu,
    )


def _memory(container: Raw, written: Mapping[str, int]) -> int:
    name: Any = container.get("name", "")
    if name in written:
        return written[name]
    resources = part(container, "resources")
    requests = part(resources, "requests")
    asked = requests.get("memory") if "memory" in requests else part(resources, "limits").get("memory")
    return quantity(asked) or 0

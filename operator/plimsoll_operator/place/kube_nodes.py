"""The kube nodes of a moment in columns, and which of them the scheduler would allow for a pod.

In: records of kube nodes. Out: names and capacities by place, and a mask [N] for `Needs`. Labels are looked
up by key, each key's values filed when it is first asked for, so that 5,000 nodes with twenty labels each
cost a pod a few array operations.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import FloatArray
from plimsoll_operator.parse.needs import HOSTNAME, Needs, Requirement, Term
from plimsoll_operator.records import KubeNodeRecord

BARRING = ("NoSchedule", "NoExecute")
MOST_KEYS = 64  # label keys whose values are filed
MOST_PODS = 110  # where a kube node does not say: the kubelet's own default

BoolArray = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


@dataclass(slots=True)
class Requested:
    """What the pods on each kube node ask for, as the scheduler counts."""

    memory_bytes: FloatArray  # [N]
    cpu_millis: FloatArray  # [N]
    pods: FloatArray  # [N]

    def add(self, place: int, memory_bytes: float, cpu_millis: float) -> None:
        """One more pod."""
        self.memory_bytes[place] += memory_bytes
        self.cpu_millis[place] += cpu_millis
        self.pods[place] += 1


class KubeNodes:
    """Columns over kube nodes, in the order of their names."""

    def __init__(self, records: Iterable[KubeNodeRecord] = ()) -> None:
        self.records = sorted(records, key=lambda each: each.name)
        self.place = {each.name: place for place, each in enumerate(self.records)}
        self.capacity_bytes = _column([each.allocatable_bytes for each in self.records])
        self._cpu_millis = _column([each.allocatable_cpu_millis for each in self.records])
        pods = [each.allocatable_pods for each in self.records]
        self._pods = _column([MOST_PODS if each is None else each for each in pods])
        self._open = np.array([not each.unschedulable for each in self.records], dtype=np.bool_)
        self._taints = _coded([each.taints for each in self.records])
        self._hostname = [_hostname(each) for each in self.records]
        self._twice = {name for name, number in Counter(self._hostname).items() if number > 1}
        self._values: dict[str, dict[str, Places]] = {}

    def __len__(self) -> int:
        return len(self.records)

    @property
    def asked(self) -> tuple[str, ...]:
        """Label keys that were ever asked for."""
        return tuple(self._values)

    def file(self, key: str) -> None:
        """File the values of a label key before a pod asks for it."""
        self._filed(key)

    def column(self, names: Sequence[str], values: npt.NDArray[np.generic]) -> FloatArray:
        """[N] each node's value by its name; 0 where it has none. Names of no node are passed over."""
        found = np.zeros(len(self))
        for name, value in zip(names, values.tolist(), strict=True):
            if (place := self.place.get(name)) is not None:
                found[place] = value
        return found

    def nothing(self) -> Requested:
        """Nothing requested anywhere."""
        return Requested(*(np.zeros(len(self)) for _ in range(3)))

    def hostnames(self, mask: BoolArray, besides: BoolArray) -> set[str]:
        """The hostname labels of nodes [N]; those without one, or with one of `besides` [N], are left out."""
        found = {self._hostname[place] for place in np.flatnonzero(mask).tolist()} - {""}
        if found.isdisjoint(self._twice):  # as it should be
            return found
        return found - {self._hostname[place] for place in np.flatnonzero(besides).tolist()}

    def allowed(self, needs: Needs, requested: Requested) -> BoolArray:
        """[N] where the scheduler would let the pod go, as far as its `Needs` say."""
        with np.errstate(invalid="ignore"):
            mask = self._open & (requested.memory_bytes + needs.request_bytes <= self.capacity_bytes)
            cpu = requested.cpu_millis + needs.request_cpu_millis <= self._cpu_millis
        mask &= (cpu | (needs.request_cpu_millis == 0)) & (requested.pods < self._pods)
        mask &= self._tolerated(needs)
        for key, value in needs.selector:
            mask &= self._meets(Requirement(key, "In", (value,)))
        if needs.terms is not None:
            mask &= self._any(needs.terms)
        return mask

    def _tolerated(self, needs: Needs) -> BoolArray:
        sets, code = self._taints
        borne = [
            all(
                any(each.bears(taint) for each in needs.tolerations)
                for taint in taints
                if taint[2] in BARRING
            )
            for taints in sets
        ]
        return np.array(borne, dtype=np.bool_)[code]

    def _any(self, terms: Sequence[Term]) -> BoolArray:
        found = np.zeros(len(self), dtype=np.bool_)
        for term in terms:
            if term:  # an empty term matches nothing
                found |= np.logical_and.reduce([self._meets(line) for line in term])
        return found

    def _meets(self, line: Requirement) -> BoolArray:
        filed = self._by_name(line.values) if line.field else self._filed(line.key)
        if line.operator in ("Exists", "DoesNotExist"):
            found = self._mask(filed.values())
        elif line.operator in ("Gt", "Lt"):
            found = self._mask(at for value, at in filed.items() if _compares(line, value))
        else:
            found = self._mask(filed[value] for value in line.values if value in filed)
        return ~found if line.operator in ("NotIn", "DoesNotExist") else found

    def _mask(self, parts: Iterable[Places]) -> BoolArray:
        mask = np.zeros(len(self), dtype=np.bool_)
        for part in parts:
            mask[part] = True
        return mask

    def _by_name(self, names: Sequence[str]) -> dict[str, Places]:
        return {name: np.array([self.place[name]]) for name in names if name in self.place}

    def _filed(self, key: str) -> dict[str, Places]:
        if key not in self._values:
            if len(self._values) >= MOST_KEYS:  # keys are the pods' word, and anybody can make up more
                self._values.clear()
            found: dict[str, list[int]] = defaultdict(list)
            for place, record in enumerate(self.records):
                for name, value in record.labels:
                    if name == key:
                        found[value].append(place)
            self._values[key] = {value: np.array(at) for value, at in found.items()}
        return self._values[key]


def _column(values: Sequence[int | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _hostname(record: KubeNodeRecord) -> str:
    return next((value for name, value in record.labels if name == HOSTNAME), "")


def _coded(
    sets: Sequence[tuple[tuple[str, str, str], ...]],
) -> tuple[list[tuple[tuple[str, str, str], ...]], Places]:
    """The different sets of taints, and which of them each node has."""
    code_of: dict[tuple[tuple[str, str, str], ...], int] = {}
    codes = [code_of.setdefault(each, len(code_of)) for each in sets]
    return list(code_of), np.array(codes, dtype=np.intp)


def _compares(line: Requirement, value: str) -> bool:
    try:
        here, bound = int(value), int(line.values[0])
    except (ValueError, IndexError):
        return False
    return here > bound if line.operator == "Gt" else here < bound

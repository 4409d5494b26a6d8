"""What every usage source gives: one columnar batch of samples, and what went wrong while it was fetched.

In: a `now` and the quantities that are wanted. Out: `Fetched`, always: a source never raises for bad input,
it reports. `problems` mean that the source as a whole cannot be relied on (everything holds); `notices`
name a part (one kubelet, one page): its containers get no sample and hold by their age.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np

from plimsoll.usage.sample import BoolArray, Float64Array, Quantity

ContainerName = tuple[str, str, str]  # (namespace, pod, container)
NOTICE_LIMIT = 20  # notices kept of one fetch; the rest is counted


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Samples of `n` containers: NaN where a source does not give a quantity or gave nonsense."""

    names: tuple[ContainerName, ...]  # n
    seconds: Float64Array  # [n] Unix time of the measurement, not of the fetch
    usage_bytes: Float64Array  # [n]
    working_set_bytes: Float64Array  # [n]
    cache_bytes: Float64Array  # [n] of it on the kernel's lists of files: what it takes before it kills
    throttled: BoolArray  # [n] its CPU quota holds it up; False where nobody says

    def column(self, quantity: Quantity) -> Float64Array:
        """Return the samples of one quantity, bytes, [n]."""
        return self.usage_bytes if quantity == Quantity.USAGE else self.working_set_bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """One fetch: what was measured, and in words what could not be."""

    batch: SampleBatch
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class UsageSource(Protocol):
    """Where samples of memory come from."""

    @property
    def name(self) -> str:
        """The source's name as in `--usage-source`."""
        ...

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What this source can measure."""
        ...

    def fetch(self, now_seconds: float, wanted: frozenset[Quantity]) -> Fetched:
        """Measure every container once; blocks for as long as its time-outs allow."""
        ...

    def close(self) -> None:
        """Free its connections."""
        ...


class SourceError(RuntimeError):
    """A source answered something unusable; the message names the address and what was wrong."""


@dataclass(slots=True)
class BatchBuilder:
    """Collects samples one by one into columns."""

    names: list[ContainerName] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    usage_bytes: list[float] = field(default_factory=list)
    working_set_bytes: list[float] = field(default_factory=list)
    cache_bytes: list[float] = field(default_factory=list)
    throttled: list[bool] = field(default_factory=list)

    def add(
        self,
        name: ContainerName,
        seconds: float,
        *,
        usage_bytes: float = math.nan,
        working_set_bytes: float = math.nan,
        cache_bytes: float = math.nan,
        throttled: bool = False,
    ) -> None:
        """Add one container's sample."""
        self.names.append(name)
        self.seconds.append(seconds)
        self.usage_bytes.append(usage_bytes)
        self.working_set_bytes.append(working_set_bytes)
        self.cache_bytes.append(cache_bytes)
        self.throttled.append(throttled)

    def extend(self, other: "BatchBuilder") -> None:
        """Add another builder's samples."""
        self.names.extend(other.names)
        self.seconds.extend(other.seconds)
        self.usage_bytes.extend(other.usage_bytes)
        self.working_set_bytes.extend(other.working_set_bytes)
        self.cache_bytes.extend(other.cache_bytes)
        self.throttled.extend(other.throttled)

    def build(self) -> SampleBatch:
        """Return the columns."""
        return SampleBatch(
            names=tuple(self.names),
            seconds=np.array(self.seconds, dtype=np.float64),
            usage_bytes=np.array(self.usage_bytes, dtype=np.float64),
            working_set_bytes=np.array(self.working_set_bytes, dtype=np.float64),
            cache_bytes=np.array(self.cache_bytes, dtype=np.float64),
            throttled=np.array(self.throttled, dtype=np.bool_),
        )


def failed(problem: str) -> Fetched:
    """Return a fetch that gave nothing."""
    return Fetched(BatchBuilder().build(), problems=(problem,))


def shortened(notices: list[str]) -> tuple[str, ...]:
    """Return at most `NOTICE_LIMIT` notices and how many more there were."""
    if len(notices) <= NOTICE_LIMIT:
        return tuple(notices)
    return (*notices[:NOTICE_LIMIT], f"and {len(notices) - NOTICE_LIMIT} more like these")


def unix_seconds(text: object) -> float:
    """Return the Unix time of an RFC 3339 text, NaN where it is none."""
    if not isinstance(text, str):
        return math.nan
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return moment.timestamp() if moment.tzinfo is not None else math.nan


def number(value: object) -> float:
    """Return a JSON number, or one in a text as Prometheus sends them; NaN where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan

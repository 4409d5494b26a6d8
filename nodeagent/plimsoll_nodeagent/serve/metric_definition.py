"""What is said of one metric, wherever it is listed.

In: nothing. Out: the types of the rows of `metrics.DEFINITIONS`.
"""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """Prometheus' metric types that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric as it is served and documented."""

    name: str
    kind: MetricKind
    unit: str  # bytes, seconds, pages, or what is counted
    description: str
    labels: tuple[str, ...] = ()

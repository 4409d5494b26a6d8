"""What one metric is, as it is served and documented.

In: nothing. Out: `MetricDefinition`, and the buckets of histograms in seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SLOW_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class MetricKind(StrEnum):
    """Prometheus' metric types that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric as it is served and documented."""

    name: str
    kind: MetricKind
    unit: str  # seconds, bytes, or what is counted
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = FAST_SECONDS

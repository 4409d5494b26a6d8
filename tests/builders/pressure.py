"""Samples and readings of pressure for tests: a calm container unless said otherwise."""

from dataclasses import replace

import numpy as np

from plimsoll.pressure.features import FEATURE_COUNT
from plimsoll.pressure.network import Plain, Recurrent
from plimsoll.pressure.sample import PressureReading, PressureSample

GIB = float(1 << 30)
CALM = PressureSample(
    seconds=100.0,
    period_seconds=1.0,
    total_bytes=GIB,
    free_ratio=0.5,
    available_ratio=0.6,
    allocation_bytes_per_second=1e6,
    compactions=0.0,
    direct_reclaims_per_second=0.0,
    refaults_per_second=0.0,
    psi_some_ratio=0.0,
    psi_full_ratio=0.0,
    events_high=0.0,
    events_max=0.0,
    oom_kills=0.0,
    swap_used_ratio=0.0,
    fragmentation_ratio=0.2,
)
READING = PressureReading(
    seconds=100.0,
    total_bytes=GIB,
    free_bytes=GIB / 2,
    available_bytes=0.6 * GIB,
    allocated_bytes=5 * GIB,
    compactions=10.0,
    direct_reclaims=20.0,
    refaults=30.0,
    psi_some_seconds=4.0,
    psi_full_seconds=2.0,
    events_high=0.0,
    events_max=7.0,
    oom_kills=1.0,
    swap_used_bytes=0.0,
    swap_total_bytes=GIB,
    fragmentation_ratio=0.2,
)


def sample(seconds: float = 100.0, **changes: float) -> PressureSample:
    """A calm sample with these changes."""
    return replace(CALM, seconds=seconds, **changes)


def stream(count: int, seed: int = 0, period_seconds: float = 0.5) -> list[PressureSample]:
    """Samples of memory that fills up and is freed again; tasks stall where it is nearly full."""
    random = np.random.default_rng(seed)
    used, out = 0.4, []
    for number in range(count):
        rate = float(random.uniform(0.0, 0.04))
        used = used + rate * period_seconds if used < 0.97 else 0.4
        stall = max(0.0, used - 0.9) * 3 + float(random.uniform(0, 0.01))
        out.append(
            sample(
                100.0 + number * period_seconds,
                period_seconds=period_seconds,
                free_ratio=1.0 - used,
                available_ratio=1.0 - used,
                allocation_bytes_per_second=rate * GIB,
                psi_some_ratio=stall,
                psi_full_ratio=stall / 2,
                refaults_per_second=stall * 1000,
            )
        )
    return out


def network(seed: int = 0) -> Plain:
    """A plain network of random weights."""
    random = np.random.default_rng(seed)
    first = (random.normal(0, 0.3, (6, FEATURE_COUNT)), random.normal(0, 0.1, 6))
    last = (random.normal(0, 0.5, (1, 6)), np.array([-1.0]))
    return Plain(np.full(FEATURE_COUNT, 0.2), np.full(FEATURE_COUNT, 1.5), (first, last))


def recurrent(hidden: int = 5, seed: int = 0) -> Recurrent:
    """A recurrent network of random weights."""
    random = np.random.default_rng(seed)
    gates = random.normal(0, 0.3, (3 * hidden, FEATURE_COUNT + hidden + 1))
    return Recurrent(
        np.full(FEATURE_COUNT, 0.2), np.full(FEATURE_COUNT, 1.5), gates, random.normal(0, 0.5, hidden + 1)
    )

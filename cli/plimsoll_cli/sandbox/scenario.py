"""Which recorded series a run plays, as which workloads, on which kube nodes, and what a person first set for
them.

In: trace files (the shipped sample by default), a seed, a duration. Out: a frozen `Scenario`: everything
about a run that is settled before it begins, so that two runs with one seed play the same. No series is
chosen in view of a result.

All series are laid so that their warm-up (24 h; 3 h for sources recorded for less than two days) ends when
the world begins. Then every container has the limit a careful person would have set: p99 of the warm-up x
1.2.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from plimsoll.replay.peers.static import HEADROOM, PERCENTILE
from plimsoll.replay.score import MIN_SCORED_BINS
from plimsoll.replay.series import BINS_PER_DAY, FloatArray
from plimsoll.usage.sample import BIN_SECONDS, MIN_MEDIAN_BYTES
from plimsoll_cli.failure import CommandError
from plimsoll_cli.sandbox.kubelet import Resources
from plimsoll_cli.traces.parquet import read_traces, source_warmup_bins
from plimsoll_cli.traces.sample import sample_directory, sample_facts

SAMPLE = sample_directory()
NAMESPACE = "demo"
WARMUP_BINS = BINS_PER_DAY
# Before the first bin that counts the operator has an hour to find its feet: just installed, it reads
# history, writes its profiles, and lowers nothing yet.
LEAD_BINS = 12
# The first bin that counts: a whole hour (as every replay) and a date that no recording has.
START_BIN = 5_934_240  # 2026-06-01 00:00 UTC
MIB = 2**20
KUBE_NODES = 4
# Requests are this share of the limit at first; kube nodes hold this multiple of all first requests.
FIRST_REQUEST_SHARE = 0.8
NODE_HEADROOM = 1.6
CONTAINER = "main"
_NO_NAME = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 52  # a ReplicaSet and a pod add 16 to it
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Workload:
    """One recorded series as a Deployment of one pod."""

    name: str
    series_id: str
    source: str
    kube_node: str
    replica_set: str
    pod: str
    usage_bytes: (
        FloatArray  # [warm-up + live] aligned: index WARMUP_BINS is the world's first bin; NaN: missing
    )
    first: Resources
    scored: bool  # enough bins and bytes to count, by the replay contract
    redeployed_bin: int | None  # live bin at which a roll-out replaces its pod

    @property
    def live_bins(self) -> int:
        """Bins it is played for."""
        return len(self.usage_bytes) - WARMUP_BINS


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole run, before it begins."""

    seed: int
    bins: int
    workloads: tuple[Workload, ...]
    allocatable_bytes: dict[str, int]  # kube node -> memory

    @property
    def start_seconds(self) -> float:
        """Unix time of the first bin that counts."""
        return float(START_BIN * BIN_SECONDS)

    @property
    def lead_seconds(self) -> float:
        """Unix time at which the world begins."""
        return self.start_seconds - LEAD_BINS * BIN_SECONDS

    def usage(self) -> FloatArray:
        """[workloads, warm-up + bins] recorded use, NaN where there is none."""
        return np.stack([_padded(w.usage_bytes, WARMUP_BINS + self.bins) for w in self.workloads])


def load_scenario(paths: list[Path], seed: int, bins: int, pods: int) -> Scenario:
    """Read the traces, draw `pods` series where there are more, and lay them on kube nodes.

    No paths: of the shipped sample those series that nothing which ships was trained on.
    """
    series = _aligned_series(paths or [SAMPLE], bins)
    if not paths:
        unseen = frozenset(sample_facts()["unseen"])
        series = [each for each in series if each[1] in unseen]
    rng = Random(f"{seed} scenario")  # noqa: S311 - a model's draws
    if len(series) > pods:
        series = [series[i] for i in sorted(rng.sample(range(len(series)), pods))]
    if not series:
        raise CommandError("no series in these traces outlasts its warm-up; there is nothing to play")
    redeployed = set(rng.sample(range(len(series)), max(1, len(series) // 10)))
    workloads = tuple(
        _workload(source, series_id, usage, number, bins // 3 if number in redeployed else None, rng)
        for number, (source, series_id, usage) in enumerate(series)
    )
    return Scenario(seed, bins, workloads, _allocatable(workloads))


def _aligned_series(paths: list[Path], bins: int) -> list[tuple[str, str, FloatArray]]:
    found = []
    for batch in read_traces(paths):
        warmup = source_warmup_bins(batch)
        for row, series_id in enumerate(batch.series_ids):
            usage = batch.usage_bytes[row, : batch.length_bins[row]][: warmup + bins]
            if len(usage) > warmup and not np.isnan(usage[:warmup]).all():
                padding = np.full(WARMUP_BINS - warmup, np.nan)
                found.append((batch.source, series_id, np.concatenate([padding, usage])))
    return found


def _workload(
    source: str, series_id: str, usage: FloatArray, number: int, redeployed_bin: int | None, rng: Random
) -> Workload:
    name = _NO_NAME.sub("-", series_id.lower()).strip("-")[:_LONGEST_NAME]
    replica_set = f"{name}-{''.join(rng.choices(_ALPHABET, k=9))}"
    limit = max(_round(float(np.nanpercentile(usage[:WARMUP_BINS], PERCENTILE)) * HEADROOM), MIB)
    first = Resources(_round(limit * FIRST_REQUEST_SHARE), limit)
    present = np.isfinite(usage)
    warmup = int(np.argmax(present))
    enough = int(present.sum()) >= WARMUP_BINS - warmup + MIN_SCORED_BINS
    return Workload(
        name=name,
        series_id=series_id,
        source=source,
        kube_node=f"kube-node-{number % KUBE_NODES}",
        replica_set=replica_set,
        pod=new_pod_name(replica_set, rng),
        usage_bytes=usage,
        first=first,
        scored=enough and float(np.nanmedian(usage)) >= MIN_MEDIAN_BYTES,
        redeployed_bin=redeployed_bin,
    )


def new_pod_name(replica_set: str, rng: Random) -> str:
    """A pod's name as a ReplicaSet gives it."""
    return f"{replica_set}-{''.join(rng.choices(_ALPHABET, k=5))}"


def _round(value_bytes: float) -> int:
    """Whole MiB, up: what a person would write."""
    return -(-int(value_bytes) // MIB) * MIB


def _allocatable(workloads: tuple[Workload, ...]) -> dict[str, int]:
    requested = dict.fromkeys((f"kube-node-{n}" for n in range(KUBE_NODES)), 0)
    for workload in workloads:
        requested[workload.kube_node] += workload.first.request_bytes
    return {name: _round(total * NODE_HEADROOM) + 1024 * MIB for name, total in requested.items()}


def _padded(usage: FloatArray, bins: int) -> FloatArray:
    return np.concatenate([usage, np.full(bins - len(usage), np.nan)])

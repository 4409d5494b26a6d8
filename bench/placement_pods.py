"""Recorded series as pods on one daily clock: two days of past, two days to live through.

In: traces, how many pods. Out: `Drawn`s. Either each pod is a series from a day of its own (`draws`), which
cuts whatever pods have in common; or whole jobs come with all their tasks, and all that is drawn from a
source has the same days (`whole_jobs`), as it was recorded. Constants are looked at on the training half of
the series' groups (`plimsoll.replay.split`), figures are told of the judged half.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plimsoll.pipeline import PipelineSettings
from plimsoll.placement.lanes import FloatArray
from plimsoll.placement.together import KinArray
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.placement import Fleet
from plimsoll.replay.series import BINS_PER_DAY, SeriesBatch
from plimsoll.replay.split import Half, half_of
from plimsoll_cli.traces.parquet import read_trace, trace_files

SEED = 7
DAYS, PAST_DAYS = 4, 2
NODE_BYTES = 128.0 * 2**30
LARGEST = 0.25  # of a node: larger pods are a packing problem of their own
VPA, ALONE, PLACED, SHUFFLED = "vpa", "requests", "plimsoll", "shuffled"
BY_WORKLOAD = "rows_by_workload"  # as the operator counts: a pod by the largest of its workload's replicas
DAY_SECONDS = 86_400
SEEN = 0.9  # of a day


@dataclass(frozen=True)
class Drawn:
    """One draw: pods, and what two recommenders request for them when the past is over."""

    usage_bytes: FloatArray  # [P, bins]
    vpa_bytes: FloatArray  # [P]
    own_bytes: FloatArray  # [P]
    kin: KinArray | None = None  # [P] one number for all tasks of a job; None: each is by itself

    def fleet(self, arm: str) -> Fleet:
        """The pods with the requests of an arm."""
        requests = self.vpa_bytes if arm == VPA else self.own_bytes
        by_workload = arm == BY_WORKLOAD
        return Fleet(self.usage_bytes, PAST_DAYS * BINS_PER_DAY, requests, self.kin, by_workload)


@dataclass(frozen=True)
class Recorded:
    """A series from a midnight on."""

    job: str
    first_day: int  # since 1970, by the source's own clock
    usage_bytes: FloatArray  # [bins] whole days

    @property
    def days(self) -> range:
        """First days of pieces of it."""
        return range(self.first_day, self.first_day + len(self.usage_bytes) // BINS_PER_DAY - DAYS + 1)

    def from_day(self, day: int) -> FloatArray:
        """DAYS whole days."""
        begin = (day - self.first_day) * BINS_PER_DAY
        return self.usage_bytes[begin : begin + DAYS * BINS_PER_DAY]


def draws(traces: Path, pods: int, count: int, half: Half | None = None) -> Sequence[Drawn]:
    """`count` draws of so many pods, each from a day of its own; sources weigh the same."""
    bank = banks(traces, half)
    made = []
    for number in range(count):
        rng = np.random.default_rng(SEED + number)
        usage = np.stack([piece(bank[rng.integers(len(bank))], rng) for _ in range(pods)])
        past = usage[:, : PAST_DAYS * BINS_PER_DAY]
        made.append(Drawn(usage, vpa_requests(past), own_requests(past)))
    return made


def whole_jobs(traces: Path, pods: int, count: int, half: Half | None = None) -> Sequence[Drawn]:
    """`count` draws of at least so many pods: jobs with all tasks that were recorded on the same days.

    Of a source all jobs have the same days. One that is drawn again comes from other days, as another job;
    requests are by job, as the operator makes them: of the largest task in each bin.
    """
    bank = banks(traces, half)
    made = []
    for number in range(count):
        rng = np.random.default_rng(SEED + number)
        kin: list[int] = []
        usage: list[FloatArray] = []
        for job, tasks in enumerate(jobs_of(bank, rng)):
            kin += [job] * len(tasks)
            usage += tasks
            if len(usage) >= pods:
                break
        of, all_ = np.array(kin, dtype=np.int64), np.stack(usage)
        largest = np.zeros((int(of.max()) + 1, PAST_DAYS * BINS_PER_DAY))
        np.maximum.at(largest, of, all_[:, : PAST_DAYS * BINS_PER_DAY])
        made.append(Drawn(all_, vpa_requests(largest)[of], own_requests(largest)[of], of))
    return made


def jobs_of(bank: Sequence[Sequence[Recorded]], rng: np.random.Generator) -> Iterator[list[FloatArray]]:
    """Tasks of one job after the other; sources weigh the same by what they give, job by job, without end."""
    again = [_days(series, rng) for series in bank]
    given = np.zeros(len(bank))
    while True:
        source = int(np.argmin(given))  # a job of many tasks is not drawn as often as one of one
        tasks = next(again[source])
        given[source] += len(tasks)
        yield tasks


def _days(series: Sequence[Recorded], rng: np.random.Generator) -> Iterator[list[FloatArray]]:
    """Jobs of a source: all that were recorded from one day on, then all of another day, without end."""
    while True:
        # A day is as likely as there are series on it.
        one = series[rng.integers(len(series))]
        day = int(rng.choice(one.days))
        there = [each for each in series if day in each.days]
        names = sorted({each.job for each in there})
        for job in rng.permutation(len(names)).tolist():
            yield [each.from_day(day) for each in there if each.job == names[job]]


def banks(traces: Path, half: Half | None = None) -> list[list[Recorded]]:
    """Sources, and what of each is long enough; of one half of the groups, or all."""
    found = (long_enough(read_trace(file), half) for file in trace_files([traces]))
    return [series for series in found if series]


def long_enough(batch: SeriesBatch, half: Half | None = None) -> list[Recorded]:
    """What was recorded on DAYS whole days or more without a break, each time from midnight on.

    Nine tenths of a day must have been seen; what is missing is filled with what was seen last.
    """
    found = []
    for row, length in enumerate(batch.length_bins.tolist()):
        name, start = batch.series_ids[row], int(batch.start_seconds[row])
        if half is not None and half_of(name) is not half:
            continue
        first = int(-(start // 300) % BINS_PER_DAY)
        usage, day = batch.usage_bytes[row, first:length], round((start + 300 * first) / DAY_SECONDS)
        for begin, end in runs_of(np.isfinite(usage)):
            part = filled(usage[begin * BINS_PER_DAY : end * BINS_PER_DAY])
            if part.max() <= LARGEST * NODE_BYTES:
                found.append(Recorded(job_of(name), day + begin, part))
    return found


def runs_of(seen: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First day and end of each run of days that were seen [bins], of those that are long enough."""
    days = seen[: len(seen) // BINS_PER_DAY * BINS_PER_DAY].reshape(-1, BINS_PER_DAY).mean(axis=1) >= SEEN
    edges = np.flatnonzero(np.diff(days.astype(np.int8), prepend=0, append=0)).tolist()
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= DAYS]


def filled(usage: FloatArray) -> FloatArray:
    """Without gaps."""
    seen = np.isfinite(usage)
    return usage[np.maximum.accumulate(np.where(seen, np.arange(len(usage)), int(np.argmax(seen))))]


def job_of(series_id: str) -> str:
    """What a series is a task or a pod of: a collection, a service; all others are by themselves."""
    if series_id.startswith("g19-"):
        return series_id.rpartition("-")[0]
    if series_id.startswith("nezha-"):
        return "-".join(series_id.split("-")[:2])
    return series_id


def piece(bank: Sequence[Recorded], rng: np.random.Generator) -> FloatArray:
    """DAYS whole days of one series."""
    one = bank[rng.integers(len(bank))]
    return one.from_day(int(one.days[rng.integers(len(one.days))]))


def observed(usage: FloatArray) -> "Sequence[ObservedBin]":
    """Bins of a past in which nothing was limited."""
    unlimited, no = np.full(len(usage), np.inf), np.zeros(len(usage), dtype=np.bool_)
    return [ObservedBin(bin_, usage[:, bin_], unlimited, no) for bin_ in range(usage.shape[1])]


def vpa_requests(past: FloatArray) -> FloatArray:
    """What VPA would request, [P]."""
    vpa = Vpa()
    vpa.start(BatchFacts(len(past), 0, 12, 1))
    for each in observed(past):
        vpa.observe(each)
    return vpa.decide(past.shape[1], np.full(len(past), np.nan)).limit_bytes


def own_requests(past: FloatArray) -> FloatArray:
    """What the pipeline would request, [P]."""
    live = LiveRecommender(PipelineSettings())
    live.start(BatchFacts(len(past), past.shape[1], 12, 1))
    for each in observed(past):
        live.observe(each)
    return live.recommend(past.shape[1]).request_bytes

"""Classes found online beside the classes of whole series: how often they agree, how often they flutter.

In: a directory of recorded traces. Out: a confusion table at the end of each series, its agreement, and how
often the class that is told changes. The scoring classifier sees the whole series at once; the online one
walks along it hour by hour and is asked at the end.

    python bench/classes.py --traces DIRECTORY
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, HISTORY_HOURS, UsageWindow
from plimsoll.forecast.workload_class import ClassMemory, WorkloadClass, workload_classes
from plimsoll.replay.classes import SeriesClass, classify
from plimsoll.replay.series import SeriesBatch
from plimsoll.usage.events import starts_at
from plimsoll_cli.traces.parquet import read_trace, trace_files
from plimsoll_cli.traces.sample import sample_directory

# What the scoring classifier does not tell apart counts as agreement with what it calls it.
REFINES = {
    WorkloadClass.WEEKLY: SeriesClass.DIURNAL,
    WorkloadClass.STARTUP_PEAK: SeriesClass.SAWTOOTH,
    WorkloadClass.UNKNOWN: SeriesClass.IDLE,
}


def main() -> None:
    """Read, walk, print."""
    parser = argparse.ArgumentParser(description="online classes beside the classes of whole series")
    parser.add_argument("--traces", type=Path, default=sample_directory())
    parser.add_argument("--every", type=int, default=1, help="hours between two looks")
    arguments = parser.parse_args()
    table: Counter[tuple[str, str]] = Counter()
    changes = container_days = 0.0
    for path in trace_files([arguments.traces]):
        batch = read_trace(path)
        truth = [classify(batch.usage_bytes[i, :n]) for i, n in enumerate(batch.length_bins.tolist())]
        told, changed = walk(batch, arguments.every)
        table.update(zip((each.value for each in truth), (WorkloadClass(c).label for c in told), strict=True))
        changes += changed
        container_days += float(np.isfinite(batch.usage_bytes).sum()) / BINS_PER_DAY
        print(f"{batch.source}: {len(batch)} series, agreement {agreement(truth, told):.1%}")
    print_table(table)
    print(f"changes of the told class: {changes / container_days:.3f} per container-day")


def agreement(truth: list[SeriesClass], told: np.ndarray) -> float:
    """Share of series, idle ones left out, whose online class is the whole series'."""
    pairs = [(t, WorkloadClass(c)) for t, c in zip(truth, told, strict=True) if t is not SeriesClass.IDLE]
    same = sum(REFINES.get(c, c.label) == t.value for t, c in pairs)
    return same / max(len(pairs), 1)


def walk(batch: SeriesBatch, every: int) -> tuple[np.ndarray, float]:
    """The class told at the end of each series, and how often it changed on the way."""
    rows = np.arange(len(batch), dtype=np.int32)
    memory = ClassMemory(len(batch))
    changes = 0.0
    no_restarts = np.full((len(batch), 1), np.nan)
    for end, window in windows(batch, every):
        alive = rows[(batch.length_bins + every * BINS_PER_HOUR > end)]
        before = memory.told(alive)
        part = UsageWindow(window.recent_bytes[alive], window.hourly_bytes[alive])
        now = memory.look(alive, workload_classes(part, starts_at(no_restarts[alive]), end * 300.0))
        changes += float(np.count_nonzero((before != now) & (before != WorkloadClass.UNKNOWN)))
    return memory.told(rows), changes


def windows(batch: SeriesBatch, every: int = 1) -> Iterator[tuple[int, UsageWindow]]:
    """(bin, what is known before that bin) for all series, at every `every`-th hour; bin 0 starts an hour."""
    hours = -(-batch.bins // BINS_PER_HOUR)
    usage = np.full((len(batch), BINS_PER_DAY + hours * BINS_PER_HOUR), np.nan)
    usage[:, BINS_PER_DAY : BINS_PER_DAY + batch.bins] = batch.usage_bytes
    usage = np.asarray(usage, dtype=np.float64)
    whole = usage[:, BINS_PER_DAY:].reshape(len(batch), hours, BINS_PER_HOUR)
    hourly = np.full((len(batch), HISTORY_HOURS + hours), np.nan)
    hourly[:, HISTORY_HOURS:] = np.fmax.reduce(whole, axis=2)
    for hour in range(every, hours + 1, every):
        end = hour * BINS_PER_HOUR
        yield end, UsageWindow(usage[:, end : end + BINS_PER_DAY], hourly[:, hour : hour + HISTORY_HOURS])


def print_table(table: Counter[tuple[str, str]]) -> None:
    """Rows: whole series; columns: online."""
    columns = [each.label for each in WorkloadClass if any(told == each.label for _, told in table)]
    print("".join(f"{name:>13}" for name in ("series", *columns)))
    for truth in SeriesClass:
        counts = [table[truth.value, name] for name in columns]
        print(f"{truth.value:>13}" + "".join(f"{count:13d}" for count in counts))


if __name__ == "__main__":
    main()

"""How often the leak detector cries wolf, and how long a leak lasts before it is told.

In: recorded traces (default: the sample that ships), walked along hour by hour. Out: a table and
bench/results/leak.json. False alarms are beginnings of alarms on series whose whole shape is not growth;
series are split by groups of siblings, thresholds were chosen on one half (`--calibrate` shows the tables
they were chosen from) and the figure is of the other. Recordings do not say when processes were started.
What the operator would be told is put in their place: the kills of a replay (VPA's limits: more of them
than ours), as the figure that counts; beside it no start, a rollout a day, and every fall to less than half
taken for a start. Delays are of growing series of that half and of made leaks: 0.5 to 20 % an hour on a
day's pattern and noise, which begin after two days without one. Processes that end early, warm-ups and
leaks, are made (`leak_lives.py`). What is made for calibration is not what is judged.

    python bench/leak.py [--traces DIRECTORY] [--calibrate]
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leak_lives import LEAKING, SETTLING, Lived, lived
from leak_starts import STARTS, kills, last_starts
from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, HISTORY_HOURS, UsageWindow
from plimsoll.leak.detect import DEFAULT_WINDOW_HOURS, SETTINGS, LeakSettings, find_leaks
from plimsoll.leak.watch import LeakWatch
from plimsoll.replay.classes import SeriesClass, classify
from plimsoll.replay.resample import UNSEEN_EVENTS, interval
from plimsoll.replay.series import SeriesBatch, batch_of
from plimsoll.replay.split import Half, group_of, half_of
from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.traces.parquet import read_trace, trace_files
from plimsoll_cli.traces.sample import sample_directory
from report import Row, bench_options, finite, write_results

SEED = 7
STRESS = ("bitbrains_rnd", "alibaba2018_machine")
RATES = (0.005, 0.01, 0.02, 0.05, 0.10, 0.20)  # of the base, an hour
MADE_PER_RATE, CLEAN_HOURS, LEAK_HOURS = 40, 48, 96
DRAWS = 2000
BASE_BYTES = 400.0 * 2**20


@dataclass(frozen=True, slots=True)
class Walk:
    """What the detector said along each series of a batch."""

    alarms: np.ndarray  # [n] beginnings of alarms
    first_hour: np.ndarray  # [n] of the first alarm; NaN: none
    told: np.ndarray  # [n] part of the hours at which a leak is told
    container_days: np.ndarray  # [n]
    slope_covered: np.ndarray  # [n] the slope's interval at the first alarm, as (low, high)


@dataclass(frozen=True, slots=True)
class Alarms:
    """Beginnings of alarms on some series."""

    alarms: np.ndarray  # [n]
    container_days: np.ndarray  # [n]
    kinds: np.ndarray  # [n] SeriesClass values
    groups: np.ndarray  # [n] whose siblings they are

    def take(self, places: np.ndarray) -> "Alarms":
        """Those of some of the series."""
        return Alarms(*(each[places] for each in (self.alarms, self.container_days, self.kinds, self.groups)))


@dataclass(frozen=True, slots=True)
class Subject:
    """Series with their classes, and which half they belong to."""

    batch: SeriesBatch
    kinds: np.ndarray  # [n] SeriesClass values
    judged: np.ndarray  # [n] False: thresholds were chosen on it


def main() -> None:
    """Walk, print, write."""
    parser = argparse.ArgumentParser(description="false alarms and delays of the leak detector")
    parser.add_argument("--traces", type=Path, default=sample_directory())
    parser.add_argument("--calibrate", action="store_true", help="show what the thresholds were chosen from")
    arguments = bench_options(parser)
    begun = time.monotonic()
    subjects = [subject(read_trace(path)) for path in trace_files([arguments.traces])]
    core = [each for each in subjects if each.batch.source not in STRESS]
    if arguments.calibrate:
        calibrate_lives()
        calibrate(core)
        return
    rows = [*alarm_rows(core, arguments.traces), *stress_rows(subjects), *growth_rows(core), *made_rows()]
    rows += lives_rows()
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.2f}"
        interval = f"{row.low:.2f}..{row.high:.2f}" if row.low is not None and row.high is not None else ""
        print(f"{row.name:48} {value:>8} {interval:>14} {row.unit}  n={row.n}")
    print(write_results("leak", rows, SEED, time.monotonic() - begun))


def subject(batch: SeriesBatch) -> Subject:
    """Classes of whole series, and halves by groups of siblings."""
    lengths = batch.length_bins.tolist()
    kinds = np.array([classify(batch.usage_bytes[i, :n]).value for i, n in enumerate(lengths)])
    return Subject(batch, kinds, np.array([half_of(each) is Half.JUDGED for each in batch.series_ids]))


def walk(batch: SeriesBatch, settings: LeakSettings = SETTINGS, starts: np.ndarray | None = None) -> Walk:
    """Look at every series at every hour, as the operator does.

    `starts` [n, any]: seconds since each series' first bin, ascending, NaN at the end.
    """
    n = len(batch)
    starts = np.full((n, 1), np.nan) if starts is None else starts
    rows, watch = np.arange(n, dtype=np.int32), LeakWatch(n)
    told = np.zeros(n, dtype=np.bool_)
    alarms, first, slopes = np.zeros(n), np.full(n, np.nan), np.full((n, 2), np.nan)
    looks, yes = np.zeros(n), np.zeros(n)
    hours = np.full(n, DEFAULT_WINDOW_HOURS, dtype=np.int32)
    for end, window in windows(batch):
        alive = rows[batch.length_bins + BINS_PER_HOUR > end]
        part = UsageWindow(window.recent_bytes[alive], window.hourly_bytes[alive])
        known = last_starts(starts[alive], end * BIN_SECONDS)
        found = find_leaks(part, known, end * BIN_SECONDS, hours[alive], settings)
        now = watch.look(alive, found, end * BIN_SECONDS).leaks
        new = now & ~told[alive]
        alarms[alive] += new
        fresh = new & np.isnan(first[alive])
        first[alive[fresh]] = end / BINS_PER_HOUR
        slopes[alive[fresh]] = np.stack([found.slope_low, found.slope_high], axis=1)[fresh]
        told[alive] = now
        looks[alive] += 1
        yes[alive] += now
    days = np.isfinite(batch.usage_bytes).sum(axis=1) / BINS_PER_DAY
    return Walk(alarms, first, yes / np.maximum(looks, 1), days, slopes)


# -- recorded series ------------------------------------------------------------------------------------


def alarm_rows(core: Sequence[Subject], traces: Path) -> Iterator[Row]:
    """False alarms on the judged half, over all and by class."""
    found = false_alarms(core, of_judged=True)
    command = f".venv/bin/python bench/leak.py --traces {traces.name}"
    yield alarm_row("forecast.leak.false_alarms_per_1000cd", found, command)
    for kind in SeriesClass:
        mine = np.flatnonzero(found.kinds == kind.value)
        if kind not in (SeriesClass.GROWTH, SeriesClass.IDLE) and len(mine):
            yield alarm_row(f"forecast.leak.{kind.value}.false_alarms_per_1000cd", found.take(mine), command)
    for name, starts in STARTS.items():
        told = false_alarms(core, of_judged=True, starts=starts)
        yield alarm_row(f"forecast.leak.{name}.false_alarms_per_1000cd", told, command)
    others = false_alarms(core, of_judged=False)
    yield alarm_row("forecast.leak.calibration.false_alarms_per_1000cd", others, command)


def stress_rows(subjects: Sequence[Subject]) -> Iterator[Row]:
    """Machines are no containers; no threshold was chosen on them."""
    for each in subjects:
        if each.batch.source in STRESS:
            walked, mine = (
                walk(each.batch, starts=kills(each.batch)),
                np.flatnonzero(each.kinds != SeriesClass.GROWTH.value),
            )
            found = Alarms(walked.alarms, walked.container_days, each.kinds, groups(each.batch)).take(mine)
            name = f"forecast.leak.{each.batch.source}.false_alarms_per_1000cd"
            yield alarm_row(name, found, ".venv/bin/python bench/leak.py")


def groups(batch: SeriesBatch) -> np.ndarray:
    """Name [n] of the group of siblings of each series."""
    return np.array([group_of(name) for name in batch.series_ids], dtype=np.str_)


def false_alarms(
    core: Sequence[Subject],
    *,
    of_judged: bool,
    settings: LeakSettings = SETTINGS,
    starts: Callable[[SeriesBatch], np.ndarray] = kills,
) -> Alarms:
    """Alarms on each series of one half that does not grow."""
    parts = []
    for each in core:
        mine = np.flatnonzero((each.kinds != SeriesClass.GROWTH.value) & (each.judged == of_judged))
        batch = each.batch.take(mine)
        walked = walk(batch, settings, starts(batch))
        parts.append((walked.alarms, walked.container_days, each.kinds[mine], groups(batch)))
    return Alarms(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def alarm_row(name: str, found: Alarms, command: str) -> Row:
    """Alarms per 1000 container-days, with a bootstrap over groups: siblings are alarmed together."""
    exposed, unit = float(found.container_days.sum()), "1/1000 container-days"
    if not exposed:
        return Row(name, None, unit, len(found.alarms), command)
    _, group = np.unique(found.groups, return_inverse=True)
    alarms, days = (np.bincount(group, each) for each in (found.alarms, found.container_days))
    drawn = np.random.default_rng(SEED).integers(len(days), size=(DRAWS, len(days)))
    rates = 1000.0 * alarms[drawn].sum(axis=1) / np.maximum(days[drawn].sum(axis=1), 1e-9)
    values = np.concatenate([[1000.0 * float(alarms.sum()) / exposed], rates])
    sure = interval(values, len(days), 1000.0 * UNSEEN_EVENTS / exposed)
    n = len(found.alarms)
    return Row(name, sure.value, unit, n, command, finite(sure.low), finite(sure.high), groups=len(days))


def growth_rows(core: Sequence[Subject]) -> Iterator[Row]:
    """Growing series: how many are told, and after how long from the series' start."""
    for of_judged, half in ((True, "judged"), (False, "calibration")):
        first = []
        for each in core:
            mine = np.flatnonzero((each.kinds == SeriesClass.GROWTH.value) & (each.judged == of_judged))
            batch = each.batch.take(mine)
            first += walk(batch, starts=kills(batch)).first_hour.tolist() if len(mine) else []
        yield from delay_rows(f"forecast.leak.growth.{half}", np.array(first))


def delay_rows(name: str, delays: np.ndarray) -> Iterator[Row]:
    """Share that is told, and quartiles of the delay of those that are."""
    command, found = ".venv/bin/python bench/leak.py", delays[np.isfinite(delays)]
    share = float(len(found) / len(delays)) if len(delays) else None
    yield Row(f"{name}.told", share, "fraction", len(delays), command)
    quartiles = np.percentile(found, [25, 50, 75]).tolist() if len(found) else [None] * 3
    low, middle, high = quartiles
    yield Row(f"{name}.delay_hours", middle, "hours (quartiles)", len(found), command, low, high)


# -- made leaks -----------------------------------------------------------------------------------------


def made_rows(settings: LeakSettings = SETTINGS) -> Iterator[Row]:
    """Made leaks: share told within four days, delay from the leak's beginning, alarms before it."""
    early, covered, days = 0.0, [], 0.0
    for rate in RATES:
        walked = walk(made(rate, Half.JUDGED), settings)
        delays = walked.first_hour - CLEAN_HOURS
        early += float(np.count_nonzero(delays <= 0))
        days += MADE_PER_RATE * CLEAN_HOURS / 24.0
        late = np.where(delays > 0, delays, np.nan)
        yield from delay_rows(f"forecast.leak.made.{100 * rate:g}_percent_hour", late)
        true = rate * BASE_BYTES / 3600.0
        inside = (walked.slope_covered[:, 0] <= true) & (true <= walked.slope_covered[:, 1])
        covered += inside[np.isfinite(late)].tolist()
    yield Row(
        "forecast.leak.made.false_alarms_before_1000cd",
        1000.0 * early / days,
        "1/1000 container-days",
        MADE_PER_RATE * len(RATES),
        ".venv/bin/python bench/leak.py",
    )
    share = float(np.mean(covered)) if covered else None
    name = "forecast.leak.made.slope_interval_covers"
    yield Row(name, share, "fraction", len(covered), ".venv/bin/python bench/leak.py")


def made(rate: float, half: Half) -> SeriesBatch:
    """Containers of 400 MiB with a day's pattern of up to 30 %, noise of 1 to 4 % that lasts, and a leak."""
    random = np.random.default_rng([SEED, int(rate * 1e4), *([1] if half is Half.JUDGED else [])])
    bins = (CLEAN_HOURS + LEAK_HOURS) * BINS_PER_HOUR
    hour = np.arange(bins) / BINS_PER_HOUR
    series = {}
    for number in range(MADE_PER_RATE):
        amplitude, phase = random.uniform(0.0, 0.3), random.uniform(0, 2 * np.pi)
        pattern = 1.0 + amplitude * np.sin(2 * np.pi * hour / 24.0 + phase)
        lasting = random.uniform(0.01, 0.04)
        noise = np.zeros(bins)
        shocks = random.normal(0.0, lasting, bins)
        for k in range(1, bins):
            noise[k] = 0.7 * noise[k - 1] + 0.7 * shocks[k]
        leak = rate * np.maximum(hour - CLEAN_HOURS, 0.0)
        series[f"made-{rate:g}-{number}"] = BASE_BYTES * (pattern + noise + leak)
    return batch_of("made", series)


# -- processes that end early -------------------------------------------------------------------------------


def lives_rows() -> Iterator[Row]:
    """Made warm-ups that settle: alarms. Made leaks that die or are replaced: how many are told, how soon."""
    command = ".venv/bin/python bench/leak.py"
    for name in (*SETTLING, *LEAKING):
        shape, row = lived(name, SEED, Half.JUDGED), f"forecast.leak.lives.{name}"
        walked = walk_lives(shape)
        if name in SETTLING:
            kinds = np.full(len(shape.batch), name)
            found = Alarms(walked.alarms, walked.container_days, kinds, np.array(shape.batch.series_ids))
            yield alarm_row(f"{row}.false_alarms_per_1000cd", found, command)
        else:
            yield from delay_rows(row, walked.first_hour)
        yield Row(f"{row}.hours_told", float(walked.told.mean()), "fraction", len(walked.told), command)


def walk_lives(shape: Lived, settings: LeakSettings = SETTINGS) -> Walk:
    """Every start is told."""
    return walk(shape.batch, settings, shape.starts_seconds)


# -- calibration ----------------------------------------------------------------------------------------


def calibrate_lives() -> None:
    """The table that `life_still` was chosen from: hours at which a leak is told, by made shape."""
    shapes = {name: lived(name, SEED, Half.TRAINING) for name in (*SETTLING, *LEAKING)}
    print("still ", *(f"{name:>20}" for name in shapes))
    for still in (0.0, 0.4, 0.5, 0.6, 0.7):
        settings = replace(SETTINGS, life_still=still)
        told = (walk_lives(each, settings).told.mean() for each in shapes.values())
        print(f"{still:5.2f} ", *(f"{each:20.3f}" for each in told), flush=True)


def calibrate(core: Sequence[Subject]) -> None:
    """The table that thresholds were chosen from: the half that is not judged, growth and made leaks."""
    print("  tau  day rise  young tau   false/1000cd  growth told  delay at 0.5 2 10 %/h")
    growing = [
        each.batch.take(np.flatnonzero((each.kinds == SeriesClass.GROWTH.value) & ~each.judged))
        for each in core
    ]
    for tau, day, young_tau in itertools.product((0.8, 0.87), (0.05, 0.08, 0.12), (0.85, 0.92)):
        settings = replace(SETTINGS, tau=tau, day_rise=day, young_tau=young_tau)
        alarms = false_alarms(core, of_judged=False, settings=settings)
        told = [walk(each, settings).first_hour for each in growing if len(each)]
        found = float(np.isfinite(np.concatenate(told)).mean())
        delays = [
            walk(made(rate, Half.TRAINING), settings).first_hour - CLEAN_HOURS for rate in (0.005, 0.02, 0.1)
        ]
        words = " ".join(f"{np.nanmedian(np.where(each > 0, each, np.nan)):6.1f}" for each in delays)
        false = 1000.0 * alarms.alarms.sum() / alarms.container_days.sum()
        print(f"{tau:5.2f} {day:9.2f} {young_tau:10.2f} {false:14.2f} {found:12.2f}  {words}")


def windows(batch: SeriesBatch) -> Iterator[tuple[int, UsageWindow]]:
    """(bin, what is known before that bin) for all series, at every hour; bin 0 starts an hour."""
    hours = -(-batch.bins // BINS_PER_HOUR)
    usage = np.full((len(batch), BINS_PER_DAY + hours * BINS_PER_HOUR), np.nan)
    usage[:, BINS_PER_DAY : BINS_PER_DAY + batch.bins] = batch.usage_bytes
    usage = np.asarray(usage, dtype=np.float64)
    whole = usage[:, BINS_PER_DAY:].reshape(len(batch), hours, BINS_PER_HOUR)
    hourly = np.full((len(batch), HISTORY_HOURS + hours), np.nan)
    hourly[:, HISTORY_HOURS:] = np.fmax.reduce(whole, axis=2)
    for hour in range(1, hours + 1):
        end = hour * BINS_PER_HOUR
        yield end, UsageWindow(usage[:, end : end + BINS_PER_DAY], hourly[:, hour : hour + HISTORY_HOURS])


if __name__ == "__main__":
    main()

"""Prophet judged: beside `auto`, `seasonal` and VPA, on series of 16 days and more that have a season.

In: recorded traces (the judged half of the split; Bitbrains and Google 2019 are long enough) and a
synthetic set with free days. The first fourteen days are history, the days after it are judged. A source of
which no series would be fitted in a cluster (too few hours seen, no season) is judged all the same, with the
desk's questions left out: so it is told what they are worth. Out: per
set the pinball loss of the next hour's peak, as the models' corrected quantiles had it, OOMs and slack of
the limits made of them, with 95 % intervals from a bootstrap over series; bench/results/prophet.json.
Series are sampled and refits are every twelve hours (the operator's: six), so that it takes minutes.
"""

import argparse
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drawn import NAMES, UNITS, Drawn
from plimsoll.forecast.prophet import PROPHET, FitAnswer, FitTask
from plimsoll.forecast.prophet_desk import LEAST_SEEN_HOURS, LEAST_STRENGTH, ProphetDesk, worth_fitting
from plimsoll.forecast.protocol import LEVELS, PeakModel
from plimsoll.forecast.registry import peak_model, prophet_with
from plimsoll.forecast.seasonality import season
from plimsoll.forecast.window import (
    BINS_PER_HOUR,
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    UsageWindow,
    read_window,
)
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.recommend.buffer import calibrate
from plimsoll.replay.limits import BatchFacts, ReplayRecommender, ReplaySettings, replay_limits
from plimsoll.replay.live import FIRST_BIN, LiveRecommender
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.resample import draws, figures, interval
from plimsoll.replay.score import SeriesScores, score
from plimsoll.replay.series import BINS_PER_DAY, SeriesBatch
from plimsoll.replay.split import Half, fraction_of, half_of
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity
from plimsoll_cli.output import OutputFormat, print_rows
from plimsoll_cli.traces.parquet import read_trace, trace_files
from plimsoll_cli.traces.sample import sample_directory
from plimsoll_operator.forecasters.prophet_fit import fit
from report import Row, bench_options, write_results
from seasonal_series import free_dates, synthetic

SEED = 7
MODELS = ("auto", "seasonal", "vpa")  # beside prophet
WARMUP_DAYS = 14
HOUR_SECONDS = 3600.0
REFIT_SECONDS = 12 * HOUR_SECONDS
UNGATED = "too few hours seen, or no season: in a cluster `auto` would stand in"
JUDGED_LEVELS = (0.5, 0.9, 0.99, 0.999)
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """One set of series."""

    name: str
    batch: SeriesBatch
    holidays: tuple[str, ...] = ()
    seasonal: bool = True  # False: the desk would fit none, and Prophet is fitted nevertheless


@dataclass(frozen=True, slots=True)
class Long:
    """The series of a source that last long enough, before it is asked what was seen of them."""

    batch: SeriesBatch
    hourly: FloatArray  # [n, hours] peaks of the fourteen days that are history


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series."""

    most: int  # of a set
    days: int  # judged after the first fourteen
    seed: int
    half: Half


class KnownFits:
    """The real fit, done once: the hindcast of quantiles and the replay ask for the same ones."""

    def __init__(self) -> None:
        self._answers: dict[bytes, FitAnswer] = {}
        self.seconds: list[float] = []
        self.failed = 0

    def __call__(self, task: FitTask) -> FitAnswer:
        """The answer to a task, from memory where it was given before."""
        words = f"{task.last_hour}{task.holidays}".encode()
        key = hashlib.sha256(task.hourly_bytes.tobytes() + words).digest()
        if key not in self._answers:
            self._answers[key] = answer = fit(task)
            self.seconds.append(answer.seconds)
            self.failed += bool(answer.failure)
        return replace(self._answers[key], ticket=task.ticket)


class AnyDesk(ProphetDesk):
    """A desk that fits rows without a season too, and those of which few hours were seen."""

    def _look(self, rows: list[int]) -> tuple[FloatArray, list[str]]:
        hourly, why = super()._look(rows)
        return hourly, [""] * len(why)


class Ungated(LiveRecommender):
    """The live pipeline with Prophet on every row that is long enough."""

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        self._desk = AnyDesk(self._history, refit_seconds=self.refit_seconds)
        for row in self._rows.tolist():
            self._desk.want(row, self.holidays)
        self._pipeline = LimitPipeline(self._history, self._pipeline.settings, prophet_with(self._desk.book))


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description="judge Prophet beside auto, seasonal and VPA")
    parser.add_argument("--traces", type=Path, default=sample_directory())
    parser.add_argument("--series", type=int, default=16, help="most series of a set")
    parser.add_argument("--days", type=int, default=5, help="days judged after the first fourteen")
    parser.add_argument("--seed", type=int, default=SEED, help="of the synthetic set and of the sample")
    parser.add_argument(
        "--half", type=Half, default=Half.JUDGED, help="of the recorded series: judged, training"
    )
    parser.add_argument("--name", default="prophet", help="of the file of results")
    arguments = bench_options(parser)
    begun = time.monotonic()
    rows: list[Row] = []
    wanted = Wanted(arguments.series, arguments.days, arguments.seed, arguments.half)
    for judged in sets(arguments.traces, wanted):
        if isinstance(judged, Row):
            rows.append(judged)
            continue
        fits = KnownFits()
        rows += set_rows(judged, fits, arguments.days)
        rows.append(fit_row(judged, fits))
    print_rows([_shown(row) for row in rows], OutputFormat.TABLE)
    print(write_results(arguments.name, rows, arguments.seed, time.monotonic() - begun))


# -- the series -----------------------------------------------------------------------------------------


def sets(traces: Path, wanted: Wanted) -> Iterator[Judged | Row]:
    """The synthetic set, and every source of `traces` with long series, after how seasonal those are."""
    made, _ = synthetic(wanted.most, WARMUP_DAYS + wanted.days, wanted.seed)
    yield Judged("synthetic", made, free_dates())
    for path in trace_files([traces]):
        long = long_series(read_trace(path), wanted)
        if long is not None:
            yield from season_rows(path.stem, long)
            yield judged_part(path.stem, long, wanted)


def long_series(batch: SeriesBatch, wanted: Wanted) -> Long | None:
    """The series of the half wanted that have a day beyond the history; None: there is none."""
    enough = batch.length_bins >= (WARMUP_DAYS + 1) * BINS_PER_DAY
    half = [half_of(name) is wanted.half for name in batch.series_ids]
    long = np.flatnonzero(enough & half).tolist()
    if not long:
        return None
    part = batch.take(long)
    usage = part.usage_bytes[:, : WARMUP_DAYS * BINS_PER_DAY]
    return Long(part, np.fmax.reduce(usage.reshape(len(long), -1, BINS_PER_HOUR), axis=2))


def season_rows(name: str, long: Long) -> Iterator[Row]:
    """How many long series the operator would have fitted, and what the others want for."""
    periods = (HOURS_PER_DAY, HOURS_PER_WEEK)
    strength = np.max([season(long.hourly, period).strength for period in periods], axis=0)
    n, command = len(long.batch), "make bench-prophet"
    yield Row(f"prophet.{name}.seasonal", float(np.sum(worth_fitting(long.hourly))), "series", n, command)
    seen = np.isfinite(long.hourly).sum(axis=1)
    yield Row(
        f"prophet.{name}.seen_for_14_days", float(np.sum(seen >= LEAST_SEEN_HOURS)), "series", n, command
    )
    yield Row(f"prophet.{name}.seen_hours", float(np.median(seen)), "of 336, median", n, command)
    unit = f"of the variance, by other days or weeks; {LEAST_STRENGTH:g} is asked for"
    yield Row(f"prophet.{name}.strongest_season", float(strength.max()), unit, n, command)


def judged_part(name: str, long: Long, wanted: Wanted) -> Judged:
    """The series wanted that the desk would fit, or any where it would fit none; the days looked at."""
    bins = (WARMUP_DAYS + wanted.days) * BINS_PER_DAY
    ids = long.batch.series_ids
    seasonal = np.flatnonzero(worth_fitting(long.hourly)).tolist()
    found = sorted(seasonal or range(len(ids)), key=lambda place: fraction_of(ids[place], wanted.seed))
    part = long.batch.take(found[: wanted.most])
    cut = SeriesBatch(
        part.source,
        part.series_ids,
        part.usage_bytes[:, :bins],
        np.minimum(part.length_bins, bins),
        part.start_seconds,
    )
    return Judged(name, cut, seasonal=bool(seasonal))


# -- quantiles ------------------------------------------------------------------------------------------


def quantile_losses(judged: Judged, fits: KnownFits) -> dict[str, FloatArray]:
    """Pinball loss [n, levels] of each model, mean over the judged hours, as a share of mean usage."""
    usage = judged.batch.usage_bytes
    history = History(Quantity.USAGE, len(usage))
    rows = history.add_rows(len(usage))
    desk = (ProphetDesk if judged.seasonal else AnyDesk)(history, refit_seconds=REFIT_SECONDS)
    for row in rows.tolist():
        desk.want(row, judged.holidays)
    models = {PROPHET: prophet_with(desk.book)} | {name: peak_model(name) for name in MODELS}
    sums = {name: np.zeros((len(usage), len(LEVELS))) for name in models}
    counts = np.zeros(len(usage))
    start = WARMUP_DAYS * BINS_PER_DAY
    _append(history, rows, usage, 0, start)
    for bin_index in range(start, usage.shape[1] - BINS_PER_HOUR + 1, BINS_PER_HOUR):
        now = float((FIRST_BIN + bin_index) * BIN_SECONDS)
        history.advance(now)
        for task in list(desk.due(now, len(rows))):
            desk.take(fits(task))
        window = read_window(history, rows)
        coming = np.fmax.reduce(usage[:, bin_index : bin_index + BINS_PER_HOUR], axis=1)
        said = {name: _quantiles(model, window) for name, model in models.items()}
        known = np.isfinite(coming) & np.all(
            [np.isfinite(each).all(axis=1) for each in said.values()], axis=0
        )
        for name, values in said.items():
            sums[name][known] += pinball(values[known], coming[known])
        counts += known
        _append(history, rows, usage, bin_index, bin_index + BINS_PER_HOUR)
    scale = (np.maximum(counts, 1) * np.maximum(np.nanmean(usage, axis=1), 1.0))[:, None]
    return {name: np.where(counts[:, None] > 0, each / scale, np.nan) for name, each in sums.items()}


def pinball(values: FloatArray, came: FloatArray) -> FloatArray:
    """Loss [n, levels] of quantiles `values` [n, levels] where `came` [n] came."""
    over = came[:, None] - values
    return np.maximum(LEVELS * over, (LEVELS - 1) * over)


def _quantiles(model: PeakModel, window: UsageWindow) -> FloatArray:
    fitted = model.fit(window)
    return calibrate(fitted.predict(HOUR_SECONDS, LEVELS), fitted.hindcast()).values_bytes


def _append(history: History, rows: npt.NDArray[np.int32], usage: FloatArray, first: int, end: int) -> None:
    """Bins [first, end) have happened."""
    for bin_index in range(first, end):
        seconds = float((FIRST_BIN + bin_index) * BIN_SECONDS)
        seen = np.isfinite(usage[:, bin_index])
        history.append(rows[seen], seconds, usage[seen, bin_index], seconds + BIN_SECONDS - 1)


# -- limits ---------------------------------------------------------------------------------------------


def recommenders(judged: Judged, fits: KnownFits) -> dict[str, ReplayRecommender]:
    """The live pipeline with each model, and VPA itself."""
    live = {name: LiveRecommender(PipelineSettings(model=name)) for name in ("auto", "seasonal")}
    subject = (LiveRecommender if judged.seasonal else Ungated)(
        PipelineSettings(model=PROPHET), fitter=fits, refit_seconds=REFIT_SECONDS, holidays=judged.holidays
    )
    return {PROPHET: subject, **live, "vpa": Vpa()}


def limit_scores(judged: Judged, fits: KnownFits) -> dict[str, SeriesScores]:
    """OOMs, slack and changes of each recommender, by series."""
    settings = ReplaySettings(WARMUP_DAYS * BINS_PER_DAY)
    made = recommenders(judged, fits)
    return {name: score(replay_limits(judged.batch, each, settings)) for name, each in made.items()}


# -- rows -----------------------------------------------------------------------------------------------


def set_rows(judged: Judged, fits: KnownFits, days: int) -> Iterator[Row]:
    """All figures of one set; the intervals of all are of the same draws."""
    losses, scores = quantile_losses(judged, fits), limit_scores(judged, fits)
    weights = draws(scores[PROPHET], SEED)
    command = f"make bench-prophet ({len(judged.batch)} series, {days} days judged after {WARMUP_DAYS})"

    among = Drawn.of(scores[PROPHET], weights, command)

    def row(name: str, unit: str, drawn: Mapping[str, FloatArray], at_most: float = np.nan) -> Row:
        each = {model: interval(values, among.groups, at_most) for model, values in drawn.items()}
        mine = among.row(f"prophet.{judged.name}.{name}", each.pop(PROPHET), unit)
        note = None if judged.seasonal else UNGATED
        return replace(mine, against={model: one.value for model, one in each.items()}, note=note)

    wanted = [("pinball", np.arange(len(LEVELS)))]
    wanted += [(f"pinball_{level:g}", np.flatnonzero(level == LEVELS)) for level in JUDGED_LEVELS]
    for name, places in wanted:
        drawn = {model: _mean(loss[:, places].mean(axis=1), weights) for model, loss in losses.items()}
        yield row(name, "share of mean usage", drawn)
    mine, auto = (_mean(losses[model].mean(axis=1), weights) for model in (PROPHET, "auto"))
    yield row("pinball_over_auto", "ratio", {PROPHET: mine / auto})
    reached = {model: figures(each, weights) for model, each in scores.items()}
    for place, (name, unit) in enumerate(zip(NAMES, UNITS, strict=True)):
        columns = {model: values[:, place] for model, values in reached.items()}
        yield row(name, unit, columns, among.at_most(place))


def _mean(loss: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean over series for each draw; a series of which no hour could be judged does not count."""
    known = np.isfinite(loss)
    total = weights[:, known].sum(axis=1)
    return np.asarray(weights[:, known] @ loss[known] / np.where(total > 0, total, np.nan))


def fit_row(judged: Judged, fits: KnownFits) -> Row:
    """What a fit costs."""
    low, high = np.percentile(fits.seconds, [2.5, 97.5])
    name = f"prophet.{judged.name}.fit_seconds"
    command = f"make bench-prophet ({fits.failed} of {len(fits.seconds)} fits failed)"
    middle = float(np.median(fits.seconds))
    return Row(name, middle, "seconds, median", len(fits.seconds), command, float(low), float(high))


def _shown(row: Row) -> dict[str, object]:
    return {"figure": row.name, "prophet": row.value, "low": row.low, "high": row.high, **row.against}


if __name__ == "__main__":
    main()

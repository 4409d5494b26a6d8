"""What relatives are worth to a young container: its first day with and without what they have used.

In: recorded series with a sibling that began earlier (another day of the same job, another task of it,
another pod of the service). Out: OOMs and slack of the first 24 hours of the series that have one, decided
from the first bin on: by VPA, by the pipeline alone, and by the pipeline that was told what the siblings had
used before the series began: as they are known in their own cluster, and as the fleet's memory would tell it
in another one (containers that lived for two days, eight of them, a document of kind `relatives`). Halves are
those of `plimsoll.replay.split`; nothing that comes later is told.

A cluster decides nothing in a row's first three hours (`PipelineSettings.least_history_hours`): the limit
that it had stands. So those hours are told apart, as what would come if it were asked at once, from hours 3
to 24, which are what ships; and for all series of the half beside those that have relatives.

    python bench/cold.py --traces DIRECTORY [--half judged]
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drawn import Drawn
from forecast import CORE, SEED, STRESS, first_day, judging_brain
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, FloatArray
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.relatives import Steps, steps_of
from plimsoll.replay.classes import hourly_maxima
from plimsoll.replay.limits import BatchFacts, ReplayRecommender, ReplaySettings, replay_limits
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.resample import draws, figures
from plimsoll.replay.score import SeriesScores, join, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import Half, group_of, half_of
from plimsoll.store.content import decode, encode
from plimsoll.store.kindred import relatives_document, relatives_steps
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity
from plimsoll_cli.traces.parquet import read_trace, trace_files
from report import Row, bench_options, write_results

COMMAND = "make bench-cold"
QUANTITY = Quantity.WORKING_SET
VPA, ALONE, TOLD, REMEMBERED = "vpa", "alone", "relatives", "remembered"


@dataclass
class Related(LiveRecommender):
    """The live pipeline, told before the first bin what its relatives did."""

    steps: Steps | None = None  # of the relatives of the one series that is replayed

    def start(self, facts: BatchFacts) -> None:
        """Forget all but the relatives."""
        super().start(facts)
        if self.steps is not None:
            self._pipeline.observe_relatives(dict.fromkeys(self._rows.tolist(), self.steps))


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(description="the first day with and without relatives")
    parser.add_argument("--traces", type=Path, default=Path("sample"))
    parser.add_argument("--half", type=Half, default=Half.JUDGED)
    options = bench_options(parser)
    begun = time.monotonic()
    brain, weights = judging_brain()
    young = young_of(options.traces, options.half)
    rows = list(rows_of(measure(young, brain.model, brain.settings())))
    everybody = [each for each in halves(options.traces, options.half) if len(each)]
    for name, span in SPANS.items():
        if name != DAY:
            told = (VPA, ALONE, TOLD)
            rows += rows_of(measure(young, brain.model, brain.settings(), told, span), name)
            rows += all_rows(measure_all(everybody, brain.model, brain.settings(), span), name)
    known = sum(each.remembered is not None for each in young)
    rows.append(Row("cold.remembered.series", float(known), "series", len(young), COMMAND))
    for row in rows:
        sure = "" if row.low is None else f"({row.low:.3f} to {row.high:.3f}) "
        print(f"{row.name:52} {row.value:9.3f} {sure}{row.unit}")
    name = "cold" if options.half is Half.JUDGED else f"cold-{options.half}"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the first day: scored from bin `first` on, with `bins` in all."""

    first: int
    bins: int


DAY = ""  # from the first bin on
SPANS = {DAY: Span(1, BINS_PER_DAY + 1), "hours_0_3.": Span(1, 37), "hours_3_24.": Span(36, BINS_PER_DAY)}


@dataclass(frozen=True, slots=True)
class Young:
    """One series' first day, and what its relatives had done before it."""

    batch: SeriesBatch
    steps: Steps
    remembered: Steps | None  # by a memory that knows its image; None: it would say nothing


def young_of(traces: Path, half: Half) -> list[Young]:
    """The container series of one half that have relatives with a past."""
    young = [each for batch in containers(traces) for each in found(batch)]
    return [each for each in young if half_of(each.batch.series_ids[0]) is half]


def containers(traces: Path) -> list[SeriesBatch]:
    """All recordings of containers."""
    batches = [read_trace(path) for path in trace_files([traces])]
    return [batch for batch in batches if STRESS.get(batch.source, CORE) == CORE]


def halves(traces: Path, half: Half) -> Iterator[SeriesBatch]:
    """All container series of one half."""
    for batch in containers(traces):
        yield batch.take([row for row, name in enumerate(batch.series_ids) if half_of(name) is half])


def found(batch: SeriesBatch) -> Iterator[Young]:
    """Series that have relatives with a past."""
    groups = [group_of(name) for name in batch.series_ids]
    for index, group in enumerate(groups):
        siblings = [other for other, each in enumerate(groups) if each == group and other != index]
        steps = steps_of(past_hours(batch, other, int(batch.start_seconds[index])) for other in siblings)
        if len(steps):
            yield Young(first_day(batch.take([index])), steps, remembered(batch, siblings, index))


def remembered(batch: SeriesBatch, siblings: Sequence[int], index: int) -> Steps | None:
    """What the fleet's memory would say of a series' image when it begins, by way of the record's bytes."""
    begun = int(batch.start_seconds[index])
    checkpoints = [checkpoint(batch, each, begun) for each in siblings]
    document = relatives_document([each for each in checkpoints if each], QUANTITY, float(begun))
    return None if document is None else relatives_steps(decode(encode(document)))


def checkpoint(batch: SeriesBatch, index: int, before_seconds: int) -> bytes:
    """What a profile has of a series up to a time; b"" where it had not begun."""
    bins = (before_seconds - int(batch.start_seconds[index])) // BIN_SECONDS
    used = batch.usage_bytes[index, : max(min(bins, int(batch.length_bins[index])), 0)]
    if not len(used):
        return b""
    history = History(QUANTITY, 1)
    (row,) = history.add_rows(1)
    history.advance(float(before_seconds))
    seconds = batch.start_seconds[index] + BIN_SECONDS * np.arange(len(used), dtype=np.float64)
    known = np.isfinite(used)
    history.append(np.full(int(known.sum()), row), seconds[known], used[known], float(before_seconds))
    return history.checkpoint(int(row))


def past_hours(batch: SeriesBatch, index: int, before_seconds: int) -> FloatArray:
    """Hourly maxima [hours] of a series up to a time; whole hours only."""
    bins = (before_seconds - int(batch.start_seconds[index])) // BIN_SECONDS
    bins = max(min(bins, int(batch.length_bins[index])), 0) // BINS_PER_HOUR * BINS_PER_HOUR
    return hourly_maxima(batch.usage_bytes[index, :bins])


def measure(
    young: Sequence[Young],
    model: PeakModel | None,
    settings: PipelineSettings,
    arms: Sequence[str] = (VPA, ALONE, TOLD, REMEMBERED),
    span: Span = SPANS[DAY],
) -> dict[str, SeriesScores]:
    """Scores by arm, of a part of the first day."""
    makers = {
        VPA: lambda _: Vpa(),
        ALONE: lambda _: Related(settings, model),
        TOLD: lambda each: Related(settings, model, steps=each.steps),
        REMEMBERED: lambda each: Related(settings, model, steps=each.remembered),
    }
    return {arm: join([replayed(each.batch, makers[arm](each), span) for each in young]) for arm in arms}


def measure_all(
    everybody: Sequence[SeriesBatch], model: PeakModel | None, settings: PipelineSettings, span: Span
) -> dict[str, SeriesScores]:
    """Scores of all series, nobody knowing anything of relatives."""
    makers = {VPA: Vpa, ALONE: lambda: LiveRecommender(settings, model)}
    return {arm: join([replayed(each, make(), span) for each in everybody]) for arm, make in makers.items()}


def replayed(batch: SeriesBatch, recommender: ReplayRecommender, span: Span) -> SeriesScores:
    """Scores of a part of the first day."""
    return score(replay_limits(beginning(batch, span.bins), recommender, ReplaySettings(span.first)))


def beginning(batch: SeriesBatch, bins: int) -> SeriesBatch:
    """The first bins of every series."""
    length = np.minimum(batch.length_bins, bins)
    return SeriesBatch(
        batch.source, batch.series_ids, batch.usage_bytes[:, :bins], length, batch.start_seconds
    )


def all_rows(scores: dict[str, SeriesScores], span: str) -> Iterator[Row]:
    """VPA's and the pipeline's figures over all series, and what lies between them."""
    yield from rows_in(scores, f"cold.all.{span}", [(ALONE, VPA)])


def rows_of(scores: dict[str, SeriesScores], span: str = DAY) -> Iterator[Row]:
    """Each arm's figures, and what relatives change."""
    arms = [arm for arm in (TOLD, REMEMBERED) if arm in scores]
    yield from rows_in(scores, f"cold.{span}", [(arm, ALONE) for arm in arms])


def rows_in(scores: dict[str, SeriesScores], prefix: str, pairs: Sequence[tuple[str, str]]) -> Iterator[Row]:
    """Kills, slack and changes of each arm, and of one minus the other of each pair, with intervals."""
    weights = draws(scores[ALONE], SEED)
    among = Drawn.of(scores[ALONE], weights, COMMAND)
    columns = {name: figures(each, weights) for name, each in scores.items()}
    for name, values in columns.items():
        yield from among.figures(f"{prefix}{name}", values)
    for one, other in pairs:
        yield from among.differences(f"{prefix}{one}.minus_{other}", columns[one] - columns[other])


if __name__ == "__main__":
    main()

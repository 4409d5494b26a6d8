"""What it is worth to know of rollouts, starts and pods: made series, with and without being told.

In: made series (`circumstances_series`). Out: bench/results/circumstances.json: for each circumstance OOM
kills, slack and limit changes of the pipeline at its default, told and not told, and the difference with a
95 % interval of a bootstrap over series. A start is told when its process begins, before its peak; a rollout
when it is over; pods when their number changes; throttling in each bin, beside starts that are told in either
case.

    python bench/circumstances.py [--series 12]
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from circumstances_series import BINS, MAKERS, Made
from drawn import Drawn
from forecast import SEED
from plimsoll.forecast.window import BINS_PER_DAY, FloatArray
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import BatchFacts, ObservedBin, ReplaySettings, replay_limits
from plimsoll.replay.live import FIRST_BIN, LiveRecommender
from plimsoll.replay.resample import draws, figures
from plimsoll.replay.score import SeriesScores, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.usage.sample import BIN_SECONDS
from report import Row, bench_options, write_results

COMMAND = "make bench-circumstances"
FIRST_IMAGE = 1


@dataclass
class Told(LiveRecommender):
    """The live pipeline, told of each series' circumstances when the operator would have been."""

    made: tuple[Made, ...] = ()

    def start(self, facts: BatchFacts) -> None:
        """Forget all; every row runs its first image."""
        super().start(facts)
        self._images = np.full(len(self.made), FIRST_IMAGE, dtype=np.uint32)

    def observe(self, observed: ObservedBin) -> None:
        """The bin, and what was to be seen of rollouts, starts and pods while it lasted."""
        super().observe(observed)
        begun = float((FIRST_BIN + observed.bin) * BIN_SECONDS)
        for row, made in zip(self._rows, self.made, strict=True):
            self._images[row] += observed.bin in made.rollouts
            if observed.bin in made.starts:
                self._history.record_restart(row, begun)
            if observed.bin in made.throttled:
                self._history.record_throttled(row, begun + BIN_SECONDS - 1)
        self._history.images.observe(self._rows, self._images, begun)
        self._tell_pods(observed.bin)

    def react(self, bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:
        """Processes that begin in this bin have not reached their peak yet."""
        raised = super().react(bin_index, limit_bytes)
        begun = float((FIRST_BIN + bin_index) * BIN_SECONDS)
        for row, made in zip(self._rows.tolist(), self.made, strict=True):
            if bin_index in made.starts:
                asked = self._pipeline.observe_start(self._rows[row : row + 1], begun)
                raised = np.full(len(self.made), np.nan) if raised is None else raised
                raised[asked.rows] = np.fmax(raised[asked.rows], asked.limit_bytes)
        return raised

    def _tell_pods(self, bin_index: int) -> None:
        counts = [made.pods[bin_index] if len(made.pods) else 1 for made in self.made]
        self._pipeline.observe_replicas(self._rows, np.array(counts, dtype=np.int32))


def main() -> None:
    """Make, replay, write."""
    parser = argparse.ArgumentParser(description="what knowing a row's circumstances is worth")
    parser.add_argument("--series", type=int, default=12, help="of each kind")
    options = bench_options(parser)
    begun = time.monotonic()
    rows = [row for name in MAKERS for row in rows_of(name, options.series)]
    for row in rows:
        print(f"{row.name:60} {row.value}", f"({row.low} to {row.high}) {row.unit}")
    print(write_results("circumstances", rows, SEED, time.monotonic() - begun))


def rows_of(name: str, count: int) -> Iterator[Row]:
    """Figures of one circumstance."""
    rng = np.random.default_rng([SEED, *name.encode()])
    made = tuple(MAKERS[name](rng) for _ in range(count))
    found = {arm: replayed(name, made, told=arm == "told") for arm in ("told", "untold")}
    weights = draws(found["told"], SEED)
    among = Drawn.of(found["told"], weights, COMMAND)
    columns = {arm: figures(scores, weights) for arm, scores in found.items()}
    for arm, values in columns.items():
        yield from among.figures(f"circumstances.{name}.{arm}", values)
    difference = columns["told"] - columns["untold"]
    yield from among.differences(f"circumstances.{name}.told.minus_untold", difference)


def replayed(name: str, made: tuple[Made, ...], *, told: bool) -> SeriesScores:
    """Scores of the pipeline on made series."""
    batch = SeriesBatch(
        f"made_{name}",
        tuple(f"made-{name}-{number}" for number in range(len(made))),
        np.stack([each.usage_bytes for each in made]),
        np.full(len(made), BINS),
        np.zeros(len(made), dtype=np.int64),
    )
    settings = PipelineSettings()
    if not told and any(each.throttled for each in made):
        made = tuple(replace(each, throttled=()) for each in made)
        told = True
    recommender = Told(settings, made=made) if told else LiveRecommender(settings)
    return score(replay_limits(batch, recommender, ReplaySettings(BINS_PER_DAY)))


if __name__ == "__main__":
    main()

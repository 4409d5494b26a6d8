"""Where an asked operating point lands in a fleet that steers its price; recorded containers come and go.

In: the judged half of the container traces, weights and prices of the training half. Each series begins at a
random hour of four weeks, so that about a dozen run at a time and the fleet's mix changes. Out:
bench/results/steering.json: OOM kills and slack at one price, as the table of objectives has it, and steered.
This is not the contract's replay: there a limit may depend on its own series only, and nothing is steered.

    python bench/steering.py --traces DIRECTORY
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arms import Brain
from forecast import CORE, SEED, Dataset, datasets, judging_brain, read_options
from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, FloatArray
from plimsoll.recommend.objective import asked_of, price_at
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.replay.limits import BatchFacts, ReplaySettings, replay_limits
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.series import SeriesBatch
from plimsoll.usage.sample import MIN_MEDIAN_BYTES
from report import Row, write_results

COMMAND = "make bench-steering"
DAYS = 28
OBJECTIVES = ("slack:0.268", "oom:75")
LEAST_WARMUP = 3 * BINS_PER_HOUR
LEAST_SCORED_BINS = 12


@dataclass(frozen=True, slots=True)
class Fleet:
    """All series on one clock; `first` [n]: the bin from which each is scored."""

    batch: SeriesBatch
    first: FloatArray


@dataclass
class Asking(LiveRecommender):
    """The live pipeline whose rows' policy asks for an operating point."""

    policy: RowPolicy | None = None

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        if self.policy is not None:
            self._pipeline.observe_policies(self._rows, [self.policy] * len(self._rows))


def main() -> None:
    """Replay, reckon, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    (core,) = (each for each in datasets(options.traces, options.fraction) if each.name == CORE)
    rows = list(rows_of(staggered(core), brain))
    for row in rows:
        print(f"{row.name:44} {row.value} {row.unit}")
    print(write_results("steering", rows, SEED, time.monotonic() - begun, {"weights": weights}))


def staggered(core: Dataset) -> Fleet:
    """Every series from a random hour on."""
    series = [
        (name, usage[:length], core.settings(batch).warmup_bins)
        for batch in core.batches
        for name, usage, length in zip(
            batch.series_ids, batch.usage_bytes, batch.length_bins.tolist(), strict=True
        )
    ]
    shift = np.random.default_rng(SEED).integers(0, DAYS * 24, len(series)) * BINS_PER_HOUR
    ends = np.array([len(usage) for _, usage, _ in series]) + shift
    usage_bytes = np.full((len(series), int(ends.max())), np.nan)
    for row, (_, usage, _) in enumerate(series):
        usage_bytes[row, shift[row] : ends[row]] = usage
    warmups = np.array([warmup for *_, warmup in series])
    names = tuple(name for name, *_ in series)
    batch = SeriesBatch("fleet", names, usage_bytes, ends, np.zeros(len(series), dtype=np.int64))
    return Fleet(batch, shift + warmups)


def rows_of(fleet: Fleet, brain: Brain) -> Iterator[Row]:
    """Kills and slack, objective by objective."""
    table = brain.table
    if table is None:
        raise ValueError("the judging brain has no table of prices")
    for objective in OBJECTIVES:
        for arm, asked in (("one_price", None), ("steered", asked_of(objective))):
            price = price_at(objective, table)
            policy = RowPolicy(oom_price=price, asked=asked)
            made = Asking(brain.settings(objective), brain.model, policy=policy)
            limits = replay_limits(fleet.batch, made, ReplaySettings(LEAST_WARMUP)).limit_bytes
            kills, slack, count = outcome(fleet, limits)
            name = f"steering.{objective.replace(':', '_')}.{arm}"
            yield Row(f"{name}.oom", kills, "1/1000 container-days", count, COMMAND)
            yield Row(f"{name}.slack", slack, "fraction of the limit", count, COMMAND)


def outcome(fleet: Fleet, limits: FloatArray) -> tuple[float, float, int]:
    """Kills in 1000 container-days, mean slack, and how many series were scored."""
    usage = fleet.batch.usage_bytes
    scored = np.isfinite(usage) & (np.arange(usage.shape[1]) >= fleet.first[:, None])
    enough = np.count_nonzero(scored, axis=1) >= LEAST_SCORED_BINS
    enough &= np.nanmedian(usage, axis=1) >= MIN_MEDIAN_BYTES
    scored &= enough[:, None]
    over = scored & (usage > limits)
    fits = scored & ~over
    days = np.count_nonzero(scored) / BINS_PER_DAY
    slack = float(((limits - usage) / limits)[fits].mean())
    return float(np.count_nonzero(over) / days * 1000), slack, int(np.count_nonzero(enough))


if __name__ == "__main__":
    main()

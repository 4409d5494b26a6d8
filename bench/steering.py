"""Where an asked operating point lands in a fleet that steers its price; recorded containers come and go.

In: one half of the container traces, weights and prices of the training half. Each series begins at a
random hour of four weeks, so that about a dozen run at a time and the fleet's mix changes. Out:
bench/results/steering.json: OOM kills and slack at one price, as the table of objectives has it, and steered;
on the judged half as it ships, and on the training half with other gains and from a price that is wrong on
purpose (docs/decisions/0134). Slack of all hours with a limit is what steering sees; the other leaves the
warm-up out, as the benchmark does. This is not the contract's replay: there a limit may depend on its own
series only, and nothing is steered.

    python bench/steering.py --traces DIRECTORY [--jobs 2]
    python bench/steering.py --traces DIRECTORY --half training --gain 0.35 --gain 3 --start-factor 0.25
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from arms import Brain
from forecast import CORE, SEED, Dataset, datasets, judging_brain, options_of
from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, FloatArray
from plimsoll.recommend.objective import asked_of, price_at
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.recommend.steering import Gains
from plimsoll.replay.limits import BatchFacts, LimitReplay, ReplayRecommender, ReplaySettings
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.series import BoolArray, SeriesBatch
from plimsoll.replay.split import Half
from plimsoll.usage.sample import MIN_MEDIAN_BYTES
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.tasks import Task, work_off
from report import Row, bench_options, write_results

COMMAND = "make bench-steering"
DAYS = 28
SLACK, KILLS = "slack:0.268", "oom:75"
LEAST_WARMUP = 3 * BINS_PER_HOUR
LEAST_SCORED_BINS = 12
# What decision 0134 chose the gains from.
SLACK_GAINS, KILLS_GAINS = (0.35, 1.0, 3.0), (0.02, 0.1, 0.3)
SLACK_STARTS, KILLS_STARTS = (0.25, 1.0, 4.0), (0.25,)


@dataclass(frozen=True, slots=True)
class Case:
    """One fleet's objective, how it is steered (None: not at all) and how wrong its first price is."""

    half: Half
    objective: str
    gain: float | None
    start_factor: float = 1.0

    @property
    def name(self) -> str:
        """As its rows begin."""
        arm = "one_price" if self.gain is None else f"gain_{self.gain:g}"
        return f"steering.{self.half}.{self.objective.replace(':', '_')}.from_{self.start_factor:g}.{arm}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """All series on one clock; `first` [n]: the bin from which each is scored; `limited` [n]: has a limit."""

    batch: SeriesBatch
    first: FloatArray
    limited: FloatArray


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
    cases = list(asked_cases(options)) or list(all_cases())
    fleets = {
        half: staggered(
            next(each for each in datasets(options.traces, options.fraction, half) if each.name == CORE)
        )
        for half in dict.fromkeys(case.half for case in cases)
    }
    rows = list(rows_of(cases, fleets, brain, options.jobs))
    for row in rows:
        print(f"{row.name:72} {row.value:8.3f} {row.unit}")
    whole = options.fraction == 1 and cases == list(all_cases())
    name = "steering" if whole else "steering-quick"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


def read_options() -> argparse.Namespace:
    """The command line; where nothing of a case is named, all cases are run."""
    parser = options_of("where slack:X and oom:X land in a fleet that steers its price")
    parser.add_argument("--half", type=Half, help="of the groups: training or judged (default: both)")
    parser.add_argument("--gain", type=float, action="append", default=[], help="as often as you like")
    parser.add_argument("--start-factor", type=float, action="append", default=[], help="of the first price")
    return bench_options(parser)


def all_cases() -> Iterator[Case]:
    """As it ships on the judged half, and what the gains were chosen from on the other."""
    shipped = Gains()
    yield from crossed(Half.JUDGED, SLACK, (shipped.slack,), (1.0,))
    yield from crossed(Half.JUDGED, KILLS, (shipped.kills,), (1.0,))
    yield from crossed(Half.TRAINING, SLACK, SLACK_GAINS, SLACK_STARTS)
    yield from crossed(Half.TRAINING, KILLS, KILLS_GAINS, KILLS_STARTS)


def asked_cases(options: argparse.Namespace) -> Iterator[Case]:
    """What the command line names: what it leaves open is as it ships; nothing where it names nothing."""
    if options.half is None and not options.gain and not options.start_factor:
        return
    shipped = Gains()
    for objective, gain in ((SLACK, shipped.slack), (KILLS, shipped.kills)):
        half = options.half or Half.JUDGED
        yield from crossed(half, objective, options.gain or (gain,), options.start_factor or (1.0,))


def crossed(half: Half, objective: str, gains: Sequence[float], starts: Sequence[float]) -> Iterator[Case]:
    """Every gain, and none, from every start."""
    for start in starts:
        for gain in (None, *gains):
            yield Case(half, objective, gain, start)


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
    return Fleet(batch, shift + warmups, shift + LEAST_WARMUP)


def rows_of(cases: Sequence[Case], fleets: dict[Half, Fleet], brain: Brain, jobs: int) -> Iterator[Row]:
    """Kills and slack, case by case."""
    if brain.table is None:
        raise ValueError("the judging brain has no table of prices")
    tasks = [
        Task(
            partial(recommender, case=case, brain=brain),
            fleets[case.half].batch,
            ReplaySettings(LEAST_WARMUP),
            partial(finish, fleet=fleets[case.half]),
        )
        for case in cases
    ]
    with progress("fleets") as report:
        found = work_off(tasks, Engine.PROCESSES, jobs, report)
    for case, (kills, slack, slack_of_all, count) in zip(cases, found, strict=True):
        yield Row(f"{case.name}.oom", kills, "1/1000 container-days", count, COMMAND)
        yield Row(f"{case.name}.slack", slack, "fraction of the limit", count, COMMAND)
        yield Row(f"{case.name}.slack_of_all_hours", slack_of_all, "fraction of the limit", count, COMMAND)


def recommender(_batch: SeriesBatch, case: Case, brain: Brain) -> ReplayRecommender:
    """The live pipeline that asks for a case's point, and is steered or not."""
    price = case.start_factor * price_at(case.objective, brain.table or {})
    asked = None if case.gain is None else asked_of(case.objective)
    gain = {} if case.gain is None else {case.objective.partition(":")[0]: case.gain}
    gains = Gains(gain.get("slack", Gains().slack), gain.get("oom", Gains().kills))
    settings = brain.settings(case.objective, gains=gains)
    return Asking(settings, brain.model, policy=RowPolicy(oom_price=price, asked=asked))


def finish(
    replay: LimitReplay, _recommender: ReplayRecommender, fleet: Fleet
) -> tuple[float, float, float, int]:
    """Kills in 1000 container-days, mean slack, that of all hours with a limit, and how many were scored."""
    usage, limits = fleet.batch.usage_bytes, replay.limit_bytes
    scored = within(usage, fleet.first)
    over = scored & (usage > limits)
    days = np.count_nonzero(scored) / BINS_PER_DAY
    slack, slack_of_all = (
        float(((limits - usage) / limits)[bins & (usage <= limits)].mean())
        for bins in (scored, within(usage, fleet.limited))
    )
    kills = float(np.count_nonzero(over) / days * 1000)
    return kills, slack, slack_of_all, int(np.count_nonzero(scored.any(axis=1)))


def within(usage_bytes: FloatArray, first: FloatArray) -> BoolArray:
    """Bins [n, bins] that count: seen, from `first` [n] on, of series that are scored."""
    counted: BoolArray = np.isfinite(usage_bytes) & (np.arange(usage_bytes.shape[1]) >= first[:, None])
    enough = np.count_nonzero(counted, axis=1) >= LEAST_SCORED_BINS
    enough &= np.nanmedian(usage_bytes, axis=1) >= MIN_MEDIAN_BYTES
    return counted & enough[:, None]


if __name__ == "__main__":
    main()

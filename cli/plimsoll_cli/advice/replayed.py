"""The explanation of a recorded series: replayed through the live pipeline, and asked about at its end.

In: a batch of one series and the pipeline's settings. Out: an `Explanation` whose changes carry the reason
the pipeline gave when it made them.
"""

from dataclasses import replace

import numpy as np

from plimsoll.guard.proposal import say
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.objective import oom_price_of
from plimsoll.replay.limits import (
    BatchFacts,
    LimitReplay,
    ObservedBin,
    Proposal,
    ReplaySettings,
    replay_limits,
)
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.series import FloatArray, SeriesBatch
from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.advice.explanation import Decided, Explanation, Kills, Usage, Wanted
from plimsoll_cli.advice.judge import Advice, Severity, advise
from plimsoll_cli.advice.traces import NOW_SECONDS, subjects_in_traces
from plimsoll_cli.ages import age
from plimsoll_cli.failure import CommandError
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.parquet import source_warmup_bins
from plimsoll_operator.observe.backfill import ContainerPast

LAST_CHANGES = 5
DECIDED = {
    Severity.CRITICAL: ("raise", "OutOfBand"),
    Severity.WARNING: ("raise", "OutOfBand"),
    Severity.EXCESS: ("lower", "OutOfBand"),
    Severity.OK: ("keep", "WithinBand"),
    Severity.UNSET: ("keep", "First"),
    Severity.UNKNOWN: ("hold", "NotReady"),
}
BETWEEN = "between two decisions: usage came close to the limit or left what was known"


class _Noting:
    """The live recommender, with a note of every reason it gave."""

    def __init__(self, live: LiveRecommender) -> None:
        self._live = live
        self.reasons = live.reasons
        self.said: dict[int, str] = {}  # bin -> reason of the change in it

    def start(self, facts: BatchFacts) -> None:
        """See `ReplayRecommender`."""
        self._live.start(facts)

    def observe(self, observed: ObservedBin) -> None:
        """See `ReplayRecommender`; after a kill the contract itself raises the limit."""
        if observed.oom.any():
            self.said[observed.bin + 1] = "OomKilled"
        self._live.observe(observed)

    def decide(self, bin_index: int, limit_bytes: FloatArray) -> Proposal:
        """See `ReplayRecommender`."""
        proposal = self._live.decide(bin_index, limit_bytes)
        if proposal.reason is not None:
            self.said.setdefault(bin_index, self.reasons[int(proposal.reason[0])])
        return proposal

    def react(self, bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:
        """See `ReplayRecommender`."""
        raised = self._live.react(bin_index, limit_bytes)
        if raised is not None and raised[0] > limit_bytes[0]:
            self.said[bin_index] = BETWEEN
        return raised


def explain_series(batch: SeriesBatch, settings: PipelineSettings) -> Explanation:
    """Explain the limit that the one series of `batch` ends with; raises `CommandError` where it has none."""
    warmup = source_warmup_bins(batch)
    if batch.bins <= warmup:
        hours = warmup * BIN_SECONDS // 3600
        raise CommandError(f"series {batch.series_ids[0]!r} is shorter than its warm-up of {hours} h")
    noting = _Noting(LiveRecommender(settings))
    with progress("replaying") as report:
        replay = replay_limits(batch, noting, ReplaySettings(warmup), report)
    limits, usage = replay.limit_bytes[0], batch.usage_bytes[0]
    killed = np.flatnonzero(usage > limits)
    (subject,) = subjects_in_traces([batch])
    seconds = (NOW_SECONDS - _ago_seconds(killed, batch.bins)).astype(np.float64)
    past = ContainerPast(subject.past.seconds, subject.past.bytes_, seconds, limits[killed])
    if np.isfinite(usage).any():  # where nothing was seen nobody has decided about a limit
        subject = replace(subject, limit_bytes=int(np.ceil(limits[-1])))
    subject = replace(subject, past=past)
    (advice,) = advise([subject], settings, NOW_SECONDS)
    return _explanation(advice, settings, _changes(replay, noting.said), _kills(killed, limits, batch.bins))


def _explanation(
    advice: Advice, settings: PipelineSettings, changes: tuple[str, ...], kills: Kills
) -> Explanation:
    workload, seen = advice.subject.key.workload, advice.seen
    return Explanation(
        workload=f"series {workload.name} of {workload.namespace}",
        container="",
        mode=None,
        policy=None,
        pods=None,
        limit_bytes=advice.subject.limit_bytes,
        usage=Usage("", seen.usage_bytes, None, seen.day_bytes, seen.peak_bytes, seen.hours),
        model=settings.model,
        quantiles=advice.quantiles,
        wanted=Wanted(
            advice.limit_bytes,
            advice.request_bytes,
            advice.lower_bytes,
            advice.upper_bytes,
            advice.buffer_bytes,
        ),
        oom_price=oom_price_of(settings.objective),
        price_from=f"objective {settings.objective}",
        kills=kills,
        decided=Decided(*DECIDED[advice.severity], advice.why),
        original=None,
        changes=changes,
        lack=advice.why,
    )


def _changes(replay: LimitReplay, said: dict[int, str]) -> tuple[str, ...]:
    """Return the last changes of the limit with their reasons, newest first."""
    limits = replay.limit_bytes[0]
    first = replay.warmup_bins
    changed = first + 1 + np.flatnonzero(limits[first + 1 :] != limits[first:-1])
    return tuple(
        f"{age(0.0, float(_ago_seconds(at, len(limits))))} before the end:"
        f" {say(limits[at - 1])} -> {say(limits[at])} ({said.get(int(at), 'decided')})"
        for at in changed[::-1][:LAST_CHANGES]
    )


def _kills(killed: np.ndarray, limits: FloatArray, bins: int) -> Kills:
    if not len(killed):
        return Kills()
    last = int(killed[-1])
    return Kills(len(killed), age(0.0, float(_ago_seconds(last, bins))), int(limits[last]))


def _ago_seconds(bin_index: np.ndarray | int, bins: int) -> np.ndarray:
    """Return how long before the end of a series of `bins` bins the middle of a bin was."""
    return (bins - np.asarray(bin_index) - 0.5) * BIN_SECONDS

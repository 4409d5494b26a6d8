"""Starts that recordings do not tell: what the operator would be told, put beside each series.

In: recorded series. Out: seconds [n, any] since each series' first bin, ascending, NaN at the end. A
recording's usage goes on as it was, so every start here is one that usage knows nothing of, but the falls.
"""

from collections.abc import Callable

import numpy as np

from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.series import BINS_PER_DAY, SeriesBatch
from plimsoll.usage.events import KEPT_EVENTS
from plimsoll.usage.sample import BIN_SECONDS, DAY_SECONDS, HOUR_SECONDS
from plimsoll_cli.traces.parquet import source_warmup_bins

SEED = 7


def last_starts(starts: np.ndarray, now_seconds: float) -> np.ndarray:
    """The last eight [n, 8] that there were by now, oldest first, as the history keeps them."""
    past = np.where(starts <= now_seconds, starts, -np.inf)
    room = np.full((len(starts), KEPT_EVENTS), -np.inf)
    newest = np.sort(np.concatenate([room, past], axis=1), axis=1)[:, -KEPT_EVENTS:]
    return np.where(np.isfinite(newest), newest, np.nan)


def kills(batch: SeriesBatch) -> np.ndarray:
    """A kill is a start: those of a replay of VPA's limits."""
    settings = ReplaySettings(source_warmup_bins(batch))
    limits = replay_limits(batch, Vpa(), settings).limit_bytes
    with np.errstate(invalid="ignore"):
        return times(batch.usage_bytes > limits)


def falls(batch: SeriesBatch) -> np.ndarray:
    """Every fall to less than half: restarts, garbage collectors and ends of work are not told apart."""
    usage = batch.usage_bytes
    fell = np.zeros(usage.shape, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        fell[:, 1:] = usage[:, 1:] < 0.5 * usage[:, :-1]
    return times(fell)


def rollouts(batch: SeriesBatch) -> np.ndarray:
    """One a day, at a fixed hour of each series' own; usage goes on as recorded."""
    hour = np.random.default_rng([SEED, len(batch)]).integers(24, size=(len(batch), 1)) * float(HOUR_SECONDS)
    return hour + DAY_SECONDS * np.arange(1.0, batch.bins // BINS_PER_DAY + 1)[None, :]


def times(happened: np.ndarray) -> np.ndarray:
    """When something happened in bins [n, bins], as seconds [n, most], NaN at the end."""
    most = max(1, int(happened.sum(axis=1).max(initial=0)))
    order = np.argsort(~happened, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(happened, order, axis=1), BIN_SECONDS * order.astype(float), np.nan)


STARTS: dict[str, Callable[[SeriesBatch], np.ndarray]] = {
    "no_starts": lambda batch: np.full((len(batch), 1), np.nan),
    "rollouts": rollouts,
    "falls": falls,
}

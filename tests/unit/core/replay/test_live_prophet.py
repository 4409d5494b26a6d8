"""The model `prophet` in a replay: fitted on the spot, with what the operator's workers would have seen."""

import numpy as np
import pytest

from builders.seasons import MIB, daily
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll.forecast.protocol import LEVELS
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import BatchFacts
from plimsoll.replay.live import FIRST_BIN, LiveRecommender
from plimsoll.replay.recommenders import recommender
from plimsoll.replay.series import batch_of

DAYS = 16
BINS = DAYS * 288
FACTS = BatchFacts(series=1, warmup_bins=BINS, decide_bins=12, guard_bins=1)
SAID = 3000.0 * MIB


class Fitter:
    """Answers SAID at every level and remembers what it was asked."""

    def __init__(self) -> None:
        self.tasks: list[FitTask] = []

    def __call__(self, task: FitTask) -> FitAnswer:
        self.tasks.append(task)
        values = np.full((36, 2, len(LEVELS)), SAID, dtype=np.float32)
        return FitAnswer(task.ticket, task.last_hour + 1, values)


def started(fitter: Fitter | None, model: str = "prophet") -> LiveRecommender:
    made = LiveRecommender(PipelineSettings(model=model), fitter=fitter, holidays=("2027-01-20",))
    made.start(FACTS)
    hours = np.arange(DAYS * 24)
    now = float((FIRST_BIN + BINS) * 300 - 1)
    seconds = (FIRST_BIN * 300 + 3600 * hours + 3599).astype(np.float64)
    made._history.append(np.zeros(len(hours), dtype=np.int64), seconds, daily(len(hours)), now)
    return made


def limit(one: LiveRecommender, bin_index: int = BINS) -> float:
    return float(one.decide(bin_index, np.array([np.nan])).limit_bytes[0])


def test_limits_follow_what_was_fitted_and_fits_are_renewed_every_six_hours():
    fitter = Fitter()
    one = started(fitter)
    assert limit(one) > 0.9 * SAID
    for hour in range(1, 7):
        one._history.append(
            np.array([0]), np.array([(FIRST_BIN + BINS) * 300 + hour * 3600.0 - 1]), np.array([5e8]), 2e9
        )
        limit(one, BINS + 12 * hour)
    first, second = fitter.tasks
    assert second.last_hour - first.last_hour == 6
    assert first.holidays == ("2027-01-20",)
    assert first.last_hour == (FIRST_BIN + BINS) // 12 - 1


def test_without_a_fitter_auto_stands_in():
    assert limit(started(None)) == limit(started(None, "auto"))


def test_a_model_is_chosen_by_name_and_a_peer_has_none():
    batch = batch_of("s", {"a": np.ones(12)})
    made = recommender("plimsoll", batch, "oom:75", model="prophet", fitter=Fitter())
    assert isinstance(made, LiveRecommender)
    assert (made.settings.model, made.settings.objective) == ("prophet", "oom:75")
    with pytest.raises(ValueError, match="unknown forecast model 'prophet9'"):
        recommender("plimsoll", batch, model="prophet9")
    with pytest.raises(ValueError, match="recommender 'vpa' has one model"):
        recommender("vpa", batch, model="auto")

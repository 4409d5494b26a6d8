"""An ensemble trusts the member that has been right of this row, and forgets in a day."""

from dataclasses import dataclass

import numpy as np
import pytest

from plimsoll.forecast.ensemble import FLOOR, EnsemblePeak
from plimsoll.forecast.protocol import Hindcast, Memoryless, Outcome, PeakDistribution
from plimsoll.forecast.window import UsageWindow

LEVELS = np.array([0.5, 0.99])


@dataclass(frozen=True)
class Says(Memoryless):
    """A model that always says the same multiple of the last hour."""

    factor: float
    name: str = "says"

    def fit(self, window: UsageWindow) -> "Says.Fitted":
        return Says.Fitted(self.factor * window.hourly_bytes[:, -1])

    @dataclass(frozen=True)
    class Fitted:
        point: np.ndarray

        def predict(self, horizon_seconds: float, levels: np.ndarray) -> PeakDistribution:
            return PeakDistribution(levels, np.repeat(self.point[:, None], len(levels), axis=1))

        def hindcast(self) -> Hindcast:
            return Hindcast(self.point, np.empty((len(self.point), 0)))


def window(rows: list[int] | None, value: float = 100.0) -> UsageWindow:
    count = 2 if rows is None else len(rows)
    index = None if rows is None else np.array(rows, dtype=np.int32)
    return UsageWindow(np.full((count, 288), value), np.full((count, 672), value), index)


def ensemble(*factors: float) -> EnsemblePeak:
    return EnsemblePeak([lambda factor=factor: Says(factor, f"says {factor}") for factor in factors])


def taught(model: EnsemblePeak, row: int, came: float, hours: int) -> None:
    for _ in range(hours):
        model.fit(window([row]))
        model.update(Outcome(np.array([row], dtype=np.int32), np.array([came])))


def test_without_outcomes_members_count_alike() -> None:
    said = ensemble(1.0, 4.0).fit(window([0])).predict(3600, LEVELS).values_bytes
    assert said == pytest.approx(np.full((1, 2), 200.0))  # the geometric mean


def test_weight_goes_to_the_member_that_was_right_but_a_floor_stays() -> None:
    model = ensemble(1.0, 2.0)
    taught(model, 0, 200.0, 12)
    weights = model.weights(np.array([0, 1], dtype=np.int32))
    assert weights[0, 1] > 0.9
    assert weights[0, 0] >= FLOOR / 2
    assert weights[1] == pytest.approx([0.5, 0.5])  # another row has learned nothing
    said = model.fit(window([0])).predict(3600, LEVELS).values_bytes
    assert said[0, 0] > 180


def test_what_was_right_yesterday_is_forgotten() -> None:
    model = ensemble(1.0, 2.0)
    taught(model, 0, 200.0, 48)
    taught(model, 0, 100.0, 48)
    assert model.weights(np.array([0], dtype=np.int32))[0, 0] > 0.9


def test_a_question_within_the_hour_does_not_change_what_is_judged() -> None:
    model = ensemble(1.0, 2.0)
    model.fit(window([0], 100.0))
    model.fit(window([0], 1000.0))  # asked again because usage rose
    model.update(Outcome(np.array([0], dtype=np.int32), np.array([200.0])))
    weights = model.weights(np.array([0], dtype=np.int32))[0]
    assert weights[1] > weights[0]


def test_an_hour_nobody_saw_and_a_row_that_is_freed_teach_nothing() -> None:
    model = ensemble(1.0, 2.0)
    taught(model, 0, np.nan, 3)
    assert model.weights(np.array([0], dtype=np.int32))[0] == pytest.approx([0.5, 0.5])
    taught(model, 0, 200.0, 3)
    model.forget(np.array([0], dtype=np.int32))
    assert model.weights(np.array([0], dtype=np.int32))[0] == pytest.approx([0.5, 0.5])


def test_a_member_that_knows_nothing_leaves_its_weight_to_the_others() -> None:
    said = ensemble(1.0, np.nan).fit(window(None)).predict(3600, LEVELS).values_bytes
    assert said == pytest.approx(np.full((2, 2), 100.0))
    unknown = ensemble(np.nan, np.nan).fit(window(None)).predict(3600, LEVELS).values_bytes
    assert np.isnan(unknown).all()


def test_what_it_has_learned_of_a_row_outlives_it() -> None:
    model, rows = ensemble(1.0, 2.0, 3.0), np.array([2, 4], dtype=np.int32)
    taught(model, 2, 200.0, 6)
    successor = ensemble(1.0, 2.0, 3.0)
    successor.relearn(4, model.learned(2))
    assert successor.weights(rows)[1] == pytest.approx(model.weights(rows)[0], rel=1e-4)
    assert successor.weights(rows)[0] == pytest.approx(np.full(3, 1 / 3))


def test_members_are_known_by_name_whatever_their_order() -> None:
    model = ensemble(1.0, 2.0)
    taught(model, 0, 200.0, 12)
    successor = ensemble(2.0, 1.0)
    successor.relearn(0, model.learned(0))
    row = np.array([0], dtype=np.int32)
    assert successor.weights(row)[0] == pytest.approx(model.weights(row)[0][::-1], rel=1e-4)


def test_own_lessons_count_more_than_remembered_ones() -> None:
    model, row = ensemble(1.0, 2.0), np.array([0], dtype=np.int32)
    taught(model, 0, 200.0, 3)
    before = model.weights(row)
    model.relearn(0, {"says 1.0": 0.0, "says 2.0": 9.0})
    assert (model.weights(row) == before).all()


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"says 1.0": 1.0},
        {"says 1.0": 1.0, "says 2.0": float("nan")},
        {"says 1.0": -1.0, "says 2.0": 0.0},
        {"says 1.0": 1e300, "says 2.0": 0.0},
        {"another": 1.0, "third": 2.0},
    ],
    ids=str,
)
def test_what_does_not_fit_leaves_the_weights_even(foreign: dict[str, float]) -> None:
    model = ensemble(1.0, 2.0)
    model.relearn(0, foreign)
    assert model.weights(np.array([0], dtype=np.int32)) == pytest.approx(np.full((1, 2), 0.5))
    assert model.learned(0) == model.learned(99) == {}

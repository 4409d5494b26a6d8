"""Limits from need are bounded by limits from use, whatever is told of need."""

import numpy as np
import pytest

from builders.histories import MIB, at
from plimsoll.guard.limits import LimitReason
from plimsoll.need_pipeline import NeedPipeline
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.history import History
from plimsoll.usage.needed import Basis
from plimsoll.usage.sample import Quantity

ROW = np.array([0], dtype=np.int32)
NEEDED, UNASKED = (np.array([each], dtype=np.int8) for each in (Basis.NEEDED, Basis.UNASKED))
HOUR, DAY = 12, 288  # bins


class Told:
    """One row, bin by bin: beside a pipeline that hears of use alone, and one that hears of need alone."""

    def __init__(self) -> None:
        self.pipelines = {}
        for name, kind in (("bounded", NeedPipeline), ("need", LimitPipeline), ("use", LimitPipeline)):
            history = History(Quantity.USAGE, 1)
            history.add_rows(1)
            self.pipelines[name] = kind(history)
        self.bounded = self.pipelines["bounded"]
        self.bin = 0

    @property
    def now(self) -> float:
        return at(self.bin)

    def tell(self, used_mib: float, needed_mib: float, basis: np.ndarray = NEEDED, seen: bool = True) -> None:
        """A bin; `seen` False: nobody tells what was used."""
        when, self.bin = np.array([at(self.bin) + 150.0]), self.bin + 1
        used = np.array([used_mib * MIB])
        for name, each in self.pipelines.items():
            asked = name != "use" and basis is NEEDED
            each.needed.observe(ROW, basis, when[0])
            if name == "bounded" and seen:
                each.observe_usage(ROW, when, used, when[0])
            each.history.append(ROW, when, np.array([needed_mib * MIB]) if asked else used, when[0])

    def live(self, bins: int, every: int = HOUR, **spec: object) -> None:
        """100 MiB in use; a fifth of it is needed, and all of it in every `every`-th bin."""
        for number in range(bins):
            self.tell(100.0 + number % 3, 20.0 if number % every else 100.0, **spec)

    def targets(self) -> dict[str, float]:
        return {
            name: float(each.decide(ROW, self.now).target_bytes[0]) / MIB
            for name, each in self.pipelines.items()
        }

    def limit(self, mib: float) -> None:
        for each in self.pipelines.values():
            each.observe_limits(ROW, np.array([mib * MIB]))

    def raised(self) -> dict[str, list[float]]:
        return {
            name: (each.react(ROW, self.now).limit_bytes / MIB).tolist()
            for name, each in self.pipelines.items()
        }


@pytest.mark.parametrize("every", [HOUR, 3 * HOUR])
def test_a_word_that_jumps_is_not_answered_as_growth(every):
    told = Told()
    told.live(2 * DAY, every)
    found = told.targets()
    assert found["need"] > 1.4 * found["use"]  # what this is for
    assert found["bounded"] <= found["use"] * 1.0001


def test_where_little_is_needed_need_decides():
    told = Told()
    for _ in range(3 * DAY):
        told.tell(100.0, 20.0)
    found = told.targets()
    assert found["bounded"] == pytest.approx(found["need"])
    assert found["bounded"] < 0.5 * found["use"]


def test_all_columns_stay_in_order():
    told = Told()
    told.live(2 * DAY)
    said = told.bounded.decide(ROW, told.now)
    assert said.lower_bytes[0] <= said.target_bytes[0] <= said.upper_bytes[0]
    assert said.request_bytes[0] <= said.target_bytes[0]


def test_suffering_at_a_limit_far_above_use_raises_nothing():
    told = Told()
    told.limit(150.0)
    for needed in (20.0, 20.0, 20.0, 90.0):
        told.tell(100.0, needed)
    found = told.raised()
    assert found["need"] != []
    assert found["bounded"] == found["use"] == []


def test_use_that_comes_close_to_the_limit_raises_it():
    told = Told()
    told.limit(104.0)
    for _ in range(3):
        told.tell(100.0, 20.0)
    told.tell(100.0, 100.0)
    found = told.raised()
    assert found["bounded"] == found["use"] != []
    assert told.bounded.react(ROW, told.now).reason.tolist() == [LimitReason.CLIMB]


def test_without_fresh_samples_of_use_nothing_is_bounded():
    told = Told()
    told.live(DAY)
    told.limit(150.0)
    for needed in (20.0, 20.0, 20.0, 20.0, 90.0):
        told.tell(100.0, needed, seen=False)
    found = told.raised()
    assert found["bounded"] == found["need"] != []


def test_what_was_used_before_need_was_asked_for_is_in_the_bound():
    told = Told()
    for number in range(2 * DAY):
        told.tell(300.0 if number % DAY == 100 else 100.0, 0.0, UNASKED)
    told.live(5 * HOUR)
    before = float(told.pipelines["use"].decide(ROW, told.now).target_bytes[0])
    said = told.bounded.decide(ROW, told.now).target_bytes[0]
    assert 300.0 * MIB < said <= before * 1.0001


def test_a_policy_that_asks_for_usage_again_ends_it():
    told = Told()
    told.live(DAY)
    told.tell(100.0, 20.0, UNASKED)
    assert len(told.bounded._usage_history) == 0
    told.live(HOUR)
    assert len(told.bounded._usage_history) == 1


def test_a_past_that_comes_later_is_in_the_bound():
    told = Told()
    told.live(6 * HOUR)
    past = np.array([at(-200)])
    told.bounded.history.append(ROW, past, np.array([400.0 * MIB]), told.now)
    told.bounded.renew(ROW)
    told.live(1)
    row = told.bounded._usage_row[ROW]
    hourly = told.bounded._usage_history.hourly(row)[0]
    assert np.nanmax(hourly) >= 400.0 * MIB


def test_a_kill_raises_as_ever():
    told = Told()
    told.live(DAY)
    told.limit(110.0)
    bounded, need = (told.pipelines[name].observe_oom(ROW, told.now) for name in ("bounded", "need"))
    assert bounded.limit_bytes.tolist() == need.limit_bytes.tolist() != []


def test_the_bound_follows_the_policy_of_its_row():
    dear, cheap = Told(), Told()
    for told, price in ((dear, 1000.0), (cheap, 0.01)):
        told.bounded.observe_policies(ROW, [RowPolicy(oom_price=price, needed=True)])
        told.live(2 * DAY)
    found = [each.bounded._usage.oom_prices(each.bounded._usage_row[ROW])[0] for each in (dear, cheap)]
    assert found[0] > 100.0 * found[1]


def test_forgetting_a_row_frees_what_bounds_it():
    told = Told()
    told.live(HOUR)
    told.bounded.forget(ROW)
    assert len(told.bounded._usage_history) == 0


def test_a_checkpoint_brings_back_need_and_the_bound_begins_anew():
    told, again = Told(), Told()
    told.live(2 * DAY)
    again.bin = told.bin
    again.bounded.history.advance(told.now)
    again.bounded.restore(0, told.bounded.checkpoint(0))
    again.live(HOUR)
    assert len(again.bounded._usage_history) == 1
    assert again.bounded.decide(ROW, again.now).ready[0]

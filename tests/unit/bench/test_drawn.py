"""Rows of what was drawn: an interval is of groups, and nothing seen is not nothing possible."""

import dataclasses

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.promises import BANDS, Kept
from plimsoll.replay.resample import UNSEEN_EVENTS
from plimsoll.replay.score import score
from plimsoll.replay.series import batch_of

MIB = 2**20


@pytest.fixture(scope="module")
def bench():
    return bench_modules(drawn="drawn", rows="forecast_rows", cold="cold", classes="classes", arms="arms")


@pytest.fixture
def four(bench):
    """Four containers, each a group of its own: kills of none can be told from kills that cannot be."""
    return bench.drawn.Drawn(4, 4, 30.0, "make bench-x")


def killed_by_none(names):
    usage = {name: np.full(400, 100.0 * MIB) for name in names}
    return batch_of("made", usage)


def test_no_kill_reaches_as_far_as_its_container_days_let_it(four):
    values = np.column_stack([np.zeros(4), np.full(4, 0.2), np.full(4, 1.5)])
    oom, slack, changes = four.figures("x", values)
    assert [each.name for each in (oom, slack, changes)] == [
        "x.oom",
        "x.slack",
        "x.changes_per_container_day",
    ]
    assert (oom.value, oom.low, oom.high, oom.unit, oom.n) == (0, 0, 30.0, "1/1000 container-days", 4)
    assert (slack.low, slack.high) == (0.2, 0.2)
    assert (oom.groups, oom.command) == (4, "make bench-x")


def test_who_does_not_differ_in_any_draw_may_differ_by_what_neither_shows(four):
    none = np.zeros((4, 3))
    oom, slack, _ = four.differences("x", none, ".minus_y")
    assert (oom.name, oom.low, oom.high) == ("x.oom.minus_y", -30.0, 30.0)
    assert (slack.low, slack.high) == (0, 0)
    none[1:3, 0] = (-7.0, 7.0)
    oom = next(four.differences("x", none))
    assert -7.0 <= oom.low < oom.high <= 7.0, "where draws differ, they say how sure it is"


def test_one_group_of_siblings_has_no_interval(four):
    alone = dataclasses.replace(four, groups=1)
    row = next(alone.figures("x", np.full((4, 3), 8.0)))
    assert (row.value, row.low, row.high, row.groups) == (8.0, None, None, 1)
    row = next(alone.differences("x", np.zeros((4, 3))))
    assert (row.value, row.low, row.high) == (0, None, None)


def test_what_cannot_be_told_has_a_reason(four):
    values = np.full((4, 3), np.nan)
    values[1] = 7.0
    row = next(four.figures("x", values))
    assert (row.value, row.low, row.high) == (None, None, None)
    assert row.why
    assert row.finite_draws == pytest.approx(1 / 3), "some draws have what was not measured"


def test_a_broken_promise_raises_the_ratio_and_none_broken_is_not_never(four):
    ones = np.ones((2, BANDS))
    row = four.ratio("x", Kept(ones * 100, ones * 0.5, ones), np.ones((3, 2)))
    assert row.value == pytest.approx(2.0)
    row = four.ratio("x", Kept(ones * 100, ones * 0.5, ones * 0), np.ones((3, 2)))
    assert (row.value, row.high) == (0, pytest.approx(UNSEEN_EVENTS / BANDS))


@pytest.fixture
def scores(bench):
    batch = killed_by_none([f"gentd-{number}" for number in range(4)])
    return {
        name: score(replay_limits(batch, bench.arms.Vpa(), ReplaySettings(288)))
        for name in ("alone", "relatives", "vpa")
    }


def test_benches_of_the_first_day_say_how_many_groups_and_what_no_kill_leaves_open(bench, scores):
    rows = {row.name: row for row in bench.cold.rows_of(scores)}
    assert rows["cold.alone.oom"].value == 0
    assert rows["cold.alone.oom"].high > 0
    minus = rows["cold.relatives.minus_alone.oom"]
    assert minus.low == -minus.high == -rows["cold.alone.oom"].high
    assert {row.groups for row in rows.values()} == {4}


def test_a_class_that_broke_no_promise_has_a_bound_of_its_own_windows(bench, scores):
    windows = np.zeros((4, BANDS))
    windows[:2, 0] = 10.0
    each = Kept(windows, windows * 0.01, windows * 0)
    code = next(iter(bench.classes.WorkloadClass))
    rows = {
        row.name.rpartition(".")[2]: row
        for row in bench.classes.kept_rows("calibration", (scores["alone"], {code: each}))
    }
    assert (rows["realised"].value, rows["realised"].high) == (0, pytest.approx(UNSEEN_EVENTS))
    assert rows["realised_over_promised"].high == pytest.approx(UNSEEN_EVENTS / 0.2)
    assert (rows["realised"].n, rows["realised"].groups) == (20, 2)


def test_a_band_of_promises_that_were_all_kept_is_no_certainty(bench):
    ones = np.ones((3, BANDS))
    (band, *_) = bench.rows.calibration(Kept(ones * 20, ones, ones * 0), "all", np.ones((5, 3)), 3)
    assert band["realised"] == [0.0, 0.0, pytest.approx(UNSEEN_EVENTS / 60)]
    (band, *_) = bench.rows.calibration(Kept(ones * 20, ones, ones), "all", np.ones((5, 3)), 1)
    assert band["realised"][1:] == [None, None]

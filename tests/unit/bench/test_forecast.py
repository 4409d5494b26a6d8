"""The benchmark of recommenders on a handful of made series: rows, tables' material, plots, its halves."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.promises import windows_of
from plimsoll.replay.series import batch_of
from plimsoll.replay.split import Half, group_of, half_of

MIB = 2**20
# As the contract of benches names them.
AGREED = (
    "forecast.core.oom_at_slack_268",
    "forecast.core.slack_at_oom_76",
    "forecast.core.changes_per_container_day",
    "forecast.class.flat.oom",
    "forecast.class.bursty.oom",
    "forecast.leak.false_alarms_per_1000cd",
    "forecast.bitbrains.oom",
    "forecast.bitbrains.slack",
    "forecast.calibration.realised_over_promised",
    "forecast.cold.oom_first_24h",
)


@pytest.fixture(scope="module")
def bench():
    """The bench's modules as `python bench/forecast.py` has them."""
    return bench_modules(arms="arms", main="forecast", rows="forecast_rows", plots="forecast_plots")


def made_series(source, names, bins=400):
    random = np.random.default_rng(len(names))
    flat = 100 * MIB * (1 + random.uniform(0, 0.02, (len(names), bins)))
    flat[1::2] *= np.where(random.random((len(names[1::2]), bins)) < 0.01, 2.5, 1.0)  # bursty
    return dataclasses.replace(batch_of(source, dict(zip(names, flat, strict=True))))


@pytest.fixture(scope="module")
def found(bench):
    """Findings of all recommenders, but with cheap arms in the place of Plimsoll's frontier."""
    judged = [name for name in (f"gentd-{i}" for i in range(40)) if half_of(name) is Half.JUDGED][:6]
    machines = [name for name in (f"rnd7-{i}" for i in range(40)) if half_of(name) is Half.JUDGED][:4]
    core, stress = made_series("alibaba_gentd26_pod", judged), made_series("bitbrains_rnd", machines)
    datasets = [
        bench.main.Dataset("core", (core,)),
        bench.main.Dataset("cold", (bench.main.first_day(core),), 1),
        bench.main.Dataset("bitbrains", (stress,)),
    ]
    simple = PipelineSettings(model="windowed")
    own = [
        bench.arms.Arm(
            "plimsoll",
            "default",
            partial(bench.arms.plimsoll, settings=simple, model=None, promising=True),
            on_frontier=False,
        ),
        *[
            bench.arms.Arm("plimsoll", objective, partial(bench.arms.plimsoll, settings=simple, model=None))
            for objective in bench.arms.OBJECTIVES
        ],
    ]
    brain = bench.arms.Brain()
    peers = [arm for arm in bench.arms.defaults(brain) if not arm.recommender.startswith("plimsoll")]
    priced = [
        bench.arms.Arm(
            "plimsoll",
            f"price {price:g}",
            partial(bench.arms.plimsoll, settings=set_, model=None, promising=True),
        )
        for price in (0.15, 5.0)
        for set_ in [dataclasses.replace(simple, oom_price=price)]
    ]
    vpas = [arm for arm in bench.arms.knobs(brain) if arm.recommender in bench.rows.RIVALS]
    results = []
    for dataset in datasets:
        arms = [*own, *peers, *([*vpas, *priced] if dataset.name == "core" else [])]
        done = []
        for arm in arms:
            for batch in dataset.batches:
                recommender = arm.make(batch)
                replay = replay_limits(batch, recommender, dataset.settings(batch))
                done.append(bench.main.finish(replay, recommender, (dataset.name, *arm.key)))
        results.append(bench.main.gather(dataset, arms, done))
    return results


def test_rows_have_the_agreed_names_a_value_or_a_reason_and_finite_intervals(bench, found):
    rows = {row.name: row for row in bench.rows.found_rows(found, 7)}
    assert set(AGREED) <= set(rows)
    for row in rows.values():
        assert (row.value is None) == (row.why is not None), row.name
        assert row.value is None or row.low is None or row.low <= row.value <= row.high, row.name
    assert set(rows["forecast.core.oom"].against) == {*bench.arms.PEERS, "oracle"}
    assert rows["forecast.core.oom"].against["oracle"] == 0


def test_every_peer_has_an_interval_and_what_is_read_off_says_so(bench, found):
    rows = {row.name: row for row in bench.rows.found_rows(found, 7)}
    row = rows["forecast.core.oom"]
    assert set(row.spreads) == set(row.against)
    assert row.groups >= 2
    low, high, _ = row.spreads["vpa"]
    assert low <= row.against["vpa"] <= high
    assert row.spreads["oracle"] == [0.0, 0.0, 1.0], "who knows what comes is sure"
    assert row.note is None
    assert rows["forecast.core.oom_at_slack_268"].note == bench.rows.READ_OFF


def test_classes_with_enough_groups_have_both_axes(bench, found, monkeypatch):
    monkeypatch.setattr(bench.rows, "ENOUGH_GROUPS", 1)
    few = {row.name for row in bench.rows.found_rows(found, 7)}
    classes = {name.split(".")[2] for name in few if name.startswith("forecast.class.")}
    with_points = {
        name.split(".")[2] for name in few if name.endswith(".slack_at_oom_76") and ".class." in name
    }
    assert with_points
    assert with_points <= classes
    monkeypatch.setattr(bench.rows, "ENOUGH_GROUPS", 10_000)
    assert not any(".class." in row.name and "_at_" in row.name for row in bench.rows.found_rows(found, 7))


def test_a_fitted_price_hits_what_was_asked_and_its_draws_say_how_often_chance_would(bench, monkeypatch):
    # Columns: what was measured, then two draws; rows: three prices; kills, slack and changes in each.
    slacks = np.array([[0.1, 0.2, 0.1], [0.2, 0.2, 0.4], [0.4, 0.3, 0.6]])
    monkeypatch.setattr(bench.rows, "figures", lambda row, _: np.stack([100 * row, row, row], axis=1))
    weights = np.ones((3, 1))
    found = bench.rows.at_fitted_knob(list(slacks), weights, 1, 0.3)
    assert found.tolist() == pytest.approx([0.3, 0.25, 0.5])
    assert bench.rows.at_fitted_knob(list(slacks[::-1]), weights, 0, 30).tolist() == pytest.approx(
        [30, 25, 50]
    )
    assert np.isnan(bench.rows.at_fitted_knob(list(slacks), weights, 1, 0.05)).all()
    assert np.isnan(bench.rows.at_fitted_knob([], weights, 1, 0.3)).all()
    assert bench.rows.within_5_percent(np.array([9.0, 0.951, 1.049, 1.06, 0.94])) == 0.5


def test_what_is_asked_for_by_name_says_how_many_draws_land_within_5_percent(bench, found):
    rows = {row.name: row for row in bench.rows.found_rows(found, 7)}
    for point in ("slack_268", "oom_76"):
        name = f"forecast.core.promised.{point}.share_of_draws_within_5_percent"
        assert 0 <= rows[name].value <= 1
        assert rows[f"{name}.at_a_fitted_price"].why  # here Plimsoll's knob is not turned


def test_promises_are_compared_with_what_came_at_every_price(bench, found):
    rows = {row.name: row for row in bench.rows.found_rows(found, 7)}
    low, high = (rows[f"forecast.promises.price_{price}.promised"].value for price in ("0_15", "5"))
    assert low > high > 0
    kept = found[0].promises["plimsoll", "price 5"]
    ratio = rows["forecast.promises.price_5.realised_over_promised"]
    assert ratio.value == pytest.approx(kept.realised.sum() / kept.promised.sum())
    assert ratio.low <= ratio.value <= ratio.high
    assert "forecast.promises.default.promised" not in rows  # it is no step of the knob
    priced = [arm for arm in bench.arms.knobs(bench.arms.Brain()) if arm.recommender == "plimsoll"]
    assert all(isinstance(arm.make(None), bench.arms.Promising) for arm in priced)


def test_what_the_traces_do_not_hold_has_a_row_that_says_so(bench, found):
    rows = {row.name: row for row in bench.rows.found_rows(found[:2], 7)}
    assert rows["forecast.bitbrains.oom"].why == "none of these traces were given"
    assert rows["forecast.class.growth.oom"].why == "no judged series is of this class"


def test_the_same_findings_give_the_same_document(bench, found):
    first, second = (json.dumps(bench.rows.document_parts(found, 7), allow_nan=False) for _ in range(2))
    assert first == second


def test_the_document_is_drawn_as_svg_and_png(bench, found, tmp_path):
    rows = [dataclasses.asdict(row) for row in bench.rows.found_rows(found, 7)]
    path = tmp_path / "forecast.json"
    path.write_text(json.dumps({"rows": rows, **bench.rows.document_parts(found, 7)}))
    drawn = bench.plots.draw(path)
    assert [each.name for each in drawn] == [
        f"forecast-{name}.svg" for name in ("frontier", "classes", "calibration")
    ]
    assert all(
        "<svg" in each.read_text() and each.with_suffix(".png").stat().st_size > 10_000 for each in drawn
    )
    assert "VPA + our guard" in drawn[0].read_text()
    assert "<dc:date>" not in drawn[0].read_text()  # the same results give the same file


def test_only_the_judged_half_is_replayed_and_a_fraction_keeps_groups_whole(bench):
    batch = made_series("google2011_job", [f"gcd-{10000 + i // 3}0000{i}-d1" for i in range(300)], 20)
    half = bench.main.one_half(batch, 1.0)
    assert 0 < len(half) < len(batch)
    assert {half_of(name) for name in half.series_ids} == {Half.JUDGED}
    tenth = bench.main.one_half(batch, 0.4)
    assert 0 < len(tenth) < len(half)
    groups = {group_of(name) for name in tenth.series_ids}
    assert tenth.series_ids == tuple(name for name in half.series_ids if group_of(name) in groups)


def test_the_first_day_is_288_limits_after_one_bin(bench):
    batch = made_series("s", ["a", "b"])
    day = bench.main.first_day(batch)
    replay = replay_limits(day, bench.arms.Vpa(), ReplaySettings(1))
    assert replay.emitted().sum(axis=1).tolist() == [288, 288]
    assert (day.usage_bytes == batch.usage_bytes[:, :289]).all()


def test_promises_are_chances_from_the_first_decision_on(bench):
    batch = made_series("s", ["a", "b"])
    recommender = bench.arms.plimsoll(batch, PipelineSettings(model="windowed"), None, promising=True)
    replay = replay_limits(batch, recommender, ReplaySettings(288))
    promised = recommender.promises(windows_of(batch, 12))
    assert np.isnan(promised[:, :24]).all()
    assert ((promised[:, 24:] >= 0) & (promised[:, 24:] <= 1)).all()
    plain = bench.arms.plimsoll(batch, PipelineSettings(model="windowed"), None)
    same = replay_limits(batch, plain, ReplaySettings(288)).limit_bytes
    assert np.array_equal(same, replay.limit_bytes, equal_nan=True)  # to note is not to meddle


def test_every_knob_is_turned_and_its_default_is_among_the_defaults(bench):
    brain = bench.arms.Brain()
    batch = made_series("s", ["a", "b"])
    arms = [
        *bench.arms.defaults(brain),
        *bench.arms.promised_points(brain),
        *bench.arms.knobs(brain),
    ]
    assert len({arm.key for arm in arms}) == len(arms)
    assert {arm.recommender for arm in arms} == set(bench.arms.RECOMMENDERS)
    by_margin = {
        arm.setting: np.nanmean(replay_limits(batch, arm.make(batch), ReplaySettings(288)).limit_bytes)
        for arm in arms
        if arm.recommender == "vpa"
    }
    assert by_margin["margin 1.05"] < by_margin["default"] < by_margin["margin 1.3"]

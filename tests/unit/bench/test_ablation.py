"""The ablation: every part that is named has a variant, and promises are compared with what came."""

from pathlib import Path

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.guard.limits import GuardSettings, after_climb
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.series import batch_of
from plimsoll.replay.split import Half, half_of

MIB = 2**20
TABLE = {"oom_price": [1.0, 9.0], "slack": [0.2, 0.3], "oom_per_1000_cd": [90.0, 10.0]}


@pytest.fixture(scope="module")
def bench():
    """The bench as `python bench/ablation.py` has it."""
    return bench_modules(main="ablation", forecast="forecast", arms="arms")


@pytest.fixture(scope="module")
def brain(bench):
    return bench.arms.Brain(WindowedPeak(), TABLE)


def test_every_named_part_is_taken_away(bench, brain):
    made = bench.main.variants(brain, WindowedPeak(name="trees"))
    plain = PipelineSettings()
    for name, variant in made.items():
        for field, value in variant.changed.items():
            assert getattr(plain, field) != value, (name, field)  # something does change
    assert made["no guard"].changed == {"guarded": False}
    assert made[bench.main.NO_BUFFER].changed == {"adaptive": False}
    assert made[bench.main.TREES].model.name == "trees"
    assert not made["no price but a margin"].priced
    assert {"changes cost nothing", "routed by class", "ensemble of network and simple models"} <= set(made)
    assert made[bench.main.WHOLE].promising
    assert made[bench.main.NO_BUFFER].promising


def test_without_machines_to_teach_them_there_are_no_trees_and_no_row_of_theirs(bench, brain):
    assert bench.main.trees_of(Path("sample")) is None
    assert bench.main.TREES not in bench.main.variants(brain, None)


def test_a_guard_that_does_not_look_ahead_waits_until_use_is_close(bench, brain):
    made = bench.main.variants(brain, None)
    use, before, limit = (np.array([each]) for each in (80.0, 55.0, 100.0))
    settings = made["no look at the rise"].changed["guard"]
    assert after_climb(use, before, limit, GuardSettings())[0] == pytest.approx(1.12 * 80 + 25)
    assert np.isnan(after_climb(use, before, limit, settings)[0])
    assert after_climb(use + 15, before, limit, settings)[0] == pytest.approx(1.12 * 95)
    never = made["no raise near the limit"].changed["guard"]
    assert np.isnan(after_climb(use + 15, before, limit, never)[0])


def test_prices_reach_below_those_where_the_second_operating_point_lies(bench):
    # At 0.15 there are more than 76 kills already, at 0.4 fewer (docs/results/forecast.json, frontier).
    assert sum(price <= 0.15 for price in bench.main.PRICES) >= 2
    assert max(bench.main.PRICES) > 2


@pytest.fixture(scope="module")
def found(bench, brain):
    """Two variants, each at two prices, on a few made series."""
    names = [name for name in (f"gentd-{i}" for i in range(40)) if half_of(name) is Half.JUDGED][:3]
    random = np.random.default_rng(5)
    usage = {name: 100 * MIB * (1 + random.uniform(0, 0.3, 330)) for name in names}
    core = bench.forecast.Dataset("core", (batch_of("alibaba_gentd26_pod", usage),))
    every = bench.main.variants(brain, None)
    chosen = {
        name: bench.main.replace(every[name], knobs=(0.06, 5.0))
        for name in (bench.main.WHOLE, "changes cost nothing")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.main, "variants", lambda *_: chosen)
        return bench.main.measure(core, brain, None, 1)


def test_promises_are_compared_at_the_price_that_ships_where_a_variant_is_asked_for_them(bench, found):
    whole, other = found[bench.main.WHOLE], found["changes cost nothing"]
    assert [len(each.scores) for each in (whole, other)] == [2, 2]
    assert whole.kept.windows.sum() > 0
    assert other.kept is None
    rows = {row.name: row for row in bench.main.promise_rows(found)}
    assert rows["ablation.whole.shipped.oom"].command == "make bench-ablation"
    assert "ablation.whole.calibration.realised_over_promised" in rows
    assert not any("changes_cost_nothing" in name for name in rows)


def test_rows_say_what_a_part_changes(bench, found):
    rows = {row.name: row for row in bench.main.rows_of({name: each.scores for name, each in found.items()})}
    stem = "ablation.changes_cost_nothing.oom_at_slack_268"
    assert {stem, f"{stem}.minus_whole"} <= set(rows)
    assert {row.command for row in rows.values()} == {"make bench-ablation"}

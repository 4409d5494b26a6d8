"""Arms that see a killed bin as a cluster does: cut off at the limit, with and without the lifted past."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.series import batch_of

MIB = 2**20


@pytest.fixture(scope="module")
def bench():
    """The bench's modules as `python bench/forecast.py` has them."""
    return bench_modules(arms="arms", main="forecast", rows="forecast_rows")


def jumping_batch():
    """Flat series with a jump to three times as much in the second day."""
    noise = np.random.default_rng(3).uniform(0, 0.02, (6, 900))
    usage = 100 * MIB * (1 + noise)
    usage[:, 300:306] *= 3
    return batch_of("alibaba_gentd26_pod", {f"gentd-{row}": each for row, each in enumerate(usage)})


@pytest.fixture(scope="module")
def found(bench):
    """Findings of the arms alone, with a model that needs no weights."""
    batch, dataset = jumping_batch(), bench.main.Dataset("core", (jumping_batch(),))
    simple = PipelineSettings(model="windowed")
    brain = bench.arms.Brain()
    arms = list(bench.arms.censored(brain))
    assert {arm.key[1] for arm in arms} == {
        "default censored",
        "default censored lifted",
        "price 5 censored",
        "price 5 censored lifted",
    }
    assert not any(arm.on_frontier for arm in arms)
    told = bench.arms.Arm(
        "plimsoll", "default", partial(bench.arms.plimsoll, settings=simple, model=None), on_frontier=False
    )
    cut = [
        replace(arm, make=partial(bench.arms.cut_off, settings=replace(simple, lifted=lifts), model=None))
        for arm, lifts in zip(arms[:2], bench.arms.CENSORED.values(), strict=True)
    ]
    done = []
    for arm in (told, *cut):
        recommender = arm.make(batch)
        replay = replay_limits(batch, recommender, ReplaySettings(288))
        killed = np.flatnonzero((batch.usage_bytes > replay.limit_bytes).any(axis=1))
        assert len(killed)
        seen = np.nanmax(recommender._history.hourly(recommender._rows[killed]), axis=1)
        shown = seen >= batch.usage_bytes[killed].max(axis=1)
        assert shown.all() == (arm is told), "what was cut off is in no history"
        done.append(bench.main.finish(replay, recommender, ("core", *arm.key)))
    return bench.main.gather(dataset, [told, *cut], done)


def test_rows_say_what_is_lost_where_kills_cut_usage_off(bench, found):
    weights = bench.rows.draws(found.subject, 7)
    rows = {row.name: row for row in bench.rows.censored_rows(found, weights)}
    for name in ("censored_default", "censored_lifted_default"):
        row = rows[f"forecast.core.{name}.oom"]
        assert row.value > 0
        more = rows[f"forecast.core.{name}.minus_told.oom"]
        assert more.low <= more.value <= more.high
    unlifted, lifted = (
        rows[f"forecast.core.{name}.slack"].value for name in ("censored_default", "censored_lifted_default")
    )
    assert unlifted != lifted, "a lifted past is another past"
    assert not any("price" in name for name in rows), "what was not replayed has no row"

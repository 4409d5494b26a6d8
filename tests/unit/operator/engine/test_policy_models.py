"""Models that a policy can name work in the live engine: from the policy's field to a limit, and safely."""

import numpy as np
import pytest

from builders.engine import MIB, NOW, WORKING_SET, ScriptedSource, member
from builders.engine_rows import inside
from builders.policies import memory_policy
from plimsoll.forecast.registry import model_names
from plimsoll.recommend.row_policy import row_policy
from plimsoll.usage.history import History
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings, OomEvent

DAYS = 5
GROWING = 200.0 * (1.0 + 0.5 * np.arange(DAYS * 288) / (DAYS * 288))
RHYTHM = 200.0 * (1.0 + 0.4 * np.sin(2 * np.pi * np.arange(DAYS * 288) / 288))
# Those that look at a row's own record, each with a past on which that makes a difference.
OWN = {
    "ensemble": RHYTHM,
    "routed": GROWING,
    "growth": GROWING,
    "holt-winters": RHYTHM,
    "moving-windows": RHYTHM,
    "autopilot-ml": RHYTHM,
}
own_models = pytest.mark.parametrize("model", OWN)


def past(usage_mib):
    history = History(WORKING_SET, 1)
    rows = history.add_rows(1)
    history.advance(NOW)
    seconds = NOW - 300.0 * np.arange(len(usage_mib))[::-1]
    history.append(np.full(len(seconds), rows[0]), seconds, usage_mib * MIB, NOW)
    return history.checkpoint(int(rows[0]))


def engine(model, usage_mib):
    """A container of a policy that names the model, with five days behind it."""
    policy = row_policy(memory_policy("p", forecast={"model": model}).container("app"))
    source = ScriptedSource()
    core = EngineCore(EngineSettings(interval_seconds=60.0), source)
    core.sync(Sync((member(0, "a", limit=2048 * MIB, policy=policy),), ()))
    core.restore({0: past(usage_mib)})
    source.set("a", float(usage_mib[-1]) * MIB)
    return core, source


@own_models
def test_a_policy_that_names_it_gets_its_forecast_and_never_less_than_is_used(model):
    core, _ = engine(model, OWN[model])
    said = core.tick(NOW, everything=True).recommendations
    plain, _ = engine("auto", OWN[model])
    auto = plain.tick(NOW, everything=True).recommendations
    assert said.ready.tolist() == [True]
    assert said.quantile_bytes.tolist() != auto.quantile_bytes.tolist()
    assert np.isfinite(said.quantile_bytes).all()
    assert said.target_bytes[0] >= OWN[model][-1] * MIB


@own_models
def test_a_climb_and_a_kill_raise_at_once_whatever_the_model_says(model):
    core, source = engine(model, OWN[model])
    core.tick(NOW)
    source.set("a", 2030.0 * MIB)
    climb = core.tick(NOW + 60)
    assert climb.raises.limit_bytes.max() > 2048 * MIB
    kill = core.observe((OomEvent("uid-a", "app", NOW + 120, 2048 * MIB),))
    assert kill.limit_bytes[0] >= 1.2 * 2048 * MIB


@own_models
def test_nothing_seen_and_a_silent_source_make_no_recommendation(model):
    core, source = engine(model, OWN[model])
    source.use.clear()
    for minute in range(0, 180, 10):
        silent = core.tick(NOW + 60 * minute, everything=True)
        assert silent.raises.pods == ()
        assert not silent.problems
        said = silent.recommendations
        assert (said.target_bytes[said.ready] >= OWN[model][-1] * MIB).all(), "silence lowers nothing"
    empty = EngineCore(EngineSettings(interval_seconds=60.0), ScriptedSource())
    policy = row_policy(memory_policy("p", forecast={"model": model}).container("app"))
    empty.sync(Sync((member(0, "a", policy=policy),), ()))
    assert not empty.tick(NOW, everything=True).recommendations.ready.any()


def test_an_ensemble_that_a_policy_names_learns_in_the_loop_and_hands_it_on():
    core, source = engine("ensemble", RHYTHM)
    for step in range(1, 12 * 12):
        source.set("a", 200.0 * (1.0 + 0.4 * np.sin(2 * np.pi * step / 288)) * MIB)
        core.tick(NOW + 300 * step)
    learned = weights(core)
    assert learned.max() > 1.2 * learned.min()
    heir, _ = engine("ensemble", RHYTHM)
    heir.restore({0: core.checkpoints((0,))[0]})
    heir.tick(NOW + 300 * 12 * 12)
    assert weights(heir) == pytest.approx(learned, rel=1e-2)


def weights(core):
    pipeline = core.rows.store(0).pipeline
    rows = core.rows.places(np.array([0], dtype=np.int32))
    return pipeline._models.of(model_names().index("ensemble")).weights(rows)[0]


def test_the_class_that_a_person_is_told_is_the_one_that_is_routed_by():
    core, _ = engine("routed", GROWING)
    core.tick(NOW, everything=True)
    assert inside(core, 0)["workload_class"] == "growth"
    routed = core.tick(NOW + 3600, everything=True).recommendations
    plain, _ = engine("auto", GROWING)
    plain.tick(NOW, everything=True)
    auto = plain.tick(NOW + 3600, everything=True).recommendations
    assert routed.quantile_bytes.tolist() != auto.quantile_bytes.tolist()

"""The bench of what strangers' calibration and kills are worth: what they had come to, and who is told."""

from dataclasses import replace

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.forecast.registry import peak_model
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.relatives import steps_of
from plimsoll.replay.limits import BatchFacts
from plimsoll.replay.live import FIRST_BIN
from plimsoll.replay.series import batch_of
from plimsoll.usage.sample import BIN_SECONDS

MIB = float(1 << 20)
DAY = 288
STEPS = steps_of([np.linspace(90.0, 110.0, 48) * MIB])
SETTINGS = PipelineSettings(model="windowed")


@pytest.fixture(scope="module")
def priors():
    return bench_modules(main="priors").main


def test_siblings_are_known_up_to_the_begin_and_for_three_days(priors):
    lengths = {"nezha-web-1": 5 * DAY, "nezha-web-2": DAY, "nezha-db-1": 9}
    made = batch_of("made", {name: np.ones(bins) for name, bins in lengths.items()})
    (long,) = priors.siblings_of(made, "nezha-web-2", 4 * DAY * BIN_SECONDS)
    assert (long.name, len(long.used), long.end_seconds) == ("nezha-web-1", 3 * DAY, 4 * DAY * BIN_SECONDS)
    (short,) = priors.siblings_of(made, "nezha-web-1", 4 * DAY * BIN_SECONDS)
    assert (len(short.used), short.end_seconds) == (DAY, DAY * BIN_SECONDS)
    assert list(priors.siblings_of(made, "nezha-web-2", 60 * BIN_SECONDS)) == [], (
        "less than six hours say little"
    )


def test_what_siblings_had_come_to_is_told_with_its_age(priors):
    used = np.full(2 * DAY, 100.0 * MIB)
    used[DAY:] = 400.0 * MIB  # far above what a day at 100 MiB promises
    sibling = priors.Piece("nezha-web-1", 0, used)
    begun = sibling.end_seconds + 3600
    young = priors.Young(priors.Piece("nezha-web-2", begun, used[:DAY]), STEPS, (sibling,))
    alone = replace(young, siblings=())
    made, none = priors.priors_of([young, alone], priors.Sibling(SETTINGS, peak_model("windowed")))
    assert (none.shift, none.kills) == (0.0, [])
    assert len(made.shifts) == 1
    ages = [age for age, _ in made.kills]
    assert ages
    assert all(3600.0 <= age <= 3600.0 + DAY * BIN_SECONDS for age in ages)
    assert all(100.0 * MIB < limit < 400.0 * MIB for _, limit in made.kills)


@pytest.mark.parametrize(("shift", "kills"), [(True, False), (False, True), (False, False)])
def test_each_arm_is_told_what_is_its_own(priors, shift, kills):
    prior = priors.Prior([0.2], [(600.0, 128.0 * MIB)])
    told = priors.Told(
        SETTINGS, peak_model("windowed"), steps=[STEPS], priors=[prior], with_shift=shift, with_kills=kills
    )
    told.start(BatchFacts(1, 1, 12, 1))
    (record,) = told._history.promises.record(told._rows).shift
    (limit,) = told._history.ooms(told._rows).limit_bytes
    assert record == (0.2 if shift else 0.0)
    assert limit[np.isfinite(limit)].tolist() == ([128.0 * MIB] if kills else [])
    if kills:
        assert np.nanmax(told._history.ooms(told._rows).seconds) == FIRST_BIN * BIN_SECONDS - 600.0

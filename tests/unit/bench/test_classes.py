"""The bench of online classes: what agrees with what, and who is corrected by how much."""

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.forecast.workload_class import WorkloadClass, workload_classes
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.classes import SeriesClass, classify
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.promises import BANDS, Kept
from plimsoll.replay.series import batch_of
from plimsoll.usage.events import starts_at
from plimsoll_cli.traces.parquet import read_traces
from plimsoll_cli.traces.sample import sample_directory

MIB = float(1 << 20)
HOUR = 12


@pytest.fixture(scope="module")
def bench():
    return bench_modules(classes="classes", rows="prior_rows")


def kept(promised: list[float], came: list[float]) -> Kept:
    columns = [np.zeros((len(promised), BANDS)) for _ in range(3)]
    columns[0][:, 0], columns[1][:, 0], columns[2][:, 0] = 100.0, promised, came
    return Kept(*columns)


def test_a_class_is_corrected_as_far_as_its_exceedances_outweigh_the_prior(bench):
    found = {
        WorkloadClass.FLAT: kept([4.0, 0.5], [9.0, 0.0]),
        WorkloadClass.BURSTY: kept([0.6, 0.4], [0, 200]),
    }
    both = bench.classes.factors_of(found, np.ones(2))
    assert both[WorkloadClass.FLAT] == pytest.approx(29 / 24.5)
    assert both[WorkloadClass.BURSTY] == pytest.approx(220 / 21)
    first = bench.classes.factors_of(found, np.array([1.0, 0.0]))
    assert first[WorkloadClass.BURSTY] == pytest.approx(20 / 20.6)
    assert both[WorkloadClass.DRIFT] == 1.0


def test_a_corrected_class_is_priced_and_promised_by_its_factor(bench):
    random = np.random.default_rng(5)
    flat = 100 * MIB * (1 + random.uniform(0, 0.01, 10 * HOUR))
    bursty = np.where(random.random(10 * HOUR) < 0.05, 3.0, 1.0) * flat
    batch = batch_of("made", {"flat": flat, "bursty": bursty})
    factors = bench.classes.UNCORRECTED.copy()
    factors[WorkloadClass.BURSTY] = 8.0
    settings = PipelineSettings(model="windowed", oom_price=2.0)
    plain, corrected = (bench.classes.Classed(settings, None, factors=each) for each in (None, factors))
    for each in (plain, corrected):
        replay_limits(batch, each, ReplaySettings(3 * HOUR))
    assert corrected.told(10)[:, -1].tolist() == [WorkloadClass.FLAT, WorkloadClass.BURSTY]
    assert corrected._pipeline.oom_prices(corrected._rows).tolist() == [2.0, 16.0]
    chance, raised = plain.promises(10)[:, -1], corrected.promises(10)[:, -1]
    assert raised[0] == chance[0]
    made = corrected._history.promises.open(corrected._rows).chance
    assert raised[1] == pytest.approx(min(8.0 * made[1], 1.0))


def test_what_is_finer_online_agrees_with_what_it_is_a_part_of(bench):
    assert bench.classes.agree(SeriesClass.DIURNAL, WorkloadClass.WEEKLY)
    assert bench.classes.agree(SeriesClass.FLAT, WorkloadClass.FLAT)
    assert not bench.classes.agree(SeriesClass.BURSTY, WorkloadClass.FLAT)


def test_at_their_end_most_recorded_series_are_what_the_scoring_classifier_calls_them(bench):
    """Two sets of thresholds, which must not drift apart: people are told by one, results by the other."""
    same = []
    for batch in read_traces([sample_directory()]):
        for usage, length in zip(batch.usage_bytes, batch.length_bins.tolist(), strict=True):
            window = bench.rows.windows_at(usage[:length], np.array([length // HOUR * HOUR]))
            (code,) = workload_classes(window, starts_at(np.full((1, 1), np.nan)), 0.0)
            truth = classify(usage[:length])
            if truth is not SeriesClass.IDLE:
                same.append(bench.classes.agree(truth, WorkloadClass(code)))
    assert np.mean(same) > 0.75

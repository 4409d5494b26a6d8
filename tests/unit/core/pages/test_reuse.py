"""The reuse predictor: one definition in three forms, LRU at the start, learning, int8, models as bytes."""

import numpy as np
import pytest

from builders.kernels import page_kernels
from builders.pagetraces import mixed_trace
from plimsoll.pages.page_history import cells, history_columns, touch
from plimsoll.pages.reuse_features import CELLS, FIRST_CELL, TABLES
from plimsoll.pages.reuse_learner import LearnerSettings, ReuseLearner
from plimsoll.pages.reuse_model import (
    CHECKSUM_BYTES,
    HEAD,
    ModelError,
    export_model,
    first_sound,
    import_model,
)
from plimsoll.pages.reuse_predictor import ReusePredictor, quantise
from plimsoll.pages.reuse_single import cells_of_one, predict_one

compiled = page_kernels("plimsoll.replay.page_kernels.history")
kernels = page_kernels("plimsoll.replay.page_kernels.learner")

TIMES = (40.0, 320.0, 2500.0, 64.0)


def walked(references=4000, pages=300):
    """A trace walked by numpy, one reference a batch, and by the compiled step."""
    trace = mixed_trace(21, references, pages)
    batch, single = history_columns(trace.pages, TIMES), history_columns(trace.pages, TIMES)
    for now, (row, kind) in enumerate(zip(trace.rows, trace.kind, strict=True), start=1):
        touch(batch, np.array([row], np.int32), np.array([kind], np.uint8), now)
        compiled.touch(single, row, kind, now)
    return trace, batch, single, references + 3


@pytest.fixture(scope="module")
def histories():
    return walked()


def trained(seed=3):
    tables = ReusePredictor().tables
    tables[:CELLS] += np.random.default_rng(seed).normal(0, 1.5, CELLS).astype(np.float32)
    return tables


def test_numpy_and_compiled_history_agree(histories):
    _, batch, single, _ = histories
    for name, ours, theirs in zip(batch._fields, batch, single, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_numpy_compiled_and_plain_cells_agree(histories):
    trace, batch, single, now = histories
    rows = np.arange(trace.footprint_pages, dtype=np.int32)
    together = cells(batch, rows, now)
    for row in rows:
        assert (
            tuple(together[row])
            == tuple(compiled.cells(single, row, now))
            == cells_of_one(batch, int(row), now)
        )


def test_every_cell_lies_in_its_own_table(histories):
    trace, batch, _, now = histories
    found = cells(batch, np.arange(trace.footprint_pages, dtype=np.int32), now)
    assert (found >= np.array(FIRST_CELL[:-1])).all()
    assert (found < np.array(FIRST_CELL[1:])).all()
    # Every table but the fine ones would be useless if it always said the same.
    assert (np.ptp(found, axis=0) > 0).all()


def test_numpy_and_compiled_predictions_agree(histories):
    trace, batch, single, now = histories
    state = kernels.learner(trace.pages, 50, trained())
    state = state._replace(history=single)
    state.counters[kernels.NOW] = now
    rows = np.arange(trace.footprint_pages, dtype=np.int32)
    expected = ReusePredictor(trained()).predict(cells(batch, rows, now))
    np.testing.assert_allclose([kernels.predict(state, row) for row in rows], expected, rtol=1e-5, atol=1e-5)


def test_starts_out_as_lru(histories):
    trace, batch, _, now = histories
    rows = np.arange(trace.footprint_pages, dtype=np.int32)
    predicted = ReusePredictor().predict(cells(batch, rows, now))
    by_age = np.argsort(batch.last)
    assert (np.diff(predicted[by_age]) <= 0).all()


def test_a_shared_batch_touches_neighbours_as_one_sweep():
    columns = history_columns(np.arange(4), TIMES)
    touch(columns, np.array([0, 1, 3], np.int32), np.array([0, 1, 2], np.uint8), 5)
    assert columns.sequence.tolist() == [2 * 3 + 0, 1 * 3 + 1, 0, 2]
    assert columns.region_count.tolist() == [3]
    assert columns.accesses.tolist() == [1, 1, 0, 1]


def test_a_batch_of_k_samples_moves_as_far_as_k_steps():
    one_by_one, at_once = ReusePredictor(), ReusePredictor()
    sample = np.array([FIRST_CELL[:-1]], np.int16)
    for _ in range(50):
        one_by_one.update(sample, np.array([12.0], np.float32))
    at_once.update(np.repeat(sample, 50, axis=0), np.full(50, 12.0, np.float32))
    start, target = ReusePredictor().predict(sample)[0], 12.0
    for predictor in (one_by_one, at_once):
        assert 0.5 * (target - start) < predictor.predict(sample)[0] - start <= 1.05 * (target - start)
    assert at_once.samples == one_by_one.samples == 50


def test_int8_stays_within_half_a_step_of_each_table(histories):
    trace, batch, _, now = histories
    found = cells(batch, np.arange(trace.footprint_pages, dtype=np.int32), now)
    tables = trained()
    small = quantise(tables)
    bound = 0.5 * float(small.scale.sum()) + 1e-3
    assert np.abs(small.predict(found) - ReusePredictor(tables).predict(found)).max() <= bound
    np.testing.assert_allclose(
        small.predict(found[:5]), [predict_one(small, batch, row, now) for row in range(5)], rtol=1e-5
    )


def test_compiled_int8_is_the_same_as_numpys():
    state = kernels.learner(np.arange(50, dtype=np.uint32), 20, trained(), int8=True)
    kernels.requantise(state)
    sample = np.stack([np.array(FIRST_CELL[:-1]), np.array(FIRST_CELL[1:]) - 1]).astype(np.int16)
    ours = state.used[sample].sum(axis=1) + state.used[CELLS]
    np.testing.assert_allclose(ours, quantise(trained()).predict(sample), rtol=1e-4)


def learned(epochs=300):
    """A sweep that comes back every 20 epochs, and a page in use all the time."""
    learner = ReuseLearner(
        np.arange(200), LearnerSettings(horizon=80, beside=2.0, samples=512, samples_per_batch=32)
    )
    errors = []
    for now in range(1, epochs + 1):
        part = now % 20
        rows = np.unique(np.concatenate([[0], 10 * part + np.arange(10 if part else 0)])).astype(np.int32)
        rows = rows[rows < 200]
        learner.observe(rows, np.ones(len(rows), np.uint8), now)
        errors.append(learner.squared_error)
    return learner, errors


def test_the_learner_learns_that_what_was_unused_for_longest_comes_back_first():
    learner, errors = learned()
    assert np.mean(errors[-50:]) < 0.4 * np.mean(errors[20:60])
    # A sweep: page 25 was last used 19 epochs ago and is due in one, page 175 four epochs ago and due in 16.
    soon, late = learner.next_use(np.array([25, 175], np.int32), 301)
    assert late - soon > 1.5
    assert ReusePredictor().predict(cells(learner.history, np.array([25], np.int32), 301)) > soon + 1


def test_the_learner_is_the_same_every_time():
    first, second = learned(100)[0], learned(100)[0]
    np.testing.assert_array_equal(first.predictor.tables, second.predictor.tables)


def test_a_model_comes_back_as_it_went():
    predictor = ReusePredictor(trained(), samples=12_345)
    again = import_model(export_model(predictor))
    assert again.samples == 12_345
    sample = np.stack([np.array(FIRST_CELL[:-1]), np.array(FIRST_CELL[1:]) - 1]).astype(np.int16)
    np.testing.assert_allclose(again.predict(sample), predictor.quantised().predict(sample), rtol=1e-4)
    assert len(export_model(predictor)) == HEAD.size + 4 * len(TABLES) + CELLS + CHECKSUM_BYTES


def damaged(how):
    data = bytearray(export_model(ReusePredictor(trained())))
    if how == "flipped":
        data[5000] ^= 1
    elif how == "cut":
        data = data[:-7]
    elif how == "foreign":
        data = bytearray(b"ELF!" + bytes(100))
    elif how == "empty":
        data = bytearray()
    elif how == "layout":
        data[4] += 1
    return bytes(data)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("flipped", "checksum"),
        ("cut", "cut off"),
        ("foreign", "not a reuse"),
        ("empty", "not a reuse"),
        ("layout", "layout 2"),
    ],
)
def test_a_damaged_model_is_refused_and_the_version_before_taken(how, message):
    with pytest.raises(ModelError, match=message):
        import_model(damaged(how))
    before = export_model(ReusePredictor(trained(), samples=9))
    predictor, wrong = first_sound([damaged(how), before])
    assert predictor.samples == 9
    assert len(wrong) == 1


def test_without_a_sound_model_it_starts_out_as_lru():
    predictor, wrong = first_sound([damaged("flipped"), damaged("cut")])
    assert len(wrong) == 2
    np.testing.assert_array_equal(predictor.tables, ReusePredictor().tables)


def test_a_learner_follows_a_memory_that_grows_and_forgets_what_went() -> None:
    settings = LearnerSettings(horizon=64, beside=1.0, samples=64, samples_per_batch=16)
    pages = np.arange(100, 200)
    learner = ReuseLearner(pages, settings)
    for now in range(1, 40):
        rows = np.flatnonzero(np.arange(100) % (1 + now % 3) == 0).astype(np.int32)
        learner.observe(rows, np.ones(len(rows), np.uint8), now)
    last, gap = learner.history.last.copy(), learner.history.gap1.copy()
    learner.follow(np.arange(150, 400))
    assert learner.history.last[:50].tolist() == last[50:].tolist()
    assert learner.history.gap1[:50].tolist() == gap[50:].tolist()
    assert not learner.history.accesses[50:].any()
    rows = np.arange(250, dtype=np.int32)
    learner.observe(rows, np.ones(250, np.uint8), 41)
    assert np.isfinite(learner.next_use(rows, 41)).all()

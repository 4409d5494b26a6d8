"""Since when a row runs its image: a change is one between two known images, and survives a restart."""

import numpy as np

from plimsoll.usage.history import History
from plimsoll.usage.images import ImageLog
from plimsoll.usage.sample import Quantity

ROW = np.array([0])
NOW = 1_790_000_000.0
OLD, NEW, MIXED = (np.array([code], dtype=np.uint32) for code in (11, 22, 0))


def log_of(*told: tuple[np.ndarray, float]) -> ImageLog:
    log = ImageLog(2)
    for codes, at in told:
        log.observe(ROW, codes, at)
    return log


def test_the_first_image_was_always_there():
    assert np.isnan(log_of((OLD, NOW), (OLD, NOW + 60)).since_seconds(ROW)).all()


def test_a_rollout_counts_from_when_all_pods_run_the_new_image():
    log = log_of((OLD, NOW), (MIXED, NOW + 60), (NEW, NOW + 120), (NEW, NOW + 180))
    assert log.since_seconds(ROW).tolist() == [NOW + 120]


def test_a_rollout_that_is_taken_back_while_it_runs_was_none():
    assert np.isnan(log_of((OLD, NOW), (MIXED, NOW + 60), (OLD, NOW + 120)).since_seconds(ROW)).all()


def history(codes: np.ndarray, at: float) -> History:
    made = History(Quantity.USAGE, 2)
    rows = made.add_rows(1)
    made.append(rows, at, 5e7, at)
    made.images.observe(rows, codes, at)
    return made


def restored(data: bytes, codes: np.ndarray, at: float, *, told_first: bool) -> float:
    made = History(Quantity.USAGE, 2)
    rows = made.add_rows(1)
    made.advance(at)
    if told_first:
        made.images.observe(rows, codes, at)
    made.restore(0, data)
    made.images.observe(rows, codes, at)
    return float(made.images.since_seconds(rows)[0])


def test_a_checkpoint_keeps_the_image_and_its_time():
    before = history(OLD, NOW)
    before.images.observe(ROW, NEW, NOW + 300)
    data = before.checkpoint(0)
    for first in (True, False):
        assert restored(data, NEW, NOW + 900, told_first=first) == NOW + 300


def test_an_image_that_changed_while_nobody_looked_is_noticed():
    data = history(OLD, NOW).checkpoint(0)
    assert restored(data, NEW, NOW + 900, told_first=True) == NOW  # after the last sample that was seen
    assert restored(data, NEW, NOW + 900, told_first=False) == NOW + 900
    assert np.isnan(restored(data, OLD, NOW + 900, told_first=True))

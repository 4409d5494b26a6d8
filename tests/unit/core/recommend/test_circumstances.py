"""A row of which nothing is told is decided about as if nobody could tell: as in every replay."""

import numpy as np

from builders.histories import MIB, history_of, steady
from plimsoll.forecast.protocol import LEVELS, PeakDistribution
from plimsoll.forecast.window import read_window
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.circumstances import Circumstances


def test_what_comes_in_comes_out_where_nothing_is_told():
    history, rows, _ = history_of([steady(3), steady(3, 300)])
    told = Circumstances(history)
    window = read_window(history, rows)
    lived = told.lived(window, rows)
    said = PeakDistribution(LEVELS, 100 * MIB * np.ones((2, len(LEVELS))))
    assert lived.window is window
    assert told.corrected(said, rows, lived) is said
    assert lived.held_bytes().tolist() == [0.0, 0.0]


def test_another_rows_circumstances_change_no_bit():
    """One row rolls out, begins high and loses pods; its neighbour is decided about as before."""
    usage = [steady(4), steady(4, 300)]
    usage[0][600:603] *= 3
    usage[0][-60:] *= 0.5
    alone, rows, now = history_of(usage)
    beside, _, _ = history_of(usage)
    pipeline = LimitPipeline(beside)
    first = rows[:1]
    beside.record_restart(first, now - (len(usage[0]) - 600) * 300.0)
    for code, at in ((1, now - 1e6), (2, now - 60 * 300.0)):
        beside.images.observe(first, np.array([code], dtype=np.uint32), at)
    for pods in (4, 1):
        pipeline.observe_replicas(first, np.array([pods]))
    told, untold = pipeline.decide(rows, now), LimitPipeline(alone).decide(rows, now)
    assert told.target_bytes[1] == untold.target_bytes[1]
    assert told.target_bytes[0] != untold.target_bytes[0]

"""The trees that ship: read, asked, and a clear word where LightGBM is missing."""

import sys

import numpy as np
import pytest

from builders.histories import history_of, steady, window_of
from plimsoll.forecast import registry
from plimsoll.forecast.boosted import BoostedPeak, booster_of
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.protocol import LEVELS
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.recommend.row_policy import RowPolicy

HOUR = 3600.0


def jumpy() -> np.ndarray:
    usage = steady(3)
    usage[40::97] *= 3
    return usage


def test_the_network_says_about_what_the_trees_say():
    """It was fitted to them: the tail that prices a limit differs by less than a third of a jump."""
    window = window_of(np.stack([steady(3), jumpy()]))
    trees, network = (
        model.fit(window).predict(HOUR, LEVELS).values_bytes for model in (BoostedPeak(), HazardPeak())
    )
    assert (np.diff(trees, axis=1) >= 0).all()
    assert np.log(trees / network) == pytest.approx(np.zeros(trees.shape), abs=0.35)


def test_a_rows_answer_does_not_depend_on_the_others():
    window = window_of(np.stack([steady(3), jumpy()]))
    alone = BoostedPeak().fit(window_of(jumpy())).predict(HOUR, LEVELS).values_bytes
    assert np.array_equal(BoostedPeak().fit(window).predict(HOUR, LEVELS).values_bytes[1:], alone)


def test_without_lightgbm_the_extra_is_named_and_the_default_stands_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ImportError, match=r"'\.\[forecast\]'"):
        booster_of("tree")
    monkeypatch.setitem(registry._MODELS, "boosted", lambda: BoostedPeak(booster_of("tree")))
    history, rows, now = history_of(np.stack([steady(3)] * 2))
    pipeline = LimitPipeline(history, PipelineSettings())
    pipeline.observe_policies(rows, [RowPolicy(model="boosted"), RowPolicy(model="hazard")])
    said = pipeline.decide(rows, now)
    assert said.target_bytes[0] == said.target_bytes[1]

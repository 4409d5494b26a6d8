"""Figures of end-to-end tests: quantiles of what was served and of what was timed."""

import math

import pytest

from builders.e2e import figures

BUCKETS = [({"le": "0.01"}, 5.0), ({"le": "0.1"}, 98.0), ({"le": "1.0"}, 100.0), ({"le": "+Inf"}, 100.0)]


@pytest.mark.parametrize(("share", "bound"), [(0.05, 0.01), (0.5, 0.1), (0.98, 0.1), (0.99, 1.0), (1.0, 1.0)])
def test_a_quantile_is_the_bound_of_its_bucket(share, bound):
    assert figures.upper_quantile(BUCKETS, share) == bound


def test_replicas_are_added_up():
    other = [({"le": each["le"]}, 900.0) for each, _ in BUCKETS]
    assert figures.upper_quantile([*BUCKETS, *other], 0.9) == 0.01


def test_nothing_observed_and_beyond_the_last_bound():
    assert math.isnan(figures.upper_quantile([({"le": "+Inf"}, 0.0)], 0.5))
    assert figures.upper_quantile([({"le": "1.0"}, 1.0), ({"le": "+Inf"}, 4.0)], 0.5) == math.inf


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.75, 3.0), (0.99, 4.0), (0.0, 1.0)])
def test_a_quantile_of_what_was_timed(share, value):
    assert figures.quantile([4.0, 1.0, 3.0, 2.0], share) == value


def test_of_nothing_there_is_none():
    with pytest.raises(ValueError, match="no values"):
        figures.quantile([], 0.5)


def test_what_is_noted_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "run_directory", lambda: tmp_path / "run")
    assert figures.noted() == []
    figures.note("gate.p99", 3.21987, "s")
    figures.note("gate.count", 8, "pods")
    assert figures.noted() == ["gate.p99\t3.22\ts", "gate.count\t8\tpods"]

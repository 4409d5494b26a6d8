"""The table of metrics, and what a registry makes of it."""

import pytest

from plimsoll_operator.serve.definition import MetricKind
from plimsoll_operator.serve.metrics import DEFINITIONS, Metrics


def test_names_carry_their_unit():
    for each in DEFINITIONS:
        assert each.name.endswith("_total") is (each.kind is MetricKind.COUNTER), each.name
        if each.unit in ("seconds", "bytes"):
            assert f"_{each.unit}" in each.name, each.name
        assert each.description.endswith("."), each.name
    assert len({each.name for each in DEFINITIONS}) == len(DEFINITIONS)


def test_what_is_not_in_the_table_is_an_error():
    metrics = Metrics("x")
    with pytest.raises(KeyError):
        metrics.count("plimsoll_invented_total")
    with pytest.raises(ValueError, match="label"):
        metrics.count("plimsoll_decisions_total", kind="raise")


def test_a_replaced_gauge_forgets_labels_that_are_gone():
    metrics = Metrics("x")
    metrics.replace("plimsoll_held_containers", "reason", {"UsageStale": 3.0})
    metrics.replace("plimsoll_held_containers", "reason", {"Paused": 1.0})
    assert metrics.value("plimsoll_held_containers", reason="UsageStale") == 0
    assert metrics.value("plimsoll_held_containers", reason="Paused") == 1

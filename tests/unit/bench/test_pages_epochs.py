"""Reclaim and prefetch in the page benchmark: rows by agreed names, hindsight, and prefetch at demand."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.pagetraces import mixed_trace, page_trace, write_pages
from plimsoll.pages.epochs import cut
from plimsoll.replay.epochs_policies import replay_by_name
from plimsoll.replay.epochs_score import score_epochs

BENCH = str(Path(__file__).resolve().parents[3] / "bench")


def module(name):
    if BENCH not in sys.path:
        sys.path.append(BENCH)
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def bench():
    return module("pages_epochs")


@pytest.fixture(scope="module")
def demand():
    return module("pages_prefetch").demand_prefetch


def test_rows_have_the_agreed_names_and_peers(bench, tmp_path) -> None:
    write_pages(tmp_path / "mixed.pgt", mixed_trace(7, 20_000))
    reclaims, prefetches = bench.measure(tmp_path / "mixed.pgt", 1.0)
    rows = {row.name: row for row in [*bench.reclaim_rows(reclaims), *bench.prefetch_rows(prefetches)]}
    for name in (
        "epochs.share_of_oracle_percent",
        "epochs.realised_over_target",
        "prefetch.coverage_percent",
        "prefetch.io_ratio",
    ):
        row = rows[f"pages.{name}"]
        assert row.value is None or row.low <= row.value <= row.high
    assert set(rows["pages.epochs.share_of_oracle_percent"].against) >= {
        "budgeted",
        "idle age in hindsight",
        "idle-adaptive",
    }
    view, one = cut(mixed_trace(7, 20_000), 400), next(each for each in reclaims if each.target == 0.01)
    for policy, suffix in (("guarded", ""), ("budgeted", ".budgeted")):  # each row is of what it says
        score = score_epochs(view, replay_by_name(policy, view, 0.01))
        value = rows[f"pages.epochs.share_of_oracle_percent{suffix}"].value
        assert value == pytest.approx(100 * score.share_of_oracle)
        assert rows[f"pages.epochs.realised_over_target{suffix}"].value == pytest.approx(
            score.refault_rate / 0.01
        )
    assert one.share_percent == rows["pages.epochs.share_of_oracle_percent"].value
    own = next(each for each in prefetches if each.beside == bench.HALF)
    assert rows["pages.prefetch.io_ratio"].value == pytest.approx(own.io_ratio)
    assert {name.rpartition("prefetch.io_ratio")[2] for name in rows if "prefetch.io_ratio" in name} == {
        "", ".beside_reclaim", ".study_at_demand"
    }  # fmt: skip
    assert {row.target for row in reclaims} == set(bench.TARGETS)


def test_the_curve_of_idle_ages_agrees_with_the_policy(bench) -> None:
    view = cut(mixed_trace(3, 20_000), 400)
    curve = bench.idle_curve(view)
    for age in (1, 7, 60):
        score = score_epochs(view, replay_by_name(f"idle:{age}", view, 0.01))
        assert curve[age - 1].tolist() == [score.out, score.refaults]


def test_a_scan_is_read_ahead_and_lru_alone_misses_all_of_it(demand) -> None:
    trace = page_trace(list(range(400)) * 20)
    without, beside = (demand(trace, 0.5, prefetch=on) for on in (False, True))
    assert without.refaults == 400 * 19
    assert without.prefetched == 0
    assert beside.refaults < 0.3 * without.refaults
    assert beside.io_ratio < 1.2


def test_random_misses_are_not_worsened(demand) -> None:
    pages = np.random.default_rng(1).integers(0, 500, 20_000)
    without, beside = (demand(page_trace(list(pages)), 0.5, prefetch=on) for on in (False, True))
    assert beside.refaults < 1.05 * without.refaults
    assert beside.io_ratio < 1.3

"""The page of placement says of each aim whether it was met: by the figure and its whole interval."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from builders.benches import bench_modules

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def tables():
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    return import_module("placement_tables")


def row(name, value, low=None, high=None):
    return {"name": name, "value": value, "low": low, "high": high}


def document(*rows):
    return {"commit": "abc", "rows": list(rows)}


def line(page, title):
    return next(each for each in page.splitlines() if each.startswith(f"| {title}"))


PAGE = "".join(f"<!-- table {name} -->\n<!-- end of table -->\n" for name in ("aims", "fates", "moves"))


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        ((9.0, 8.5, 9.5), "met"),
        ((9.0, None, None), "met"),
        ((9.0, 7.5, 10.0), "open"),
        ((5.0, 3.0, 9.0), "**missed**"),
        ((None, None, None), "not measured"),
    ],
)
def test_an_aim_is_met_where_all_of_its_interval_is(tables, figure, verdict):
    made = document(row("placement.nodes_saved_over_requests_percent", *figure))
    page = tables.with_placement_tables(PAGE, made, None)
    assert f"| {verdict}" in line(page, "nodes fewer than by our requests")
    assert "not measured" in line(page, "gap to the exact optimum")


def test_what_no_placing_could_save_stands_beside_what_was_saved(tables):
    name = "placement.{}_over_requests_percent"
    saved, savable = row(name.format("nodes_saved"), 5.0), row(name.format("nodes_savable"), 7.7, 7.1, 8.2)
    page = tables.with_placement_tables(PAGE, document(saved, savable), None)
    said = "| **missed**; no placing saves more than 7.7 [7.1, 8.2] |"
    assert said in line(page, "nodes fewer than by our requests")


def test_what_kube_scheduler_itself_did_stands_beside_the_model(tables):
    short = "placement.scheduler.{}.short_node_bins"
    scheduler = document(row(short.format("plimsoll"), 60.0), row(short.format("requests"), 100.0))
    page = tables.with_placement_tables(PAGE, document(row("placement.shortages_ratio", 0.2)), scheduler)
    assert "| 0.6 | **missed** |" in line(page, "the same with kube-scheduler itself")
    assert "| 0.2 | met |" in line(page, "shortages at equal packing")


def test_both_ways_of_counting_stand_beside_each_other(tables):
    name = "placement.fates.{}.no_opinion_percent"
    made = document(
        row(name.format("plimsoll"), 1.0, 0.0, 2.0), row(name.format("rows_by_workload"), 40.0, 30.0, 50.0)
    )
    page = tables.with_placement_tables(PAGE, made, None)
    assert line(page, "placements without an opinion").endswith("| 1 [0, 2] | 40 [30, 50] |")


def test_what_evicts_is_told_with_how_often_in_vain(tables):
    name = "placement.moves.relief.{}"
    short = row(name.format("short_bins_ratio"), 0.5, 0.4, 0.6)
    made = document(short, row(name.format("evictions_in_vain_percent"), 2.0))
    page = tables.with_placement_tables(PAGE, made, None)
    assert line(page, "`relief: Evict`").endswith("| 0.5 [0.4, 0.6] | not measured | 2 |")


def test_every_way_of_moving_on_the_page_is_one_of_the_bench(tables):
    bench = bench_modules(moves="placement_moves").moves
    assert set(tables.MOVES) == (bench.WAYS | bench.BY_CLOCK).keys() - {bench.PREFER}


def test_before_anything_was_measured_the_page_says_how(tables):
    assert tables.with_placement_tables(PAGE, None, None).count(tables.NOT_YET) == 3


def test_every_row_that_an_aim_is_of_is_made_by_a_bench(tables):
    benches = "".join(path.read_text() for path in sorted((DOCS.parent / "bench").glob("placement*.py")))
    made_here = "scheduler.shortages_ratio"
    for aim in tables.AIMS:
        assert aim.row == made_here or aim.row.rpartition(".")[2] in benches, aim.row


def test_recordings_have_a_table_of_their_own_result(tables):
    page = "<!-- table recorded -->\n<!-- end of table -->\n"
    made = document(row("placement.recorded.prefer.short_bins", 26.0, 4.0, 50.0))
    assert "| 26 [4, 50] |" in line(tables.with_placement_tables(page, None, None, made), "`Prefer` alone")

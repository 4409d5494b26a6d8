"""The page benchmark on small traces: rows by their agreed names, peers beside them, tables of them."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from builders.pagetraces import mixed_trace, write_pages
from plimsoll_cli.failure import CommandError

ROOT = Path(__file__).resolve().parents[3]
AGREED = (
    *("pages.replacement.mean_gap_percent", "pages.replacement.geomean_misses_over_lru"),
    *("pages.replacement.worst_misses_over_lru", "pages.cost.us_per_page", "pages.cost.single_p99_us"),
)


def module(directory, name):
    if str(ROOT / directory) not in sys.path:
        sys.path.append(str(ROOT / directory))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def bench():
    return module("bench", "pages")


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    directory = tmp_path_factory.mktemp("traces")
    for seed in (1, 2):
        write_pages(directory / f"mixed{seed}.pgt", mixed_trace(seed, 8000))
    return directory


@pytest.fixture(scope="module")
def document(bench, traces, tmp_path_factory):
    """What a run writes, without the library."""
    paths = bench.trace_paths(traces)
    measured = module("bench", "pages_cases")
    cases = [measured.case_of(path, at, library=False) for path in paths for at in measured.FRACTIONS]
    rows = [*bench.replacement_rows(cases), *bench.learning_rows(cases), *bench.cost_rows(paths[0], 1.0)]
    report = module("bench", "report")
    kept = report.RESULTS, report.commit
    report.RESULTS, report.commit = tmp_path_factory.mktemp("results"), lambda: "abc1234"
    try:
        path = report.write_results("pages", rows, 7, 1.0, {"replacement": bench.document_of(cases)})
    finally:
        report.RESULTS, report.commit = kept
    return json.loads(path.read_text("utf-8"))


def test_rows_have_the_agreed_names(document):
    rows = {row["name"]: row for row in document["rows"]}
    assert set(AGREED) <= set(rows)
    assert all(rows[name]["value"] is not None for name in AGREED)


def test_everybody_stands_beside_ours(document):
    row = document["rows"][0]
    assert row["name"] == "pages.replacement.mean_gap_percent"
    assert {"lru", "clock", "s3fifo", "arc", "lirs", "gam", "belady"} <= set(row["against"])
    assert row["against"]["lru"] == pytest.approx(0)
    assert row["against"]["belady"] == pytest.approx(100)
    assert row["low"] <= row["value"] <= row["high"]


def test_a_library_that_is_not_there_is_told(document):
    row = document["rows"][0]
    assert row["against"]["library-in-hindsight"] is None
    assert "libcachesim" in row["why"]


def test_the_page_shows_what_was_measured(document):
    tables = module("docs", "page_tables")
    page = (ROOT / "docs" / "pages.md").read_text("utf-8")
    made = tables.with_page_tables(page, document)
    assert "mixed1, mixed2" in made
    assert "| Belady | 100.0 |" in made
    assert tables.with_page_tables(page, None).count(tables.NOT_YET) == page.count("<!-- table ")


def test_a_directory_without_traces_is_told(bench, tmp_path):
    with pytest.raises(CommandError, match=r"no \*\.pgt here"):
        bench.trace_paths(tmp_path)

"""Pages say of results whether what they measure has changed since."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
OLD = "**Older than what they measure**"


@pytest.fixture(scope="module")
def ageing():
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    import ageing

    return ageing


def aged(ageing, files, now, **row):
    document = {"measured": {"paths": ["*"], "files": files}, "rows": [{"name": "x", **row}]}
    return ageing.with_ages({"leak": document}, ageing.Tree(lambda patterns: now, lambda path: None))["leak"]


def test_results_are_old_where_a_file_is_another_one(ageing):
    assert aged(ageing, {"a": "1"}, {"a": "1"})["age"] == ""
    assert f"{OLD}: 1 file had" in aged(ageing, {"a": "1"}, {"a": "2"})["age"]
    assert f"{OLD}: 2 files had" in aged(ageing, {"a": "1"}, {"b": "1"})["age"]
    unknown = ageing.with_ages({"leak": {"rows": []}})["leak"]
    assert unknown["age"] == ageing.UNKNOWN


def test_a_row_of_another_bench_has_the_age_of_that_ones_results(ageing):
    old = aged(ageing, {"a": "1"}, {"a": "2"}, bench="leak")
    assert old["rows"][0]["age"] == ", older than what it measures"
    assert aged(ageing, {"a": "1"}, {"a": "1"}, bench="leak")["rows"][0]["age"] == ""
    assert "age" not in aged(ageing, {"a": "1"}, {"a": "2"})["rows"][0]


def test_by_how_many_files_is_no_matter_of_a_stale_page_and_whether_at_all_is(ageing):
    one, two, none = (
        f"Commit `a`.{each}\n" for each in (ageing.OLD.format("1 file"), ageing.OLD.format("12 files"), "")
    )
    assert ageing.age_apart(one) == ageing.age_apart(two)
    assert ageing.age_apart(one) != ageing.age_apart(none)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_page_says_truthfully_which_results_are_old(ageing, path):
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    section = page.split(f"\n## {path.stem}\n")[1].split("\n## ")[0]
    recorded = json.loads(path.read_text("utf-8")).get("measured")
    since = ageing.changed(recorded, ageing.working_tree(), path.stem)
    assert (OLD in section) == bool(since), "run `make crds`"
    assert (ageing.UNKNOWN in section) == (since is None)

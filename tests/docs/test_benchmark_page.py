"""The benchmark's page: every recommender is on it, tests it names exist, tables are the results'."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.replay.recommenders import NAMES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmark.md").read_text("utf-8")
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.fixture(scope="module")
def tables():
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    import benchmark_tables

    return benchmark_tables


@pytest.mark.parametrize(("path", "test"), NAMED_TESTS)
def test_tests_that_it_names_exist(path, test):
    text = (ROOT / path).read_text("utf-8")
    assert not test or f"def {test}(" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_recommender_is_explained(name):
    assert f"\n| `{name}` |" in PAGE


def test_without_results_the_tables_say_so_and_the_text_stays(tables):
    emptied = tables.with_tables(PAGE, None)
    assert emptied.count(tables.NOT_YET) == PAGE.count("<!-- table ")
    assert tables.with_tables(emptied, None) == emptied
    assert "## Score your own program" in emptied


def test_every_mark_has_a_table_or_a_plot(tables):
    marked = re.findall(r"<!-- table (\w+) -->", PAGE)
    assert sorted(marked) == sorted(["ran", *tables.TABLES, *tables.PLOTS])


def row(name, value, low=None, high=None, against=None):
    return {
        "name": name,
        "value": value,
        "unit": "u",
        "n": 3,
        "low": low,
        "high": high,
        "against": against or {},
    }


def test_points_are_taken_over_with_intervals_and_gaps(tables):
    rows = [
        row("forecast.core.oom_at_slack_268", 24.6, 12.0, 38.25, {"vpa": 78.4, "oracle": None}),
        row("forecast.core.slack_at_oom_76", None, against={"vpa": 0.2621}),
    ]
    made = tables.with_tables("<!-- table points -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| **Plimsoll** | 24.6 [12, 38.2] | - |\n" in made
    assert "| vpa | 78.4 | 0.262 |\n| oracle | - | - |\n" in made


def test_differences_stand_beside_each_other(tables):
    rows = [
        row("forecast.core.oom.minus_vpa", -40.0, -60.0, -20.0),
        row("forecast.core.oom.minus_vpa_guarded", -30.0, -50.0, -5.0),
    ]
    made = tables.with_tables("<!-- table differences -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| `forecast.core.oom` (u) | -40 [-60, -20] | -30 [-50, -5] |\n" in made


def test_classes_and_calibration_are_by_class(tables):
    def point(kind, who, oom):
        return {
            "class": kind,
            "recommender": who,
            "setting": "default",
            "n": 4,
            "oom": [oom, 0, 9],
            "slack": [0.2, 0, 1],
        }

    document = json.loads(
        json.dumps(
            {
                "frontier": [
                    point(k, w, o) for k in ("all", "flat") for w, o in (("plimsoll", 1.0), ("vpa", 2.0))
                ],
                "rows": [
                    row(f"forecast.calibration{kind}.{name}", value, value / 2, value * 2)
                    for kind in ("", ".flat")
                    for name, value in (
                        ("promised", 0.001),
                        ("realised", 0.0012),
                        ("realised_over_promised", 1.2),
                    )
                ],
            }
        )
    )
    made = tables.with_tables("<!-- table classrows -->\n<!-- end of table -->\n", document)
    assert "| flat | 4 | 1 [0, 9] @ 0.2 [0, 1] | 2 [0, 9] @ 0.2 [0, 1] |\n" in made
    made = tables.with_tables("<!-- table calibrationrows -->\n<!-- end of table -->\n", document)
    assert "| all | 3 | 0.1 % | 0.12 % [0.06 %, 0.24 %] | 1.2 [0.6, 2.4] |\n" in made
    assert "| flat | 3 |" in made


def test_every_command_of_the_page_is_a_target_of_the_makefile():
    """They take minutes, so they are not run here: make says what it would do, which runs the bench."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line]
    assert commands
    for command in commands:
        program, *arguments = command.split()
        assert program == "make", command
        told = subprocess.run(
            ["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert f"bench/{arguments[0].removeprefix('bench-')}.py" in told.stdout

"""One set of rows, four ways."""

import csv
import io
import json

import pytest
import yaml

from plimsoll_cli.output import OutputFormat, print_rows, render

ROWS = [
    {"name": "a", "slack": 0.25, "ooms": 3, "why": None},
    {"name": "b, c", "slack": float("nan"), "ooms": 12345, "why": "no series"},
]


def test_json_and_yaml_hold_the_values_and_no_nan():
    expected = [dict(ROWS[0]), {**ROWS[1], "slack": None}]
    assert json.loads(render(ROWS, OutputFormat.JSON)) == expected
    assert yaml.safe_load(render(ROWS, OutputFormat.YAML)) == expected


def test_csv_quotes_and_leaves_what_is_absent_empty():
    back = list(csv.DictReader(io.StringIO(render(ROWS, OutputFormat.CSV))))
    assert back == [
        {"name": "a", "slack": "0.25", "ooms": "3", "why": ""},
        {"name": "b, c", "slack": "", "ooms": "12345", "why": "no series"},
    ]


def test_table_has_headings_and_a_dash_for_what_is_absent():
    lines = render([{"oom_per_1000cd": 79.27, **row} for row in ROWS], OutputFormat.TABLE).splitlines()
    assert "oom per 1000cd" in lines[1]
    assert [line.split()[-1] for line in lines[3:5]] == ["-", "series"]


@pytest.mark.parametrize("name", ["job[blue]", "job[/blue]", "[link=x]a[/link]", "a:fire:b", "\\[b]"])
def test_a_name_that_looks_like_markup_is_a_name(name, capsys):
    print_rows([{"name": name}], OutputFormat.TABLE, title=f"of {name}")
    printed = capsys.readouterr().out
    assert printed.startswith(f"of {name} \n")
    assert f"  {name} " in printed
    assert f"  {name} " in render([{"name": name}], OutputFormat.TABLE)


@pytest.mark.parametrize(
    ("output", "printed"),
    [(OutputFormat.JSON, "[]\n"), (OutputFormat.YAML, "[]\n"), (OutputFormat.CSV, "")],
)
def test_no_rows_are_no_error_and_no_empty_line(output, printed, capsys):
    print_rows([], output)
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize("output", list(OutputFormat))
def test_prints_what_it_renders(output, capsys):
    print_rows(ROWS, output)
    printed = capsys.readouterr().out
    assert "12345" in printed
    assert printed.endswith("\n")

"""A figure that a page names is a row of a committed result.

A name in backticks that begins as a bench's rows do (`loop.refresh_seconds.1000`) is a figure, unless it is a
policy's field, a value of the chart, a module or a file. A bench without any committed result claims nothing.
"""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    if path.name != "results.md"  # it is made of the rows
)
ROWS = {
    row["name"]
    for path in (ROOT / "docs" / "results").glob("*.json")
    for row in json.loads(path.read_text("utf-8"))["rows"]
}
BENCHES = {name.partition(".")[0] for name in ROWS}
NAME = re.compile(r"`([a-z_]+\.[A-Za-z0-9_.*-]+)`")
PACKAGES = [
    ROOT / "core" / "plimsoll",
    *(ROOT / part / f"plimsoll_{part}" for part in ("operator", "nodeagent", "cli")),
]


def is_known(name: str) -> bool:
    return any(fnmatchcase(row, name) for row in ROWS) if "*" in name else name in ROWS


def fields() -> set[str]:
    """Policies' and profiles' fields, without `spec.` and `status.`; `[]` of lists is left out."""
    listed = re.findall(
        r"^\| `(?:spec|status)\.([\w.\[\]]+)`", (ROOT / "docs/crds.md").read_text("utf-8"), re.MULTILINE
    )
    return {each.replace("[]", "") for each in listed}


def chart_values(tree: dict[str, object], before: str = "") -> set[str]:
    found = set()
    for key, value in tree.items():
        found |= {f"{before}{key}"} | (
            chart_values(value, f"{before}{key}.") if isinstance(value, dict) else set()
        )
    return found


VALUES = chart_values(yaml.safe_load((ROOT / "charts/plimsoll/values.yaml").read_text("utf-8")))
# Values of before are refused by name, in the templates.
TEMPLATES = "".join(
    path.read_text("utf-8")
    for path in (ROOT / "charts" / "plimsoll").rglob("*")
    if path.suffix in (".tpl", ".json")
)
FIELDS = fields()


def is_something_else(name: str) -> bool:
    """A field, a value of the chart (`agent.act.*` too), a module or what is in it, or a file."""
    value = name.removesuffix(".*")
    if (
        any(f".{each}".endswith(f".{value}") for each in FIELDS)
        or value in VALUES
        or f'"{value}"' in TEMPLATES
        or f"{value} " in TEMPLATES
    ):
        return True
    first, second, *_ = name.split(".")
    if second in ("py", "lock", "sh", "json", "md"):
        return True
    return any((package / first / second).with_suffix(".py").is_file() for package in PACKAGES)


def unknown(text: str) -> list[str]:
    """Names of figures that no committed result has."""
    named = dict.fromkeys(NAME.findall(text))
    figures = [name for name in named if name.partition(".")[0] in BENCHES]
    return [name for name in figures if not is_known(name) and not is_something_else(name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_figures_that_a_page_names_are_rows_of_committed_results(page: Path):
    assert unknown(page.read_text("utf-8")) == []


def test_a_row_that_nobody_has_measured_is_found_and_other_names_are_left_alone():
    assert unknown("`loop.never_measured_ms` and `forecast.core.censored_never*`") == [
        "loop.never_measured_ms",
        "forecast.core.censored_never*",
    ]
    assert unknown("`loop.refresh_seconds.1000`, `forecast.core.oom*`") == []
    assert unknown("`forecast.model`, `agent.act.enabled`, `usage.images`, `loop.py`, `tests.x`") == []

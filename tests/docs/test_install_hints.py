"""No page and no message sends a person to the package index, where `plimsoll` is a stranger's package."""

import re
from pathlib import Path

import pytest

from plimsoll.install import install_hint

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("bench", "charts", "cli", "core", "docs", "kind", "nodeagent", "operator")
TEXTS = {".md", ".py", ".sh", ".txt", ".yaml"}
FILES = [
    *ROOT.glob("*.md"),
    *(
        each
        for room in ROOMS
        for each in (ROOT / room).rglob("*")
        if each.suffix in TEXTS and "_build" not in each.parts
    ),
]
FROM_AN_INDEX = re.compile(r"(?:pip|uv|pipx)3? (?:tool )?install (?:-\S+ )*['\"]?plimsoll|install plimsoll\[")


def test_some_files_are_looked_at():
    assert {"README.md", "cli.md", "failure.py"} <= {each.name for each in FILES}


@pytest.mark.parametrize(
    "text", ["pip install 'plimsoll[redis]'", "pip install plimsoll", "uv tool install plimsoll"]
)
def test_what_names_the_index_would_be_found(text):
    assert FROM_AN_INDEX.search(text)


def test_nothing_is_installed_by_name_from_an_index():
    found = [str(each.relative_to(ROOT)) for each in FILES if FROM_AN_INDEX.search(each.read_text("utf-8"))]
    assert found == []


def test_a_hint_installs_the_checkout_with_the_extras_that_are_named():
    assert (
        install_hint("operator", "redis")
        == "in the checkout `make venv`, or `pip install '.[operator,redis]'`"
    )

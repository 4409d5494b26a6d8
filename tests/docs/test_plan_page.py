"""docs/plan.md shows what its command says: every figure that is counted, and every word."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plan.md").read_text("utf-8")
# Chances and amounts follow the machine's last bits; counts of nodes do not.
FRACTION = re.compile(r"under 1e-06|over 0\.999|\d+(?:\.\d+(?:e[-+]\d+)?|e[-+]\d+)")


@pytest.fixture(scope="module")
def plan_shown():
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    import plan_shown

    return plan_shown


def words(text):
    return [" ".join(FRACTION.sub("#", line).split()) for line in text.splitlines()]


def test_the_page_shows_what_the_command_says(plan_shown):
    now = plan_shown.with_output(PAGE, plan_shown.output())
    assert words(plan_shown.shown(now)) == words(plan_shown.shown(PAGE)), "run python docs/plan_shown.py"


def test_the_shown_command_is_the_one_that_was_run(plan_shown):
    assert f"$ plimsoll {' '.join(plan_shown.COMMAND)}\n" in PAGE


def test_nothing_else_on_the_page_is_touched(plan_shown):
    made = plan_shown.with_output(PAGE, "said\n\n")
    assert "<!-- output -->\n```text\nsaid\n```\n<!-- end of output -->" in made
    assert plan_shown.MARKED.sub("", made) == plan_shown.MARKED.sub("", PAGE)

"""`make help` names every target that says what it does, and a page names no target that is not there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([A-Za-z0-9_-]+):(?!=)", RULES, re.MULTILINE))
EXPLAINED = dict(re.findall(r"^([A-Za-z0-9_-]+):.*## (.+)$", RULES, re.MULTILINE))
MENTIONED = re.compile(r"(?:`|^ {4}|^\$ )make ((?:[a-z0-9][a-z0-9-]* ?)+)", re.MULTILINE)
PAGES = [
    each
    for each in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if each.name != "CHANGELOG.md" and "_build" not in each.parts
]


def test_help_names_every_target_with_its_line():
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines == EXPLAINED
    assert {"help", "demo", "test", "e2e", "bench-e2e"} <= set(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_target_that_a_page_names_is_there(page: Path):
    text = re.sub(r"there is no `make [^`]*`", "", page.read_text())
    named = {target for group in MENTIONED.findall(text) for target in group.split()}
    assert named <= TARGETS, sorted(named - TARGETS)

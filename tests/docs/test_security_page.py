"""Every line of the threat model is held by tests that exist; in: docs/security.md and docs/coordination.md.

A test is named `file.py::test_name`, with as much of its path as tells it apart. It counts if it is a
function of that file that is not skipped whatever happens.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ALONE = re.compile(r"`(test_\w+)`")
SECTIONS = ("A stolen agent token, or a node", "Redis", "A namespace")


def rows(page: Path) -> Iterator[str]:
    """The lines of a page's tables, without their heads."""
    for line in page.read_text().splitlines():
        if line.startswith("|") and not line.startswith(("| who has", "| ---", "| with |")):
            yield line


@cache
def known_tests(path: Path) -> frozenset[str]:
    """Names of a file's test functions that are run, or that only a missing machine keeps from it."""
    functions = [
        each
        for each in ast.parse(path.read_text()).body
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name.startswith("test_")
    ]
    always_skipped = {
        each.name
        for each in functions
        if any(re.search(r"mark\.(skip|xfail)\b", ast.unparse(mark)) for mark in each.decorator_list)
    }
    return frozenset({each.name for each in functions} - always_skipped)


@cache
def files_of_tests() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / "tests").rglob("test_*.py")))


def holders(name: str, function: str) -> list[Path]:
    """The files that end so and have the test."""
    ending = f"/{name}"
    return [each for each in files_of_tests() if str(each).endswith(ending) and function in known_tests(each)]


LINES = [*rows(PAGE)]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("|")[1].strip()[:40])
def test_a_line_is_held_by_tests_that_exist(line: str):
    assert len(re.split(r"(?<!\\)\|", line)) == 6, "who has, can, cannot, held by"
    named = NAMED.findall(line.rpartition("|")[0].rpartition(" | ")[2])
    assert named, "no test is named"
    assert line.count("::") == len(named), "a name that is written otherwise"
    for name, function in named:
        assert len(holders(name, function)) == 1, f"{name}::{function}"


def test_the_page_speaks_of_a_token_of_redis_and_of_a_namespace():
    heads = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [each for each in heads if each in SECTIONS] == [*SECTIONS]
    assert len(LINES) > 30
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text()


def test_what_the_page_on_coordination_names_exists():
    named = {each for line in rows(ROOT / "docs" / "coordination.md") for each in ALONE.findall(line)}
    known = frozenset().union(*map(known_tests, files_of_tests()))
    assert len(named) > 5
    assert named <= known


def test_a_test_that_is_not_there_or_never_runs_holds_nothing(tmp_path: Path):
    path = tmp_path / "test_x.py"
    path.write_text("@pytest.mark.skip\ndef test_a(): ...\n\n\nasync def test_b(): ...\nx = 'def test_c'\n")
    assert known_tests(path) == {"test_b"}
    assert holders("test_security_page.py", "test_nothing") == []

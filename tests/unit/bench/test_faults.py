"""The table of faults: read out of a junit report, joined by fault, and drawn for the docs."""

import ast
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.benches import bench_modules

ROOT = Path(__file__).resolve().parents[3]
SAID = {"fault": "Redis killed", "injected": 1, "survived": 1, "lost": 0, "of": 45, "what": "records"}
CASE = (
    '<testcase classname="tests.contract.test_x" name="{name}">'
    "<properties>{said}</properties>{end}</testcase>"
)


@pytest.fixture(scope="module")
def made():
    sys.path.append(str(ROOT / "docs"))
    try:
        import fault_tables

        return SimpleNamespace(main=bench_modules(main="faults").main, tables=fault_tables)
    finally:
        sys.path.remove(str(ROOT / "docs"))


def report(directory: Path, *cases: tuple[str, dict, str]) -> Path:
    path = directory / "report.xml"
    texts = []
    for name, said, end in cases:
        value = json.dumps(said).replace('"', "&quot;")
        texts.append(CASE.format(name=name, said=f'<property name="fault" value="{value}"/>', end=end))
    path.write_text(f"<testsuites><testsuite>{''.join(texts)}</testsuite></testsuites>")
    return path


def test_counts_of_one_fault_are_added_and_a_test_that_failed_counts_nothing(made, tmp_path):
    other = SAID | {"lost": 2, "of": 5}
    path = report(
        tmp_path,
        ("test_killed[one]", SAID, ""),
        ("test_killed[two]", other, ""),
        ("test_failed", SAID | {"fault": "another"}, "<failure/>"),
        ("test_skipped", SAID | {"fault": "another"}, "<skipped/>"),
    )
    (found,) = made.main.joined(list(made.main.counted(path)))
    assert (found.injected, found.survived, found.lost, found.of) == (2, 2, 2, 50)
    assert found.test == "tests/contract/test_x.py::test_killed"
    tests = ("tests/contract/test_x.py::test_killed", "tests/contract/test_x.py::test_failed")
    assert made.main.silent(tests, [found]) == ["tests/contract/test_x.py::test_failed"]
    rows = list(made.main.rows([found], made.main.silent(tests, [found])))
    assert [row.value for row in rows] == [2.0, 2.0, 2.0, None]
    assert rows[2].name == "fault.redis_killed.lost"


def test_every_test_of_the_table_is_there_and_counts(made):
    for each in made.main.TESTS:
        path, _, name = each.partition("::")
        text = (ROOT / path).read_text()
        assert f"def {name}(" in text, each
        assert "counted" in text, each


def test_every_test_that_counts_is_in_the_table(made):
    """Else it counts for nobody: its figures are thrown away."""
    counting = {
        f"{path.relative_to(ROOT)}::{function.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        and function.name.startswith("test_")
        and "counted" in {each.arg for each in function.args.args}
    }
    assert counting == set(made.main.TESTS)


def test_the_page_has_the_table_and_says_what_has_none(made):
    page = (ROOT / "docs" / "coordination.md").read_text()
    found = made.main.Fault("Redis killed", "tests/contract/test_x.py::test_killed", 1, 1, 0, 45, "records")
    rows = [asdict(each) for each in made.main.rows([found], ["tests/contract/test_y.py"])]
    document = {"commit": "c", "seconds": 1.0, "rows": rows, **made.main.beside([found])}
    filled = made.tables.with_faults(page, document)
    assert "| Redis killed | 1 | 1 | 0 | 45 records | `contract/test_x.py::test_killed` |" in filled
    assert "- fault of tests/contract/test_y.py: the test failed" in filled
    assert made.tables.NOT_YET in made.tables.with_faults(page, None)

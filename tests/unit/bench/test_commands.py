"""What a results page says to run: with the checkout's own interpreter, for a plain PATH has no `python`."""

import ast
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[3] / "bench").glob("*.py"))


def strings(tree: ast.Module) -> list[str]:
    """All literals but docstrings, which say what a module is."""
    docs = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    return [
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in docs
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_commands_name_the_interpreter(script):
    said = [each for each in strings(ast.parse(script.read_text())) if "python bench/" in each]
    assert all(".venv/bin/python bench/" in each for each in said), said

"""The benchmark's page, the modules that make its tables, and rows of invented results."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmark.md").read_text("utf-8")


def benchmark_tables() -> ModuleType:
    """`docs/benchmark_tables.py`, as `python docs/generate.py` has it."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    return import_module("benchmark_tables")


def read(name: str) -> dict[str, Any]:
    """The committed results of a bench."""
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text("utf-8"))


def row(
    name: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    against: dict[str, float | None] | None = None,
) -> dict[str, Any]:
    """A row of three series."""
    return {
        "name": name,
        "value": value,
        "unit": "u",
        "n": 3,
        "low": low,
        "high": high,
        "against": against or {},
    }

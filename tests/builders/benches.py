"""A bench's modules as `python bench/<name>.py` has them: they import each other by their bare names."""

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

BENCH = Path(__file__).parents[2] / "bench"


def bench_modules(**names: str) -> SimpleNamespace:
    """Modules of bench/ under names of the test's choice: `bench_modules(main="forecast")`."""
    sys.path.append(str(BENCH))
    try:
        return SimpleNamespace(**{name: import_module(module) for name, module in names.items()})
    finally:
        sys.path.remove(str(BENCH))

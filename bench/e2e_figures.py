"""What end-to-end tests measured on real kernels: shrinks, leases, what nodes learn of each other, placement.

In: a cluster (`kind/up.sh`, or the one that is up), the tests that note figures. Out:
bench/results/e2e_figures.json, a row for each figure that a test noted. A run with a failed test is no
measurement: nothing is written then. Seconds of emulated nodes are an emulator's.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from report import Row, bench_options, write_results

REPOSITORY = Path(__file__).resolve().parents[1]
FIGURES = REPOSITORY / "build/e2e/figures"
TESTS = ("test_coordination.py", "test_shared_memory.py", "test_placement.py")


def main() -> None:
    """Run, read, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", default=TESTS, help="files of tests/e2e")
    tests, began = bench_options(parser).tests, time.monotonic()
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-v", *(f"tests/e2e/{each}" for each in tests)]
    environment = os.environ | {"PLIMSOLL_E2E_FIGURES": str(FIGURES)}
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)
    rows = rows_of(FIGURES.read_text(), f".venv/bin/python bench/e2e_figures.py {' '.join(tests)}")
    print(write_results("e2e_figures", rows, 0, time.monotonic() - began))


def rows_of(text: str, command: str) -> list[Row]:
    """A row for each line of name, value and unit; where a name comes twice, the later."""
    lines = (line.split("\t") for line in text.splitlines())
    return list(
        {
            name: Row(f"e2e.figures.{name}", float(value), unit, 1, command) for name, value, unit in lines
        }.values()
    )


if __name__ == "__main__":
    sys.exit(main())

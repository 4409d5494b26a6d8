"""How long the end-to-end tests take, and what the images weigh.

In: `kind/e2e.sh`, run to its end; it writes each stage and its seconds to build/e2e/times. Out:
bench/results/e2e.json. A run with a failed test is no measurement: nothing is written then. Whether the
environment came from the cache is in the figures' names, as it was found before the run.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from report import Row, bench_options, write_results

REPOSITORY = Path(__file__).resolve().parents[1]
TIMES = REPOSITORY / "build/e2e/times"
SIZE = re.compile(r"(?P<part>\w+): (?P<unpacked>\d+) MB unpacked, (?P<compressed>\d+) MB compressed")


def main() -> None:
    """Run, read, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", choices=["core", "all"], nargs="?", default="all")
    tests = bench_options(parser).tests
    command, began = f".venv/bin/python bench/e2e.py {tests}", time.monotonic()
    source = "cached" if cached() else "from_nothing"
    subprocess.run([REPOSITORY / "kind/e2e.sh", tests], check=True)
    rows = [*times(f"e2e.{tests}.{source}", command), *sizes(command)]
    print(write_results("e2e", rows, 0, time.monotonic() - began))


def cached() -> bool:
    """True where a node disk was made before."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("PLIMSOLL_CACHE") or Path(home) / "plimsoll")
    return any(cache.glob("vm/node-*.raw"))


def times(prefix: str, command: str) -> list[Row]:
    """A row for each stage."""
    lines = (line.split("\t") for line in TIMES.read_text().splitlines())
    return [
        Row(f"{prefix}.{re.sub('[^a-z0-9]+', '_', stage)}_seconds", float(seconds), "s", 1, command)
        for stage, seconds in lines
    ]


def sizes(command: str) -> list[Row]:
    """What the assembled images weigh, all layers together, as a registry keeps them and as a node does."""
    asked = [REPOSITORY / "kind/vm/make-images.sh", "sizes"]
    told = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [
        Row(f"image.{found['part']}.{name}_mb", float(found[name]), "MB", 1, command)
        for found in SIZE.finditer(told)
        for name in ("compressed", "unpacked")
    ]


if __name__ == "__main__":
    sys.exit(main())

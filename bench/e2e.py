"""How long the end-to-end tests take, and what the images weigh.

In: `kind/e2e.sh`, run to its end; it writes each stage and its seconds to build/e2e/times. Out:
bench/results/e2e.json. A run with a failed test is no measurement: nothing is written then. Nor is one on
a cluster that is up already, or on one that is not of VM nodes: that is refused. What of the environment came
from the cache is in the figures' names: `cached` where the very disk that the nodes started from was there
before the run, `partly_cached` where only other things were, `from_nothing` where nothing was.

What the Dockerfiles' images weigh are rows of their own (`podman`) where `make images-podman` has built those
of this very commit before; else there are none.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from report import Row, bench_options, commit, write_results

REPOSITORY = Path(__file__).resolve().parents[1]
TIMES = REPOSITORY / "build/e2e/times"
PODMAN_IMAGES = REPOSITORY / "build/e2e/podman-images"
SIZE = re.compile(r"(?P<part>\w+): (?P<unpacked>\d+) MB unpacked, (?P<compressed>\d+) MB compressed")
BUILT = re.compile(
    r"localhost/plimsoll/(?P<part>\w+):\S+, built by podman:"
    r" (?P<unpacked>\d+) MB unpacked, (?P<compressed>\d+) MB compressed"
)


def main() -> None:
    """Run, read, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", choices=["core", "all"], nargs="?", default="all")
    tests = bench_options(parser).tests
    if why := refused():
        parser.error(why)
    command, began = f".venv/bin/python bench/e2e.py {tests}", time.monotonic()
    before = kept()
    subprocess.run([REPOSITORY / "kind/e2e.sh", tests], check=True)
    source = source_of(told("kind/vm/build-disk.sh"), before)
    rows = [*times(f"e2e.{tests}.{source}", command), *sizes(command), *podman_sizes()]
    print(write_results("e2e", rows, 0, time.monotonic() - began))


def refused() -> str:
    """Why a run's times would not be those of a cluster of VM nodes from its start; "" where they are."""
    provider = told("kind/up.sh", "--check")
    if provider != "vm":
        return f"the figures are of VM nodes, and the cluster would come from {provider}: PLIMSOLL_CLUSTER=vm"
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    name = os.environ.get("PLIMSOLL_CLUSTER_NAME") or "plimsoll"
    if (Path(home) / "plimsoll" / name / "provider").exists():
        return f"the cluster {name} is up, or left over: its start cannot be timed; kind/down.sh removes it"
    return ""


def kept() -> set[str]:
    """Names of what the cache has for VM nodes: binaries, and all that disks are made of."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("PLIMSOLL_CACHE") or Path(home) / "plimsoll")
    return {each.name for part in ("bin", "vm") for each in (cache / part).glob("*")}


def source_of(disk: str, before: set[str]) -> str:
    """Where the environment came from: the path of the nodes' disk now, and what the cache had before."""
    if Path(disk).name in before:
        return "cached"
    return "partly_cached" if before else "from_nothing"


def told(script: str, *arguments: str) -> str:
    """What a script prints."""
    asked = [REPOSITORY / script, *arguments]
    return subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def times(prefix: str, command: str) -> list[Row]:
    """A row for each stage."""
    lines = (line.split("\t") for line in TIMES.read_text().splitlines())
    return [
        Row(f"{prefix}.{re.sub('[^a-z0-9]+', '_', stage)}_seconds", float(seconds), "s", 1, command)
        for stage, seconds in lines
    ]


def sizes(command: str) -> list[Row]:
    """What the assembled images weigh, all layers together, as a registry keeps them and as a node does."""
    return [
        Row(f"image.{found['part']}.{name}_mb", float(found[name]), "MB", 1, command)
        for found in SIZE.finditer(told("kind/vm/make-images.sh", "sizes"))
        for name in ("compressed", "unpacked")
    ]


def podman_sizes() -> list[Row]:
    """The same of the images that the Dockerfiles make, as `kind/vm/kind/cluster.sh images` left it."""
    try:
        at, *lines = PODMAN_IMAGES.read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return []
    if at != commit():
        return []
    return [
        Row(f"image.{found['part']}.podman.{name}_mb", float(found[name]), "MB", 1, "make images-podman")
        for found in map(BUILT.fullmatch, lines)
        if found
        for name in ("compressed", "unpacked")
    ]


if __name__ == "__main__":
    sys.exit(main())

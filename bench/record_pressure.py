"""Puts memory under stress and records what the kernel says, ten times a second. For virtual machines ONLY.

Runs as root inside a node, with what the node agent imports. Plays five patterns at five levels
(`pressure_stress.py`), in a cgroup with a limit (`--scope cgroup`) or against the whole node (`--scope
node`), and writes one gzip file: a first line of provenance, then a line per scope and reading with the
fields of `plimsoll.pressure.sample.PressureReading`, then one line per run with how long the stress
program's requests took. Readings are the agent's own (`sample.pressure_readings`): what predictors are
trained on is what they are given. It refuses a machine that does not call itself a virtual machine of QEMU,
and cgroup v1. What it makes it removes.

    python3 record_pressure.py --out /run/pressure.jsonl.gz [--scope cgroup|node] [--seconds 30]
"""

import argparse
import contextlib
import gzip
import json
import math
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from plimsoll.pressure.sample import PressureReading, ScopeKind
from plimsoll_nodeagent.discover.named import NamedTracker
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.sample.features import find_features
from plimsoll_nodeagent.sample.formats import MemoryInfo, parse_meminfo, parsed
from plimsoll_nodeagent.sample.pressure_readings import (
    container_reading,
    is_numa,
    node_readings,
    scope_name,
)
from plimsoll_nodeagent.sample.reading import Sampler
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

PATTERNS = ("ramp", "burst", "sawtooth", "cache", "fragment")
LEVELS = (0.50, 0.75, 0.85, 0.95, 0.98)
PERIOD_SECONDS = 0.1
CGROUPS = Path("/sys/fs/cgroup")
OURS = CGROUPS / "plimsoll-stress"
ANSWERS = Path("/run/plimsoll-stress.answers")
STRESS = Path(__file__).with_name("pressure_stress.py")
MIB = 1 << 20


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description="record memory under stress, in a virtual machine")
    parser.add_argument("--out", type=Path, default=Path("/run/pressure.jsonl.gz"))
    parser.add_argument("--scope", choices=["cgroup", "node"], default="cgroup")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each pattern at each level")
    parser.add_argument("--limit-mib", type=int, default=256, help="of the cgroup")
    parser.add_argument("--levels", type=float, nargs="*", default=LEVELS)
    parser.add_argument("--patterns", nargs="*", choices=PATTERNS, default=PATTERNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--arm", default="reactive kernel", help="what else acts on this machine meanwhile")
    parser.add_argument(
        "--anywhere", action="store_true", help="this machine may be stressed though it is no VM"
    )
    arguments = parser.parse_args()
    refuse_unless_safe(arguments.anywhere)
    with (
        cgroup(arguments.limit_mib * MIB if arguments.scope == "cgroup" else None),
        gzip.open(arguments.out, "wt", encoding="utf-8") as out,
    ):
        write(out, provenance(arguments))
        for number, (pattern, level) in enumerate(
            (p, at) for p in arguments.patterns for at in arguments.levels
        ):
            record(out, arguments, pattern, level, arguments.seed + number)
            out.flush()
    print(f"wrote {arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")


def refuse_unless_safe(anywhere: bool) -> None:  # noqa: FBT001
    """Stop where stress would hurt somebody."""
    vendor = read("/sys/class/dmi/id/sys_vendor").strip()
    if vendor != "QEMU" and not anywhere:
        sys.exit(
            f"this machine calls itself {vendor or 'nothing'}, not QEMU: it is not put under memory stress"
        )
    if "memory" not in read(CGROUPS / "cgroup.subtree_control").split():
        sys.exit("no cgroup v2 with the memory controller for children of its root: nothing is recorded")


@contextlib.contextmanager
def cgroup(limit_bytes: int | None) -> Iterator[None]:
    """A cgroup of our own for the stress program; removed at the end, with what runs in it."""
    OURS.mkdir()
    try:
        if limit_bytes is not None:
            (OURS / "memory.max").write_text(str(limit_bytes))
        yield
    finally:
        (OURS / "cgroup.kill").write_text("1")
        for _ in range(100):
            with contextlib.suppress(OSError):
                OURS.rmdir()
                break
            time.sleep(0.1)


def provenance(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was recorded, where, by what."""
    memory = meminfo(KernelFs())
    return {
        "name": f"{platform.release()} {arguments.scope} seed {arguments.seed}",
        "recorded_by": "bench/record_pressure.py",
        "kernel": platform.version(),
        "scope": arguments.scope,
        "limit_mib": arguments.limit_mib if arguments.scope == "cgroup" else None,
        "seconds_per_run": arguments.seconds,
        "seed": arguments.seed,
        "arm": arguments.arm,
        "unix_seconds": round(time.time()),
        "meminfo": {"MemTotal": memory.total_bytes, "SwapTotal": memory.swap_total_bytes},
        "lru_gen": read("/sys/kernel/mm/lru_gen/enabled").strip() or None,
        "thp": read("/sys/kernel/mm/transparent_hugepage/enabled").strip() or None,
    }


# -- one run ------------------------------------------------------------------------------------------------


def record(out: TextIO, arguments: argparse.Namespace, pattern: str, level: float, seed: int) -> None:
    """One pattern at one level: start the program, read until its time is over, let things calm down."""
    total = arguments.limit_mib * MIB if arguments.scope == "cgroup" else node_room()
    label = {"pattern": pattern, "level": level}
    began = time.monotonic()
    program, kills, times = None, 0, []
    following, scopes = began, Scopes(KernelFs(), arguments.scope)
    while (now := time.monotonic()) - began < arguments.seconds:
        if program is None or program.poll() is not None:
            if program is not None:
                kills += program.returncode == -signal.SIGKILL
                times += answers(program)
            left = arguments.seconds - (now - began)
            program = started(pattern, int(level * total), left, seed + kills)
        for scope in scopes.read(time.monotonic()):
            write(out, {**label, **{key: clean(value) for key, value in scope.items()}})
        following = max(following + PERIOD_SECONDS, now)
        time.sleep(max(0.0, following - time.monotonic()))
    if program is not None:
        program.terminate()
        times += answers(program)
    times.sort()
    summary = {
        **label,
        "end": True,
        "requests": len(times),
        "kills": kills,
        "response_ms_mean": round(1000 * sum(times) / len(times), 3) if times else None,
        "response_ms_p99": round(1000 * times[int(0.99 * len(times))], 3) if times else None,
    }
    write(out, summary)
    print(json.dumps(summary), flush=True)
    time.sleep(2.0)


def started(pattern: str, size: int, seconds: float, seed: int) -> "subprocess.Popen[bytes]":
    """The stress program, in its cgroup before it takes a byte, and first to be killed."""

    def enter() -> None:
        (OURS / "cgroup.procs").write_text("0")
        Path("/proc/self/oom_score_adj").write_text("1000")

    command = [sys.executable, "-S", str(STRESS), pattern, str(size), str(seconds), str(seed)]
    # Into a file: a pipe that nobody empties would stop the program in the middle of a request.
    with ANSWERS.open("wb") as said:
        return subprocess.Popen(command, stdout=said, preexec_fn=enter)  # noqa: PLW1509


def answers(program: "subprocess.Popen[bytes]") -> list[float]:
    """How long its requests took; one that was killed in the middle of a line has said no more."""
    program.wait()
    said = ANSWERS.read_text(encoding="ascii").split()
    return [float(word) for word in said if word.count(".") == 1 and len(word) == 8]


def node_room() -> int:
    """What a program can take of the node when nobody else grows."""
    return max(64 * MIB, meminfo(KernelFs()).available_bytes)


# -- readings -----------------------------------------------------------------------------------------------


class Scopes:
    """What is read each time: the kube node, its NUMA nodes, the stress program's cgroup if it has one."""

    def __init__(self, fs: KernelFs, which: str, cgroups: str = str(CGROUPS), ours: str = str(OURS)) -> None:
        self._fs = fs
        self._tracker = NamedTracker(fs, cgroups, [ours]) if which == "cgroup" else None
        self._sampler = Sampler(fs, find_features(fs, ours)) if which == "cgroup" else None

    def read(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Readings of all scopes now, each with the fields of `PressureReading`."""
        yield from self._container(seconds)
        for key, reading in sorted(node_readings(self._fs, seconds).items(), reverse=True):
            yield line(key, reading)

    def _container(self, seconds: float) -> Iterator[dict[str, Any]]:
        if self._tracker is None or self._sampler is None:
            return
        self._tracker.look()
        swap_total_bytes = meminfo(self._fs).swap_total_bytes
        for key, each in self._tracker.containers.items():
            sample = self._sampler.container(each)
            if sample is not None:
                yield line(key, container_reading(sample, swap_total_bytes, seconds))


def line(key: ContainerId, reading: PressureReading) -> dict[str, Any]:
    """One reading as it is written, with its scope's name and kind."""
    kind = ScopeKind.NUMA_NODE if is_numa(key) else ScopeKind.CONTAINER
    kind = ScopeKind.KUBE_NODE if key == KUBE_NODE else kind
    return {"scope": scope_name(key), "kind": kind.value, **asdict(reading)}


def meminfo(fs: KernelFs) -> MemoryInfo:
    """What memory there is. Raises OSError where it cannot be read."""
    found = parsed(fs.read("/proc/meminfo"), parse_meminfo)
    if found is None:
        raise OSError("/proc/meminfo cannot be read")
    return found


def read(path: str | Path) -> str:
    """A file's text; nothing where there is none."""
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


def clean(value: Any) -> Any:  # noqa: ANN401
    """Shorter numbers; what is unknown or endless is null."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def write(out: TextIO, line: dict[str, Any]) -> None:
    """One line."""
    out.write(json.dumps(line, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

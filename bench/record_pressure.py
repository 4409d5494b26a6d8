"""Puts memory under stress and records what the kernel says, ten times a second. For virtual machines ONLY.

Runs as root inside a node (its own Python is enough; nothing but the standard library). Plays five patterns
at five levels, in a cgroup with a limit (`--scope cgroup`) or against the whole node (`--scope node`), and
writes one gzip file: a first line of provenance, then a line per scope and reading with the fields of
`plimsoll.pressure.sample.PressureReading`, then one line per run with how long the stress program's
requests took. It refuses a machine that does not call itself a virtual machine of QEMU, and cgroup v1. What
it makes it removes.

    python3 record_pressure.py --out /run/pressure.jsonl.gz [--scope cgroup|node] [--seconds 30]
"""

import argparse
import contextlib
import gzip
import json
import math
import mmap
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

PATTERNS = ("ramp", "burst", "sawtooth", "cache", "fragment")
LEVELS = (0.50, 0.75, 0.85, 0.95, 0.98)
PERIOD_SECONDS = 0.1
CGROUPS, PROC, SYSTEM = Path("/sys/fs/cgroup"), Path("/proc"), Path("/sys/devices/system/node")
OURS = CGROUPS / "plimsoll-stress"
ANSWERS = Path("/run/plimsoll-stress.answers")
MIB, PAGE = 1 << 20, 4096
HUGE = 2 * MIB
HUGE_ORDER = 9
STALLS = ("allocstall_dma32", "allocstall_normal", "allocstall_movable", "allocstall_dma")
REFAULTS = ("workingset_refault_anon", "workingset_refault_file")


def main() -> None:
    """Record, or be the stress program that a recording starts."""
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
    parser.add_argument(
        "--stress", nargs=4, metavar=("PATTERN", "BYTES", "SECONDS", "SEED"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.stress:
        pattern, size, seconds, seed = arguments.stress
        Stress(pattern, int(size), random.Random(int(seed))).run(float(seconds))
        return
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
        "meminfo": {key: meminfo().get(key) for key in ("MemTotal", "SwapTotal")},
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
    following = began
    while (now := time.monotonic()) - began < arguments.seconds:
        if program is None or program.poll() is not None:
            if program is not None:
                kills += program.returncode == -signal.SIGKILL
                times += answers(program)
            left = arguments.seconds - (now - began)
            program = started(pattern, int(level * total), left, seed + kills)
        for scope in scopes(arguments.scope):
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

    command = [sys.executable, "-S", __file__, "--stress", pattern, str(size), str(seconds), str(seed)]
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
    return max(64 * MIB, meminfo()["MemAvailable"])


# -- readings -----------------------------------------------------------------------------------------------


def scopes(which: str) -> list[dict[str, Any]]:
    """Readings of all scopes now."""
    seconds = time.monotonic()
    vmstat = keyed(read(PROC / "vmstat"))
    nodes = [kube_node(seconds, vmstat), *numa_nodes(seconds, vmstat)]
    return [container(seconds), *nodes] if which == "cgroup" else nodes


def kube_node(seconds: float, vmstat: dict[str, int]) -> dict[str, Any]:
    """The whole machine."""
    info, some, full = meminfo(), *stalls(read(PROC / "pressure/memory"))
    return {
        "scope": "kube-node",
        "kind": "kube node",
        "seconds": seconds,
        "total_bytes": info["MemTotal"],
        "free_bytes": info["MemFree"],
        "available_bytes": info["MemAvailable"],
        "allocated_bytes": PAGE * sum(count for key, count in vmstat.items() if key.startswith("pgalloc_")),
        "compactions": vmstat.get("compact_stall"),
        "direct_reclaims": sum(vmstat.get(key, 0) for key in STALLS),
        "refaults": sum(vmstat.get(key, 0) for key in REFAULTS),
        "psi_some_seconds": some,
        "psi_full_seconds": full,
        "oom_kills": vmstat.get("oom_kill"),
        "swap_used_bytes": info["SwapTotal"] - info["SwapFree"],
        "swap_total_bytes": info["SwapTotal"],
        "fragmentation_ratio": fragmentation(None),
    }


def numa_nodes(seconds: float, vmstat: dict[str, int]) -> list[dict[str, Any]]:
    """Each NUMA node; stalls are counted by the machine only, so they are the machine's."""
    some, full = stalls(read(PROC / "pressure/memory"))
    out = []
    for path in sorted(SYSTEM.glob("node[0-9]*")):
        number = path.name[4:]
        info = {
            line.split()[2].rstrip(":"): int(line.split()[3]) * 1024
            for line in read(path / "meminfo").splitlines()
        }
        stat = keyed(read(path / "numastat"))
        out.append(
            {
                "scope": path.name,
                "kind": "numa node",
                "seconds": seconds,
                "total_bytes": info["MemTotal"],
                "free_bytes": info["MemFree"],
                "available_bytes": info["MemFree"]
                + info.get("Inactive(file)", 0)
                + info.get("SReclaimable", 0) // 2,
                "allocated_bytes": PAGE * (stat.get("local_node", 0) + stat.get("other_node", 0)),
                "compactions": vmstat.get("compact_stall"),
                "psi_some_seconds": some,
                "psi_full_seconds": full,
                "oom_kills": vmstat.get("oom_kill"),
                "fragmentation_ratio": fragmentation(number),
            }
        )
    return out


def container(seconds: float) -> dict[str, Any]:
    """The stress program's cgroup."""
    stat, events = keyed(read(OURS / "memory.stat")), keyed(read(OURS / "memory.events"))
    usage, limit = int(read(OURS / "memory.current") or 0), read(OURS / "memory.max").strip()
    some, full = stalls(read(OURS / "memory.pressure"))
    total = math.inf if limit == "max" else int(limit)
    swap_max = read(OURS / "memory.swap.max").strip()
    return {
        "scope": OURS.name,
        "kind": "container",
        "seconds": seconds,
        "total_bytes": total,
        "free_bytes": max(0, total - usage),
        "available_bytes": max(0, total - usage + stat.get("inactive_file", 0)),
        "allocated_bytes": usage + PAGE * stat.get("pgsteal", 0),
        "direct_reclaims": stat.get("pgscan_direct"),
        "refaults": sum(stat.get(key, 0) for key in REFAULTS),
        "psi_some_seconds": some,
        "psi_full_seconds": full,
        "events_high": events.get("high"),
        "events_max": events.get("max"),
        "oom_kills": events.get("oom_kill"),
        "swap_used_bytes": int(read(OURS / "memory.swap.current") or 0),
        "swap_total_bytes": meminfo()["SwapTotal"] if swap_max in {"max", ""} else int(swap_max),
    }


def fragmentation(numa_node: str | None) -> float | None:
    """Share of free pages in blocks smaller than a huge page."""
    free = small = 0
    for line in read(PROC / "buddyinfo").splitlines():
        words = line.replace(",", " ").split()
        if numa_node is None or words[1] == numa_node:
            for order, count in enumerate(words[4:]):
                free += int(count) << order
                small += (int(count) << order) if order < HUGE_ORDER else 0
    return small / free if free else None


def stalls(text: str) -> tuple[float | None, float | None]:
    """Seconds of some and of full."""
    found = {line.split()[0]: int(line.rsplit("=", 1)[1]) / 1e6 for line in text.splitlines()}
    return found.get("some"), found.get("full")


def meminfo() -> dict[str, int]:
    """Bytes by name."""
    lines = (line.split() for line in read(PROC / "meminfo").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def keyed(text: str) -> dict[str, int]:
    """Lines of a name and a number."""
    return {key: int(value) for key, value in (line.split() for line in text.splitlines())}


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


# -- the stress program -------------------------------------------------------------------------------------


class Stress:
    """Takes and frees memory in blocks; each change is a request whose time is told."""

    BLOCK = MIB

    def __init__(self, pattern: str, size: int, rng: random.Random) -> None:
        self._pattern, self._size, self._random = pattern, size, rng
        self._blocks: list[mmap.mmap] = []
        self._fill = os.urandom(PAGE // 2) + bytes(PAGE // 2)  # half compressible, as much memory is
        self._file = Path(f"/var/tmp/plimsoll-stress-{os.getpid()}")
        name = "_fragment_targets" if pattern == "fragment" else f"_{pattern}"
        self._targets: Iterator[tuple[float, float]] = getattr(self, name)()
        self._span = 1.0
        self._until = 0.0
        self._from = self._to = 0.2

    def run(self, seconds: float) -> None:
        """Follow the pattern until the time is over."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        began = time.monotonic()
        try:
            if self._pattern == "cache":
                self._write_file(int(0.7 * self._size))
            while time.monotonic() - began < seconds:
                at = time.monotonic()
                self._request(self._share(at))
                print(f"{min(999.0, time.monotonic() - at):08.4f}"[-8:], flush=False)
                time.sleep(0.01)
        finally:
            self._file.unlink(missing_ok=True)

    def _request(self, share: float) -> None:
        """Take or free up to four blocks towards the share, and touch some of what is held."""
        wanted = int(share * self._size / self.BLOCK)
        for _ in range(4):
            if len(self._blocks) < wanted:
                self._take()
            elif len(self._blocks) > wanted and self._blocks:
                self._blocks.pop(self._random.randrange(len(self._blocks))).close()
        for _ in range(min(4, len(self._blocks))):
            block = self._random.choice(self._blocks)
            block[self._random.randrange(0, len(block), PAGE)] = 1
        if self._pattern == "cache":
            self._read_file()
        if self._pattern == "fragment":
            self._fragment()

    def _take(self) -> None:
        block = mmap.mmap(-1, self.BLOCK)
        for start in range(0, self.BLOCK, 64 * PAGE):
            block[start : start + 64 * PAGE] = self._fill * 64
        self._blocks.append(block)

    def _fragment(self) -> None:
        """Free every other page of a block (orders mix), then want huge pages."""
        if self._blocks:
            block = self._random.choice(self._blocks)
            for start in range(0, self.BLOCK, 2 * PAGE):
                block.madvise(mmap.MADV_DONTNEED, start, PAGE)
        with mmap.mmap(-1, 2 * HUGE) as huge:
            huge.madvise(mmap.MADV_HUGEPAGE)
            for start in range(0, 2 * HUGE, HUGE):
                huge[start] = 1
                huge[start + HUGE - 1] = 1

    def _write_file(self, size: int) -> None:
        with self._file.open("wb") as out:
            for _ in range(size // MIB):
                out.write(self._fill * (MIB // PAGE))
            out.flush()
            os.fsync(out.fileno())

    def _read_file(self) -> None:
        descriptor = os.open(self._file, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            os.pread(descriptor, 2 * MIB, self._random.randrange(max(1, size - 2 * MIB)))
        finally:
            os.close(descriptor)

    def _share(self, now: float) -> float:
        """The share wanted now, linear between the pattern's targets."""
        while now >= self._until:
            span, to = next(self._targets)
            self._from, self._to, self._span = self._to, to, max(0.05, span)
            self._until = max(self._until, now - 0.05) + self._span
        left = (self._until - now) / self._span
        return self._to + (self._from - self._to) * min(1.0, left)

    def _ramp(self) -> Iterator[tuple[float, float]]:
        while True:
            yield self._random.uniform(1, 4), self._random.uniform(0.2, 0.4)
            yield self._random.uniform(8, 20), self._random.uniform(0.97, 1.07)
            yield self._random.uniform(3, 8), self._random.uniform(0.97, 1.07)

    def _burst(self) -> Iterator[tuple[float, float]]:
        while True:
            low, peak = self._random.uniform(0.6, 0.85), self._random.uniform(0.9, 1.12)
            yield 0.5, low
            yield self._random.expovariate(1 / 6), low
            yield self._random.uniform(0.4, 3), peak
            yield self._random.expovariate(1 / 3), peak

    def _sawtooth(self) -> Iterator[tuple[float, float]]:
        fall, period = self._random.uniform(0.35, 0.75), self._random.uniform(3, 10)
        while True:
            top = self._random.uniform(0.97, 1.06)
            yield period * self._random.uniform(0.85, 1.15), top
            yield 0.2, top * fall

    def _cache(self) -> Iterator[tuple[float, float]]:
        while True:
            yield self._random.uniform(3, 10), self._random.uniform(0.45, 0.6)

    def _fragment_targets(self) -> Iterator[tuple[float, float]]:
        while True:
            yield self._random.uniform(2, 10), self._random.uniform(0.8, 0.95)


if __name__ == "__main__":
    main()

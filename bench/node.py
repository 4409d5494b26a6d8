"""What the node agent earns on a real kernel: a table and bench/results/node.json.

In: one QEMU machine (bench/node_vm.py) with Redis, a JVM service, a Python web process and a batch job. In
interleaved blocks the kernel is alone, Senpai's law runs, or the agent does: `node.*`. Then a second start
of the machine, smaller, for the pressure stress: `pressure.*`. The method is in docs/node-benchmark.md.
Results are written after every block, so that an interrupted run leaves a table; the guest's lines are
kept in build/bench-node, and `--again` makes the table anew from them. Runs of less than ten blocks write
bench/results/node-quick.json, which no page shows. `--part record` measures nothing: it brings home
recordings for `make train-pressure` into build/bench-node.
"""

import argparse
import base64
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from node_analysis import COMPACTIONS, judgement, node_rows, stress_rows
from node_vm import REPOSITORY, Machine, MachineError, booted, parsed
from report import Row, bench_options, row_of, write_results

KEPT = REPOSITORY / "build/bench-node"
FULL_BLOCKS = 10
BLOCK_SECONDS = 300.0  # an agent begins each with an account of its own: its trials need minutes
SETTLE_RATIO = 0.6  # of a block; the rest is measured
WARM_BLOCKS = 3  # before the first round, so long each arm that acts finds its level
SILENT_SECONDS = 600.0  # beside warming up and blocks: start of the JVM, filling of Redis
OURS, PREDICTORS = "boosted", ("mlp4", "boosted")
LEVELS = (50, 75, 85, 95, 98)
NATIVE = ("pressure.predict_us_mean", "pressure.predict_us_p99")
PARTS = ("mixed", "stress")  # what the table is made of
RECORD = "record"  # recordings for `make train-pressure`: only where it is asked for
SCOPES = ("cgroup", "node")
AGENT = (
    *("python3", "-m", "plimsoll_nodeagent", "run", "--cgroup", "{each}", "--mode", "act"),
    *("--policy-file", "/opt/bench/policy.json", "--state-dir", "/run/plimsoll", "--address", "127.0.0.1"),
)
MIXED: Mapping[str, object] = {
    "redis_keys": 32768,
    "jvm_records": 16384,
    "jvm_heap_mib": 104,
    "web_entries": 10240,
    "web_files": 128,
    "web_file_kib": 256,
    "web_cached_share": 0.8,
    "batch_file_mib": 48,
    "batch_buffer_mib": 24,
    "batch_pass_seconds": 30.0,
    "zipf_exponent": 1.2,
    "requests_per_second": {"redis": 30.0, "jvm": 8.0, "web": 4.0},
    "ports": {"redis": 6390, "jvm": 6391, "web": 6392},
    "limit_mib": {"redis": 256, "jvm": 256, "web": 160, "batch": 128},
}
STRESS: Mapping[str, object] = {
    "hot_ratio": 0.4,  # of what is held
    "burst_ratio": (0.02, 0.16),  # of the machine's memory
}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=FULL_BLOCKS, help="of each arm (default: %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=BLOCK_SECONDS,
        help="of a block, without bringing back (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=2, help="of the stress (default: %(default)s)")
    parser.add_argument(
        "--cell-seconds", type=float, default=15.0, help="of one arm at one level (default: %(default)s)"
    )
    parser.add_argument(
        "--levels", type=int, nargs="+", default=LEVELS, help="percent of memory (default: %(default)s)"
    )
    parser.add_argument("--part", choices=(*PARTS, RECORD), help="only this one (default: mixed, stress)")
    parser.add_argument(
        "--memory", type=int, default=1536, help="MiB of the mixed node (default: %(default)s)"
    )
    parser.add_argument(
        "--stress-memory", type=int, default=768, help="MiB of the stressed one (default: %(default)s)"
    )
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--idle", action="store_true", help="take only processor time that nobody else wants")
    parser.add_argument(
        "--agent", help="the agent's command, a JSON list; `{each}` repeats the flag before it"
    )
    parser.add_argument("--interval", help="the agent's, such as 2s (default: what it is installed with)")
    parser.add_argument("--mode", choices=("Cold", "Predictive"), default="Predictive", help="the policy's")
    parser.add_argument(
        "--again", action="store_true", help="start nothing: make the table from the last run's lines"
    )
    parser.add_argument("--seed", type=int, default=7)
    return bench_options(parser)


class Results:
    """Lines so far, kept and turned into the table again and again."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._began = time.monotonic()
        self.lines: dict[str, list[dict[str, object]]] = {part: [] for part in (*PARTS, RECORD)}
        for part in PARTS:
            # A part that is not run now keeps what it found last.
            if chosen.again or chosen.part not in (None, part):
                self.lines[part] = _kept(part)

    def take(self, part: str, line: dict[str, object]) -> None:
        """Keep a line, say what it is, and write the table."""
        self.lines[part].append(line)
        KEPT.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(each) + "\n" for each in self.lines[part])
        (KEPT / f"{part}.jsonl").write_text(text)
        if line["kind"] == "chunk":
            return
        print(f"{time.monotonic() - self._began:6.0f} s  {described(line)}", flush=True)
        if line["kind"] in ("block", "cell"):
            self.write()

    def rows(self) -> list[Row]:
        """The table of now."""
        flags = f"--blocks {self._chosen.blocks} --seconds {self._chosen.seconds:g}"
        command = f".venv/bin/python bench/node.py {flags}"
        rows = node_rows(self.lines["mixed"], self._chosen.seed, command)
        rows += stress_rows(self.lines["stress"], OURS, self._chosen.seed, command)
        return rows + native_rows(command)

    def write(self) -> Path:
        """Write the results as they are."""
        quick = self._chosen.blocks < FULL_BLOCKS
        rows = self.rows()
        machines = [line for part in PARTS for line in self.lines[part] if line["kind"] == "machine"]
        errors = [line for part in PARTS for line in self.lines[part] if line["kind"] == "error"]
        beside = {"machines": machines, "errors": errors, "judgement": judgement(rows)}
        seconds = time.monotonic() - self._began
        return write_results("node-quick" if quick else "node", rows, self._chosen.seed, seconds, beside)


def _kept(part: str) -> list[dict[str, object]]:
    path = KEPT / f"{part}.jsonl"
    return list(parsed(path.read_text())) if path.exists() else []


def described(line: Mapping[str, object]) -> str:
    """One line for who watches."""
    kind = line["kind"]
    if kind == "block":
        usage = sum(line["usage_bytes"].values()) / 2**20
        p99 = ", ".join(f"{name} {each['p99_ms'] or 0:.0f}" for name, each in line["latency"].items())
        return f"round {line['round']} {line['arm']:8} {usage:6.0f} MiB resident, p99 ms: {p99}"
    if kind == "cell":
        compactions = sum(line[name] for name in COMPACTIONS)
        what = f"{line['oom_kill']} OOM kills, {compactions} compactions, {len(line['bursts'])} bursts"
        return f"round {line['round']} {line['level']} % {line['arm']:9} {what}"
    return json.dumps(line)


def native_rows(command: str) -> list[Row]:
    """A prediction's cost, which an emulated processor cannot tell: from bench/pressure.py's results."""
    return [row_of(name, "pressure") or _unmeasured(name, command) for name in NATIVE]


def _unmeasured(name: str, command: str) -> Row:
    return Row(
        name, None, "us", 0, command, why="measured natively, by bench/pressure.py, which has not been run"
    )


def policy(mode: str) -> dict[str, object]:
    """The policy file of the stand-alone agent: bounds as they are by default."""
    return {"importance": "Normal", "reclaim": {"mode": mode}}


def agent_command(interval: str | None) -> list[str]:
    """The agent's, at its own interval where none is named."""
    return [*AGENT, *(() if interval is None else ("--interval", interval))]


def settings(part: str, chosen: argparse.Namespace) -> dict[str, object]:
    """What the guest is told."""
    return {
        "part": part,
        "seed": chosen.seed,
        "blocks": chosen.blocks,
        "warm_seconds": WARM_BLOCKS * chosen.seconds,
        "settle_seconds": SETTLE_RATIO * chosen.seconds,
        "measure_seconds": (1 - SETTLE_RATIO) * chosen.seconds,
        "agent": json.loads(chosen.agent) if chosen.agent else agent_command(chosen.interval),
        "policy": policy(chosen.mode),
        "mixed": MIXED,
        "rounds": chosen.rounds,
        "levels": chosen.levels,
        "cell_seconds": chosen.cell_seconds,
        "predictors": list(PREDICTORS),
        "scopes": SCOPES,
        **STRESS,
    }


def put_together(lines: Sequence[Mapping[str, object]]) -> list[Path]:
    """Write the files that the guest sent whole; returns them."""
    written = []
    for sent in (line for line in lines if line["kind"] == "sent"):
        chunks = (each["data"] for each in lines if each["kind"] == "chunk" and each["name"] == sent["name"])
        data = b"".join(base64.b64decode(str(chunk)) for chunk in chunks)
        if len(data) == sent["bytes"]:
            path = KEPT / str(sent["name"])
            path.write_bytes(data)
            written.append(path)
    return written


def measure(part: str, chosen: argparse.Namespace, results: Results) -> bool:
    """One start of the machine; False where it ended before its time."""
    if part == "mixed":
        machine = Machine(chosen.memory, chosen.cpus, chosen.memory // 3, chosen.idle)
    else:
        machine = Machine(chosen.stress_memory, chosen.cpus, chosen.stress_memory // 6, chosen.idle)
    try:
        with booted(machine, settings(part, chosen)) as guest:
            for line in guest.lines(SILENT_SECONDS + WARM_BLOCKS * chosen.seconds):
                results.take(part, line)
    except MachineError as error:
        results.take(part, {"kind": "error", "error": str(error)})
        return False
    return True


def table(rows: Sequence[Row]) -> str:
    """For people."""
    lines = []
    for row in rows:
        value = f"{row.value:10.2f}" if row.value is not None else "         -"
        spread = f"({row.low:.2f} to {row.high:.2f})" if row.low is not None and row.high is not None else ""
        against = "  ".join(
            f"{who} {'-' if each is None else f'{each:.2f}'}" for who, each in row.against.items()
        )
        why = f"  {row.why}" if row.why else ""
        lines.append(f"{row.name:42} {value} {row.unit:22} {spread:22} {against}{why}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print and write; exit status 1 where a machine ended before its time."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the machine is ended too
    chosen = options()
    results = Results(chosen)
    if chosen.part == RECORD:
        whole = measure(RECORD, chosen, results)
        print(*put_together(results.lines[RECORD]), sep="\n")
        return 0 if whole else 1
    parts = [] if chosen.again else [part for part in PARTS if chosen.part in (None, part)]
    whole = [measure(part, chosen, results) for part in parts]
    rows = results.rows()
    print(table(rows))
    print(judgement(rows))
    print(results.write())
    return 0 if all(whole) else 1


if __name__ == "__main__":
    sys.exit(main())

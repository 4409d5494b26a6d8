"""What coordination costs as agents become more, and how it survives a storm: bench/results/coord.json.

In: `--agents 100,1000,5000`, `--seconds`. Out: for each size cores and memory of the operator's process, the
round trip of a lease at the agent (p50, p99), deltas lost and heard twice; the same at `--relayed` agents by
way of a replica that does not lead, beside the same number directly; then, at the largest size, a storm: the
operator is killed (SIGKILL) and started again, and all agents come back. Operator (`coord_server.py`) and
agents (`plimsoll-loadgen`) are processes of their own on loopback with mutual TLS, a connection for each
agent; 30 containers each at 1 Hz. The API server is in memory: a lease's round trip is the operator's own,
not a resize's.

    python bench/coord.py --agents 100 --seconds 20
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.authority import Authority
from report import Row, bench_options, write_results

HERE = Path(__file__).parent
COMMAND = "make bench-coord"
TICK = os.sysconf("SC_CLK_TCK")
KIB = 1024
SETTLING_SECONDS = 5.0  # of a run before its cost is measured
STORM_SECONDS = 60.0  # all must be back by then
OPEN_FILES = 100_000  # a connection for each agent at either end; gRPC has several files for one
LOAD_SECONDS = 600.0  # more than agents ever take to end


@dataclass(frozen=True)
class Cost:
    """What a process used while it was looked at."""

    cores: float
    memory_mib: float


@dataclass
class Server:
    """A running operator's side."""

    process: subprocess.Popen[str]
    port: int
    out: Path

    def stop(self) -> dict[str, object]:
        """End it; returns what it heard."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return json.loads(self.out.read_text()) | self._deltas()

    def kill(self) -> dict[str, object]:
        """SIGKILL; returns what it had written down by then."""
        self.process.kill()
        self.process.wait(60)
        return self._deltas()

    def _deltas(self) -> dict[str, object]:
        return {"deltas": self.out.with_suffix(".deltas").read_text().splitlines()}


def started(directory: Path, agents: int, port: int = 0, relay_to: int = 0) -> Server:
    """Start the server and wait until it listens. Raises RuntimeError where it does not."""
    out = directory / f"server-{agents}-{time.monotonic_ns()}.json"
    command = [sys.executable, HERE / "coord_server.py", "--agents", agents, "--port", port]
    command += ["--relay-to", relay_to]
    command += ["--identity-dir", directory / "server", "--out", out]
    process = subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline().split()
    if line[:1] != ["ready"]:
        raise RuntimeError("bench/coord_server.py did not start")
    return Server(process, int(line[1]), out)


@contextmanager
def loading(directory: Path, port: int, agents: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Agents for so long; ended at the end of the block, whatever happened."""
    command = [Path(sys.executable).with_name("plimsoll-loadgen"), "--operator-address", f"127.0.0.1:{port}"]
    command += ["--identity-dir", directory / "agent", "--agents", agents, "--seconds", seconds]
    process = subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)


def cost(pid: int, seconds: float) -> Cost:
    """Cores used and memory held over the next seconds."""
    began, before = time.monotonic(), _cpu_seconds(pid)
    time.sleep(seconds)
    used, passed = _cpu_seconds(pid) - before, time.monotonic() - began
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return Cost(used / passed, int(resident.split()[1]) / KIB)


def steady(directory: Path, agents: int, seconds: float, name: str = "") -> list[Row]:
    """One size, without trouble."""
    server = started(directory, agents)
    idle = cost(server.process.pid, 1.0)
    with loading(directory, server.port, agents, seconds + SETTLING_SECONDS) as load:
        time.sleep(SETTLING_SECONDS)
        used = cost(server.process.pid, seconds)
        said = json.loads(load.communicate(timeout=LOAD_SECONDS)[0])
    heard = server.stop()
    name, n = name or f"coord.{agents}", int(said["samples"])
    return [
        Row(f"{name}.cores", round(used.cores, 3), "cores", n, COMMAND),
        Row(f"{name}.memory_mib", round(used.memory_mib, 1), "MiB", n, COMMAND),
        Row(f"{name}.memory_of_streams_mib", round(used.memory_mib - idle.memory_mib, 1), "MiB", n, COMMAND),
        Row(f"{name}.attended", float(max(each[1] for each in said["attending"])), "agents", agents, COMMAND),
        _trip(f"{name}.lease_p50_ms", said, "lease_p50_ms"),
        _trip(f"{name}.lease_p99_ms", said, "lease_p99_ms"),
        *_counted(name, said, [heard]),
    ]


def relayed(directory: Path, agents: int, seconds: float) -> list[Row]:
    """One size, all of it by way of a replica that does not lead; what that replica costs."""
    leader = started(directory, agents)
    relay = started(directory, 1, relay_to=leader.port)
    with loading(directory, relay.port, agents, seconds + SETTLING_SECONDS) as load:
        time.sleep(SETTLING_SECONDS)
        used = cost(relay.process.pid, seconds)
        said = json.loads(load.communicate(timeout=LOAD_SECONDS)[0])
    relay.stop()
    heard = leader.stop()
    return [
        Row("coord.relayed.cores", round(used.cores, 3), "cores", int(said["samples"]), COMMAND),
        Row("coord.relayed.memory_mib", round(used.memory_mib, 1), "MiB", int(said["samples"]), COMMAND),
        _trip("coord.relayed.lease_p50_ms", said, "lease_p50_ms"),
        _trip("coord.relayed.lease_p99_ms", said, "lease_p99_ms"),
        *_counted("coord.relayed", said, [heard]),
    ]


def storm(directory: Path, agents: int, seconds: float) -> list[Row]:
    """The operator is killed under load and started again; all agents come at once."""
    first = started(directory, agents)
    with loading(directory, first.port, agents, seconds + STORM_SECONDS + 2 * SETTLING_SECONDS) as load:
        began = time.monotonic()
        time.sleep(SETTLING_SECONDS + seconds)
        heard = [first.kill()]
        second = started(directory, agents, first.port)
        back_at = time.monotonic() - began
        said = json.loads(load.communicate(timeout=STORM_SECONDS + LOAD_SECONDS)[0])
    heard.append(second.stop())
    changes = [(at, attending) for at, attending in said["attending"] if at >= back_at]
    whole = next((at for at, attending in changes if attending == agents), None)
    why = None if whole is not None else "not all were back by the end"
    took = None if whole is None else round(whole - back_at, 2)
    return [
        Row("coord.reconnect_storm_seconds", took, "s", agents, COMMAND, why=why),
        Row("coord.storm.refused", float(heard[1]["refusals"].get("rate", 0)), "streams", agents, COMMAND),
        Row("coord.storm.reviews", float(heard[1]["reviews"]), "TokenReviews", agents, COMMAND),
        *_counted("coord.storm", said, heard),
    ]


def _counted(name: str, said: dict, heard: Sequence[dict]) -> list[Row]:
    """Lost: offered, heard by none, not waiting either. Repeated: heard twice by one operator process."""
    everything = [set(each["deltas"]) for each in heard]
    lost = len(set(said["deltas"]).difference(*everything, said["deltas_waiting"]))
    repeated = sum(len(each["deltas"]) - len(kept) for each, kept in zip(heard, everything, strict=True))
    n = len(said["deltas"])
    return [
        Row(f"{name}.lost", float(lost), "messages", n, COMMAND),
        Row(f"{name}.repeated", float(repeated), "messages", n, COMMAND),
        Row(f"{name}.samples_given_up", float(said["samples_given_up"]), "batches", said["samples"], COMMAND),
    ]


def _trip(name: str, said: dict, key: str) -> Row:
    value = said[key]
    why = None if value is not None else "no lease was answered"
    return Row(name, None if value is None else round(value, 2), "ms", said["leases"], COMMAND, why=why)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def named(rows: Sequence[Row], largest: int) -> list[Row]:
    """The rows that are known by name elsewhere, of the largest size."""
    by_name = {row.name: row for row in rows}
    pairs = {
        "coord.lease_p99_ms": f"coord.{largest}.lease_p99_ms",
        f"coord.cores_at_{largest}": f"coord.{largest}.cores",
        f"coord.memory_mib_at_{largest}": f"coord.{largest}.memory_mib",
    }
    found = [
        Row(name, by_name[of].value, by_name[of].unit, by_name[of].n, COMMAND, why=by_name[of].why)
        for name, of in pairs.items()
    ]
    return [Row("coord.agents", float(largest), "agents", 1, COMMAND), *found]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", default="100,1000,5000", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each size (default: %(default)s)")
    parser.add_argument("--relayed", type=int, default=1000, help="0: none (default: %(default)s)")
    parser.add_argument("--without-storm", action="store_true")
    options = bench_options(parser)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # who is not root has what there is
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, OPEN_FILES), max(most, OPEN_FILES)))
    sizes = [int(each) for each in options.agents.split(",")]
    began, rows = time.monotonic(), list[Row]()
    with tempfile.TemporaryDirectory() as temporary:
        directory, authority = Path(temporary), Authority()
        authority.write(directory / "server", "operator")
        authority.write(directory / "agent", "loadgen")
        for agents in sizes:
            rows += steady(directory, agents, options.seconds)
        if options.relayed:
            rows += steady(directory, options.relayed, options.seconds, "coord.direct")
            rows += relayed(directory, options.relayed, options.seconds)
        if not options.without_storm:
            rows += storm(directory, sizes[-1], min(options.seconds, 15.0))
    rows += named(rows, sizes[-1])
    for row in rows:
        print(f"{row.name:40} {row.value if row.value is not None else row.why} {row.unit}")
    print(write_results("coord", rows, 7, time.monotonic() - began))


if __name__ == "__main__":
    main()

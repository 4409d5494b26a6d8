"""What coordination costs as agents become more, and how it survives a storm: bench/results/coord.json.

In: `--agents 100,300,1000,3000,5000`, `--seconds`. Out: for each size cores, memory and open files of the
operator's process, the round trip of a lease at the agent and inside the operator (p50, p99), deltas lost and
heard twice; the same at `--relayed` agents by way of a replica that does not lead; then, at the largest size,
a storm: the operator is killed (SIGKILL), another listens at once in its place, and all agents come back.
Operator (`coord_server.py`) and agents (`plimsoll-loadgen`, in several processes) are on one machine, on
loopback with mutual TLS, a connection for each agent; 30 containers each at 1 Hz, and at a tenth of that
where the machine does not carry it. The API server is in memory: a lease's round trip is the operator's own,
not a resize's. What cannot be measured has rows that say why (`coord_rows.py`).

    python bench/coord.py --agents 100 --seconds 20
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.authority import Authority
from coord_rows import (
    COMMAND,
    SETTLING_SECONDS,
    Load,
    Seen,
    absent,
    carried,
    named,
    relay_rows,
    steady_rows,
    storm_rows,
)
from plimsoll_operator.coordinate.open_files import raised_open_files
from report import Row, bench_options, write_results

HERE = Path(__file__).parent
FILES_OF_SERVER = 200  # beside one for each agent
STARTS_PER_SECOND = 200.0  # of agents, before anything is measured
STORM_SECONDS = 60.0  # all must be back by then
WATCHED_SECONDS = 2 * STORM_SECONDS  # and are looked for so long
STORMED_SECONDS = 15.0  # of load before the kill
RARELY = 0.1  # samples a second of each agent, where the machine does not carry one a second
LOOK_SECONDS = 0.5
STARTING_SECONDS = 120.0  # for the last of the agents, before a size is given up
ENDING_SECONDS = 60.0  # for an operator to end its streams
LOAD_SECONDS = STARTING_SECONDS + 120.0  # more than agents ever take to start and to end


class UnmeasuredError(RuntimeError):
    """A part of the bench could not be measured, and why."""


@dataclass
class Server:
    """A running operator's side."""

    process: subprocess.Popen[str]
    out: Path
    port: int = 0

    def says(self, word: str) -> list[str]:
        """Wait for a line that begins so. Raises UnmeasuredError where the process ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        if line[:1] != [word]:
            raise UnmeasuredError("the operator's process (bench/coord_server.py) did not start")
        return line

    def listen(self) -> None:
        """Let one that is held listen."""
        assert self.process.stdin is not None
        self.process.stdin.write("listen\n")
        self.process.stdin.flush()
        self.port = int(self.says("ready")[1])

    def memory_mib(self) -> float:
        """What it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def stop(self) -> Seen:
        """End it; returns what it saw. Raises UnmeasuredError where it did not end by itself, or before."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise UnmeasuredError(f"the operator's process did not end when it was told to (code {code})")
        return json.loads(self.out.read_text()) | self._deltas()

    def kill(self) -> Seen:
        """SIGKILL; returns what it had written down by then."""
        self.process.kill()
        self.process.wait(60)
        return self._deltas()

    def _deltas(self) -> Seen:
        return {"deltas": self.out.with_suffix(".deltas").read_text().splitlines()}


@contextmanager
def operator(directory: Path, agents: int, *more: object) -> Iterator[Server]:
    """A process of the operator's side, held before it listens; killed at the end where it still runs."""
    out = directory / f"server-{agents}-{time.monotonic_ns()}.json"
    command = [sys.executable, HERE / "coord_server.py", "--agents", agents, "--held"]
    command += ["--identity-dir", directory / "server", "--out", out, *more]
    words = [str(each) for each in command]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            server = Server(process, out)
            server.says("held")
            yield server
        finally:
            process.kill()


@dataclass
class Agents:
    """Running agents; `most_seconds`: longer than all of it takes."""

    process: subprocess.Popen[str]
    most_seconds: float

    def said(self) -> Seen:
        """Wait for their end; returns what they saw. Raises UnmeasuredError."""
        try:
            out, _ = self.process.communicate(timeout=self.most_seconds)
        except subprocess.TimeoutExpired:
            raise UnmeasuredError(f"the agents had not ended after {self.most_seconds:.0f} s") from None
        if self.process.returncode:
            raise UnmeasuredError(f"plimsoll-loadgen ended with code {self.process.returncode}")
        return json.loads(out)


@contextmanager
def loading(directory: Path, port: int, load: Load, seconds: float) -> Iterator[Agents]:
    """Agents that speak for so long, once all attend and what waited is said."""
    lasts = SETTLING_SECONDS + seconds
    command = [Path(sys.executable).with_name("plimsoll-loadgen"), "--operator-address", f"127.0.0.1:{port}"]
    command += ["--identity-dir", directory / "agent", "--agents", load.agents, "--seconds", lasts]
    command += ["--starts-per-second", STARTS_PER_SECOND, "--starting-seconds", STARTING_SECONDS]
    command += ["--sample-seconds", 1 / load.per_second]
    command += ["--lease-seconds", 10 / load.per_second, "--delta-seconds", 10 / load.per_second]
    with subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Agents(process, load.agents / STARTS_PER_SECOND + lasts + LOAD_SECONDS)
        finally:
            process.kill()


def steady(directory: Path, load: Load, seconds: float) -> list[Row]:
    """One size, without trouble. Rows say why, where it could not be measured."""
    try:
        return _steady(directory, load, seconds)
    except UnmeasuredError as error:
        return absent(load.name, load.agents, str(error))


def _steady(directory: Path, load: Load, seconds: float) -> list[Row]:
    checked(load.agents)
    with operator(directory, load.agents, "--per-second", 1e4) as server:
        server.listen()
        idle_mib = server.memory_mib()
        with loading(directory, server.port, load, seconds) as agents:
            said = agents.said()
        return steady_rows(load.name, load, said, server.stop(), idle_mib)


def relayed(directory: Path, load: Load, seconds: float) -> list[Row]:
    """One size, all of it by way of a replica that does not lead; what the leader and that one cost."""
    checked(load.agents)
    with operator(directory, load.agents, "--per-second", 1e4) as leader:
        leader.listen()
        idle_mib = leader.memory_mib()
        with operator(directory, 1, "--per-second", 1e4, "--relay-to", leader.port) as relay:
            relay.listen()
            with loading(directory, relay.port, load, seconds) as agents:
                said = agents.said()
            relay_heard = relay.stop()
        rows = steady_rows("coord.relayed", load, said, leader.stop(), idle_mib)
        why = next(row.why or "" for row in rows if row.name == "coord.relayed.cores")
        return [*rows, *relay_rows(load, said, relay_heard, why)]


def connected(server: Server, agents: int) -> None:
    """Wait until so many are. Raises UnmeasuredError where that takes too long."""
    ends = time.monotonic() + agents / STARTS_PER_SECOND + STARTING_SECONDS
    files = Path(f"/proc/{server.process.pid}/fd")
    while len(list(files.iterdir())) < agents:
        if time.monotonic() > ends:
            raise UnmeasuredError(f"not all of {agents} agents were connected after {STARTING_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def storm(directory: Path, load: Load, seconds: float) -> list[Row]:
    """The operator is killed under load; another that is already made listens in its place."""
    checked(load.agents)
    with operator(directory, load.agents, "--per-second", 1e4) as first:
        first.listen()
        with (
            operator(directory, load.agents, "--port", first.port) as second,
            loading(directory, first.port, load, seconds + WATCHED_SECONDS) as agents,
        ):
            connected(first, load.agents)
            time.sleep(SETTLING_SECONDS + seconds)
            killed_at = time.monotonic()
            heard = [first.kill()]
            second.listen()
            back_at = time.monotonic()
            said = agents.said()
            heard.append(second.stop())
    return storm_rows(load, said, heard, killed_at, back_at)


def checked(agents: int) -> None:
    """Raises UnmeasuredError where the operator's process may not have a file for each agent."""
    files, most_files = agents + FILES_OF_SERVER, raised_open_files()
    if files > most_files:
        raise UnmeasuredError(
            f"the operator's process needs {files} open files and may have {most_files} (`ulimit -Hn`)"
        )


def measured(directory: Path, sizes: Sequence[int], options: argparse.Namespace) -> Iterator[Row]:
    """All rows; a part that fails says so in its own and ends nothing."""
    seconds, load = options.seconds, Load(sizes[0])
    for agents in sizes:
        load = Load(agents)
        yield from (rows := steady(directory, load, seconds))
        if not carried(rows):  # what so many streams cost can be told of one that says less
            load = Load(agents, RARELY)
            yield from steady(directory, load, seconds)
    if options.relayed:
        try:
            yield from relayed(directory, Load(options.relayed), seconds)
        except UnmeasuredError as error:
            yield from absent("coord.relayed", options.relayed, str(error))
    if not options.without_storm:
        try:
            yield from storm(directory, load, min(seconds, STORMED_SECONDS))
        except UnmeasuredError as error:
            yield Row("coord.reconnect_storm_seconds", None, "s", load.agents, COMMAND, why=str(error))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", default="100,300,1000,3000,5000", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each size (default: %(default)s)")
    parser.add_argument("--relayed", type=int, default=1000, help="0: none (default: %(default)s)")
    parser.add_argument("--without-storm", action="store_true")
    options = bench_options(parser)
    sizes = sorted(int(each) for each in options.agents.split(","))
    began, rows = time.monotonic(), list[Row]()
    with tempfile.TemporaryDirectory() as temporary:
        directory, authority = Path(temporary), Authority()
        authority.write(directory / "server", "operator")
        authority.write(directory / "agent", "loadgen")
        for row in measured(directory, sizes, options):
            print(f"{row.name:40} {row.value if row.value is not None else row.why} {row.unit}", flush=True)
            rows.append(row)
    rows += named(rows, sizes[-1])
    print(write_results("coord", rows, 7, time.monotonic() - began))


if __name__ == "__main__":
    main()

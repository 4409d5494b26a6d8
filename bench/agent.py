"""What the node agent costs a node: a table and bench/results/agent.json.

In: fixture trees of `--containers` containers in memory (tmpfs where there is one), read by the agent's own
code. A tick is discovery and sampling, a scrape the making and packing of /metrics. CPU time is measured, and
given as a share of a node of two cores for one tick in ten seconds and one scrape in fifteen; resident memory
is that of the real process after a scrape. Low and high are the fastest and the slowest of `--repeat` runs.
`loop` is the whole loop with every container under a policy, on the twin of a kernel: discover, sample,
predict, plan, act, measure, report, one in ten seconds (the default), noting its writes; `heed` is what it
does every second between two: PSI of each container, forecasts, actions ahead; `live` adds both. `look` is
one look at a container's memory by address (200 regions, 4096 blocks), of which there are only as many as
stay below their share of a processor (`by_address.COST_RATIO`); `plan_speaks` is what so few looks are good
for (`agent_cover.py`). What is not in it: the kernel's own work in rendering a real cgroup's files
(memory.stat flushes its counters) and in DAMON's threads, which a fixture tree does not have.
"""

import argparse
import gzip
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from agent_cover import cover_rows
from builders.addressworld import ProgramWorld
from builders.agents import AgentOn
from builders.cgroup_tree import SYSTEMD, CgroupTree
from builders.watched_agents import PID, looked, watched
from plimsoll.pages.blocks import aimed_blocks_for
from plimsoll_nodeagent.discover.hierarchy import DEFAULT_CGROUP_ROOT
from plimsoll_nodeagent.kernelfs import Mode, TwinProcess
from plimsoll_nodeagent.kernelfs.twin_process import PAGE_BYTES
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.serve.exposition import Exposition
from plimsoll_nodeagent.serve.http import GZIP_LEVEL
from report import Row, bench_options, write_results

SHARED_MEMORY = Path("/dev/shm")
CONTAINERS_PER_POD = 2
INTERVAL_SECONDS, SCRAPE_SECONDS, CORES = 10.0, 15.0, 2
READ_TIMEOUT_SECONDS = 10.0
LOOP_SECONDS, HEED_SECONDS = 10.0, 1.0
LOOK_REGIONS, LOOK_BLOCKS = 200, 4096


@contextmanager
def node(containers: int) -> Iterator[CgroupTree]:
    """A node's files for as long as the figures take."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as root:
        tree = CgroupTree(Path(root), SYSTEMD)
        for number in range(containers):
            tree.container(number, pod=number // CONTAINERS_PER_POD)
        yield tree


def cpu_ms(call: Callable[[], object], repeat: int) -> list[float]:
    """CPU time of each of so many calls."""
    times = []
    for _ in range(repeat):
        began = time.process_time()
        call()
        times.append((time.process_time() - began) * 1000)
    return times


def resident_mib(tree: CgroupTree) -> float:
    """Highest resident memory of the real process that only watches."""
    return serving_resident_mib(_watching(tree))


def _watching(tree: CgroupTree) -> list[str]:
    return [
        "run",
        "--root",
        str(tree.root),
        "--address",
        "127.0.0.1",
        "--port",
        "0",
        "--interval",
        "200ms",
    ]


def serving_resident_mib(arguments: list[str]) -> float:
    """Highest resident memory of a process, as it says itself once it has been scraped four times."""
    command = [sys.executable, "-m", "plimsoll_nodeagent.main", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = re.search(r'"port": ([0-9]+)', process.stderr.readline())[1]
            found: list[str] = []
            while len(found) < 4:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/metrics", timeout=READ_TIMEOUT_SECONDS
                ) as answer:
                    text = answer.read().decode()
                found += re.findall(r"^plimsoll_agent_resident_bytes_max (\S+)$", text, re.MULTILINE)
                time.sleep(0.5)
        finally:
            process.terminate()
    return float(found[-1]) / 2**20


def loop_rows(containers: int, repeat: int, command: str) -> list[Row]:
    """The whole loop: CPU a tick, a second and a container, by stage, and as a share of the node."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as directory:
        agent = AgentOn(Path(directory), containers=containers, mode=Mode.DRY_RUN.value)
        agent.node.kernel.mode = (
            Mode.DRY_RUN
        )  # notes what it would write: a twin's own work is none of the agent's
        machine_files(agent)
        agent.tick(5)
        ticks = cpu_ms(lambda: agent.tick(1), repeat)
        stages = dict(agent.made.agent.latest.stage_seconds)
        heeds = cpu_ms(lambda: heeded(agent), repeat)
        resident = looping_resident_mib(agent)
    tick, heed = statistics.fmean(ticks), statistics.fmean(heeds)  # idle ages are read in some ticks only
    loop, second = tick / LOOP_SECONDS / 10 / CORES, heed / HEED_SECONDS / 10 / CORES
    return [
        _timed(f"agent.loop_cpu_ms.{containers}", ticks, command),
        _timed(f"agent.heed_cpu_ms.{containers}", heeds, command),
        Row(f"agent.loop_cpu_us_per_container.{containers}", tick * 1000 / containers, "us", repeat, command),
        Row(f"agent.loop_cpu_percent_of_two_cores.{containers}", loop, "%", repeat, command),
        Row(f"agent.heed_cpu_percent_of_two_cores.{containers}", second, "%", repeat, command),
        Row(f"agent.live_cpu_percent_of_two_cores.{containers}", loop + second, "%", repeat, command),
        Row(f"agent.loop_resident_mib.{containers}", resident, "MiB", 1, command),
        *(
            Row(f"agent.stage_ms.{name}.{containers}", value * 1000, "ms", 1, command)
            for name, value in stages.items()
        ),
    ]


def heeded(agent: AgentOn) -> None:
    """A second between two ticks."""
    agent.now += HEED_SECONDS
    agent.made.agent.heed(0.0, lambda: agent.now)


def machine_files(agent: AgentOn) -> None:
    """The files of a machine with two NUMA nodes, as long as a kernel's."""
    write, root = agent.node.tree.write, agent.node.root
    counters = "".join(f"nr_counter_{number} {number}\n" for number in range(170))
    write(root / "proc/vmstat", f"{counters}pgalloc_normal 5\ncompact_stall 0\noom_kill 0\n")
    for numa_node in (0, 1):
        base = root / f"sys/devices/system/node/node{numa_node}"
        sizes = {"MemTotal": 1 << 20, "MemFree": 1 << 19, "Inactive(file)": 65536}
        lines = (f"Node {numa_node} {name}: {kib} kB\n" for name, kib in sizes.items())
        write(base / "meminfo", "".join(lines))
        write(base / "numastat", "local_node 5\nother_node 5\n")


def look_rows(repeat: int, command: str) -> list[Row]:
    """One look at a container's memory by address, and what a plan by address keeps in memory."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as directory:
        agent = watched(Path(directory), pages=LOOK_BLOCKS * 16)
        looked(agent, 2)
        process = agent.node.kernel.processes.add(TwinProcess(PID, pages=LOOK_BLOCKS * 16))
        edges = (
            np.linspace(process.start, process.end, LOOK_REGIONS + 1).astype(int) // PAGE_BYTES * PAGE_BYTES
        )
        regions = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        agent.node.kernel.damon.regions[PID] = [
            (*each, number % 5 == 0, 99_999) for number, each in enumerate(regions)
        ]
        looked(agent, 12)
        # From here on the files stay as they are: writing them is the kernel's work, not the agent's.
        agent.node.kernel.damon.freeze()
        looks = agent.made.agent.looks
        looks.cpu = time.process_time
        before, spent = looks.looks_total, looks.cost_seconds
        looked(agent, repeat)
        each_ms = (looks.cost_seconds - spent) / max(1, looks.looks_total - before) * 1000
    return [
        Row("agent.look_cpu_ms", each_ms, "ms", repeat, command),
        *(Row(f"agent.look_plans_mib.{each}", plans_mib(each), "MiB", 1, command) for each in (1, 100)),
    ]


def plans_mib(containers: int) -> float:
    """What the plans of so many large containers keep in the agent's memory."""
    tracemalloc.start()
    blocks = aimed_blocks_for(containers)
    worlds = [ProgramWorld(blocks, lambda epoch: np.arange(64) + epoch % 64) for _ in range(containers)]
    for world in worlds:
        for _ in range(3):
            world.look()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / 2**20


def looping_resident_mib(agent: AgentOn) -> float:
    """Highest resident memory of the real process that runs the whole loop, noting what it would write."""
    arguments = ["run", "--root", str(agent.node.root), "--address", "127.0.0.1", "--port", "0"]
    arguments += ["--interval", "200ms", "--mode", "dry-run", "--policy-file", str(agent.policy_file)]
    return serving_resident_mib(arguments)


def measured(containers: int, repeat: int, command: str) -> list[Row]:
    """Every figure of one size of node."""
    with node(containers) as tree:
        watch = Watch(tree.fs, DEFAULT_CGROUP_ROOT)

        def scrape() -> bytes:
            # A new one each time: it keeps its text between two ticks.
            return gzip.compress(Exposition(lambda: watch.latest, "bench").text(), GZIP_LEVEL)

        ticks = cpu_ms(lambda: watch.tick(time.time()), repeat)
        scrapes = cpu_ms(scrape, repeat)
        resident = resident_mib(tree)
        packed_kib = len(scrape()) / 1024
    share = statistics.median(ticks) / INTERVAL_SECONDS + statistics.median(scrapes) / SCRAPE_SECONDS
    percent = share / 1000 / CORES * 100
    return [
        _timed(f"agent.tick_cpu_ms.{containers}", ticks, command),
        _timed(f"agent.scrape_cpu_ms.{containers}", scrapes, command),
        Row(f"agent.cpu_percent_of_two_cores.{containers}", percent, "%", repeat, command),
        Row(f"agent.scrape_packed_kib.{containers}", packed_kib, "KiB", 1, command),
        Row(f"agent.resident_mib.{containers}", resident, "MiB", 1, command),
    ]


def _timed(name: str, times: list[float], command: str) -> Row:
    return Row(name, statistics.median(times), "ms", len(times), command, min(times), max(times))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--repeat", type=int, default=30)
    options = bench_options(parser)
    command = f".venv/bin/python bench/agent.py --containers {' '.join(map(str, options.containers))}"
    began = time.perf_counter()
    rows = []
    for count in options.containers:
        rows += measured(count, options.repeat, command) + loop_rows(count, options.repeat, command)
    rows += look_rows(options.repeat, command) + cover_rows(command)
    for row in rows:
        spread = "" if row.low is None else f"({row.low:.2f} to {row.high:.2f})"
        value = row.why if row.value is None else f"{row.value:8.2f}"
        print(f"{row.name:40} {value} {row.unit:4} {spread}")
    print(write_results("agent", rows, seed=0, seconds=time.perf_counter() - began))


if __name__ == "__main__":
    main()

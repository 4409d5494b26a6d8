"""How much of the time what an agent sees by address may be believed, by the number of containers.

In: numbers of containers, each with a process and under `Predictive`, on the twin of a kernel with DAMON;
looks cost nothing here, so that only the turns on the kdamonds bound them. Out: rows of bench/agent.py: in
which share of seconds a container's plan speaks, and when the last of them first did.
"""

import os
import tempfile
from pathlib import Path

from builders.agents import AgentOn
from builders.watched_agents import PREDICTIVE, shown
from plimsoll_nodeagent.kernelfs import TwinProcess
from report import Row

SHARED_MEMORY = Path("/dev/shm")  # the journal waits for a disk
SECONDS = {4: 3600, 30: 3600, 100: 7200}
FIRST_PID, PAGES, HOT_PAGES = 1000, 256, 32
ASKED_EVERY = 10


def cover_rows(command: str) -> list[Row]:
    """The figures of each number of containers."""
    return [row for containers, seconds in SECONDS.items() for row in cover(containers, seconds, command)]


def cover(containers: int, seconds: int, command: str) -> list[Row]:
    """So many seconds, a step each."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as directory:
        agent = _watching(Path(directory), containers)
        made, began = agent.made.agent, agent.now
        asked, spoke, first = 0, 0, dict[object, float]()
        for second in range(seconds):
            agent.now += 1.0
            made._look_by_address(agent.now)  # noqa: SLF001 -- and nothing else of a tick
            if second % ASKED_EVERY:
                continue
            for key, each in made.reclaimer.controlled.items():
                asked += 1
                if each.addresses is not None and each.addresses.speaks(agent.now):
                    spoke += 1
                    first.setdefault(key, agent.now - began)
    late = max(first.values()) / 60.0 if len(first) == containers else None
    why = None if late is not None else f"{len(first)} of {containers} ever spoke in {seconds} s"
    return [
        Row(f"agent.plan_speaks_percent.{containers}", 100.0 * spoke / asked, "%", asked, command),
        Row(f"agent.plan_first_minutes.{containers}", late, "min", containers, command, why=why),
    ]


def _watching(directory: Path, containers: int) -> AgentOn:
    agent = AgentOn(directory, containers=containers, policy=dict(PREDICTIVE))
    kernel = agent.node.kernel
    kernel.processes.add(TwinProcess(os.getpid(), pages=1))  # whom the probe asks for advice
    agent.start()
    for number, container in enumerate(agent.node.discovered()):
        pid = FIRST_PID + number
        (agent.node.root / container.path.strip("/") / "cgroup.procs").write_text(f"{pid}\n")
        shown(agent.node, kernel.processes.add(TwinProcess(pid, pages=PAGES)), HOT_PAGES)
    agent.made.agent.looks.cpu = lambda: 0.0
    agent.made.agent.tick(agent.now)
    return agent

"""An agent whose kernel has DAMON: a process whose memory is hot, or was never touched again.

In: a directory of the test. Out: an `AgentOn` with that process in its first container; the twin of DAMON
shows its regions, and looks cost nothing.
"""

import os
from pathlib import Path

from builders.agents import AgentOn
from builders.twin_node import TwinNode
from plimsoll_nodeagent.kernelfs import PageKind, TwinProcess
from plimsoll_nodeagent.kernelfs.twin_process import PAGE_BYTES

PREDICTIVE = {"importance": "Low", "reclaim": {"mode": "Predictive", "refaultBudget": 0.05, "prefetch": True}}
PID = 500
PAGES = 2048  # 8 MiB: 128 blocks
HOT_PAGES = 256
LONG_AGO = 100_000  # aggregations


def watched(directory: Path, containers: int = 1, pages: int = PAGES, **of: object) -> AgentOn:
    """An agent that watches a process (of so many pages) of the first container by address."""
    agent = AgentOn(directory, containers=containers, policy=dict(PREDICTIVE), **of)
    agent.node.kernel.processes.add(TwinProcess(os.getpid(), pages=1))  # whom the probe asks for advice
    agent.start()
    process = agent.node.process(PID, 1, pages=pages)
    shown(agent.node, process)
    agent.made.agent.looks.cpu = lambda: 0.0
    agent.tick(1)
    return agent


def shown(node: TwinNode, process: TwinProcess, hot_pages: int = HOT_PAGES) -> None:
    """Let DAMON show that its first pages are accessed, and the rest has not been for long."""
    middle = process.start + hot_pages * PAGE_BYTES
    node.kernel.damon.regions[process.pid] = [
        (process.start, middle, 5, 3),
        (middle, process.end, 0, LONG_AGO),
    ]


def looked(agent: AgentOn, looks: int, seconds: float = 10.0) -> None:
    """So many looks by address, and nothing else."""
    for _ in range(looks):
        agent.now += seconds
        agent.made.agent._look_by_address(agent.now)


def resident(process: TwinProcess) -> list[int]:
    """Resident pages of the hot part, and of the rest."""
    present = process.has(PageKind.PRESENT)
    return [int(present[:HOT_PAGES].sum()), int(present[HOT_PAGES:].sum())]


def advised(agent: AgentOn, advice: str) -> list[str]:
    """What was advised so."""
    return [each.what for each in agent.node.kernel.notes if each.text.startswith(f"{advice} ")]

"""What a predecessor left set is taken back before anything else, from where the chart keeps the journal."""

import time
from pathlib import Path

from builders.agents import AgentOn
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Journal


def test_a_lease_of_a_killed_agent_is_ended_by_the_next(tmp_path: Path):
    agent = AgentOn(tmp_path)
    container = agent.node.discovered()[0]
    high = agent.node.file(1, "memory.high")
    journal = tmp_path / "state" / "journal"
    killed = Actor(agent.node.kernel, Journal(journal), time.monotonic)
    killed.permit([container])
    before = high.read_text().strip()
    assert killed.lease(container, 12 << 20, 60.0).answer == "done"
    assert high.read_text().strip() == str(12 << 20)

    agent.start()

    assert high.read_text().strip() == before
    assert Journal(journal).names() == []

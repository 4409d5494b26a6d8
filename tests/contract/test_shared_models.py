"""What node A has learned of an image reaches node B over real streams, and B starts from it.

Both agents are whole, on twins of a kernel; gRPC, certificates and the memory's file are real. Time is moved
by hand.
"""

from contextlib import asynccontextmanager

import numpy as np

from builders.agents import AgentOn
from builders.apiserver import free_port
from builders.attending import QUICK, Attended, attending, until
from builders.authority import Authority
from plimsoll.coordinate.messages import ModelDelta
from plimsoll.pages.survival import deviance, prior_hazard, returns_between
from plimsoll.store.memory import open_memory
from plimsoll.store.releasing import release_of
from plimsoll.store.shared_kinds import PAGES, page_hazard, page_prior
from plimsoll_nodeagent.control.policies import FilePolicies
from plimsoll_nodeagent.coordinate.assemble import accompany
from plimsoll_nodeagent.main import parser
from plimsoll_operator.coordinate.sharing import Sharing
from plimsoll_operator.serve.metrics import Metrics

RETURNS = (80, 40)  # pages of the two oldest generations, each half minute
KEY = "example.org/redis redis"


class Learner:
    """The operator's ear: only models."""

    def __init__(self, sharing):
        self.sharing, self.heard_total = sharing, 0

    def greeted(self, kube_node, facts, now_seconds):
        """A stream was opened."""

    def heard(self, kube_node, body, now_seconds):
        if isinstance(body, ModelDelta):
            self.heard_total += 1
            self.sharing.hear(kube_node, body, now_seconds)


class Fleet:
    """A served operator with a memory in a file, of a Redis that is away."""

    def __init__(self, directory):
        url = f"redis://127.0.0.1:{free_port()}/0?timeout=0.2"
        self.now = 1_700_000_000.0
        self.memory = open_memory(str(directory / "memory.db"), url)
        self.metrics = Metrics("test")
        self.sharing = Sharing(
            self.memory, self.metrics, self._offer, lambda _: frozenset({KEY}), lambda: self.now,
            least_nodes=1,
        )  # fmt: skip
        self.served = Attended(directory, Authority(), now=lambda: self.now)
        self.served.hearer = self.learner = Learner(self.sharing)
        self.told_before = 0  # by agents that have parted

    def _offer(self, kube_node, body):
        return self.served.service.offer(kube_node, body)

    @property
    def release(self):
        return release_of(self.memory, PAGES, KEY, page_prior(), self.now)

    @asynccontextmanager
    async def agent(self, directory, kube_node):
        """A whole agent that attends as this node."""
        agent = AgentOn(directory, containers=1)
        agent.now = self.now
        self.served.pods = {agent.node.discovered()[0].pod_uid: kube_node}
        link, _ = self.served.agent(kube_node)
        arguments = ["run", "--operator-address", f"127.0.0.1:{self.served.port}", "--kube-node", kube_node]
        arguments += ["--operator-identity-dir", str(link._identity.directory)]
        arguments += ["--operator-token-file", str(link._identity.token_file)]
        beside = accompany(parser().parse_args(arguments), agent.made.agent)
        beside.link._backoff, beside.link._now = QUICK, lambda: agent.now
        async with attending(beside.link):
            await until(lambda: beside.link.state.attending)
            yield agent, beside
        self.told_before += agent.made.agent.reclaimer.fleet.counts["told"]

    async def turn(self, agent, beside, looks, seconds):
        """Some looks of an agent; then the operator works on what it said, and the agent hears the answer.

        Its memory is as old as before at each turn, and returns faster than what ships believes.
        """
        agent.lived = 0
        agent.lives(looks, seconds, RETURNS)
        self.now = agent.now
        counts = agent.made.agent.reclaimer.fleet.counts
        await until(lambda: self.learner.heard_total == self.told_before + counts["told"])
        told = await self.sharing.round()
        if told:
            await until(lambda: not beside.companion._heard.empty())
        agent.made.agent.heed(0.0, lambda: agent.now)
        return told


def hazards_of(agent):
    (each,) = agent.made.agent.reclaimer.controlled.values()
    return each.survival


async def test_a_container_on_node_b_starts_from_what_node_a_has_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(FilePolicies, "shared_class_of", lambda *_: KEY)
    fleet = Fleet(tmp_path)
    async with fleet.served.serving():
        async with fleet.agent(tmp_path / "a", "node-a") as (agent, beside):
            for _ in range(60):
                await fleet.turn(agent, beside, 4, 30.0)
                if fleet.metrics.value("plimsoll_models_total", outcome="promote", kind=PAGES):
                    break
            learned = page_hazard(fleet.release.current)
        assert fleet.metrics.value("plimsoll_models_total", outcome="promote", kind=PAGES) == 1
        assert not np.allclose(learned, prior_hazard(), rtol=0.05)

        async with fleet.agent(tmp_path / "b", "node-b") as (agent, beside):
            agent.tick()
            np.testing.assert_array_equal(hazards_of(agent).prior, prior_hazard())
            assert await fleet.turn(agent, beside, 1, 30.0) >= 1
            before = agent.made.agent.ages.looked
            agent.lives(1, 30.0, RETURNS)
            np.testing.assert_allclose(hazards_of(agent).prior, learned, rtol=1e-5)
            (key,) = before
            seen = returns_between(before[key].ages, agent.made.agent.ages.looked[key].ages, 30.0, 0.0)
            assert deviance(learned, seen) < 0.5 * deviance(prior_hazard(), seen), "against a cold start"
    assert fleet.memory.send(fleet.now).failure, "Redis is away"
    assert fleet.memory.tiers.file.counts()["pending"] > 0, "and nothing that waits for it is lost"
    fleet.memory.close()


async def test_an_operator_without_a_memory_leaves_agents_to_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(FilePolicies, "shared_class_of", lambda *_: KEY)
    fleet = Fleet(tmp_path)
    fleet.served.hearer = fleet.served.heard
    async with fleet.served.serving(), fleet.agent(tmp_path / "a", "node-a") as (agent, _):
        agent.lives(10)
        await until(lambda: [each for _, each in fleet.served.heard.bodies if isinstance(each, ModelDelta)])
        assert hazards_of(agent).observations > 0
        assert agent.made.agent.reclaimer.fleet.vector(PAGES, KEY) is None
    fleet.memory.close()

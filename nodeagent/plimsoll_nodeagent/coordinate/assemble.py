"""Coordination put together from the agent's flags, started and ended beside its loop.

In: an agent and where the operator is. Out: a companion for the loop, a thread that attends the operator and
one that looks for bursts. An agent started without `--operator-address` has none of it, and does not load
gRPC.
"""

import argparse
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

from plimsoll.coordinate.session import AgentSession
from plimsoll_nodeagent.agent import Agent
from plimsoll_nodeagent.control.told_policies import ToldPolicies
from plimsoll_nodeagent.coordinate.bursts import Bursts, keep_looking
from plimsoll_nodeagent.coordinate.companion import Companion, allowed_pressure, node_facts
from plimsoll_nodeagent.coordinate.identity import Identity
from plimsoll_nodeagent.coordinate.learning import Learning
from plimsoll_nodeagent.coordinate.link import AgentSide, Link, run_in_thread
from plimsoll_nodeagent.coordinate.roster import Numbered
from plimsoll_nodeagent.coordinate.shrinking import Shrinking


@dataclass(slots=True)
class Accompanied:
    """What runs beside the loop."""

    companion: Companion
    link: Link
    _stop: threading.Event = field(default_factory=threading.Event)
    _end: Callable[[], None] | None = None

    def start(self) -> None:
        """Attend, and look for bursts."""
        self._end = run_in_thread(self.link)
        keep_looking(lambda: self.companion.look_for_bursts(time.time()), self._stop)

    def close(self) -> None:
        """End both."""
        self._stop.set()
        if self._end is not None:
            self._end()


def accompany(options: argparse.Namespace, agent: Agent) -> Accompanied:
    """Give an agent its companion. Raises ValueError for a flag that is missing."""
    if not options.kube_node:
        raise ValueError("--operator-address needs --kube-node")
    session: AgentSide = AgentSession(secrets.randbits(63) | 1)
    allowed = allowed_pressure(agent.reclaimer)
    numbered, bursts = Numbered(), Bursts(agent.fs, may_reclaim=lambda key: allowed(key) is not None)
    shrinking = Shrinking(agent.fs, agent.reclaimer, numbered.find)
    forecasts = agent.pressing.forecasts
    agent.reclaimer.fleet.say_seconds = options.models_interval
    companion = Companion(
        session, numbered, shrinking, bursts, forecasts, lambda: secrets.randbits(63),
        Learning(agent.reclaimer, forecasts),
    )  # fmt: skip
    companion.policies = agent.policies if isinstance(agent.policies, ToldPolicies) else None
    identity = Identity(options.operator_identity_dir, options.operator_token_file)
    facts = node_facts(
        options.kube_node,
        version("plimsoll"),
        agent.reclaimer.capabilities,
        numbered,
        time.time,
        policies_wanted=companion.policies is not None,
    )
    companion.link = link = Link(
        options.operator_address,
        identity,
        session,
        facts,
        companion.hear,
        now=time.time,
        draw=random.random,
        server_name=options.operator_server_name,
    )
    agent.companion = companion
    return Accompanied(companion, link)

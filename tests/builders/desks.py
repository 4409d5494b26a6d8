"""An operator on a small cluster with a desk for agents, and one agent's session on `n1`.

In: a rig (`loops.rig`). Out: what the agent is told, and ways to let it speak; the streams are left out.
"""

import asyncio
from itertools import count

import numpy as np

from builders.clusters import MIB, NOW
from builders.loops import MINUTE
from plimsoll.coordinate.attendance import Attendance
from plimsoll.coordinate.messages import (
    LeaseAnswer,
    LeaseRequest,
    NodeFacts,
    PolicySnapshot,
    Roster,
    RosterEntry,
    SampleBatch,
    ShrinkReport,
    ShrinkRequest,
    ShrinkStage,
)
from plimsoll.coordinate.session import AgentSession
from plimsoll_operator.coordinate.assemble import BOUNDS
from plimsoll_operator.coordinate.desk import Desk
from plimsoll_operator.coordinate.lease_notes import LeaseNotes

GIB_MIB = 1024


async def no_pause(_: float) -> None:
    """Nobody waits."""


class Desks:
    """A rig whose operator has a desk, and one agent on n1."""

    def __init__(self, made, epoch_id=1, pause=no_pause):
        self.rig, self.woken, self._said = made, 0, None
        self.attendance = Attendance(epoch_id, bounds=BOUNDS)
        self.offer = self._offer  # a served `Coordination.offer` where there are streams
        parts = made.loop._parts
        ids = count(1)
        self.desk = parts.desk = Desk(
            self.attendance,
            made.membership,
            parts.asks,
            made.metrics,
            offer=lambda kube_node, body: self.offer(kube_node, body),  # noqa: PLW0108 -- as it is then
            draw_id=lambda: next(ids),
            raise_now=made.loop.raise_now,
            overlaid=made.actor.expectations.overlaid,
            wake=self._wake,
            notes=LeaseNotes(parts.api, made.membership, pause),
        )
        self.desk.shrink_ended = made.loop.happenings.shrink
        self.agent = AgentSession(7)

    def _wake(self):
        self.woken += 1

    def _offer(self, kube_node, body):
        session = self.attendance.session(kube_node)
        return session is not None and session.offer(body, level=isinstance(body, PolicySnapshot))

    def attend(self, now_seconds, kube_node="n1", roster=None):
        """The agent opens a stream."""
        own = roster or Roster((RosterEntry(0, "uid-web-0", "web-0-0"),))
        session, welcome = self.attendance.greet(kube_node, self.agent.greet(), now_seconds)
        self.agent.welcome(welcome)
        self.desk.greeted(kube_node, NodeFacts(kube_node, roster=own, sent_seconds=now_seconds), now_seconds)
        self.session = session
        return session

    def told(self):
        """What the agent has been told since the last look."""
        found = []
        while (envelope := self.session.next()) is not None:
            if envelope.body is not None:
                found.append(envelope.body)
        return found

    def samples(self, used_mib, now_seconds, available_mib=32 * GIB_MIB, needed_mib=None):
        """What the agent says of its container from now on: again with each lease it asks for."""
        self._said = (used_mib, available_mib, needed_mib)
        columns = {"usage_bytes": np.array([used_mib * MIB]), "memory_max_bytes": np.array([1024.0 * MIB])}
        if needed_mib is not None:  # an agent that may reclaim the container
            columns |= {"needed_bytes": np.array([needed_mib * MIB])}
            columns |= {"working_set_bytes": np.array([used_mib * MIB])}
        batch = SampleBatch(now_seconds, np.array([0]), columns, available_bytes=available_mib * MIB)
        self.says(batch, now_seconds)

    def says(self, body, now_seconds):
        self.attendance.heard("n1", now_seconds)
        self.desk.heard("n1", body, now_seconds)

    def report(self, request, stage, left_mib, now_seconds, max_mib=1024, kills=0, reason=""):
        report = ShrinkReport(
            request.shrink_id, stage, int(left_mib * MIB), int(max_mib * MIB), reason, kills
        )
        self.says(report, now_seconds)

    async def once(self, now_seconds):
        if self.attendance.session("n1") is not None:
            self.attendance.heard("n1", now_seconds)
        return await self.rig.once(now_seconds)

    async def asks_for(self, wanted_mib, now_seconds, lease_id=9, index=0, read_mib=1024):
        """A lease request and its answer; `read_mib` is what the agent reads in memory.max."""
        if self._said is not None:
            used_mib, available_mib, needed_mib = self._said
            self.samples(used_mib, now_seconds, available_mib, needed_mib)
        read_bytes = int(read_mib * MIB)
        ask = LeaseRequest(lease_id, index, int(wanted_mib * MIB), read_bytes, 50 * MIB, 3.0, now_seconds)
        self.says(ask, now_seconds)
        await asyncio.gather(*self.desk._tasks)
        (answer,) = [each for each in self.told() if isinstance(each, LeaseAnswer)]
        return answer

    async def loops(self, minutes):
        """Loops of these minutes, with an agent that makes room wherever it is asked to."""
        for minute in minutes:
            now = NOW + minute * MINUTE
            await self.once(now)
            for request in (each for each in self.told() if isinstance(each, ShrinkRequest)):
                if request.written:
                    self.report(request, ShrinkStage.OBSERVED, 500, now, max_mib=self.rig.limit())
                else:
                    self.report(request, ShrinkStage.REACHED, 500, now)
                    await self.once(now + 1)

    def reasons(self, plans):
        return [each.decision.reason for each in plans.rows.values()]

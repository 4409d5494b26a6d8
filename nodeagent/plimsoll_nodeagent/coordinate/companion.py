"""What the agent's loop does together with the operator: tells it of each tick, and does what it asks.

In: reports, and what the stream has brought. Out: messages offered to the link, shrinks stepped, leases asked
for. The loop calls `tick` and `heed`; both put things down and never wait for the network. Where the operator
is away no lease is asked for, a shrink stops at its own deadline, and policies go on as they are.
"""

import logging
from collections.abc import Callable, Iterator
from queue import Empty, Queue

from plimsoll.coordinate.degradation import operator_away
from plimsoll.coordinate.messages import (
    Capability,
    LeaseAnswer,
    LeaseRequest,
    ModelVersion,
    NodeFacts,
    OperatorBody,
    PolicySnapshot,
    ShrinkCancel,
    ShrinkRequest,
)
from plimsoll_nodeagent.capabilities import KernelCapabilities
from plimsoll_nodeagent.control.forecasting import PressureForecasts
from plimsoll_nodeagent.control.reclaiming import Reclaimer
from plimsoll_nodeagent.control.reports import CoordinationReport, Report
from plimsoll_nodeagent.control.told_policies import ToldPolicies
from plimsoll_nodeagent.coordinate.batches import acted, forecast_batch, outcome_batch, sample_batch
from plimsoll_nodeagent.coordinate.bursts import Bursts
from plimsoll_nodeagent.coordinate.learning import Learning
from plimsoll_nodeagent.coordinate.link import AgentSide, Link
from plimsoll_nodeagent.coordinate.roster import Numbered
from plimsoll_nodeagent.coordinate.shrinking import Shrinking
from plimsoll_nodeagent.discover.tracker import ContainerId

logger = logging.getLogger(__name__)


MOST_HEARD = 1024  # of what the operator says, between two looks at it a second apart


class Companion:
    """The operator's side of the agent. `link` is set once it is there: the two know each other."""

    def __init__(
        self,
        session: AgentSide,
        numbered: Numbered,
        shrinking: Shrinking,
        bursts: Bursts,
        forecasts: PressureForecasts,
        draw_id: Callable[[], int],
        learning: Learning | None = None,
    ) -> None:
        self._learning = learning
        self._session, self._numbered, self._shrinking = session, numbered, shrinking
        self._bursts, self._forecasts, self._draw_id = bursts, forecasts, draw_id
        self._heard: Queue[OperatorBody] = Queue(MOST_HEARD)
        self._acted = (0, 0)  # all that was asked of the kernel when it was told last, and on which stream
        self.link: Link | None = None
        self.policies: ToldPolicies | None = None  # where they come from the operator
        self.leases: dict[str, int] = {"asked": 0, "granted": 0, "refused": 0, "away": 0}

    def hear(self, body: OperatorBody) -> None:
        """Put down what the operator says; the stream's thread calls it, and waits where there is no room."""
        self._heard.put(body)

    def tick(self, report: Report, now_seconds: float) -> None:
        """Tell of a tick."""
        if self.link is None:
            return
        change = self._numbered.follow(each.container for each in report.snapshot.samples)
        if (change.added or change.removed) and self.link.offer(change):
            self._numbered.said()
        self._bursts.follow(report.snapshot)
        dropped = self._session.outbox.dropped_total
        self.link.offer(sample_batch(report, self._numbered, dropped), level=True)
        ahead = forecast_batch(
            report, self._numbered, self._forecasts.probability, self._bursts.limit_reached_seconds
        )
        if len(ahead.indexes) or ahead.kube_node_pressure is not None:
            self.link.offer(ahead, level=True)
        total = (acted(report.containers), self.link.state.streams_total)
        if total[0] and total != self._acted:
            self.link.offer(outcome_batch(report, self._numbered), level=True)
            self._acted = total

        if self._learning is not None and self.link.state.attending:
            self._share(self._learning, now_seconds)

    def _share(self, learning: Learning, now_seconds: float) -> None:
        """Say what was learned of the images here, and ask for the fleet's; the rest is said later."""
        for delta in learning.deltas(now_seconds):
            if self.link is None or not self.link.offer(delta):
                break
            learning.said(delta, now_seconds)

    def report(self) -> CoordinationReport:
        """How the agent stands with its operator."""
        state = None if self.link is None else self.link.state
        return CoordinationReport(
            attending=state is not None and state.attending,
            streams_total=0 if state is None else state.streams_total,
            given_up_total=self._session.outbox.dropped_total,
            refused_total=self._session.outbox.refused_total,
            too_large_total={} if state is None else dict(state.too_large_total),
            unnamed=self._numbered.unnamed,
            in_part="" if self.link is None else self.link.in_part(),
            why="" if state is None else state.why,
            stream_failures_total={} if state is None else dict(state.failures_total),
            leases_total=dict(self.leases),
            raises_total=self._bursts.raised.count,
            raises_seconds_total=self._bursts.raised.seconds,
            raise_seconds=self._bursts.raised.last_seconds,
            policies_version=0 if self.policies is None else self.policies.version,
            models_total={} if self._learning is None else dict(self._learning.fleet.counts),
        )

    def heed(self, now_seconds: float) -> None:
        """Act on what was asked; call about once a second."""
        while True:
            try:
                self._act(self._heard.get_nowait(), now_seconds)
            except Empty:
                break
        for report in self._shrinking.step(now_seconds):
            if self.link is not None:
                self.link.offer(report)

    def look_for_bursts(self, now_seconds: float) -> Iterator[LeaseRequest]:
        """Ask for leases where limits are near; called in the thread that looks for bursts."""
        for key, ask in self._bursts.look(now_seconds):
            index = self._numbered.index(key)
            if index is None or self.link is None:
                continue
            state = self.link.state
            if not state.attending or operator_away(
                state.heard_seconds, now_seconds, 2 * state.away_after_seconds
            ):
                self.leases["away"] += 1
                continue
            request = LeaseRequest(
                self._draw_id(), index, ask.wanted_bytes, ask.memory_max_bytes,
                ask.growth_bytes_per_second, ask.limit_reached_seconds, now_seconds,
            )  # fmt: skip
            if self.link.offer(request):
                self.leases["asked"] += 1
                self._bursts.asked(key, now_seconds, ask.memory_max_bytes)
                yield request

    def _act(self, body: OperatorBody, now_seconds: float) -> None:
        if isinstance(body, ShrinkRequest):
            self._shrinking.ask(body, now_seconds)
        elif isinstance(body, ShrinkCancel):
            self._shrinking.cancel(body.shrink_id)
        elif isinstance(body, LeaseAnswer):
            self.leases["granted" if body.limit_bytes else "refused"] += 1
            logger.info("lease", extra={"limit_bytes": body.limit_bytes, "refusal": body.refusal})
        elif isinstance(body, ModelVersion) and self._learning is not None:
            self._learning.fleet.hear(body)
        elif isinstance(body, PolicySnapshot) and self.policies is not None:
            self.policies.hear(body)
        else:
            logger.debug("heard and not used yet", extra={"kind": type(body).__name__})


def allowed_pressure(reclaimer: Reclaimer) -> Callable[[ContainerId], float | None]:
    """What a policy allows a container, as `Shrinking` asks for it."""

    def allowed(key: ContainerId) -> float | None:
        controlled = reclaimer.controlled.get(key)
        return None if controlled is None else controlled.law.policy.max_pressure_ratio

    return allowed


def node_facts(
    kube_node: str,
    agent_version: str,
    capabilities: KernelCapabilities,
    numbered: Numbered,
    now: Callable[[], float],
    *,
    policies_wanted: bool = False,
) -> Callable[[], NodeFacts]:
    """What a hello says of this node."""
    found = tuple(Capability(each.engine.value, each.level.value, each.why) for each in capabilities.engines)

    def facts() -> NodeFacts:
        return NodeFacts(
            kube_node, agent_version, capabilities.kernel, found, numbered.roster, now(), policies_wanted
        )

    return facts

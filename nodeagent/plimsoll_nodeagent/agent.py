"""One tick of the node agent, a line a stage, each timed by name.

In: the parts, put together by `main.py`, and a time. Out: an immutable `Report` a tick, for /metrics, the
command line and NodeMemory; the newest replaces the one before in one step, so that readers need no lock. A
stage that fails ends the tick and is logged by name; then nothing is reclaimed, for acting comes after all
that could fail, and what was reclaimed before needs no undoing. Between two ticks `heed` listens to PSI.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.control.forecasting import PressureForecasts
from plimsoll_nodeagent.control.idle_ages import IdleAgeSampler
from plimsoll_nodeagent.control.policies import PolicySource
from plimsoll_nodeagent.control.reclaiming import Controlled, Plan, Reclaimer
from plimsoll_nodeagent.control.reports import Report, container_reports, node_report
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.loop import Snapshot, Watch
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import PressureTriggers

logger = logging.getLogger(__name__)

STAGES = ("discover", "sample", "predict", "plan", "act", "measure", "report")


@dataclass
class Agent:
    """The parts of a running agent."""

    fs: KernelFs
    watch: Watch
    policies: PolicySource
    ages: IdleAgeSampler
    forecasts: PressureForecasts
    reclaimer: Reclaimer
    actor: Actor
    triggers: PressureTriggers | None = None
    monotonic: Callable[[], float] = time.monotonic
    sink: Callable[[Report, float], None] | None = None
    """Where reports go besides: NodeMemory. It must not raise and must not block for long."""
    latest: Report | None = None
    stage_failures: Counter[str] = field(default_factory=Counter)
    _stage_seconds: dict[str, float] = field(default_factory=dict)

    def tick(self, now_seconds: float) -> Report | None:
        """Everything once; None as long as there is no kernel to learn from."""
        with self._stage("discover"):
            found = self.watch.discover()
            self.policies.refresh(now_seconds)
        with self._stage("sample"):
            snapshot = self.watch.sample(now_seconds) if found else None
        if snapshot is None:
            return None
        with self._stage("predict"):
            wanted = self._predict(snapshot, now_seconds)
        with self._stage("plan"):
            plan = self.reclaimer.plan(snapshot, wanted, self.forecasts.probability)
        with self._stage("act"):
            done = self._act(plan)
        with self._stage("measure"):
            self.reclaimer.measure(done)
        with self._stage("report"):
            self.latest = self._report(snapshot)
            if self.sink is not None:
                self.sink(self.latest, now_seconds)
        return self.latest

    def heed(self, seconds: float, now: Callable[[], float]) -> None:
        """Listen to PSI for so long; whoever stalls is left alone at once."""
        self.actor.tick()
        self.reclaimer.look_at_pressure(now())
        if self.triggers is None or not len(self.triggers):
            return
        stalled = self.triggers.stalled(max(0.0, seconds))
        if stalled:
            self.reclaimer.notice_pressure(stalled, now())

    def close(self) -> None:
        """Take back what is set."""
        self.actor.close()
        if self.triggers is not None:
            self.triggers.close()

    def _predict(self, snapshot: Snapshot, now_seconds: float) -> list[ContainerSample]:
        wanted = self.reclaimer.follow(snapshot)
        self.ages.sample((each.container for each in wanted), now_seconds)
        self.reclaimer.predict(self.ages.looked, now_seconds)
        self.forecasts.see(snapshot, wanted)
        self._listen(wanted)
        return wanted

    def _listen(self, wanted: list[ContainerSample]) -> None:
        """Have PSI triggers on these containers; without them `heed` still reads PSI each second."""
        if self.triggers is None:
            return
        try:
            counts = self.triggers.follow(each.container for each in wanted)
        except OSError as error:
            logger.warning("no PSI triggers: PSI is read each second", extra={"why": str(error)})
            self.triggers.close()
            self.triggers = None
            return
        if counts.keys() - {Answer.DONE, Answer.GONE}:
            logger.debug("some containers have no PSI trigger: their PSI is read each second")

    def _act(self, plan: Plan) -> list[tuple[Controlled, Outcome]]:
        self.actor.tick()
        return self.reclaimer.act(plan)

    def _report(self, snapshot: Snapshot) -> Report:
        reports = container_reports(self.reclaimer, snapshot)
        return Report(
            snapshot=snapshot,
            node=node_report(self.fs, self.reclaimer, self.forecasts, snapshot),
            containers=reports,
            capabilities=self.reclaimer.capabilities,
            policy_problem=self.policies.problem,
            page_policy=self.reclaimer.page_policy_name or "by policy",
            stage_seconds=dict(self._stage_seconds),
            stage_failures=dict(self.stage_failures),
            actions_total=dict(self.reclaimer.outcomes),
            latest=self.reclaimer.latest,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = self.monotonic()
        try:
            yield
        except Exception:
            self.stage_failures[name] += 1
            raise
        finally:
            self._stage_seconds[name] = self.monotonic() - began

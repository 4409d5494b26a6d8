"""One tick of the node agent, a line a stage, each timed by name.

In: the parts, put together by `main.py`, and a time. Out: an immutable `Report` a tick, for /metrics, the
command line and NodeMemory; the newest replaces the one before in one step, so that readers need no lock. A
stage that fails ends the tick and is logged by name; then nothing is reclaimed, for acting comes after all
that could fail, and what was reclaimed before is booked and needs no undoing. What goes wrong with one
container ends nothing: it is left alone. Between two ticks `heed` listens to PSI.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.capabilities import Engine, KernelCapabilities, Level
from plimsoll_nodeagent.control.by_address import AddressLooks
from plimsoll_nodeagent.control.collapsing import Collapser
from plimsoll_nodeagent.control.event_watch import EventWatch
from plimsoll_nodeagent.control.idle_ages import IdleAgeSampler
from plimsoll_nodeagent.control.node_limits import NodeLimits
from plimsoll_nodeagent.control.numa_places import NumaPlaces
from plimsoll_nodeagent.control.policies import PolicySource
from plimsoll_nodeagent.control.pressing import Pressing
from plimsoll_nodeagent.control.reclaiming import Plan, Reclaimer
from plimsoll_nodeagent.control.reports import CoordinationReport, Report, container_reports, node_report
from plimsoll_nodeagent.control.tiering import Tierer
from plimsoll_nodeagent.control.written_looks import WrittenLooks
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.loop import Snapshot, Watch
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import KUBE_NODE, PressureTriggers

logger = logging.getLogger(__name__)

STAGES = ("discover", "sample", "predict", "plan", "act", "report")


class Accompanies(Protocol):
    """What goes along with the loop: coordination with the operator (`coordinate.companion`)."""

    def tick(self, report: Report, now_seconds: float) -> None:
        """A tick has ended."""

    def heed(self, now_seconds: float) -> None:
        """About a second has passed."""

    def report(self) -> CoordinationReport:
        """How it stands."""


@dataclass
class Agent:
    """The parts of a running agent."""

    fs: KernelFs
    watch: Watch
    policies: PolicySource
    ages: IdleAgeSampler
    looks: AddressLooks
    pressing: Pressing
    reclaimer: Reclaimer
    actor: Actor
    places: NumaPlaces
    collapser: Collapser
    tierer: Tierer
    triggers: PressureTriggers | None = None
    writes: WrittenLooks | None = None
    monotonic: Callable[[], float] = time.monotonic
    sink: Callable[[Report, float], None] | None = None
    """Where reports go besides: NodeMemory. It must not raise and must not block for long."""
    companion: Accompanies | None = None
    latest: Report | None = None
    stage_failures: Counter[str] = field(default_factory=Counter)
    limits: NodeLimits = field(init=False)
    events: EventWatch = field(init=False)
    _stage_seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limits, self.events = NodeLimits(self.fs), EventWatch(self.fs)

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
            plan = self.reclaimer.plan(snapshot, wanted, self.pressing.forecasts.probability)
        with self._stage("act"):
            self._act(plan)
        with self._between("numa"):
            self.places.step(self.reclaimer.numa_wanted, now_seconds, self.reclaimer.numa_binds)
        with self._between("collapse"):
            said = self.pressing.forecasts.probability
            self.collapser.step(snapshot, self.reclaimer.controlled, said)
        with self._between("tiers"):
            self.tierer.step(self.reclaimer.controlled, now_seconds)
        with self._between("limits"):
            self.limits.step(snapshot)
        with self._stage("report"):
            self.latest = self._report(snapshot)
            if self.sink is not None:
                self.sink(self.latest, now_seconds)
        if self.companion is not None:
            with self._between("coordinate"):
                self.companion.tick(self.latest, now_seconds)
        return self.latest

    def heed(self, seconds: float, now: Callable[[], float]) -> None:
        """Listen to PSI for so long; whoever stalls is left alone at once. Act ahead of pressure, look on."""
        with self._between("leases"):
            self.actor.tick()
        stalls: dict[ContainerId, float] | None = None
        with self._between("pressure"):  # before all else that could fail: it makes the law back off
            stalls = self.reclaimer.look_at_pressure(now())
        if stalls is not None:  # whose stalls cannot be read is not acted on
            with self._between("press"):
                controlled = {key: each.container for key, each in self.reclaimer.controlled.items()}
                self.pressing.step(now(), stalls, self.events.changed(controlled))
        self._look_by_address(now())
        if self.companion is not None:
            with self._between("coordinate"):
                self.companion.heed(now())
        if self.triggers is None or not len(self.triggers):
            return
        try:
            stalled = self.triggers.stalled(max(0.0, seconds))
        except OSError as error:
            self._without_triggers(error)
            return
        if KUBE_NODE in stalled:
            self.pressing.wake()
        if stalled:
            self.reclaimer.heed_triggers(stalled, now())

    def close(self) -> None:
        """Take back what is set: leases and bindings first, and each whatever becomes of the others."""
        with ExitStack() as last:
            if self.triggers is not None:
                last.callback(self.triggers.close)
            last.callback(self.reclaimer.stalls.close)
            last.callback(self.events.close)
            last.callback(self.looks.close)
            last.callback(self.actor.close)

    def _predict(self, snapshot: Snapshot, now_seconds: float) -> list[ContainerSample]:
        wanted = self.reclaimer.follow(snapshot)
        mapped = {each.container.key: each.mapped_cache_bytes for each in wanted}
        self.ages.sample((each.container for each in wanted), now_seconds, mapped)
        self.looks.spoil(self.ages.aged)
        self._look_by_address(now_seconds)
        self._look_at_writes(now_seconds)
        self.reclaimer.predict(self.ages.looked, now_seconds)
        self.pressing.see_all(snapshot, wanted)
        self._listen(wanted)
        return wanted

    def _look_by_address(self, now_seconds: float) -> None:
        failures = self.stage_failures["look"]
        with self._between("look"):
            wanted = self.reclaimer.by_address(without_ages=self.ages.absence is not None)
            self.looks.step(now_seconds, wanted, self.reclaimer.expert)
        if self.stage_failures["look"] > failures:
            self.reclaimer.forget_addresses()  # what a look left half done is not to be trusted
        else:
            self.reclaimer.forget_addresses(self.looks.failures)

    def _look_at_writes(self, now_seconds: float) -> None:
        """Only where nothing better tells: it costs the programs faults."""
        if self.writes is None or self._capabilities().level(Engine.ACCESSES) is not Level.SOFT_DIRTY:
            return
        with self._between("writes"):
            self.writes.step(self.reclaimer.controlled.values(), now_seconds)

    def _listen(self, wanted: list[ContainerSample]) -> None:
        """Have PSI triggers on these and on the node; without them `heed` still reads PSI each second."""
        if self.triggers is None:
            return
        try:
            counts = self.triggers.follow(each.container for each in wanted)
            self.triggers.watch_kube_node()
        except OSError as error:
            self._without_triggers(error)
            return
        if counts.keys() - {Answer.DONE, Answer.GONE}:
            logger.debug("some containers have no PSI trigger: their PSI is read each second")

    def _without_triggers(self, error: OSError) -> None:
        logger.warning("no PSI triggers: PSI is read each second", extra={"why": str(error)})
        if self.triggers is not None:
            self.triggers.close()
            self.triggers = None

    def _act(self, plan: Plan) -> None:
        with self._between("leases"):
            self.actor.tick()
        self.reclaimer.act(plan)  # what is decided already is booked before a law offers anything besides
        with self._between("press"):
            self.pressing.act(plan.now_seconds)

    def _report(self, snapshot: Snapshot) -> Report:
        reports = container_reports(self.reclaimer, self.pressing, snapshot)
        return Report(
            snapshot=snapshot,
            node=node_report(
                self.fs, self.reclaimer, self.pressing, self.places, self.looks.all_looks_total, snapshot
            ),
            containers=reports,
            capabilities=self._capabilities().limited(self.limits.sentences),
            policy_problem=self.policies.problem,
            page_policy=self.reclaimer.page_policy_name or "by policy",
            stage_seconds=dict(self._stage_seconds),
            stage_failures=dict(self.stage_failures),
            container_failures=dict(self.reclaimer.failures),
            actions_total=dict(self.reclaimer.outcomes + self.collapser.outcomes + self.tierer.outcomes),
            moved_bytes_total={
                "huge": self.collapser.gained_bytes_total,
                "slower": self.tierer.demoted_bytes_total,
                "faster": self.tierer.promoted_bytes_total,
            },
            trials_ended_total={
                "huge": self.collapser.trials.stopped_total,
                "slower": self.tierer.trials.stopped_total,
            },
            latest=self.reclaimer.latest,
            models_version=self.reclaimer.models.version,
            coordination=None if self.companion is None else self.companion.report(),
        )

    def _capabilities(self) -> KernelCapabilities:
        """As found at start, but for what was lost since: others may take DAMON, and give it back."""
        found = self.reclaimer.capabilities
        if self.looks.looks_total:  # whoever had DAMON at the start gave it back
            found = found.risen(Engine.ACCESSES)
        for level, why in zip((Level.DAMON, Level.IDLE_BITS), self.looks.refusals, strict=False):
            if found.level(Engine.ACCESSES) is level:
                found = found.fallen(Engine.ACCESSES, why)
        if self.ages.absence is not None and found.level(Engine.ACCESSES) is Level.LRU_GENERATIONS:
            found = found.fallen(Engine.ACCESSES, f"lru_gen is {self.ages.absence.value}")
        denied = "" if self.writes is None else self.writes.absence
        if denied and found.level(Engine.ACCESSES) is Level.SOFT_DIRTY:
            found = found.fallen(Engine.ACCESSES, denied)
        return found

    @contextmanager
    def _between(self, name: str) -> Iterator[None]:
        """What goes wrong here is counted and logged, and ends neither the tick nor the agent."""
        try:
            yield
        except Exception:
            if not self.stage_failures[name]:
                logger.exception("failed; nothing is acted on by it", extra={"what": name})
            self.stage_failures[name] += 1

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

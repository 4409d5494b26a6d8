"""Pods that are known to start within the day, and what they will use: CronJobs by their schedules, other
workloads by the hours at which they have begun.

In: the world of each loop, the book of loads. Out: `Coming`s, as many for a workload as have no live pod yet.
Loads are those of the last runs, in the hours of the run; what is not known counts with what its profile
recommends, else with its request. Only workloads whose policy asks for placement.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from plimsoll.api.effective import Importance
from plimsoll.api.policy import NodePlacement
from plimsoll.api.precedence import EffectivePolicy
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.placement.rhythm import hours_of
from plimsoll.placement.schedule import ScheduleError, parse_schedule
from plimsoll.placement.starts import LATE_SECONDS, Slot, within_run
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator.membership import Group, Membership
from plimsoll_operator.parse.needs import Needs
from plimsoll_operator.place.book import LoadBook, RowArray
from plimsoll_operator.place.sums import UNASKED_BYTES
from plimsoll_operator.profile_name import name_for
from plimsoll_operator.records import ContainerSpec, CronJobRecord, ProfileRecord
from plimsoll_operator.world import World

AT_ONCE = 100  # workloads looked at between two turns of the event loop
KNOWN_STARTS = 8192  # schedules whose starts of the hour are kept

Breathe = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Coming:
    """One pod that will start."""

    slot: Slot
    workload: WorkloadRef
    importance: Importance
    needs: Needs


@dataclass(frozen=True, slots=True)
class Run:
    """What the last runs of a workload have shown, kept for when its rows are gone."""

    loads: Loads  # of one pod
    stays_hours: int


@dataclass(slots=True)
class _Habit:
    """A workload that begins by the clock, as it was when it last had pods."""

    rows: RowArray
    importance: Importance
    needs: Needs
    pods: int = 0
    alive: bool = False


@dataclass(slots=True)
class ComingPods:
    """Knows who comes."""

    membership: Membership
    book: LoadBook
    _now: dict[WorkloadRef, Run] = field(default_factory=dict)  # of whoever may come within the day
    _runs: dict[WorkloadRef, Run] = field(default_factory=dict)
    _habits: dict[WorkloadRef, _Habit] = field(default_factory=dict)

    async def look(
        self, world: World, expected: Mapping[WorkloadRef, int], now_seconds: float, breathe: Breathe
    ) -> list[Coming]:
        """Who comes within the day; `expected` pods were given a node and count as being there."""
        runs: dict[WorkloadRef, Run] = {}
        found: list[Coming] = []
        for number, job in enumerate(world.cron_jobs):
            if number % AT_ONCE == AT_ONCE - 1:
                await breathe()
            found += self._of_job(job, world, expected, runs, now_seconds)
        jobs = {WorkloadRef(each.namespace, "CronJob", each.name) for each in world.cron_jobs}
        self._runs = {ref: run for ref, run in self._runs.items() if ref in jobs}
        self._learn()
        for number, (ref, habit) in enumerate(self._habits.items()):
            if number % AT_ONCE == AT_ONCE - 1:
                await breathe()
            found += self._of_habit(ref, habit, expected, runs, now_seconds)
        self._now = runs
        return found

    def of_run(self, ref: WorkloadRef, now_seconds: float) -> Loads | None:
        """Loads of a pod of a workload that comes by the clock, if its run began now; None for others."""
        run = self._now.get(ref)
        return None if run is None else within_run(run.loads, (now_seconds,), run.stays_hours, now_seconds)

    # -- CronJobs -------------------------------------------------------------------------------------------

    def _of_job(
        self,
        job: CronJobRecord,
        world: World,
        expected: Mapping[WorkloadRef, int],
        runs: dict[WorkloadRef, Run],
        now_seconds: float,
    ) -> Iterator[Coming]:
        ref = WorkloadRef(job.namespace, "CronJob", job.name)
        policy = self.membership.resolve(ref, job.labels)
        if not isinstance(policy, EffectivePolicy) or not places(policy):
            return
        starts = starts_of(job.schedule, job.zone, now_seconds)
        run = self._run(ref, job, world.profiles.get((ref.namespace, name_for(ref, ""))))
        within = within_run(run.loads, starts, run.stays_hours, now_seconds)
        if within is None:
            return
        runs[ref] = run
        there = max(self._live(ref), expected.get(ref, 0))
        for number in range(there, job.pods):
            slot = Slot(f"{ref}/{number}", within, starts[0])
            yield Coming(slot, ref, policy.spec.importance, job.needs)

    def _run(self, ref: WorkloadRef, job: CronJobRecord, profile: ProfileRecord | None) -> Run:
        rows = self._rows(ref, job.specs)
        loads = self.book.last(rows)
        if loads.known().all() and len(rows):
            self._runs[ref] = Run(loads.total(), int(self.book.stays_hours(rows).max()))
        if ref in self._runs:
            return self._runs[ref]
        constant = np.array([_constant_bytes(each, profile) for each in job.specs])
        return Run(loads.filled(constant).total(), int(self.book.stays_hours(rows).max(initial=0)))

    def _rows(self, ref: WorkloadRef, specs: tuple[ContainerSpec, ...]) -> RowArray:
        rows = [self.membership.row_of(ContainerKey(ref, each.name, "")) for each in specs]
        return np.array([-1 if row is None else row for row in rows], dtype=np.int64)

    # -- all others -----------------------------------------------------------------------------------------

    def _learn(self) -> None:
        """Who begins by the clock: those that have pods now, and those that had some and still have rows."""
        of_row = {row: ref for ref, habit in self._habits.items() for row in habit.rows.tolist()}
        still: set[WorkloadRef] = set()
        alive: set[WorkloadRef] = set()
        for row in self.book.beginning().tolist():
            group = self.membership.group_of_row(row)
            if group is None:
                still |= {of_row[row]} if row in of_row else set()
            elif _has_habits(group):
                self._seen(group)
                alive.add(group.ref)
        self._habits = {ref: habit for ref, habit in self._habits.items() if ref in still | alive}
        for ref, habit in self._habits.items():
            habit.alive = ref in alive

    def _seen(self, group: Group) -> None:
        policy, needs = group.policy, next(iter(group.pods.values())).needs
        if not isinstance(policy, EffectivePolicy) or needs is None:
            return
        before = self._habits.get(group.ref)
        most = before.pods if before is not None and before.alive else 0
        rows = np.array(list(group.rows.values()), dtype=np.int64)
        self._habits[group.ref] = _Habit(rows, policy.spec.importance, needs, max(most, len(group.pods)))

    def _of_habit(
        self,
        ref: WorkloadRef,
        habit: _Habit,
        expected: Mapping[WorkloadRef, int],
        runs: dict[WorkloadRef, Run],
        now_seconds: float,
    ) -> Iterator[Coming]:
        every, present = self.book.last(habit.rows), int(now_seconds // HOUR_SECONDS)
        if not np.isfinite(every.mean_bytes).all():
            return
        hours = {hour for row in habit.rows.tolist() for hour in hours_of(self.book.begins(row))}
        start = min((present + (hour - present) % LANES for hour in hours), default=None)
        if start is None:
            return
        starts = [float(start * HOUR_SECONDS)]
        stays = int(self.book.stays_hours(habit.rows).max())
        within = within_run(every.total(), starts, stays, now_seconds)
        if within is None or habit.alive:
            return
        runs[ref] = Run(every.total(), stays)
        for number in range(expected.get(ref, 0), habit.pods):
            yield Coming(Slot(f"{ref}/{number}", within, starts[0]), ref, habit.importance, habit.needs)

    def _live(self, ref: WorkloadRef) -> int:
        group = self.membership.groups.get((ref, ""))
        return 0 if group is None else len(group.pods)


def places(policy: EffectivePolicy) -> bool:
    """A policy that asks for placement, in a mode in which new pods may be changed."""
    return policy.mode.admits and policy.spec.placement.node is not NodePlacement.OFF


def starts_of(schedule: str, zone: str, now_seconds: float) -> list[float]:
    """Starts of a schedule within the coming day, and those of which the pods may be late; none where it
    cannot be read.
    """
    present = int(now_seconds // HOUR_SECONDS)
    found = _starts_from(schedule, zone, present)
    return [each for each in found if each > now_seconds - LATE_SECONDS]


@lru_cache(maxsize=KNOWN_STARTS)
def _starts_from(schedule: str, zone: str, hour: int) -> tuple[float, ...]:
    try:
        parsed = parse_schedule(schedule, zone)
    except ScheduleError:
        return ()
    first = hour * HOUR_SECONDS
    return tuple(parsed.starts(first - LATE_SECONDS, first + LANES * HOUR_SECONDS - 1))


def _has_habits(group: Group) -> bool:
    """CronJobs say themselves when they start; a DaemonSet's pods come with their kube nodes."""
    policy = group.policy
    if group.ref.kind in ("CronJob", "DaemonSet", "Node") or not group.pods:
        return False
    return isinstance(policy, EffectivePolicy) and places(policy)


def _constant_bytes(spec: ContainerSpec, profile: ProfileRecord | None) -> float:
    """What a container counts with that no row speaks of."""
    remembered = profile.container(spec.name) if profile is not None else None
    recommended = remembered.recommended if remembered is not None else None
    if recommended is not None and recommended.request_bytes is not None:
        return float(recommended.request_bytes)
    return float(UNASKED_BYTES if spec.request_bytes is None else spec.request_bytes)

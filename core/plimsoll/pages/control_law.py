"""How much to take back from one container now: as deep as pressure and the refault budget allow, and no
deeper.

In: readings of a container in order of time, its policy, an arm of the bandit (how bold to be within the
policy's bounds). Out: a `ReclaimDecision` with a reason. The pace falls with pressure as in Meta's TMO
(`control_baselines.Tmo`): none is left at the policy's bound. The depth is not a matter of pace: it ends
where the refault account (`control_budget`) has nothing left to spend. Where nobody knows yet what comes
back, the account cannot pay: then a little is taken on trial, and more once it stayed out (`control_probe`),
at most what can be read back within the policy's bound. One reading above the bound stops
everything at once; the pause doubles with each one that follows. What is unknown holds.
"""

import math
from dataclasses import dataclass

from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_bandit import ARMS, Arm
from plimsoll.pages.control_budget import RefaultBudget
from plimsoll.pages.control_probe import MOST_RATIO, Probe, ReadBackRate
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimDecision, ReclaimPolicy, hold

LONGEST_GAP_SECONDS = (
    120.0  # between two readings: beyond it, rates say nothing, and the clock may have leapt
)
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
CALM_SECONDS = 120.0  # so long without a reading above the bound, and the next pause is a short one again
# Without page sampling: memory that is in the working set is taken to be touched once in so many seconds.
# What is hot is touched far more often, so that the budget is kept on the safe side.
TOUCHED_ONCE_SECONDS = 120.0
FLOOR_RATIO = 0.05  # of usage: never taken, whatever is cold; the kernel's own structures are in usage too
LEAST_STEP_BYTES = 256 << 10  # less is not worth a system call
MOST_STEP_RATIO = 0.10  # of usage, in one step
OFFERED_SECONDS = 30.0  # a reading so old offers nothing any more
READ_BACK_SECONDS = 60.0  # a loan that all comes back stalls no more of so long than the policy's bound
# Smoothing of how much of what is asked for the kernel really takes.
YIELD_GAIN = 0.2
LEAST_YIELD_RATIO = 0.05


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened between two readings."""

    elapsed_seconds: float
    pressure_ratio: float
    foreseen_ratio: float
    refault_bytes: int
    touched_bytes: float
    stalled_seconds: float


class ReclaimLaw:
    """The control of one container; `policy` and `arm` may be replaced between two steps."""

    def __init__(self, policy: ReclaimPolicy, arm: Arm = ARMS[0]) -> None:
        self.policy = policy
        self.arm = arm
        self.budget = RefaultBudget(policy.refault_budget_ratio)
        self.probe = Probe()
        self.read_back = ReadBackRate()
        self.yield_ratio = 1.0
        self.violations_total = 0
        self.pressure_ratio: float | None = None
        self._last: ContainerReading | None = None
        self._paused_until = -math.inf
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._violated_seconds = -math.inf
        self._stalls = False  # a stall, or a debt, that is not over: reclaim was not taken up again since
        self._due_bytes = 0.0
        self._taken_since_bytes = 0
        self._lends = False  # whether the last decision was one on trial, done or not
        self._loan_bytes = 0  # what was last decided or offered on trial, and nobody heard of yet

    @property
    def last_reading(self) -> ContainerReading | None:
        """The newest reading that it was told; None before the first, and where one could not be used."""
        return self._last

    def step(self, reading: ContainerReading) -> ReclaimDecision:
        """Say what to take now."""
        if self.policy.mode is ReclaimMode.OFF:
            return hold(Reason.OFF, "No policy asks for reclaim.")
        self.budget.ratio = self.policy.refault_budget_ratio
        self._taken_since_bytes = self._loan_bytes = 0
        self._lends = False
        rates = self._rates(reading)
        if isinstance(rates, ReclaimDecision):
            return rates
        self.pressure_ratio = rates.pressure_ratio
        self._book(reading, rates)
        return self._stop(reading, rates) or self._take(reading, rates)

    def offer_bytes(self, now_seconds: float) -> int:
        """What may go now, whatever the pace, to keep off pressure that is foreseen; 0 where nothing may.

        Only what is known to be cold, within the refault account or on trial, and never while it pauses or
        stalls. What was decided or offered before, and was not taken, is lent no more.
        """
        self.withdraw()
        reading = self._last
        if reading is None or reading.cold_bytes is None or self.policy.mode is ReclaimMode.OFF:
            return 0
        fresh = 0.0 <= now_seconds - reading.now_seconds <= OFFERED_SECONDS
        stalls = self.pressure_ratio is None or self.pressure_ratio > self.policy.max_pressure_ratio
        if not fresh or stalls or now_seconds < self._paused_until or self.budget.is_deep_in_debt:
            return 0
        within = within_bytes(reading) - self._taken_since_bytes
        # What a decision lends already, whether it is done or not, is not lent again.
        allowed, lent = self.budget.allowance_bytes(), 0.0 if self._lends else self._lent_bytes(reading)
        offered = int(min(within, max(allowed, lent)))
        if offered < LEAST_STEP_BYTES:
            return 0
        self._loan_bytes = offered if lent > allowed else 0
        return offered

    def settle(self, asked_bytes: int, taken_bytes: int) -> None:
        """Hear what came of the last decision or offer, or of a part of it."""
        self.budget.took(taken_bytes)
        self._taken_since_bytes += max(0, taken_bytes)
        on_trial = min(asked_bytes, self._loan_bytes)
        if on_trial > 0:
            self._loan_bytes -= on_trial
            self.probe.took(on_trial, taken_bytes * on_trial / asked_bytes)
        if asked_bytes > 0:
            share = min(1.0, max(0.0, taken_bytes / asked_bytes))
            self.yield_ratio = max(
                LEAST_YIELD_RATIO, self.yield_ratio + YIELD_GAIN * (share - self.yield_ratio)
            )

    def withdraw(self) -> None:
        """Lend no more of what was decided or offered: what is taken from now on is asked for by others."""
        self._loan_bytes = 0

    def notice_pressure(self, now_seconds: float) -> None:
        """Stop at once: pressure was seen between two readings (a PSI trigger, or a look at one file)."""
        self._pause(now_seconds)

    def _rates(self, reading: ContainerReading) -> Rates | ReclaimDecision:
        """What happened since the last reading, or why that cannot be told."""
        if reading.stall_seconds_total is None:
            self._last = None
            return hold(Reason.UNKNOWN, "Its pressure is not known (no PSI): it is only watched.")
        if reading.refault_bytes_total is None:
            self._last = None
            return hold(Reason.UNKNOWN, "Its refaults are not known: it is only watched.")
        last, self._last = self._last, reading
        if last is None or last.stall_seconds_total is None or last.refault_bytes_total is None:
            return hold(Reason.LEARNING, "It was first read now.")
        elapsed = reading.now_seconds - last.now_seconds
        stalled = reading.stall_seconds_total - last.stall_seconds_total
        refaulted = reading.refault_bytes_total - last.refault_bytes_total
        if not 0.0 < elapsed <= LONGEST_GAP_SECONDS or stalled < 0 or refaulted < 0:
            self._charge(reading, refaulted)
            return hold(Reason.CLOCK, f"{elapsed:.0f} s passed since it was last read: rates say nothing.")
        worst = min(1.0, max(stalled / elapsed, reading.pressure_avg10_ratio or 0.0))
        foreseen = reading.pressure_forecast_ratio or 0.0
        return Rates(elapsed, worst, foreseen, refaulted, _touched_bytes(reading, elapsed), stalled)

    def _stop(self, reading: ContainerReading, rates: Rates) -> ReclaimDecision | None:
        """Why nothing may be taken, if so."""
        now = reading.now_seconds
        bound = self.policy.max_pressure_ratio
        if rates.pressure_ratio > bound or (bound == 0.0 and rates.pressure_ratio > 0.0):
            self._pause(now)
            said = f"{rates.pressure_ratio:.2%} of the time stalled on memory, above {bound:.2%}"
            return hold(Reason.PRESSURE, f"{said}: paused for {self._paused_until - now:.0f} s.")
        if self.budget.is_deep_in_debt and self.budget.still_returns:
            if now >= self._paused_until:
                self._pause(now)
            said = "More came back than the refault budget can pay: what was taken is left to return."
            return hold(Reason.THRASHING, said, bring_back=self.policy.prefetch)
        if now < self._paused_until:
            said = f"Paused for another {self._paused_until - now:.0f} s."
            return hold(Reason.BACKING_OFF, said)
        self._stalls = False
        if rates.foreseen_ratio > bound:
            return hold(Reason.FORESEEN, "Pressure is expected: the steady pace rests.")
        return None

    def _take(self, reading: ContainerReading, rates: Rates) -> ReclaimDecision:
        # Who cannot tell idle memory takes it in the kernel's order, and only at the slowest pace.
        arm = self.arm if reading.cold_bytes is not None else ARMS[0]
        allowed, lent = self.budget.allowance_bytes(arm.budget_share), self._lent_bytes(reading)
        if max(allowed, lent) < LEAST_STEP_BYTES:
            left = self.budget.balance_bytes / 2**20
            waits = " What was taken on trial is not judged yet." if self.probe.lent_bytes else ""
            return hold(Reason.BUDGET, f"The refault budget has {left:.1f} MiB left.{waits}")
        within = within_bytes(reading)
        if within < LEAST_STEP_BYTES:
            reason = Reason.NOTHING_COLD if reading.cold_bytes == 0 else Reason.NO_ROOM
            return hold(reason, "Nothing is left that may be taken.")
        bound = self.policy.max_pressure_ratio
        room = 1.0 - rates.pressure_ratio / bound if bound else 1.0
        pace = arm.usage_ratio_per_minute * reading.usage_bytes * rates.elapsed_seconds / 60.0
        # Steps that are too small are saved up, so that a slow pace does not round to none.
        self._due_bytes = min(self._due_bytes + room * pace, MOST_STEP_RATIO * reading.usage_bytes)
        paid, on_trial = min(self._due_bytes, allowed), room * lent
        taken = int(min(max(paid, on_trial), within))
        if taken < LEAST_STEP_BYTES:
            return hold(Reason.RECLAIM, "Its next step is not yet worth a call.")
        self._due_bytes = 0.0
        self._lends = on_trial > paid
        self._loan_bytes = taken if self._lends else 0
        how = "on trial" if self._lends else f"at pace {arm.name}"
        of = (
            "no one can tell how much is" if reading.cold_bytes is None else f"{_mib(reading.cold_bytes)} are"
        )
        said = f"{_mib(taken)} of {_mib(reading.usage_bytes)} {how}; {of} cold."
        return ReclaimDecision(taken, Reason.RECLAIM, said, file_only=not reading.swap_room_bytes)

    def _book(self, reading: ContainerReading, rates: Rates) -> None:
        """What was touched earns, what came back spends, and what was taken on trial is judged."""
        elapsed, returned = rates.elapsed_seconds, rates.refault_bytes
        earned = self.budget.enter(elapsed, rates.touched_bytes, returned, reading.usage_bytes)
        doublings = self.arm.trial_doublings
        self.probe.see(elapsed, returned, earned, self.budget.age_back_seconds, doublings)
        self.read_back.see(elapsed, returned, rates.stalled_seconds)

    def _charge(self, reading: ContainerReading, returned_bytes: int) -> None:
        """What came back is charged whatever the clock says; a counter that began anew tells of none."""
        charged = self.budget.charge(max(0, returned_bytes), reading.usage_bytes)
        self.probe.see(0.0, charged, 0.0, self.budget.age_back_seconds)

    def _lent_bytes(self, reading: ContainerReading) -> float:
        """What may be taken on trial now; nothing where nobody can tell what is idle."""
        if reading.cold_bytes is None or not self.budget.may_borrow or self.probe.waits:
            return 0.0
        size = self.probe.size_bytes(reading.usage_bytes, MOST_RATIO[self.policy.importance])
        return min(size, self.read_back.bytes_within(self.policy.max_pressure_ratio * READ_BACK_SECONDS))

    def _pause(self, now: float) -> None:
        """Stop for some seconds from now on; one that is not over is only made longer."""
        if not self._stalls:
            calm = now - self._violated_seconds > CALM_SECONDS + self._pause_seconds
            longer = min(2.0 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
            self._pause_seconds = FIRST_PAUSE_SECONDS if calm else longer
            self.violations_total += 1
            self.probe.begin_small()
        self._stalls = True
        self._violated_seconds = now
        self._paused_until = max(self._paused_until, now + self._pause_seconds)
        self._due_bytes = 0.0


def within_bytes(reading: ContainerReading) -> float:
    """What could be taken at all: cold, above the floor, and with a place to go to."""
    most = (1.0 - FLOOR_RATIO) * reading.usage_bytes
    if reading.cold_bytes is not None:
        most = min(most, reading.cold_bytes)
    return max(0.0, min(most, (reading.file_bytes or 0) + (reading.swap_room_bytes or 0)))


def _touched_bytes(reading: ContainerReading, elapsed_seconds: float) -> float:
    """Distinct memory touched; without page sampling a bound from below."""
    if reading.touched_bytes is not None:
        return float(reading.touched_bytes)
    known = reading.working_set_bytes
    hot = (reading.usage_bytes if known is None else known) - (reading.cold_bytes or 0)
    return max(0.0, hot) * min(1.0, elapsed_seconds / TOUCHED_ONCE_SECONDS)


def _mib(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"

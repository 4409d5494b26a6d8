"""Usage-aware shrink, the agent's side: take a container's memory towards a target, within its policy.

In: a request with its deadline, and readings of the container. Out: how much to take now, or that it is over
and why. Pressure above the policy's bound pauses, each time longer; a kernel that gives nothing three times
in a row has nothing to give; what cannot be read stops it. Once the target is reached it is held, until the
operator has written the limit or lets go: memory that was given back comes again.
"""

from dataclasses import dataclass

from plimsoll.coordinate.messages import ShrinkRequest, ShrinkStage
from plimsoll.coordinate.shrink import ShrinkSettings

MIB = 1 << 20
STEP_FRACTION = 0.1  # of usage in one step: what is taken wrongly is then seen before more is taken
LEAST_STEP_BYTES = 4 * MIB
GIVES_NOTHING_RATIO = 0.1  # of what was asked; below it the kernel has nothing to give
FRUITLESS_STEPS = 3
PAUSE_SECONDS = 2.0
AIM_BELOW = 0.02  # beyond the room that is needed, so that it lasts until the limit is written


@dataclass(frozen=True, slots=True)
class TowardsReading:
    """One container now; None: could not be read."""

    now_seconds: float
    usage_bytes: int | None
    pressure_ratio: float | None


@dataclass(frozen=True, slots=True)
class Towards:
    """What to do now: take `reclaim_bytes` (0: nothing), and say `stage` with its reason."""

    reclaim_bytes: int
    stage: ShrinkStage
    reason: str = ""


class TowardsTarget:
    """One request on its way."""

    def __init__(
        self, request: ShrinkRequest, max_pressure_ratio: float, now_seconds: float,
        settings: ShrinkSettings | None = None,
    ) -> None:  # fmt: skip
        spare = (settings or ShrinkSettings()).spare_fraction
        self._enough_bytes = int(request.target_bytes * (1.0 - spare))
        self._goal_bytes = int(request.target_bytes * (1.0 - spare - AIM_BELOW))
        self._max_pressure_ratio = max_pressure_ratio
        self._until_seconds = now_seconds + request.deadline_seconds
        self._paused_until = float("-inf")
        self._pauses = self._fruitless = 0
        self._stopped: Towards | None = None

    def step(self, reading: TowardsReading) -> Towards:
        """What to do at this reading; once stopped it stays stopped."""
        if self._stopped is not None:
            return self._stopped
        if reading.usage_bytes is None or reading.pressure_ratio is None:
            return self._stop("usage or pressure could not be read")
        reached = reading.usage_bytes <= self._enough_bytes
        stage = ShrinkStage.REACHED if reached else ShrinkStage.RECLAIMING
        if reading.now_seconds >= self._until_seconds:
            return self._stop("the time is over")
        if reading.pressure_ratio > self._max_pressure_ratio:
            self._pause(reading.now_seconds)
        if reading.now_seconds < self._paused_until:
            bound = f"{self._max_pressure_ratio:.1%}"
            return Towards(
                0, stage, f"paused: tasks stalled {reading.pressure_ratio:.1%} of the time, bound {bound}"
            )
        over = reading.usage_bytes - self._goal_bytes
        if over <= 0:
            return Towards(0, stage)
        return Towards(min(over, max(LEAST_STEP_BYTES, int(reading.usage_bytes * STEP_FRACTION))), stage)

    def settle(self, asked_bytes: int, taken_bytes: int) -> None:
        """Hear what came of the last step."""
        if asked_bytes <= 0:
            return
        self._fruitless = self._fruitless + 1 if taken_bytes < asked_bytes * GIVES_NOTHING_RATIO else 0
        if self._fruitless >= FRUITLESS_STEPS:
            self._stop("the kernel has nothing more to give")

    def _pause(self, now_seconds: float) -> None:
        if now_seconds < self._paused_until:
            return
        self._paused_until = now_seconds + PAUSE_SECONDS * 2.0 ** min(self._pauses, 5)
        self._pauses += 1

    def _stop(self, why: str) -> Towards:
        self._stopped = Towards(0, ShrinkStage.STOPPED, why)
        return self._stopped

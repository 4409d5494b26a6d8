"""A container that is idle but for what a test has it touch, in a closed loop with the law of reclaim.

In: its memory, what of it is touched each minute, whether idle ages are known. Out: what was taken and what
came back. All that is out comes back whenever the test says so; nothing else ever does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_bandit import ARMS
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ContainerReading, ReclaimDecision, ReclaimPolicy
from plimsoll.pages.refault_set import RefaultSet

MIB = 1 << 20


@dataclass
class IdleContainer:
    """Stepped reading by reading."""

    memory_bytes: int = 132 * MIB
    hot_bytes: int = 0
    """Touched again and again; never out."""
    knows_ages: bool = True
    working_set_bytes: int | None = None
    policy: ReclaimPolicy = field(default_factory=lambda: ReclaimPolicy(ReclaimMode.COLD))
    arm: int = 0
    now: float = 0.0
    out_bytes: int = 0
    returned_bytes: int = 0
    touched_bytes: float = 0.0
    stall_seconds: float = 0.0
    takes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.law = ReclaimLaw(self.policy, ARMS[self.arm])
        self.probed = RefaultSet()
        self.last_touch = 0.0

    @property
    def usage_bytes(self) -> int:
        """What is in memory."""
        return self.memory_bytes - self.out_bytes

    def bring_back(self, share: float = 1.0, stall_seconds: float = 0.0) -> int:
        """Touch so much of what is out; it is read back."""
        back = int(share * self.out_bytes)
        self.out_bytes -= back
        self.returned_bytes += back
        self.stall_seconds += stall_seconds
        return back

    def step(self, seconds: float = 10.0, touched: float | None = None) -> ReclaimDecision:
        """Let some seconds pass, in which so much was touched; then a reading, and what the law makes of it.

        Nothing said of what was touched: the hot memory is, once a minute.
        """
        self.now += seconds
        touched = self.hot_bytes * seconds / 60.0 if touched is None else touched
        self.touched_bytes += touched
        if touched >= self.memory_bytes:
            self.last_touch = self.now
        decision = self.law.step(self._reading(touched))
        if decision.reclaim_bytes:
            taken = min(decision.reclaim_bytes, self.usage_bytes)
            self.law.settle(decision.reclaim_bytes, taken)
            self.probed.took(taken)
            self.out_bytes += taken
            self.takes.append((self.now, taken))
        return decision

    def live(self, minutes: float, seconds: float = 10.0) -> None:
        """Let so many minutes pass."""
        for _ in range(round(minutes * 60.0 / seconds)):
            self.step(seconds)

    def touch_all(self) -> int:
        """Touch everything at once, and let a reading show it; returns what had to be brought back."""
        back = self.bring_back()
        self.step(touched=self.memory_bytes)
        return back

    def _reading(self, touched: float) -> ContainerReading:
        told: Callable[[], int | None] = self._idle_bytes if self.knows_ages else self._probed_bytes
        return ContainerReading(
            now_seconds=self.now,
            usage_bytes=self.usage_bytes,
            stall_seconds_total=self.stall_seconds,
            pressure_avg10_ratio=0.0,
            refault_bytes_total=self.returned_bytes,
            file_bytes=self.usage_bytes - self.hot_bytes,
            swap_room_bytes=0,
            working_set_bytes=min(self.usage_bytes, self.working_set_bytes or self.memory_bytes),
            cold_bytes=told(),
            touched_bytes=int(touched) if self.knows_ages else None,
        )

    def _idle_bytes(self) -> int:
        """Idle for two minutes, as generations tell it."""
        return max(0, self.usage_bytes - self.hot_bytes) if self.now - self.last_touch >= 120.0 else 0

    def _probed_bytes(self) -> int | None:
        budget = self.policy.refault_budget_ratio
        return self.probed.see(self.now, self.usage_bytes, self.returned_bytes, budget)

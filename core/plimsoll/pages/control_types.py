"""What reclaim control is told and what it says: policy, reading, decision.

In: nothing. Out: the frozen types that the law (`control_law`), its baselines (`control_baselines`) and the
division over a kube node (`control_share`) share, so that all of them can stand in the same loop and be
compared. Ratios are 0 to 1; `None` is what nobody could tell, and never a zero.
"""

from dataclasses import dataclass
from enum import StrEnum

from plimsoll.api.effective import Importance
from plimsoll.api.effective import Mode as PolicyMode
from plimsoll.api.overrides import matching_override
from plimsoll.api.policy import NumaPlacement
from plimsoll.api.precedence import EffectivePolicy
from plimsoll.api.reclaim import Reclaim, ReclaimMode


@dataclass(frozen=True, slots=True)
class ReclaimPolicy:
    """What a policy lets the node agent do with one container."""

    mode: ReclaimMode = ReclaimMode.OFF
    max_pressure_ratio: float = 0.01
    refault_budget_ratio: float = 0.01
    importance: Importance = Importance.NORMAL
    prefetch: bool = False
    source: str = ""
    """The policy that says so, for people; empty where none speaks for the container."""
    numa: NumaPlacement = NumaPlacement.OFF
    huge_pages: bool = False

    @classmethod
    def of(
        cls,
        reclaim: Reclaim,
        importance: Importance,
        source: str = "",
        numa: NumaPlacement = NumaPlacement.OFF,
    ) -> "ReclaimPolicy":
        """Take over what the API's fields say; percent become ratios."""
        return cls(
            reclaim.mode,
            reclaim.max_pressure_percent / 100.0,
            reclaim.refault_budget_fraction,
            importance,
            reclaim.prefetch,
            source,
            numa,
            reclaim.huge_pages,
        )

    @classmethod
    def under(cls, policy: EffectivePolicy, container: str) -> "ReclaimPolicy":
        """What a policy says of one of its containers, by name; `OFF` where it stops all acting.

        Agents that read policies and operators that tell them come by the same.
        """
        effective = policy.container(container)
        if policy.problem or effective.problem or effective.mode is PolicyMode.OFF:
            return cls()
        override = matching_override(policy.spec.containers, container)
        reclaim = policy.spec.reclaim.with_override(None if override is None else override.reclaim)
        return cls.of(reclaim, effective.importance, str(policy.ref), policy.spec.placement.numa)


OFF = ReclaimPolicy()


@dataclass(frozen=True, slots=True)
class ContainerReading:
    """One container at one time. Totals only ever grow while the container lives."""

    now_seconds: float
    usage_bytes: int
    stall_seconds_total: float | None = None
    """PSI some of the container, all stalls together."""
    pressure_avg10_ratio: float | None = None
    refault_bytes_total: int | None = None
    """Reclaimed memory that was touched again: anonymous and file."""
    file_bytes: int | None = None
    swap_room_bytes: int | None = None
    """What may still be swapped out: the least of its own swap.max and the node's free swap. None: unknown,
    and then it is taken for none."""
    working_set_bytes: int | None = None
    cold_bytes: int | None = None
    """What has long been idle (Cold) or will not be touched within the horizon (Predictive)."""
    touched_bytes: int | None = None
    """Distinct memory touched since the reading before."""
    pressure_forecast_ratio: float | None = None
    """PSI some expected some seconds ahead: above the bound the steady pace rests, without a pause."""


class Reason(StrEnum):
    """Why so much, in one word that a machine can count."""

    OFF = "off"
    RECLAIM = "reclaim"
    NOTHING_COLD = "nothing-cold"
    NO_ROOM = "no-room"
    LEARNING = "learning"
    PRESSURE = "pressure"
    FORESEEN = "pressure-foreseen"
    BACKING_OFF = "backing-off"
    BUDGET = "refault-budget"
    THRASHING = "thrashing"
    UNKNOWN = "unknown"
    CLOCK = "clock"
    SHRINKING = "shrinking"


@dataclass(frozen=True, slots=True)
class ReclaimDecision:
    """What is to be taken now. `file_only`: no anonymous page may go (no swap, or its room is used up)."""

    reclaim_bytes: int
    reason: Reason
    sentence: str
    file_only: bool = False
    bring_back: bool = False
    """What was taken last should be read in again: the container thrashes, and its policy has prefetch."""

    @property
    def holds(self) -> bool:
        """Whether nothing is to be taken."""
        return self.reclaim_bytes <= 0


def hold(reason: Reason, sentence: str, *, bring_back: bool = False) -> ReclaimDecision:
    """Take nothing."""
    return ReclaimDecision(0, reason, sentence, bring_back=bring_back)

"""Whether what is being done to a container must stop, asked between two steps of it.

In: a container, what its policy must still ask for, the time that was told last and a clock that never jumps.
Out: yes or no. It stops where the agent is told to end, where its policy does not ask for it any more, and
where it stalls above its bound, by PSI that is read at that moment; what cannot be read is taken for the
worst. Whoever stalls is heard by the law, too: nothing more is taken before PSI is looked at again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from plimsoll.api.policy import NumaPlacement
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll_nodeagent.act.steps import TURN_SECONDS, Stop, never, over_after
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.policies import PolicySource
from plimsoll_nodeagent.control.stalls import StallWatch
from plimsoll_nodeagent.discover.tracker import Container

Asks = Callable[[ReclaimPolicy], bool]


def reclaims(policy: ReclaimPolicy) -> bool:
    """Whether it asks for reclaim at all."""
    return policy.mode is not ReclaimMode.OFF


def predicts(policy: ReclaimPolicy) -> bool:
    """Whether memory may be acted on by address."""
    return policy.mode is ReclaimMode.PREDICTIVE


def gathers(policy: ReclaimPolicy) -> bool:
    """Whether it asks for huge pages."""
    return reclaims(policy) and policy.huge_pages


def places(policy: ReclaimPolicy) -> bool:
    """Whether memory may move between NUMA nodes."""
    return policy.numa is not NumaPlacement.OFF


@dataclass
class Brake:
    """One for the agent."""

    policies: PolicySource
    stalls: StallWatch
    monotonic: Callable[[], float] = time.monotonic
    ended: Stop = never
    """Whether the agent is told to end."""
    _at: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self.tell(0.0)

    def tell(self, now_seconds: float) -> None:
        """Say what time it is; from then on the clock says how much has passed."""
        self._at = now_seconds, self.monotonic()

    def must_stop(self, each: Controlled, asks: Asks = reclaims) -> bool:
        """Between two steps of an action on a container under a policy for reclaim."""
        policy = self._policy(each.container)
        if self.ended() or each.stopped or not asks(policy):
            return True
        stall = self.stalls.in_between(each.container.key, each.container)
        if stall is not None and stall <= policy.max_pressure_ratio:
            return False
        each.stopped = True  # what cannot be read is taken for the worst
        if stall is not None:
            each.law.notice_pressure(self._now())
        return True

    def must_not_move(self, container: Container, *, back: bool) -> bool:
        """Between two steps of a move between NUMA nodes. `back`: it ends what harms, so stalls do not."""
        policy = self._policy(container)
        if self.ended() or not places(policy):
            return True
        return not back and not self.stalls.surely_within(container, policy.max_pressure_ratio)

    def turn(self) -> Stop:
        """Say stop when a stage has had its time; what is left is for its next turn."""
        return over_after(TURN_SECONDS, self.monotonic)

    def _policy(self, container: Container) -> ReclaimPolicy:
        self.policies.refresh(self._now())
        return self.policies.policy_of(container)

    def _now(self) -> float:
        told, since = self._at
        return told + max(0.0, self.monotonic() - since)

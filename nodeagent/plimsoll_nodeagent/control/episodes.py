"""Episodes of the bandit: a container is held at one boldness for some minutes, and the outcome is learnt.

In: the node's bandit, a container's state, a reading. Out: the container's arm, changed where an episode is
over. An episode that a leap of the clock cut in two teaches nothing.
"""

from plimsoll.pages.control_bandit import ARMS, EPISODE_SECONDS, Episode, SafeBandit
from plimsoll.pages.control_types import ContainerReading
from plimsoll_nodeagent.control.controlled import Controlled


def turn_episode(bandit: SafeBandit, each: Controlled, reading: ContainerReading) -> None:
    """End the container's episode where its time is over, and choose the next arm."""
    now, name = reading.now_seconds, each.workload_class
    if 0.0 <= now - each.episode_seconds < EPISODE_SECONDS:
        return
    violations = each.law.violations_total
    if now - each.episode_seconds <= 2 * EPISODE_SECONDS:
        kept = each.taken_bytes - each.returned_bytes - each.episode_kept_before
        gained = kept / max(1, reading.usage_bytes)
        bandit.learn(name, Episode(each.arm, gained, violated=violations > each.violations_before))
    each.arm = bandit.choose(name, each.law.policy.importance)
    each.law.arm = ARMS[each.arm]
    each.episode_seconds, each.violations_before = now, violations
    each.episode_kept_before = each.taken_bytes - each.returned_bytes

"""Episodes of the bandit on this node: containers tell what came of theirs, and are told the next boldness.

In: the node's bandit, a container's state, a reading. Out: the container's arm, changed where an episode is
over. What is learnt from, and when, is said in the core (`plimsoll.pages.control_episodes`).
"""

from plimsoll.pages.control_bandit import ARMS, SafeBandit
from plimsoll.pages.control_episodes import Totals
from plimsoll.pages.control_types import ContainerReading
from plimsoll_nodeagent.control.controlled import Controlled


def turn_episode(bandit: SafeBandit, each: Controlled, reading: ContainerReading) -> None:
    """Learn from what is judged; end the container's episode where its time is over, and choose its arm."""
    violations = each.law.violations_total
    totals = Totals(
        reading.now_seconds, reading.usage_bytes, each.taken_bytes, each.returned_bytes, violations
    )
    for episode in each.episodes.judged(totals):
        bandit.learn(each.workload_class, episode)
    if not each.episodes.is_over(reading.now_seconds):
        return
    each.episodes.turn(each.arm, totals)
    each.arm = bandit.choose(each.workload_class, each.law.policy.importance)
    each.law.arm = ARMS[each.arm]

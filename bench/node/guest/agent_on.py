"""The node agent with experience: python3 agent_on.py SAFE_EPISODES run ..., the rest as `plimsoll-agent`
takes it.

An agent that knows nothing of a container takes half a percent of it a minute, and tries a brisker pace
only after episodes of two minutes without harm: it would need the benchmark's whole time to come as far as
the policy lets it. So its bandit begins with so many harmless episodes at each pace up to the boldest that
`Normal` allows, as after some hours on a node; with 0 it begins as it is installed. Everything else is the
agent's own: what harm it does in the benchmark slows it down as ever.
"""

import sys
from itertools import pairwise

from plimsoll.api.effective import Importance
from plimsoll.pages.control_bandit import ARMS, BOLDEST, EPISODE_SECONDS, SafeBandit
from plimsoll_nodeagent.control.models import Models
from plimsoll_nodeagent.main import main

MINUTE_SECONDS = 60.0


def experienced(safe_episodes: float, classes: list[str]) -> SafeBandit:
    """A bandit that has seen so many harmless episodes at each pace, for these containers."""
    rows = [
        [safe_episodes, 0.0, safe_episodes * arm.usage_ratio_per_minute * EPISODE_SECONDS / MINUTE_SECONDS]
        if number <= BOLDEST[Importance.NORMAL]
        else [0.0, 0.0, 0.0]
        for number, arm in enumerate(ARMS)
    ]
    return SafeBandit.from_plain(dict.fromkeys(classes, rows)) if safe_episodes else SafeBandit()


def named(words: list[str]) -> list[str]:
    """The cgroups on the command line: stand-alone, each is its own class."""
    return [after for word, after in pairwise(words) if word == "--cgroup"]


if __name__ == "__main__":
    safe, words = float(sys.argv[1]), sys.argv[2:]
    # Between blocks the agent keeps its own experience in its state directory; before the first it has none.
    own = Models.bandit
    Models.bandit = lambda models: own(models) if models.records else experienced(safe, named(words))
    raise SystemExit(main(words))

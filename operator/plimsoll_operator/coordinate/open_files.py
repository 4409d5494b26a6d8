"""How many files this process may have open at once: each agent's connection is one.

In: nothing. Out: that number, after the soft limit was raised to what the hard one allows. Python leaves the
soft limit as it was given: 1,024 where a container runtime sets none, and then the agents beyond that are not
heard.
"""

import resource

MOST_FILES = 1 << 20  # nobody has more connections; some runtimes allow a billion


def raised_open_files() -> int:
    """Raise the soft limit (RLIMIT_NOFILE) as far as it goes; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted

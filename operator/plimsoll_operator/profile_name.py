"""The name of a workload's MemoryProfile.

In: the workload and its class of kube nodes. Out: a valid object name, the same in every process. Whoever
looks for a profile (the loop, the webhook, a person) finds it by this name alone.
"""

import hashlib
import re

from plimsoll.workload import WorkloadRef

NAME_MAX = 253
_UNFIT = re.compile(r"[^a-z0-9.-]+")


def name_for(ref: WorkloadRef, node_class: str) -> str:
    """`deployment-web`, `daemonset-agent-m5.large`; made unique by a hash where that is no valid name."""
    suffix = f"-{node_class}" if node_class else ""
    wanted = f"{ref.kind}-{ref.name}{suffix}".lower()
    plain = _UNFIT.sub("-", wanted).strip("-.")
    if plain == wanted and len(plain) <= NAME_MAX:
        return plain
    tail = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return f"{plain[: NAME_MAX - 9].rstrip('-.')}-{tail}"

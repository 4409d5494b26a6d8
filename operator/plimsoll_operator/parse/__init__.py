"""From what the API server sends to records. Nothing that a cluster may hold makes these functions raise.

In: raw dicts. Out: records. A quantity that cannot be read is None ("not known"), so that a guard holds; it
never becomes a number.
"""

from plimsoll_operator.parse.cluster import hpa, kube_node, limit_range, namespace, node_memory, quota
from plimsoll_operator.parse.cron import cron_job
from plimsoll_operator.parse.ours import checkpoints, control, policy, profile
from plimsoll_operator.parse.pods import container_spec, controller, labels, owned, owner_ref, pod, specs
from plimsoll_operator.parse.scalars import Raw, quantity, seconds, version

__all__ = [
    "Raw",
    "checkpoints",
    "container_spec",
    "control",
    "controller",
    "cron_job",
    "hpa",
    "kube_node",
    "labels",
    "limit_range",
    "namespace",
    "node_memory",
    "owned",
    "owner_ref",
    "pod",
    "policy",
    "profile",
    "quantity",
    "quota",
    "seconds",
    "specs",
    "version",
]

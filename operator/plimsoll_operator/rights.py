"""What the operator may do in a cluster: one table that the chart's roles and docs/rbac.md are compared with.

In: nothing. Out: `RIGHTS`, each with the reason and the setting it is for. The chart grants exactly these
(tests/chart/test_rbac.py), the code asks for exactly these (the same test reads the calls out of the source
and the indices out of kopf's registry), and an operator that has them and no more runs on a real API server
(tests/contract/test_chart.py). A call that is new is refused by that test until it stands here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from plimsoll_operator.actuate.api import (
    CLUSTER_POLICIES,
    EVENTS,
    LEASES,
    NODE_MEMORIES,
    PODS,
    POLICIES,
    PROFILES,
    TOKEN_REVIEWS,
)
from plimsoll_operator.handlers import CONTROL_CONFIG_MAP
from plimsoll_operator.leader import LEASE_NAME

Scope = Literal["cluster", "own namespace"]
Need = Literal["always", "metrics-api", "kubelet", "kubelet through the API server", "agents", "gates"]
WATCHED = ("list", "watch")


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on one resource (or subresource); `names` narrows it to objects of these names."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    scope: Scope = "cluster"
    names: tuple[str, ...] = ()
    needed: Need = "always"

    def single(self) -> Iterator["SingleRight"]:
        """The right, verb by verb, as it is compared."""
        for verb in self.verbs:
            yield SingleRight(self.scope, self.group, self.resource, verb, self.names)


@dataclass(frozen=True, slots=True, order=True)
class SingleRight:
    """One verb on one resource."""

    scope: str
    group: str
    resource: str
    verb: str
    names: tuple[str, ...] = ()


RIGHTS: tuple[Right, ...] = (
    Right("", "pods", WATCHED, "index of containers, their limits and OOM kills"),
    Right("", "pods/resize", ("patch",), "moves limits in place (modes InPlace, InPlaceOrRecreate)"),
    Right("", "pods/eviction", ("create",), "mode InPlaceOrRecreate; disruption budgets are honoured"),
    Right("", "namespaces", WATCHED, "namespaceSelector of policies"),
    Right("", "nodes", WATCHED, "allocatable memory, swap, the kubelets' addresses"),
    Right("", "limitranges", WATCHED, "a resize must fit the namespace's LimitRange"),
    Right("", "resourcequotas", WATCHED, "a resize must fit the namespace's ResourceQuota"),
    Right(
        "",
        "configmaps",
        WATCHED,
        "is acting paused (`plimsoll pause`)",
        names=(CONTROL_CONFIG_MAP,),
    ),
    Right("apps", "replicasets", WATCHED, "from a pod to its Deployment"),
    Right("batch", "jobs", WATCHED, "from a pod to its CronJob"),
    Right("batch", "cronjobs", WATCHED, "when they start, so that room is there (placement.node)"),
    Right("autoscaling", "horizontalpodautoscalers", WATCHED, "never fights an HPA on memory"),
    Right("apiextensions.k8s.io", "customresourcedefinitions", WATCHED, "sees kinds installed later"),
    Right(POLICIES.group, POLICIES.plural, WATCHED, "the policies of a namespace"),
    Right(POLICIES.group, f"{POLICIES.plural}/status", ("patch",), "conditions and counts of a policy"),
    Right(CLUSTER_POLICIES.group, CLUSTER_POLICIES.plural, WATCHED, "the policies of the cluster"),
    Right(CLUSTER_POLICIES.group, f"{CLUSTER_POLICIES.plural}/status", ("patch",), "the same for those"),
    Right(
        PROFILES.group,
        PROFILES.plural,
        ("get", *WATCHED, "create", "delete"),
        "what is known of each workload, deleted 28 days after its last pod",
    ),
    Right(PROFILES.group, f"{PROFILES.plural}/status", ("patch",), "recommendations, decisions, history"),
    Right(NODE_MEMORIES.group, NODE_MEMORIES.plural, WATCHED, "what agents say that each node uses"),
    Right(NODE_MEMORIES.group, f"{NODE_MEMORIES.plural}/status", ("patch",), "forecasts of nodes' peaks"),
    Right(EVENTS.group, EVENTS.plural, ("create",), "what was done to a pod, in `kubectl describe`"),
    Right(LEASES.group, LEASES.plural, ("create",), "leadership, the first time", scope="own namespace"),
    Right(
        LEASES.group,
        LEASES.plural,
        ("get", "update"),
        "leadership",
        scope="own namespace",
        names=(LEASE_NAME,),
    ),
    Right(
        TOKEN_REVIEWS.group,
        TOKEN_REVIEWS.plural,
        ("create",),
        "whose token an agent shows that attends (coordination.enabled); at most once a minute for each",
        needed="agents",
    ),
    Right(
        "",
        "pods",
        ("patch",),
        "lets a pod go that was held until room was made (placement.gates.enabled); an admission policy "
        "holds the account to that",
        needed="gates",
    ),
    Right("metrics.k8s.io", PODS.plural, ("list",), "working sets", needed="metrics-api"),
    Right("", "nodes/metrics", ("get",), "working sets from each kubelet", needed="kubelet"),
    Right("", "nodes/stats", ("get",), "memory use from each kubelet", needed="kubelet"),
    Right(
        "",
        "nodes/proxy",
        ("get",),
        "the same where kubelets cannot be reached; also allows exec in every pod, so it is off by default",
        needed="kubelet through the API server",
    ),
)


# The sweeper's, where pods may be held (placement.gates.enabled); the same admission policy holds it.
SWEEPER_RIGHTS: tuple[Right, ...] = (
    Right("", "pods", ("list",), "those that wait for a kube node", needed="gates"),
    Right("", "pods", ("patch",), "lets those go whose time is over", needed="gates"),
)


def rights(
    *, usage_source: str, node_proxy: bool, agents: bool = False, gates: bool = False
) -> frozenset[SingleRight]:
    """The rights that an operator with these settings needs.

    `agents`: they attend it; `gates`: it may hold pods until room is made.
    """
    kubelet: Need = "kubelet through the API server" if node_proxy else "kubelet"
    wanted = {"always", kubelet if usage_source == "kubelet" else usage_source}
    wanted |= {"agents"} if agents else set()
    wanted |= {"gates"} if gates else set()
    return frozenset(each for right in RIGHTS if right.needed in wanted for each in right.single())

"""The page of rights.

In: the operator's, the sweeper's and the agent's tables of rights. Out: Markdown of `rbac.md`.
"""

from markdown_table import table

from plimsoll_nodeagent.rights import RIGHTS as AGENT_RIGHTS
from plimsoll_nodeagent.rights import AgentRight
from plimsoll_operator.rights import RIGHTS, SWEEPER_RIGHTS, Right

SWEEPER_RIGHTS_INTRO = """## The sweeper

A pod of its own that lifts our scheduling gate where its time is over and the operator is dead
({doc}`placement`). Who may patch pods may change their images: a ValidatingAdmissionPolicy of the chart holds
this account and the operator's to lifting that gate.
"""

AGENT_RIGHTS_INTRO = """## An agent that acts

Cluster-wide, because pods and policies live in every namespace. RBAC cannot hold an account that all agents
share to one node; the chart's ValidatingAdmissionPolicy does, by the node that the API server knows of each
pod's token. It cannot narrow what is read: with `agent.act.policiesFrom: operator` agents read nothing, and
hear from the operator what concerns their own node ({doc}`decisions/0361-an-agent-may-be-told-its-policies`).
"""

RBAC_INTRO = """# Rights

What the chart grants. The operator's table is the code's own (`operator/plimsoll_operator/rights.py`): tests
compare it with the rendered roles and with the calls that the code makes, and run the operator with these
rights, and no others, on a real API server.

An **agent** that only watches has none: it asks the API server for nothing, its account is bound to no role,
no token is mounted. It runs without capabilities as an unprivileged user, and mounts the node's cgroup v2
hierarchy read-only. One that acts (`agent.act.enabled`) has those of the table below, of which none changes
a pod, and the token for them in the agent's container alone: the init container that puts the seccomp profile
on the node, as root, has none ({doc}`decisions/0293-a-token-where-it-is-used`).

**People.** Whoever has the built-in role `view` reads policies and profiles; who has `edit` or `admin` in a
namespace also writes its MemoryPolicies and nothing else of ours (`rbac.aggregate`). The ClusterRole and the
Role that end in `-operate` (policies of the whole cluster, `plimsoll restore`; `plimsoll pause`) are bound to
nobody: bind them to who runs Plimsoll, here a group `platform-team`. They may change a namespace's
MemoryPolicies, to switch one off, but make and delete none, and delete no profile:

```sh
kubectl create clusterrolebinding plimsoll-operate --clusterrole=plimsoll-operate --group=platform-team
kubectl -n plimsoll-system create rolebinding plimsoll-operate --role=plimsoll-operate --group=platform-team
kubectl auth can-i create clustermemorypolicies --as=anna --as-group=platform-team
```

Commands that only read (`plimsoll recommend`, `plan`, `explain`, `status`, `drain-advice`) ask for more than
our own kinds: pods, their owners, disruption budgets and events, which `view` has, and the nodes and the
operator's Lease, which it has not. `status` alone reads the Lease, and may with the Role that ends in
`-operate` ({doc}`decisions/0296-who-pauses-sees-who-acts`). This gives all of it to those who may see the
whole cluster:

```sh
kubectl create clusterrolebinding plimsoll-readers --clusterrole=view --group=platform-team
kubectl create clusterrole plimsoll-nodes --verb=get,list --resource=nodes
kubectl create clusterrolebinding plimsoll-nodes --clusterrole=plimsoll-nodes --group=platform-team
kubectl -n plimsoll-system create role plimsoll-lease --verb=get --resource=leases.coordination.k8s.io \\
  --resource-name=plimsoll-operator
kubectl -n plimsoll-system create rolebinding plimsoll-lease --role=plimsoll-lease --group=platform-team
```

Who has `view` in one namespace alone reads there with `-n`. Without the Lease `status` says that it may not
be read; `plan` without nodes needs `--node-memory`, and `drain-advice` needs nodes and all pods.

What each component may do, as the API server sees it:

```sh
kubectl auth can-i --list --as=system:serviceaccount:plimsoll-system:plimsoll-operator
kubectl auth can-i --list --as=system:serviceaccount:plimsoll-system:plimsoll-agent
```

## The operator
"""


def rbac_page() -> str:
    """The operator's rights with their reasons."""
    head = ("group", "resource", "verbs", "where", "for what", "needed")
    agents = (
        (
            f"`{each.group or 'core'}`",
            f"`{each.resource}`",
            ", ".join(each.verbs),
            each.reason,
            _agent_needs(each),
        )
        for each in AGENT_RIGHTS
    )
    own = table(("group", "resource", "verbs", "for what", "needed"), agents)
    operators, sweepers = (table(head, map(_right_row, each)) for each in (RIGHTS, SWEEPER_RIGHTS))
    return f"{RBAC_INTRO}\n{operators}\n{SWEEPER_RIGHTS_INTRO}\n{sweepers}\n{AGENT_RIGHTS_INTRO}\n{own}"


def _agent_needs(right: AgentRight) -> str:
    if right.told:
        return "`agent.act.policiesFrom: cluster`"
    return "`agent.act.nodeResourceTopology`" if right.topology else "always"


def _right_row(right: Right) -> tuple[str, ...]:
    where = (
        f"{right.scope}, only {', '.join(f'`{name}`' for name in right.names)}"
        if right.names
        else right.scope
    )
    words = {
        "always": "always",
        "agents": "`coordination.enabled`",
        "gates": "`placement.gates.enabled`",
    }
    needed = words.get(right.needed, f"usage source {right.needed}")
    verbs = ", ".join(right.verbs)
    return f"`{right.group or 'core'}`", f"`{right.resource}`", verbs, where, right.why, needed

"""What the agent asks of the API server, once it acts: the chart's role and the page on rights are made of
this.

In: nothing. Out: `RIGHTS`. An agent that only watches has none of them. No right to change a pod is among
them, and none is ever to be: limits are the operator's business.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgentRight:
    """Verbs on one resource, cluster-wide: pods and policies live in every namespace."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    reason: str
    told: bool = False
    """Not needed where the operator tells what it is for (--policies-from-operator)."""
    topology: bool = False
    """For --node-resource-topology alone."""


RIGHTS = (
    AgentRight(
        "", "pods", ("list",), "the pods of its own node: their labels, owners and container ids", told=True
    ),
    AgentRight("", "namespaces", ("list",), "namespaceSelector of policies", told=True),
    AgentRight("plimsoll.dev", "memorypolicies", ("list",), "what they say about reclaim", told=True),
    AgentRight("plimsoll.dev", "clustermemorypolicies", ("list",), "the same for those", told=True),
    AgentRight("plimsoll.dev", "nodememories", ("create",), "its own node's, the first time"),
    AgentRight("plimsoll.dev", "nodememories/status", ("patch",), "its own node's"),
    AgentRight(
        "topology.node.k8s.io",
        "noderesourcetopologies",
        ("get", "create", "patch"),
        "its own node's NUMA nodes, for others; an object that it did not make is left alone",
        topology=True,
    ),
)

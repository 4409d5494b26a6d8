"""Who may speak for which node.

In: what TokenReview said of a token, what the operator's pods say. Out: a reason to refuse, or "". A token
speaks for the node that it is bound to, and a message about a pod only counts where that pod runs on the
speaker's node. A pod that the operator does not know yet is waited for, never believed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plimsoll.coordinate.messages import RosterEntry


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the API server says of a token."""

    authenticated: bool
    username: str = ""
    kube_node: str = ""  # extra authentication.kubernetes.io/node-name: of the pod the token is bound to
    audiences: tuple[str, ...] = ()
    problem: str = ""


def token_refusal(facts: TokenFacts, username: str, audience: str) -> str:
    """Why a token opens no stream; "" where it does. `username` is that of the agents' service account."""
    if not facts.authenticated:
        return f"the token is not valid: {facts.problem or 'TokenReview says no'}"
    if facts.username != username:
        return f"the token is of {facts.username}, not of the agents' service account"
    if audience not in facts.audiences:
        return f"the token is not for audience {audience}"
    if not facts.kube_node:
        return "the token is not bound to a pod on a node"
    return ""


def hello_refusal(facts: TokenFacts, kube_node: str) -> str:
    """Why a token's bearer may not say hello for a node; "" where it may."""
    if kube_node == facts.kube_node:
        return ""
    return f"a token bound to kube node {facts.kube_node} does not speak for {kube_node or 'no node'}"


@dataclass(frozen=True, slots=True)
class Judged:
    """Entries of a roster: of pods on the speaker's node, of pods elsewhere, of pods nobody knows yet."""

    own: tuple[RosterEntry, ...]
    alien: tuple[RosterEntry, ...]
    unknown: tuple[RosterEntry, ...]


def judged_roster(
    entries: Iterable[RosterEntry], kube_node: str, kube_node_of_pod: Callable[[str], str | None]
) -> Judged:
    """Sort a roster by whether its speaker may speak of the pods in it (`None`: pod not known)."""
    sorted_out: dict[str, list[RosterEntry]] = {"own": [], "alien": [], "unknown": []}
    for each in entries:
        found = kube_node_of_pod(each.pod_uid)
        kind = "unknown" if found is None else "own" if found == kube_node else "alien"
        sorted_out[kind].append(each)
    return Judged(*(tuple(sorted_out[kind]) for kind in ("own", "alien", "unknown")))

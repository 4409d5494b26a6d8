"""What the namespace and the kube node still give: LimitRange, ResourceQuota, headroom.

In: a proposal and the situation. Out: the proposal cut to what would be admitted. A cut only ever takes
from a raise: an existing value that already breaks a rule is not our doing and is not lowered for it.
"""

from plimsoll.guard.bounds import at_most
from plimsoll.guard.proposal import Proposal, say
from plimsoll.guard.state import MemoryRange, QosClass, QuotaRoom, Situation

# A kube node with less room than this part of the request has none worth taking in small bites.
LEAST_ROOM_FRACTION = 0.1


def within_limit_ranges(proposal: Proposal, situation: Situation) -> Proposal:
    """Within every LimitRange of the namespace, container and pod scope, ratio included."""
    for item in situation.namespace.ranges:
        proposal = (
            _in_container_range(proposal, item)
            if item.scope == "Container"
            else _in_pod_range(proposal, item, situation)
        )
    return proposal


def within_quotas(proposal: Proposal, situation: Situation) -> Proposal:
    """No raise beyond what every ResourceQuota has left."""
    for room in situation.namespace.quotas:
        proposal = _in_quota(proposal, room, situation)
    return proposal


def within_kube_node(proposal: Proposal, situation: Situation) -> Proposal:
    """No limit above what the kube node has, no request raised beyond what it has free."""
    kube_node, container = situation.kube_node, situation.container
    if kube_node is None or kube_node.allocatable_bytes is None or kube_node.requested_bytes is None:
        return _no_raise(proposal, situation, "KubeNodeUnknown", "what the kube node can give is not known")
    allocatable = kube_node.allocatable_bytes
    if proposal.limit_bytes is not None and proposal.limit_bytes > allocatable:
        ceiling = max(allocatable, container.limit_bytes or 0)
        proposal = proposal.with_limit(
            ceiling, "KubeNodeHeadroom", f"kube node {kube_node.name} has {say(allocatable)}"
        )
    free = max(0, allocatable - kube_node.requested_bytes)
    if _should_move(situation, free):
        return _beside_siblings(proposal, situation, allocatable)
    text = f"kube node {kube_node.name} has {say(free)} left to request"
    return _raise_request_by(proposal, situation, free, "KubeNodeHeadroom", text)


def _should_move(situation: Situation, free_bytes: int) -> bool:
    """A Guaranteed pod on a full kube node that a policy lets move: the kubelet is asked for all that is
    wanted and answers Deferred, which is what an eviction needs. Cut to what is free it would stay, starved.
    """
    policy, request = situation.policy, situation.container.request_bytes
    if policy is None or not policy.mode.recreates or not request:
        return False
    return situation.pod.qos is QosClass.GUARANTEED and free_bytes < LEAST_ROOM_FRACTION * request


def _beside_siblings(proposal: Proposal, situation: Situation, allocatable_bytes: int) -> Proposal:
    """What a Guaranteed pod's other containers leave of the whole: together they could never have more, and
    the kubelet would answer Infeasible, for which nobody is evicted.
    """
    container, others = situation.container, situation.pod.others_request_bytes or 0
    ceiling = max(0, allocatable_bytes - others, container.request_bytes or 0, container.limit_bytes or 0)
    text = f"the pod's other containers request {say(others)} of {say(allocatable_bytes)}"
    if proposal.request_bytes is not None:
        proposal = proposal.with_request(min(proposal.request_bytes, ceiling), "KubeNodeHeadroom", text)
    if proposal.limit_bytes is not None:
        proposal = proposal.with_limit(min(proposal.limit_bytes, ceiling), "KubeNodeHeadroom", text)
    return proposal


def within_largest_kube_node(proposal: Proposal, situation: Situation) -> Proposal:
    """At admission: no limit and no request raised so far that no kube node could take the pod.

    `situation.kube_node` is the largest that may get it. What the template itself asks for is not our doing.
    """
    kube_node, container = situation.kube_node, situation.container
    if kube_node is None or kube_node.allocatable_bytes is None:
        return _no_raise(proposal, situation, "KubeNodeUnknown", "what the kube nodes can give is not known")
    whole = kube_node.allocatable_bytes
    text = f"kube node {kube_node.name}, the largest for it, gives a pod {say(whole)}"
    room = max(0, whole - (situation.pod.others_request_bytes or 0), container.request_bytes or 0)
    ceiling = max(whole, container.limit_bytes or 0)
    if situation.pod.qos is QosClass.GUARANTEED:
        ceiling = min(ceiling, room)
    if proposal.limit_bytes is not None:
        proposal = proposal.with_limit(min(proposal.limit_bytes, ceiling), "KubeNodeHeadroom", text)
    if proposal.request_bytes is not None:
        proposal = proposal.with_request(min(proposal.request_bytes, room), "KubeNodeHeadroom", text)
    return proposal


def _in_container_range(proposal: Proposal, item: MemoryRange) -> Proposal:
    if item.max_bytes is not None:
        proposal = at_most(
            proposal, item.max_bytes, "LimitRange", f"LimitRange {item.name} max {say(item.max_bytes)}"
        )
    if item.min_bytes is not None:
        text = f"LimitRange {item.name} min {say(item.min_bytes)}"
        if proposal.request_bytes is not None:
            proposal = proposal.with_request(max(proposal.request_bytes, item.min_bytes), "LimitRange", text)
        if proposal.limit_bytes is not None:
            proposal = proposal.with_limit(max(proposal.limit_bytes, item.min_bytes), "LimitRange", text)
    if item.max_ratio is not None and proposal.limit_bytes is not None and proposal.request_bytes:
        least = -int(-proposal.limit_bytes // item.max_ratio)
        text = f"LimitRange {item.name} limit/request at most {item.max_ratio:g}"
        proposal = proposal.with_request(max(proposal.request_bytes, least), "LimitRange", text)
    return proposal


def _in_pod_range(proposal: Proposal, item: MemoryRange, situation: Situation) -> Proposal:
    if item.max_bytes is None or proposal.limit_bytes is None:
        return proposal
    if situation.pod.others_limit_bytes is None:
        return _no_raise(proposal, situation, "LimitRange", f"LimitRange {item.name}: a sibling has no limit")
    ceiling = max(item.max_bytes - situation.pod.others_limit_bytes, situation.container.limit_bytes or 0)
    text = f"LimitRange {item.name} gives the pod {say(item.max_bytes)}"
    return proposal.with_limit(min(proposal.limit_bytes, ceiling), "LimitRange", text)


def _in_quota(proposal: Proposal, room: QuotaRoom, situation: Situation) -> Proposal:
    current = situation.container.limit_bytes
    if room.limits_left_bytes is not None and proposal.limit_bytes is not None and current is not None:
        ceiling = current + max(0, room.limits_left_bytes)
        text = f"ResourceQuota {room.name} has {say(max(0, room.limits_left_bytes))} of limits left"
        proposal = proposal.with_limit(min(proposal.limit_bytes, ceiling), "ResourceQuota", text)
    if room.requests_left_bytes is not None:
        text = f"ResourceQuota {room.name} has {say(max(0, room.requests_left_bytes))} of requests left"
        proposal = _raise_request_by(
            proposal, situation, max(0, room.requests_left_bytes), "ResourceQuota", text
        )
    return proposal


def _raise_request_by(
    proposal: Proposal, situation: Situation, room_bytes: int, reason: str, text: str
) -> Proposal:
    current = situation.container.request_bytes
    if proposal.request_bytes is None or current is None or proposal.request_bytes <= current + room_bytes:
        return proposal
    cut = proposal.with_request(current + room_bytes, reason, text)
    if situation.pod.qos is QosClass.GUARANTEED:
        return cut.with_limit(current + room_bytes, reason, text)
    return cut


def _no_raise(proposal: Proposal, situation: Situation, reason: str, text: str) -> Proposal:
    container = situation.container
    if proposal.limit_bytes is not None and container.limit_bytes is not None:
        proposal = proposal.with_limit(min(proposal.limit_bytes, container.limit_bytes), reason, text)
    if proposal.request_bytes is not None and container.request_bytes is not None:
        proposal = proposal.with_request(min(proposal.request_bytes, container.request_bytes), reason, text)
    return proposal

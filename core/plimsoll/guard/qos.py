"""The pod's QoS class and the container's own two values agree: Guaranteed keeps request = limit, the rest
request <= limit.

In: a proposal and the situation. Out: the proposal with values that leave the QoS class as it is (the API
server refuses anything else), or a reason why there are none. Source: Kubernetes' `ValidatePodResize`.
"""

from plimsoll.guard.proposal import MIB, Proposal, say
from plimsoll.guard.state import QosClass, Situation


def keep_qos(proposal: Proposal, situation: Situation) -> Proposal:
    """Tie request and limit as the pod's QoS class demands."""
    if situation.pod.qos is QosClass.GUARANTEED:
        return _guaranteed(proposal, situation)
    return _burstable(proposal, situation)


def _guaranteed(proposal: Proposal, situation: Situation) -> Proposal:
    policy = situation.policy
    if policy is not None and not (policy.controlled.limits and policy.controlled.requests):
        why = f"a Guaranteed pod needs request = limit, controlled is {policy.controlled.value}"
        back = proposal.with_limit(situation.container.limit_bytes, "QoSClass", why)
        return back.with_request(situation.container.request_bytes, "QoSClass", why)
    return proposal.with_request(
        proposal.limit_bytes, "QoSClass", "request follows the limit in a Guaranteed pod"
    )


def _burstable(proposal: Proposal, situation: Situation) -> Proposal:
    limit, request = proposal.limit_bytes, proposal.request_bytes
    if limit is None or request is None:
        return proposal
    ceiling = limit - MIB if _would_be_guaranteed(situation) else limit
    if request <= ceiling:
        return proposal
    if _may_write_request(situation):
        return proposal.with_request(ceiling, "QoSClass", f"request kept at or below {say(ceiling)}")
    return proposal.with_limit(max(limit, request), "LimitAtRequest", f"the request {say(request)} stays")


def _would_be_guaranteed(situation: Situation) -> bool:
    return situation.container.cpu_guaranteed and situation.pod.others_guaranteed


def _may_write_request(situation: Situation) -> bool:
    policy, kube_node = situation.policy, situation.kube_node
    return (policy is None or policy.controlled.requests) and not (kube_node is not None and kube_node.swap)

"""On a kube node with swap a running container's memory request cannot be changed in place; its limit can.

In: a proposal and the situation. Out: the proposal with the request as it is. Source: kubelet 1.37 answers
`Infeasible: In-place resize of containers with swap is not supported` to a changed request under
LimitedSwap (unless resizePolicy restarts the container); Guaranteed pods get no swap, so they are free.
"""

from plimsoll.guard.proposal import Proposal
from plimsoll.guard.state import QosClass, Situation


def pin_request_under_swap(proposal: Proposal, situation: Situation) -> Proposal:
    """Leave the request of a Burstable container alone where the kube node swaps."""
    kube_node = situation.kube_node
    free = situation.pod.qos is QosClass.GUARANTEED or situation.container.restarts_on_resize
    if kube_node is None or not kube_node.swap or free:
        return proposal
    return proposal.with_request(
        situation.container.request_bytes,
        "SwapPinsRequest",
        f"kube node {kube_node.name} has swap: the request stays",
    )

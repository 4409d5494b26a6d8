"""Bounds on how much: the policy's, and what is in use now.

In: a proposal and the situation. Out: the proposal within them. Present use wins over every upper bound: a
limit below it would be refused by the kubelet at best and kill the container at worst.
"""

from plimsoll.api.effective import LEAST_LIMIT_BYTES, LeakAction
from plimsoll.guard.limits import GuardSettings, LimitReason
from plimsoll.guard.proposal import MIB, Proposal, say, whole_mebibytes
from plimsoll.guard.state import Ask, ContainerState, Purpose, Situation

# Never below what is used now plus this: the kubelet checks usage a moment after we do, and a container
# that allocates between the two must not be killed. Larger values cost slack in every container, smaller
# ones kills.
PRESENT_USE_MARGIN_FRACTION = GuardSettings().present_margin
PRESENT_USE_MARGIN_MIN_BYTES = 4 * MIB
AFTER_A_KILL = frozenset({LimitReason.OOM_KILLED.label, "OomRemembered"})  # reasons of asks that a kill makes


def within_controlled(proposal: Proposal, situation: Situation) -> Proposal:
    """Only the values that the policy gives us to write, and none that is unset."""
    container, policy = situation.container, situation.policy
    if container.limit_bytes is None or (policy is not None and not policy.controlled.limits):
        why = (
            "the limit is not ours to write"
            if container.limit_bytes is not None
            else "there is no limit to move"
        )
        proposal = proposal.with_limit(container.limit_bytes, "NotControlled", why)
    if container.request_bytes is None or (policy is not None and not policy.controlled.requests):
        proposal = proposal.with_request(
            container.request_bytes, "NotControlled", "the request is not ours to write"
        )
    return proposal


def within_policy(proposal: Proposal, situation: Situation) -> Proposal:
    """Between the policy's min and max; a max below the least limit is read as that."""
    policy = situation.policy
    if policy is None:
        return proposal
    if policy.max_bytes is not None:
        most = max(policy.max_bytes, LEAST_LIMIT_BYTES)
        proposal = at_most(proposal, most, "PolicyMax", f"policy max {say(most)}")
    if policy.min_bytes is not None:
        text = f"policy min {say(policy.min_bytes)}"
        if proposal.limit_bytes is not None:
            proposal = proposal.with_limit(max(proposal.limit_bytes, policy.min_bytes), "PolicyMin", text)
        elif proposal.request_bytes is not None:
            proposal = proposal.with_request(max(proposal.request_bytes, policy.min_bytes), "PolicyMin", text)
    return proposal


def at_most(proposal: Proposal, ceiling_bytes: int, reason: str, text: str) -> Proposal:
    """Limit and request no higher than `ceiling_bytes`."""
    if proposal.limit_bytes is not None:
        proposal = proposal.with_limit(min(proposal.limit_bytes, ceiling_bytes), reason, text)
    if proposal.request_bytes is not None:
        proposal = proposal.with_request(min(proposal.request_bytes, ceiling_bytes), reason, text)
    return proposal


def not_after_a_leak(proposal: Proposal, ask: Ask, situation: Situation) -> Proposal:
    """The growth of a leak is followed only as far as the policy's `leak` says.

    Leave: no further. Raise: up to the cap. A limit above that is not taken back; and a raise that an OOM
    kill asks for passes, for a leak that was none must not end in kill after kill.
    """
    policy, container = situation.policy, situation.container
    if policy is None or not container.leaks or ask.reason in AFTER_A_KILL:
        return proposal
    if policy.leak_action is LeakAction.LEAVE:
        return _no_rise(proposal, container, 0, "LeakLeft", "it leaks, and leak.action is Leave")
    cap = policy.leak_cap_bytes
    if policy.leak_action is LeakAction.RAISE and cap is not None:
        return _no_rise(proposal, container, cap, "LeakCap", f"it leaks, up to leak.cap {say(cap)}")
    return proposal


def _no_rise(
    proposal: Proposal, container: ContainerState, cap_bytes: int, reason: str, text: str
) -> Proposal:
    """No value above the cap, except one that is in force."""
    limit, request = proposal.limit_bytes, proposal.request_bytes
    if limit is not None:
        most = max(cap_bytes, container.limit_bytes or 0)
        proposal = proposal.with_limit(min(limit, most), reason, text)
    if request is not None:
        most = max(cap_bytes, container.request_bytes or 0)
        proposal = proposal.with_request(min(request, most), reason, text)
    return proposal


def present_use_floor_bytes(usage_bytes: float) -> int:
    """The lowest limit that leaves room above what is used now."""
    margin = max(usage_bytes * PRESENT_USE_MARGIN_FRACTION, PRESENT_USE_MARGIN_MIN_BYTES)
    return whole_mebibytes(usage_bytes + margin)


def above_present_use(proposal: Proposal, situation: Situation) -> Proposal:
    """Never lower a limit below present use and its margin; a limit that already is below is left, not
    lowered. Where an agent tells what of that use is needed, the rest may go: but only once it has gone
    (`room_below`).
    """
    container = situation.container
    current, usage = container.limit_bytes, container.usage_bytes
    if current is None or proposal.limit_bytes is None or usage is None or proposal.limit_bytes >= current:
        return proposal
    held, text = usage, f"{say(usage)} is in use now"
    if container.needed_bytes is not None and 0.0 <= container.needed_bytes < usage:
        held, text = container.needed_bytes, f"{say(container.needed_bytes)} of {say(usage)} in use is needed"
    floor = min(current, present_use_floor_bytes(held))
    return proposal.with_limit(max(proposal.limit_bytes, floor), "PresentUse", text)


def above_least_limit(proposal: Proposal, situation: Situation) -> Proposal:
    """Never lower a limit below the least one, whoever asks for it: neither a policy nor a LimitRange. One
    that already is below is left.
    """
    current, limit = situation.container.limit_bytes, proposal.limit_bytes
    if current is None or limit is None or limit >= min(current, LEAST_LIMIT_BYTES):
        return proposal
    text = f"no limit is lowered below {say(LEAST_LIMIT_BYTES)}"
    return proposal.with_limit(min(current, LEAST_LIMIT_BYTES), "LeastLimit", text)


def room_below(proposal: Proposal, situation: Situation) -> int | None:
    """Where a proposal lowers a limit below present use: below what there must first be room; else None."""
    container, limit = situation.container, proposal.limit_bytes
    if container.needed_bytes is None or container.usage_bytes is None or limit is None:
        return None
    floor = min(container.limit_bytes or 0, present_use_floor_bytes(container.usage_bytes))
    return floor if limit < floor else None


def no_fall_while_settling(proposal: Proposal, ask_purpose: Purpose, situation: Situation) -> Proposal:
    """After a restart nothing is lowered until the part of the history that was missed has been lived
    through.
    """
    if situation.control.settled or ask_purpose is Purpose.RESTORE:
        return proposal
    return _no_fall(proposal, situation, "Settling", "the operator has just started; nothing is lowered yet")


def no_fall_when_urgent(proposal: Proposal, ask_purpose: Purpose, situation: Situation) -> Proposal:
    """A kill or a climb never ends in a lower value, whatever a policy's or a LimitRange's max says: the
    container has just shown that it needs what it has, and its present use may not even be known.
    """
    if ask_purpose is not Purpose.URGENT:
        return proposal
    return _no_fall(proposal, situation, "UrgentNeverLowers", "a kill or a climb never lowers")


def no_fall_twice(proposal: Proposal, ask: Ask, situation: Situation) -> Proposal:
    """A forecast lowers once, and never what was changed after it was made: a kill or a climb since then is
    news that it did not know. The next one, an hour later at most, does.
    """
    changed, made = situation.container.last_change_seconds, ask.made_seconds
    if ask.purpose is not Purpose.FORECAST or changed is None or made is None or changed < made:
        return proposal
    return _no_fall(
        proposal, situation, "ChangedSince", "changed since this forecast was made; the next may lower it"
    )


def _no_fall(proposal: Proposal, situation: Situation, reason: str, text: str) -> Proposal:
    current = situation.container
    if _falls(proposal.limit_bytes, current.limit_bytes):  # then the request does not move alone either
        proposal = proposal.with_limit(current.limit_bytes, reason, text)
        return proposal.with_request(current.request_bytes, reason, text)
    if _falls(proposal.request_bytes, current.request_bytes):
        return proposal.with_request(current.request_bytes, reason, text)
    return proposal


def _falls(proposed_bytes: int | None, current_bytes: int | None) -> bool:
    return proposed_bytes is not None and current_bytes is not None and proposed_bytes < current_bytes

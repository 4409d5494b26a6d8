"""The last word on one container: what is asked, cut by everything that only a cluster knows, as a decision
with a reason.

In: an `Ask` (one row of a recommendation, or a pod-level raise) and a `Situation` of frozen facts. Out: a
`Decision`. The order: gates that shut everything, the cuts on how much, then whether the rest is worth
doing now and allowed by the policy's mode. An exception anywhere is a hold: this module fails closed and
never returns the unguarded value.
"""

from dataclasses import replace

from plimsoll.api.effective import Mode
from plimsoll.api.window import is_open
from plimsoll.guard.bounds import (
    above_least_limit,
    above_present_use,
    no_fall_twice,
    no_fall_when_urgent,
    no_fall_while_settling,
    not_after_a_leak,
    room_below,
    within_controlled,
    within_policy,
)
from plimsoll.guard.decision import Decision, DecisionKind, hold
from plimsoll.guard.gates import MINIMUM_VERSION, closed_gate
from plimsoll.guard.limits import GuardSettings
from plimsoll.guard.proposal import Note, Proposal, say, whole_mebibytes
from plimsoll.guard.qos import keep_qos
from plimsoll.guard.quota import (
    within_kube_node,
    within_largest_kube_node,
    within_limit_ranges,
    within_quotas,
)
from plimsoll.guard.state import Ask, Purpose, QosClass, Situation
from plimsoll.guard.swap import pin_request_under_swap


def guard(ask: Ask | None, situation: Situation) -> Decision:
    """Decide about one container; `ask` is None where the engine has said nothing about it."""
    try:
        return _guard(ask, situation)
    except Exception as error:  # noqa: BLE001 -- fail closed: whatever went wrong, the container is not touched
        return _hold(situation, "GuardError", f"guard failed: {type(error).__name__}: {error}")


def admit(ask: Ask | None, situation: Situation) -> Decision:
    """Decide about a container of a pod that is only being created: no kubelet and no cooldown yet; present
    use is that of the workload's running pods, where it has some.
    """
    try:
        return _admit(ask, situation)
    except Exception as error:  # noqa: BLE001 -- fail closed: the pod starts as its template says
        return _hold(situation, "GuardError", f"guard failed: {type(error).__name__}: {error}")


def _guard(ask: Ask | None, situation: Situation) -> Decision:
    restoring = ask is not None and ask.purpose is Purpose.RESTORE
    if situation.policy is None and not restoring:
        return _keep(situation, "NoPolicy", "no policy selects this container")
    if situation.policy is not None and situation.policy.mode is Mode.OFF and not restoring:
        return _keep(situation, "PolicyOff", "mode is Off: nothing is done, limits stay as they are")
    shut = closed_gate(ask, situation)
    if shut is not None or ask is None:
        return shut or _hold(situation, "NoHistory", "nothing is recommended yet")
    cut = _cut(_asked(ask, situation), ask, situation)
    decision = _worthwhile(ask, cut, situation)
    return _timely(ask, _permitted(ask, decision, situation), situation)


def _admit(ask: Ask | None, situation: Situation) -> Decision:
    policy = situation.policy
    if policy is None or not policy.mode.admits or situation.control.paused:
        return _keep(situation, "NotAdmitting", "no policy sets limits at admission here")
    if ask is None or not ask.ready:
        return _hold(situation, "NoHistory", "nothing is recommended yet")
    if situation.pod.memory_hpa or situation.pod.qos is QosClass.BEST_EFFORT:
        return _hold(
            situation, "MemoryHPA" if situation.pod.memory_hpa else "BestEffort", "left to its template"
        )
    proposal = not_after_a_leak(_asked(ask, situation), ask, situation)
    cuts = (within_policy, within_limit_ranges, within_quotas, within_largest_kube_node)
    for step in (*cuts, above_present_use, above_least_limit, within_controlled, keep_qos):
        proposal = step(proposal, situation)
    return _worthwhile(ask, proposal, situation)


def _asked(ask: Ask, situation: Situation) -> Proposal:
    if _in_band(ask, situation):
        text = (
            f"limit lies between {say(ask.lower_bytes)} and {say(ask.upper_bytes)}: a change gains too little"
        )
        container = situation.container
        return Proposal(container.limit_bytes, container.request_bytes, (Note("WithinBand", text),))
    request = ask.request_bytes
    if request is None or (ask.purpose is Purpose.URGENT and situation.pod.qos is not QosClass.GUARANTEED):
        request = situation.container.request_bytes
    if ask.limit_bytes is None:
        note = Note("NoLimitAtFirst", "there was no limit at first; in place one cannot be taken away")
        return Proposal(situation.container.limit_bytes, request, (note,))
    exact = ask.purpose is Purpose.RESTORE  # the very values that were there
    limit = ask.limit_bytes if exact else whole_mebibytes(ask.limit_bytes)
    if ask.purpose is Purpose.URGENT and situation.container.limit_bytes is not None:
        limit = max(limit, situation.container.limit_bytes)  # an urgent ask never lowers
    if ask.purpose is Purpose.FORECAST and situation.container.limit_bytes is not None:
        least = situation.container.limit_bytes * (1.0 - GuardSettings().largest_cut)
        limit = max(limit, whole_mebibytes(least))  # the same step down as in a replay
    return Proposal(limit, request if exact or request is None else whole_mebibytes(request))


def _in_band(ask: Ask, situation: Situation) -> bool:
    """True where the limit in force is as good as the target, given what a change costs."""
    policy, limit = situation.policy, situation.container.limit_bytes
    if (
        ask.purpose is not Purpose.FORECAST
        or limit is None
        or ask.lower_bytes is None
        or ask.upper_bytes is None
    ):
        return False
    return (policy is None or policy.controlled.limits) and ask.lower_bytes <= limit <= ask.upper_bytes


def _cut(proposal: Proposal, ask: Ask, situation: Situation) -> Proposal:
    if ask.purpose is Purpose.RESTORE:
        # The original resources need no policy's leave; what is in use is not reclaimed for them.
        container = replace(situation.container, needed_bytes=None)
        situation = replace(situation, policy=None, container=container)
    proposal = keep_qos(within_controlled(proposal, situation), situation)
    proposal = not_after_a_leak(within_policy(proposal, situation), ask, situation)
    proposal = pin_request_under_swap(proposal, situation)
    for step in (within_limit_ranges, within_quotas, within_kube_node):
        proposal = step(proposal, situation)
    if ask.purpose is not Purpose.RESTORE:
        proposal = above_least_limit(proposal, situation)
    proposal = no_fall_while_settling(above_present_use(proposal, situation), ask.purpose, situation)
    proposal = no_fall_when_urgent(no_fall_twice(proposal, ask, situation), ask.purpose, situation)
    # Once more, for a LimitRange may have moved what is not ours, and QoS has the last word on the pair.
    proposal = pin_request_under_swap(within_controlled(proposal, situation), situation)
    return keep_qos(proposal, situation)


def _worthwhile(ask: Ask, proposal: Proposal, situation: Situation) -> Decision:
    container = situation.container
    change = _largest_change(proposal, situation)
    if change == 0.0:
        note = proposal.notes[-1] if proposal.notes else None
        return _keep(situation, note.reason if note else "AtTarget", note.text if note else "at its target")
    minimum = situation.policy.min_change_fraction if situation.policy is not None else 0.0
    if ask.purpose is Purpose.FORECAST and change < minimum:
        text = f"a change of {change:.1%} is below minChange {minimum:.0%}"
        return _keep(situation, "BelowMinChange", text)
    kind = DecisionKind.RAISE if _rises(proposal, situation) else DecisionKind.LOWER
    words = [f"limit {say(container.limit_bytes)} -> {say(proposal.limit_bytes)}"]
    words.append(f"request {say(container.request_bytes)} -> {say(proposal.request_bytes)}")
    words += [
        f"cut by {note.reason}: {note.text}" for note in proposal.notes if note.reason != "NotControlled"
    ]
    first = room_below(proposal, situation)
    if first is not None:
        words.append(f"below {say(first)} only once the rest of what is in use was reclaimed")
    return Decision(kind, ask.reason, "; ".join(words), proposal.limit_bytes, proposal.request_bytes, first)


def _permitted(ask: Ask, decision: Decision, situation: Situation) -> Decision:
    """What the mode and the cluster's version leave of a decision: where we may not act, it is said and
    kept.
    """
    policy = situation.policy
    if not decision.acts or ask.purpose is Purpose.RESTORE or policy is None:
        return decision
    would = f"would {decision.kind.value}: {decision.message}"
    if policy.problem:
        return _keep(situation, "PolicyProblem", f"{policy.problem}; {would}")
    if not policy.mode.resizes:
        reason = "RecommendOnly" if policy.mode is Mode.RECOMMEND else "InitialOnly"
        return _keep(situation, reason, f"mode {policy.mode.value} does not touch running pods; {would}")
    if not situation.control.supported:
        version = situation.control.version or "of this cluster"
        return _keep(
            situation, "KubernetesTooOld", f"Kubernetes {version} is older than {MINIMUM_VERSION}; {would}"
        )
    return decision


def _timely(ask: Ask, decision: Decision, situation: Situation) -> Decision:
    """Routine changes wait for cooldown, window, rate and budget; urgent ones and restores do not."""
    policy, container = situation.policy, situation.container
    if not decision.acts or ask.purpose is not Purpose.FORECAST or policy is None:
        return decision
    wanted = f"wants {decision.kind.value}: {decision.message}"
    last = container.last_change_seconds
    if last is not None and situation.now_seconds - last < policy.cooldown_seconds:
        waited = max(0.0, situation.now_seconds - last)
        return _keep(situation, "Cooldown", f"{waited:.0f} of {policy.cooldown_seconds} s cooldown; {wanted}")
    if not is_open(policy.window, situation.now_seconds):
        text = policy.window.text if policy.window is not None else ""
        return _keep(situation, "OutsideWindow", f"update window {text} is shut; {wanted}")
    if situation.control.routine_left is not None and situation.control.routine_left <= 0:
        return _keep(situation, "BudgetSpent", f"rate or budget of {policy.policy} is spent; {wanted}")
    return decision


def _rises(proposal: Proposal, situation: Situation) -> bool:
    container = situation.container
    if proposal.limit_bytes != container.limit_bytes:
        return (proposal.limit_bytes or 0) > (container.limit_bytes or 0)
    return (proposal.request_bytes or 0) > (container.request_bytes or 0)


def _largest_change(proposal: Proposal, situation: Situation) -> float:
    """The larger relative change of the two values, each against the limit in force (or request without
    one).
    """
    container = situation.container
    base = container.limit_bytes or container.request_bytes or 1
    limit = abs((proposal.limit_bytes or 0) - (container.limit_bytes or 0))
    request = abs((proposal.request_bytes or 0) - (container.request_bytes or 0))
    return max(limit, request) / base


def _keep(situation: Situation, reason: str, message: str) -> Decision:
    container = situation.container
    return Decision(DecisionKind.KEEP, reason, message, container.limit_bytes, container.request_bytes)


def _hold(situation: Situation, reason: str, message: str) -> Decision:
    return hold(reason, message, situation.container.limit_bytes, situation.container.request_bytes)

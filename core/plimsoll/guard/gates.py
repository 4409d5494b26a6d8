"""Gates: reasons for which nothing at all may be done with a container now, whatever is asked.

In: a `Situation` and what is asked. Out: the hold of the first gate that is shut, or None. Gates look at
facts only, never at how much memory is asked; that is for `bounds.py`, `qos.py`, `quota.py` and `swap.py`.
"""

from collections.abc import Callable

from plimsoll.guard.decision import Decision, hold
from plimsoll.guard.state import Ask, Purpose, QosClass, ResizeStatus, Situation

Gate = Callable[[Ask | None, Situation], str]

MINIMUM_VERSION = "1.35"  # in-place resize is generally available from here on


def closed_gate(ask: Ask | None, situation: Situation) -> Decision | None:
    """The hold of the first shut gate, in the order a person would ask."""
    for reason, gate in _GATES:
        message = gate(ask, situation)
        if message:
            container = situation.container
            return hold(reason, message, container.limit_bytes, container.request_bytes)
    return None


def _paused(_: Ask | None, situation: Situation) -> str:
    return "all acting is paused (plimsoll resume starts it again)" if situation.control.paused else ""


def _sources(ask: Ask | None, situation: Situation) -> str:
    if ask is not None and ask.purpose is Purpose.URGENT:
        return ""  # an OOM kill is read from the pod, not from the source that is down
    return "; ".join(situation.control.problems)


def _terminating(_: Ask | None, situation: Situation) -> str:
    return f"pod {situation.pod.name} is being deleted" if situation.pod.terminating else ""


def _not_running(_: Ask | None, situation: Situation) -> str:
    return "" if situation.pod.running else f"pod {situation.pod.name} does not run"


def _mirror(_: Ask | None, situation: Situation) -> str:
    return "a static pod can only be changed in its file on the kube node" if situation.pod.mirror else ""


def _init(_: Ask | None, situation: Situation) -> str:
    if situation.container.resizable:
        return ""
    return f"init container {situation.container.name} runs to its end; only native sidecars can be resized"


def _best_effort(_: Ask | None, situation: Situation) -> str:
    if situation.pod.qos is not QosClass.BEST_EFFORT:
        return ""
    return "a BestEffort pod has no memory values, and its QoS class cannot change while it lives"


def _unset(_: Ask | None, situation: Situation) -> str:
    container = situation.container
    if container.limit_bytes is None and container.request_bytes is None:
        return f"container {container.name} has no memory values; in place none can be taken away again"
    return ""


def _hpa(_: Ask | None, situation: Situation) -> str:
    if not situation.pod.memory_hpa:
        return ""
    return f"HorizontalPodAutoscaler {situation.pod.memory_hpa} scales on memory; a new request would move it"


def _unreported(_: Ask | None, situation: Situation) -> str:
    if situation.container.reported:
        return ""
    return "the kubelet has not reported status.resources yet; a resize would be rejected"


def _refused(_: Ask | None, situation: Situation) -> str:
    if situation.pod.resize is ResizeStatus.INFEASIBLE:
        return f"the kubelet calls the resize infeasible: {situation.pod.resize_message}"
    return situation.pod.refused


def _under_way(ask: Ask | None, situation: Situation) -> str:
    if _replaces_a_fall(ask, situation):
        return ""
    if situation.pod.resize in (ResizeStatus.DEFERRED, ResizeStatus.IN_PROGRESS):
        said = situation.pod.resize_message or "waiting for the kubelet"
        return f"a resize is {situation.pod.resize.value}: {said}"
    return ""


def _replaces_a_fall(ask: Ask | None, situation: Situation) -> bool:
    """An urgent raise of a container whose limit is about to fall: waiting for that would kill it first."""
    limit, in_force = situation.container.limit_bytes, situation.container.in_force_bytes
    if ask is None or ask.purpose is not Purpose.URGENT or limit is None or in_force is None:
        return False
    return in_force > limit and (ask.limit_bytes or 0) > limit


def _resize_policy(_: Ask | None, situation: Situation) -> str:
    policy = situation.policy
    if not situation.container.restarts_on_resize or policy is None or policy.mode.recreates:
        return ""
    name = situation.container.name
    return f"resizePolicy restarts container {name}; mode {policy.mode.value} allows no restart"


def _memory_manager(ask: Ask | None, situation: Situation) -> str:
    """A pod that may be evicted is asked about once it needs more: the kubelet's no then moves it."""
    kube_node, policy = situation.kube_node, situation.policy
    urgent = ask is not None and ask.purpose is Purpose.URGENT
    if (
        kube_node is None
        or (urgent and policy is not None and policy.mode.recreates)
        or not kube_node.static_memory_manager
        or situation.pod.qos is not QosClass.GUARANTEED
    ):
        return ""
    return f"kube node {kube_node.name} pins Guaranteed pods (memory manager policy Static)"


def _kube_node(_: Ask | None, situation: Situation) -> str:
    return (
        ""
        if situation.kube_node is not None
        else f"the kube node of pod {situation.pod.name} is not known yet"
    )


def _history(ask: Ask | None, _: Situation) -> str:
    return "" if ask is not None and ask.ready else "not enough history to say anything yet"


def _usage(ask: Ask | None, situation: Situation) -> str:
    if ask is not None and ask.purpose is Purpose.URGENT:
        return ""  # an OOM kill says enough about present use
    container = situation.container
    if container.usage_bytes is None or container.usage_age_seconds is None:
        return f"no usage sample of container {container.name}"
    if not container.usage_bytes >= 0:  # NaN too
        return f"usage of container {container.name} reads {container.usage_bytes}"
    if container.usage_age_seconds > situation.control.max_usage_age_seconds:
        return f"the last usage sample is {container.usage_age_seconds:.0f} s old"
    return ""


_GATES: tuple[tuple[str, Gate], ...] = (
    ("Paused", _paused),
    ("PodTerminating", _terminating),
    ("PodNotRunning", _not_running),
    ("StaticPod", _mirror),
    ("InitContainer", _init),
    ("BestEffort", _best_effort),
    ("NoMemoryValues", _unset),
    ("MemoryHPA", _hpa),
    ("NoHistory", _history),
    ("SourceProblem", _sources),
    ("NoUsage", _usage),
    ("KubeNodeUnknown", _kube_node),
    ("NotReported", _unreported),
    ("Infeasible", _refused),
    ("ResizeUnderWay", _under_way),
    ("RestartRequired", _resize_policy),
    ("StaticMemoryManager", _memory_manager),
)

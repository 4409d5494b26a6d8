"""Situations for the scalar guards: a Burstable pod with one container on a roomy kube node, changed by
keyword.

In: what a test is about. Out: frozen facts; everything not named is such that a guard has nothing to object
to.
"""

from dataclasses import replace

from plimsoll.api.effective import EffectiveContainerPolicy, Mode, PolicyRef
from plimsoll.guard.state import (
    Ask,
    ContainerState,
    ControlState,
    KubeNodeState,
    NamespaceState,
    PodState,
    Purpose,
    QosClass,
    Situation,
)

MIB = 2**20
GIB = 2**30
NOW = 1_800_000_000.0
REF = PolicyRef("MemoryPolicy", "shop", "web")


def policy(**fields):
    """Mode InPlace unless said otherwise."""
    return replace(EffectiveContainerPolicy(REF, "app", mode=Mode.IN_PLACE), **fields)


def container(**fields):
    """Limit 1 GiB, request 512 MiB, 200 MiB used a minute ago."""
    base = ContainerState("app", GIB, 512 * MIB, usage_bytes=200.0 * MIB, usage_age_seconds=60.0)
    return replace(base, **fields)


def situation(**parts):
    """`policy`, `container`, `pod`, `namespace`, `kube_node`, `control`, `now_seconds` may be given."""
    base = Situation(
        policy=policy(),
        container=container(),
        pod=PodState("shop", "web-0"),
        namespace=NamespaceState("shop"),
        kube_node=KubeNodeState("n1", 64 * GIB, 16 * GIB),
        control=ControlState(),
        now_seconds=NOW,
    )
    return replace(base, **parts)


def guaranteed(**parts):
    """The same in a Guaranteed pod: request = limit = 1 GiB."""
    pod = replace(parts.pop("pod", PodState("shop", "web-0")), qos=QosClass.GUARANTEED)
    fields = parts.pop("container", container(request_bytes=GIB))
    return situation(pod=pod, container=fields, **parts)


def ask(limit_mib, request_mib=None, **fields):
    """A routine ask in MiB."""
    request = None if request_mib is None else int(request_mib * MIB)
    return Ask(int(limit_mib * MIB), request, **fields)


def urgent(limit_mib, reason="OomKilled"):
    """A raise after a kill."""
    return Ask(int(limit_mib * MIB), None, purpose=Purpose.URGENT, reason=reason)


def restore(limit_mib, request_mib):
    """The original resources, asked for by a person."""
    return Ask(int(limit_mib * MIB), int(request_mib * MIB), purpose=Purpose.RESTORE, reason="Restored")

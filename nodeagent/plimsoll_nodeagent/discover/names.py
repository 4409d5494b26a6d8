"""What the names of cgroups say: pods, QoS classes and containers, as kubelets and runtimes write them.

In: the name of one directory. Out: what it stands for, or None. Two drivers write the same thing in two ways:

    cgroupfs  kubepods/burstable/pod<uid>/<container id>
    systemd   kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/
              cri-containerd-<container id>.scope

A kubelet with a cgroup root of its own (kind: `/kubelet`) puts it before: `kubelet/kubepods/...`,
`kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/...`. Sources: kubelet's
`pkg/kubelet/cm/cgroup_manager_linux.go`, containerd's and CRI-O's cgroup naming.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Qos(StrEnum):
    """Kubernetes' QoS class of a pod, as its place in the tree gives it."""

    GUARANTEED = "guaranteed"
    BURSTABLE = "burstable"
    BESTEFFORT = "besteffort"


class Driver(StrEnum):
    """Who makes the kubelet's cgroups."""

    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True)
class ContainerName:
    """A container as its cgroup's name tells: `runtime` is the prefix, or "" where there is none."""

    container_id: str
    runtime: str


_KUBEPODS = re.compile(r"kubepods|(?:.+-)?kubepods\.slice")
_QOS = re.compile(r"(?:(?:.+-)?kubepods-)(burstable|besteffort)\.slice|(burstable|besteffort)")
# Uids are UUIDs, for static pods 32 hexadecimal digits; the length bounds the label that they become.
_POD = re.compile(r"(?:.+-)?kubepods(?:-(?:burstable|besteffort))?-pod([0-9A-Za-z_]{1,64})\.slice")
_POD_PLAIN = re.compile(r"pod([0-9A-Za-z][0-9A-Za-z-]{0,63})")
# `crio-conmon-<id>.scope` is the monitor's, not the container's: it does not match.
_CONTAINER = re.compile(r"(?:(cri-containerd|crio|docker|libpod)-)?([0-9a-f]{64})(?:\.scope)?")


def kubepods_driver(name: str) -> Driver | None:
    """Return the driver if this is the kubelet's root of all pods."""
    if not _KUBEPODS.fullmatch(name):
        return None
    return Driver.SYSTEMD if name.endswith(".slice") else Driver.CGROUPFS


def qos_group(name: str) -> Qos | None:
    """Return the QoS class whose pods are in this directory."""
    match = _QOS.fullmatch(name)
    return Qos(match[1] or match[2]) if match else None


def pod_uid(name: str) -> str | None:
    """Return the uid if the directory is a pod's; systemd's names have `_` for `-`."""
    if match := _POD_PLAIN.fullmatch(name):
        return match[1]
    match = _POD.fullmatch(name)
    return match[1].replace("_", "-") if match else None


def container_name(name: str) -> ContainerName | None:
    """Return the container whose directory this is."""
    match = _CONTAINER.fullmatch(name)
    return ContainerName(match[2], match[1] or "") if match else None

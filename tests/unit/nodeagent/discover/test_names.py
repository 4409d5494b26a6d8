import pytest

from plimsoll_nodeagent.discover.names import (
    ContainerName,
    Driver,
    Qos,
    container_name,
    kubepods_driver,
    pod_uid,
    qos_group,
)

ID = "ab" * 32
UID = "0d5d5c2e-1111-4222-8333-444455556666"
STATIC = "5e8f2a1b9c3d4e5f60718293a4b5c6d7"


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("kubepods", Driver.CGROUPFS),
        ("kubepods.slice", Driver.SYSTEMD),
        ("kubelet-kubepods.slice", Driver.SYSTEMD),
        ("kubelet", None),
        ("kubelet.slice", None),
        ("kubepods-burstable.slice", None),
        ("mykubepods", None),
    ],
)
def test_the_root_of_all_pods(name, driver):
    assert kubepods_driver(name) == driver


@pytest.mark.parametrize(
    ("name", "qos"),
    [
        ("burstable", Qos.BURSTABLE),
        ("besteffort", Qos.BESTEFFORT),
        ("kubepods-burstable.slice", Qos.BURSTABLE),
        ("kubelet-kubepods-besteffort.slice", Qos.BESTEFFORT),
        (f"kubepods-burstable-pod{UID.replace('-', '_')}.slice", None),
        ("guaranteed", None),
        ("system.slice", None),
    ],
)
def test_the_group_of_a_qos_class(name, qos):
    assert qos_group(name) == qos


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        (f"pod{UID}", UID),
        (f"pod{STATIC}", STATIC),
        (f"kubepods-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubepods-besteffort-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubelet-kubepods-burstable-pod{STATIC}.slice", STATIC),
        ("podman", "man"),  # only ever looked at below kubepods, where podman makes nothing
        ("kubepods-burstable.slice", None),
        ("pod", None),
        ("pod" + "a" * 65, None),
        (f'pod{UID}", x="', None),
        (f"pod{UID}\n", None),
    ],
)
def test_the_uid_of_a_pod(name, uid):
    assert pod_uid(name) == uid


@pytest.mark.parametrize(
    ("name", "container"),
    [
        (ID, ContainerName(ID, "")),
        (f"cri-containerd-{ID}.scope", ContainerName(ID, "cri-containerd")),
        (f"crio-{ID}.scope", ContainerName(ID, "crio")),
        (f"crio-{ID}", ContainerName(ID, "crio")),
        (f"docker-{ID}.scope", ContainerName(ID, "docker")),
        (f"crio-conmon-{ID}.scope", None),
        (ID[:-1], None),
        (ID.upper(), None),
        ("container", None),
        (f"{ID}\n", None),
    ],
)
def test_the_id_of_a_container(name, container):
    assert container_name(name) == container

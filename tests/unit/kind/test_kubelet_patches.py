"""What differs between kind's workers reaches their kubelets, and those of VM nodes.

In: kind/cluster.yaml, kind/patches, kind/vm/node.sh; kubeadm's own merge, where the cache has kubeadm. How a
running kubelet is configured is asked in tests/e2e/test_environment.py.
"""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.apiserver import binaries
from builders.e2e.kubelets import KIND, PATCH, cluster_file, differing, given_by_kind, patch_of
from builders.others_tools import SKIPPED

ROOT = KIND.parent
NAMES = ("static", "swap")
KUBEADM = binaries() / "kubeadm"
# kubernetes 1.37, cmd/kubeadm/app/util/patches/patches.go: target, suffix, type, extension.
READ_BY_KUBEADM = re.compile(r"kubeletconfiguration[^.+]*(\+(json|merge|strategic))?.*\.(json|yaml)")

Settings = dict[str, Any]


def workers() -> list[Settings]:
    return [each for each in cluster_file()["nodes"] if each["role"] == "worker"]


# -- kind ---------------------------------------------------------------------------------------------------


def test_no_node_has_a_kubelet_configuration_that_joining_skips():
    own = [
        yaml.safe_load(patch)["kind"]
        for node in cluster_file()["nodes"]
        for patch in node.get("kubeadmConfigPatches", [])
    ]
    assert own == ["JoinConfiguration"] * len(workers())


def test_each_worker_joins_with_patches_of_a_directory_that_is_mounted_there():
    for worker, name in zip(workers(), NAMES, strict=True):
        (mount,) = worker["extraMounts"]
        (join,) = map(yaml.safe_load, worker["kubeadmConfigPatches"])
        assert join["patches"] == {"directory": mount["containerPath"]}
        assert mount["hostPath"] == f"kind/patches/{name}"
        (file,) = (ROOT / mount["hostPath"]).iterdir()
        assert READ_BY_KUBEADM.fullmatch(file.name)
        assert file.name == PATCH


def test_only_pods_that_ask_for_it_come_to_the_worker_with_swap():
    swapping = [name for name in NAMES if patch_of(name)["memorySwap"]["swapBehavior"] == "LimitedSwap"]
    assert swapping == ["swap"]
    (taint,) = patch_of("swap")["registerWithTaints"]
    assert taint == {"key": "plimsoll.dev/swap", "value": "limited", "effect": "NoSchedule"}
    assert "registerWithTaints" not in patch_of("static")
    assert f"`{taint['key']}`" in (ROOT / "docs/install-kind.md").read_text()


def test_one_worker_alone_takes_any_pod():
    first, *_ = workers()
    assert first["extraMounts"][0]["hostPath"] == "kind/patches/static"


def test_nodes_are_called_as_kind_calls_them():
    given = given_by_kind("x", cluster_file())
    assert list(given) == ["x-control-plane", "x-worker", "x-worker2"]
    (everywhere,) = given["x-control-plane"]
    assert everywhere["nodeStatusUpdateFrequency"] == "5s"
    assert given["x-worker"] == [everywhere, patch_of("static")]
    assert given["x-worker2"] == [everywhere, patch_of("swap")]


def test_what_differs_is_told_and_maps_are_merged():
    kubelet = {"evictionHard": {"a": "0%", "b": "1%"}, "memoryManagerPolicy": "None", "failSwapOn": False}
    assert differing(kubelet, {"evictionHard": {"a": "0%"}, "failSwapOn": False}) == {}
    wanted = {"evictionHard": {"a": "0%", "b": "0%", "c": "0%"}, "memoryManagerPolicy": "Static"}
    assert differing(kubelet, wanted) == {
        "evictionHard": {"b": "1%", "c": None},
        "memoryManagerPolicy": "None",
    }


@pytest.mark.skipif(
    not os.access(KUBEADM, os.X_OK), reason=f"{SKIPPED}: kubeadm, which `make apiserver` builds"
)
@pytest.mark.parametrize("name", NAMES)
def test_kubeadm_puts_a_patch_over_what_kind_gives_to_every_kubelet(name: str, tmp_path: Path):
    of_kind = {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"}
    documents = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": "10.77.0.11", "bindPort": 6443},
            "nodeRegistration": {"name": "x", "criSocket": "unix:///run/containerd/containerd.sock"},
            "patches": {"directory": str(KIND / "patches" / name)},
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": "v1.37.1",
        },
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupRoot": "/kubelet",
            "evictionHard": of_kind,
            "featureGates": {"KubeletInUserNamespace": True},
        },
    ]
    (tmp_path / "init.yaml").write_text(yaml.safe_dump_all(documents))
    # A phase of `kubeadm init`, because joining wants a cluster; the merge is the same function.
    dry = [str(KUBEADM), "init", "phase", "kubelet-start", "--config", "init.yaml", "--dry-run"]
    subprocess.run(
        dry,
        cwd=tmp_path,
        env={**os.environ, "KUBEADM_INIT_DRYRUN_DIR": str(tmp_path)},
        capture_output=True,
        check=True,
        timeout=120,
    )
    made = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert differing(made, patch_of(name)) == {}
    assert made["cgroupRoot"] == "/kubelet"
    assert made["evictionHard"].items() >= of_kind.items()
    assert made["featureGates"]["KubeletInUserNamespace"] is True


# -- VM nodes -----------------------------------------------------------------------------------------------


def of_vm(number: int, **environment: str) -> Settings:
    """The KubeletConfiguration of a VM node; each setting stands there once, as YAML wants it."""
    left_out = ("PLIMSOLL_NODES", "KUBELET_PATCH", "KUBELET_EXTRA")
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    text = subprocess.run(
        [str(KIND / "vm/node.sh"), "kubelet", str(number)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    counts = Counter(re.findall(r"^([A-Za-z]+):", text, re.MULTILINE))
    assert set(counts.values()) == {1}, counts
    made: Settings = yaml.safe_load(text)
    assert made.keys() == counts.keys()
    assert made["staticPodPath"] == "/etc/kubernetes/manifests"
    return made


def test_the_last_vm_node_has_the_static_worker_patch_and_the_others_have_none():
    assert differing(of_vm(2), patch_of("static")) == {}
    first = of_vm(1)
    assert not first.keys() & {"memoryManagerPolicy", "cpuManagerPolicy", "registerWithTaints"}
    assert first["memorySwap"] == {"swapBehavior": "NoSwap"}
    assert of_vm(2, PLIMSOLL_NODES="3") == first
    assert "memoryManagerPolicy" in of_vm(1, PLIMSOLL_NODES="1")


def test_a_vm_node_with_swap_has_the_workers_patch_and_more():
    extra = KIND / "vm/swap-node.yaml"
    made = of_vm(3, KUBELET_PATCH="swap", KUBELET_EXTRA=str(extra))
    assert differing(made, patch_of("swap")) == {}
    more = yaml.safe_load(extra.read_text())
    assert differing(made, more) == {}
    assert not more.keys() & patch_of("swap").keys()


def test_a_patch_that_is_not_there_is_no_configuration():
    with pytest.raises(subprocess.CalledProcessError):
        of_vm(1, KUBELET_PATCH="unheard-of")

"""What end-to-end tests ask of a cluster finds the right node, and what they leave behind is complete.

In: the tests' own `Cluster`, with a kubectl and a docker that play kind's two workers.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builders.e2e.artifacts import NODE_LOGS, save_artifacts
from builders.e2e.cluster import Cluster, CommandError

SWAP = {"key": "plimsoll.dev/swap", "value": "limited", "effect": "NoSchedule"}
CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
KUBECTL = """#!/usr/bin/env bash
shift 2
case "$*" in
  "get --raw /api/v1/nodes/"*) name=${3#/api/v1/nodes/}; cat "$PLAYED/${name%/proxy/configz}.configz" ;;
  "get node "*) cat "$PLAYED/$3.node" ;;
  "get pods -n lost -o json") cat "$PLAYED/pods" ;;
  "get pods --all-namespaces -l app.kubernetes.io/name=plimsoll -o json") cat "$PLAYED/ours" ;;
  "-n "*" logs -l app.kubernetes.io/name=plimsoll,app.kubernetes.io/component="*" --tail"*)
    component=${5##*=}; cat "$PLAYED/$2.$component.log" 2>/dev/null || echo "no $component" >&2 ;;
  *) echo "not played: $*" >&2; exit 1 ;;
esac
"""
DOCKER = """#!/usr/bin/env bash
[ "$1 $3 $4" = "exec sh -c" ] && echo "on $2: $5"
"""


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of what the stand-ins answer."""
    for name, text in (("kubectl", KUBECTL), ("docker", DOCKER)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PLAYED", str(tmp_path))
    return tmp_path


def cluster(played: Path, **nodes: tuple[str, list[dict[str, str]]]) -> Cluster:
    """Nodes by name: their memory manager and their taints."""
    for name, (manager, taints) in nodes.items():
        configuration = {"kubeletconfig": {"memoryManagerPolicy": manager}}
        (played / f"{name}.configz").write_text(json.dumps(configuration))
        (played / f"{name}.node").write_text(json.dumps({"spec": {"taints": taints} if taints else {}}))
    return Cluster(
        provider="kind",
        name="x",
        kubeconfig="none",
        kubectl=str(played / "kubectl"),
        run=str(played),
        nodes=tuple(nodes),
        images={},
        load_image="load",
        tool=str(played / "docker"),
        environment=dict(os.environ),
    )


def test_each_memory_manager_is_found_and_a_pod_may_stand_on_its_node(played: Path):
    kind = cluster(played, static=("Static", []), swap=("None", [SWAP]))
    assert (kind.kube_node_with("Static"), kind.kube_node_with("None")) == ("static", "swap")
    assert kind.open_nodes() == ["static"]
    where = {"kubernetes.io/hostname": "swap"}
    tolerated = [{"key": "plimsoll.dev/swap", "operator": "Exists"}]
    assert kind.standing_on("swap") == {"nodeSelector": where, "tolerations": tolerated}
    assert kind.standing_on("static")["tolerations"] == []


def test_a_node_that_takes_any_pod_is_preferred(played: Path):
    nodes = cluster(played, swap=("None", [SWAP]), plain=("None", []))
    assert nodes.kube_node_with("None") == "plain"


def test_a_memory_manager_that_no_node_has_is_said(played: Path):
    with pytest.raises(CommandError, match="memory manager Static"):
        cluster(played, plain=("None", [])).kube_node_with("Static")


def test_a_taint_for_a_condition_is_none_of_the_nodes_own(played: Path):
    assert cluster(played, plain=("None", [CORDONED])).open_nodes() == ["plain"]


def test_artifacts_have_the_cgroups_of_sidecars_too(played: Path, tmp_path: Path):
    def status(name: str) -> dict[str, str]:
        return {"name": name, "containerID": f"containerd://of-{name}"}

    pod: dict[str, Any] = {
        "metadata": {"name": "served", "namespace": "lost"},
        "spec": {"nodeName": "static"},
        "status": {"containerStatuses": [status("app")], "initContainerStatuses": [status("proxy")]},
    }
    (played / "pods").write_text(json.dumps({"items": [pod]}))
    save_artifacts(cluster(played, static=("Static", [])), "lost", tmp_path / "left")
    text = (tmp_path / "left/cgroups.txt").read_text()
    assert [line for line in text.splitlines() if line.startswith("==")] == [
        "== served/proxy",
        "== served/app",
    ]
    assert "journalctl -u kubelet" in (tmp_path / "left/static.log").read_text()


def test_artifacts_have_the_logs_of_agents_in_a_namespace_of_their_own(played: Path, tmp_path: Path):
    pods = [{"metadata": {"namespace": each}} for each in ("plimsoll-system", "any-name", "any-name")]
    (played / "ours").write_text(json.dumps({"items": pods}))
    (played / "plimsoll-system.operator.log").write_text("it leads\n")
    (played / "any-name.agent.log").write_text("it watches\n")
    save_artifacts(cluster(played), "lost", tmp_path / "left")
    assert (tmp_path / "left/agent.log").read_text() == "# any-name\nit watches\n\n# plimsoll-system\n"
    assert "it leads" in (tmp_path / "left/operator.log").read_text()
    assert "# any-name" in (tmp_path / "left/system-pods.yaml").read_text()


def test_artifacts_have_the_log_of_a_node_that_a_test_has_added(played: Path, tmp_path: Path):
    pods = [{"metadata": {}, "spec": spec} for spec in ({"nodeName": "added"}, {})]
    (played / "pods").write_text(json.dumps({"items": pods}))
    save_artifacts(cluster(played, static=("Static", [])), "lost", tmp_path / "left")
    assert {each.name for each in (tmp_path / "left").glob("*.log")} >= {"static.log", "added.log"}


@pytest.mark.parametrize("with_journal", [True, False])
def test_the_kubelets_log_is_systemds_or_else_the_file_of_a_vm_node(tmp_path: Path, with_journal: bool):
    for name in ("tail", "dmesg", *(["journalctl"] if with_journal else [])):
        (tmp_path / name).write_text(f'#!{shutil.which("bash")}\necho "{name} $*"\n')
        (tmp_path / name).chmod(0o755)
    shell = shutil.which("sh") or "sh"
    done = subprocess.run(
        [shell, "-c", NODE_LOGS], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    journal, file = "journalctl -u kubelet", "tail -n 300 /var/log/kubelet.log"
    assert (journal in done.stdout, file in done.stdout) == (with_journal, not with_journal)

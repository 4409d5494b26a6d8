"""What a person reads after the installation is so: the notes name the rights that the agents really have,
and what they give to be pasted ends. tests/docs/test_cluster_pages.py runs it against an API server.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from builders.chart import Object, render
from plimsoll.api.v1alpha1 import ClusterMemoryPolicy

ACTS = {"enabled": True, "lruGen": True}
AGENTS = {
    "watching": {},
    "acting": {"act": {"enabled": True}},
    "acting with lru_gen": {"act": ACTS},
    "acting, least mounts": {"act": {**ACTS, "lruGen": False, "mm": False, "compact": False}},
    "acting elsewhere": {
        "cgroupRoot": "/sys/fs/cgroup/system.slice",
        "act": {**ACTS, "stateDir": "/run/other"},
        "seccomp": {"localhostProfile": "ours/of/agents.json", "kubeletRootDir": "/data/kubelet"},
    },
    "acting under the runtime's profile": {"act": ACTS, "seccomp": {"type": "RuntimeDefault"}},
}


def pod_of(agent: Object) -> Object:
    spec: Object = render({"agent": agent}).one("DaemonSet")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("agent", [each for each in AGENTS.values() if "act" in each], ids=str)
def test_the_notes_tell_what_an_agent_that_acts_has(agent: Object):
    notes, pod = render({"agent": agent}).notes, pod_of(agent)
    listed = re.findall(r"^     (/\S+)", notes, re.MULTILINE)
    assert sorted(listed) == sorted(each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each)
    for capability in pod["containers"][0]["securityContext"]["capabilities"]["add"]:
        assert capability in notes
    assert ("as root" in notes, "hostPID" in notes) == (True, pod["hostPID"])
    assert "read-only" not in notes


def test_the_notes_tell_what_an_agent_that_watches_has():
    notes, pod = render().notes, pod_of({})
    assert "(read-only cgroup files, and a directory for their seccomp profile)" in notes
    assert "hostPID" not in pod
    assert not any(each in notes for each in ("hostPID", "SYS_", "as root", "writable"))


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_the_notes_say_which_level_a_namespace_needs(agent: Object):
    notes = render({"agent": agent}).notes
    assert "pod-security.kubernetes.io/enforce=privileged" in notes
    assert not re.search(r"\n\n\n", notes)
    assert max(map(len, notes.splitlines())) <= 120


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_the_notes_name_the_kubelets_directory_where_a_profile_is_put_there(agent: Object):
    notes = " ".join(render({"agent": agent}).notes.split())
    directory = agent.get("seccomp", {}).get("kubeletRootDir", "/var/lib/kubelet")
    told = f"another than {directory}, in agent.seccomp.kubeletRootDir"
    assert (told in notes) == ("initContainers" in pod_of(agent))


TOLD = """#!{bash}
echo "$(basename "$0") $*" >>"$TOLD"
[[ "$*" != *"-f -" ]] || cat >"$TOLD.given"
"""


def test_what_is_pasted_is_a_command_a_line_and_a_policy(tmp_path: Path):
    """All of it into one shell, as a terminal gives it: a here-document that does not end takes the rest."""
    for name in ("helm", "kubectl"):
        tool = tmp_path / name
        tool.write_text(TOLD.format(bash=shutil.which("bash")))
        tool.chmod(0o755)
    told = tmp_path / "told"
    done = subprocess.run(
        ["bash", "-eu"],
        input="\n".join([*render().shown_commands, ""]),
        env={"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]), "TOLD": str(told)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert [shlex.split(line)[:4] for line in told.read_text().splitlines()] == [
        ["kubectl", "-n", "plimsoll-system", "rollout"],
        ["helm", "test", "plimsoll", "-n"],
        ["kubectl", "apply", "-f", "-"],
        ["kubectl", "get", "memprof", "-A"],
        ["kubectl", "-n", "plimsoll-system", "get"],
        ["kubectl", "label", "namespace", "plimsoll-system"],
    ]
    policy = ClusterMemoryPolicy.model_validate(yaml.safe_load((tmp_path / "told.given").read_text()))
    assert (policy.metadata.name, policy.spec.mode) == ("everywhere", "Recommend")

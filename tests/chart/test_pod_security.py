"""The operator's pods hold to the Pod Security Standard `restricted`, the agent's to the least that works.

The rules are those of the standard (Kubernetes' documentation, version 1.37), written out here; a real API
server's own admission is asked in tests/contract/test_chart.py.
"""

import json
from collections.abc import Iterator

import pytest

from builders.chart import CHART, EVERYTHING, VALUE_SETS, Object, render
from plimsoll_nodeagent.sample.lru_gen import LRU_GEN

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: Object) -> Iterator[str]:
    """What `restricted` would refuse in a pod's spec."""
    shared = pod.get("securityContext") or {}
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    for volume in pod.get("volumes", ()):
        yield from (f"volume {volume['name']}" for kind in volume.keys() - {"name"} if kind not in VOLUMES)
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        yield from (f"{container['name']}: {each}" for each in _of_container(container, shared))


def _of_container(container: Object, shared: Object) -> Iterator[str]:
    own = container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if (own | {}).get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot"
    if own.get("runAsUser", shared.get("runAsUser")) == 0:
        yield "runAsUser"
    profile = own.get("seccompProfile") or shared.get("seccompProfile") or {}
    if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"


@pytest.mark.parametrize("name", VALUE_SETS)
def test_operator_and_test_pod_are_restricted(name: str):
    rendered = render(VALUE_SETS[name])
    pods = [
        rendered.one("Deployment", "-operator")["spec"]["template"]["spec"],
        rendered.one("Pod", "-test")["spec"],
    ]
    assert [list(violations(pod)) for pod in pods] == [[], []]


@pytest.mark.parametrize("part", ["worker", "sweeper"])
def test_a_worker_and_the_sweeper_are_restricted(part: str):
    pod = render(EVERYTHING).one("Deployment", f"-{part}")["spec"]["template"]["spec"]
    assert list(violations(pod)) == []


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_container_has_a_root_it_cannot_write_and_a_memory_limit(name: str):
    rendered = render(VALUE_SETS[name])
    specs = [
        each["spec"]["template"]["spec"]
        for kind in ("Deployment", "DaemonSet")
        for each in rendered.of_kind(kind)
    ]
    for container in (
        each for spec in specs for each in (*spec.get("initContainers", ()), *spec["containers"])
    ):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]


def test_the_agent_lacks_restricted_only_for_its_host_paths_and_the_profiles_installer():
    pod = render().one("DaemonSet")["spec"]["template"]["spec"]
    assert set(violations(pod)) == {
        "volume cgroup",
        "volume seccomp",
        "seccomp-profile: runAsNonRoot",
        "seccomp-profile: runAsUser",
    }


def test_the_agent_itself_reads_one_host_path_and_writes_none():
    pod = render().one("DaemonSet")["spec"]["template"]["spec"]
    paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    (agent,) = pod["containers"]
    mounted = {
        paths[each["name"]]: each.get("readOnly") for each in agent["volumeMounts"] if each["name"] in paths
    }
    assert mounted == {"/sys/fs/cgroup": True}
    assert pod["automountServiceAccountToken"] is False


def test_with_the_runtimes_profile_nothing_runs_as_root():
    rendered = render({"agent": {"seccomp": {"type": "RuntimeDefault"}}})
    pod = rendered.one("DaemonSet")["spec"]["template"]["spec"]
    assert set(violations(pod)) == {"volume cgroup"}
    assert rendered.of_kind("ConfigMap") == []


def test_no_container_of_the_agent_has_a_capability():
    pod = render().one("DaemonSet")["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_an_agent_that_acts_has_three_capabilities_the_nodes_pids_and_four_host_paths_and_is_not_privileged():
    pod = render({"agent": {"act": {"enabled": True}}}).one("DaemonSet")["spec"]["template"]["spec"]
    (agent,) = pod["containers"]
    own = agent["securityContext"]
    assert own["capabilities"] == {"drop": ["ALL"], "add": ["SYS_NICE", "SYS_PTRACE", "SYS_RESOURCE"]}
    assert "privileged" not in own
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["seccompProfile"]["type"] == "Localhost"
    assert pod["hostPID"] is True
    assert not pod.get("hostNetwork")
    assert not pod.get("hostIPC")
    paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    mounted = {paths[each["name"]] for each in agent["volumeMounts"] if each["name"] in paths}
    assert mounted == {
        "/sys/fs/cgroup",
        "/sys/kernel/mm",
        "/sys/devices/system/node",
        "/run/plimsoll",
    }


def test_the_generations_of_the_lru_are_mounted_for_one_who_asks_for_them_and_nothing_else_of_debugfs():
    pod = render({"agent": {"act": {"enabled": True, "lruGen": True}}}).one("DaemonSet")["spec"]["template"]
    (agent,) = pod["spec"]["containers"]
    volumes = {each["name"]: each["hostPath"] for each in pod["spec"]["volumes"] if "hostPath" in each}
    debug = [each for each in volumes.values() if each["path"].startswith("/sys/kernel/debug")]
    assert debug == [volumes["lru-gen"]] == [{"path": LRU_GEN, "type": "File"}]
    (mount,) = (each for each in agent["volumeMounts"] if each["name"] == "lru-gen")
    assert mount["mountPath"] == f"/host{LRU_GEN}"  # where the agent looks first
    assert not mount.get("readOnly")


def test_mounts_of_an_agent_that_acts_can_be_left_out_one_by_one():
    without = {"enabled": True, "mm": False, "lruGen": False, "compact": False}
    pod = render({"agent": {"act": without}}).one("DaemonSet")["spec"]["template"]["spec"]
    (agent,) = pod["containers"]
    assert [each["name"] for each in agent["volumeMounts"]] == ["cgroup", "api-token", "state"]


def test_agents_get_a_namespace_where_host_paths_are_allowed():
    rendered = render(EVERYTHING)
    made = rendered.one("Namespace")["metadata"]
    assert (made["name"], made["labels"]["pod-security.kubernetes.io/enforce"]) == (
        "plimsoll-agents",
        "privileged",
    )
    for kind in ("DaemonSet", "PodMonitor"):
        assert rendered.one(kind, "-agent")["metadata"]["namespace"] == "plimsoll-agents"
    assert rendered.one("ServiceAccount", "-agent")["metadata"]["namespace"] == "plimsoll-agents"
    assert rendered.one("Deployment", "-operator")["metadata"]["namespace"] == "plimsoll-system"


def test_the_installer_may_write_the_profiles_directory_and_nobody_elses():
    values = {"seccomp": {"localhostProfile": "ours/of/agents.json", "kubeletRootDir": "/data/kubelet"}}
    pod = render({"agent": values}).one("DaemonSet")["spec"]["template"]["spec"]
    paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    (installer,) = pod["initContainers"]
    writable = {paths.get(each["name"]) for each in installer["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/data/kubelet/seccomp/ours/of"}


def test_the_profile_that_is_installed_is_the_one_that_is_named():
    rendered = render()
    pod = rendered.one("DaemonSet")["spec"]["template"]["spec"]
    named = pod["containers"][0]["securityContext"]["seccompProfile"]["localhostProfile"]
    volume = next(each for each in pod["volumes"] if each["name"] == "seccomp")
    assert volume["hostPath"]["type"] == "DirectoryOrCreate"
    inside = pod["initContainers"][0]["args"][-1].removeprefix("/seccomp/")
    assert f"{volume['hostPath']['path']}/{inside}" == f"/var/lib/kubelet/seccomp/{named}"
    held = rendered.one("ConfigMap", "-seccomp")["data"]["agent-seccomp.json"]
    assert json.loads(held) == json.loads((CHART / "files" / "agent-seccomp.json").read_text())


def test_an_agent_makes_nobodys_pod_go():
    (agent,) = (each for each in render().of_kind("PriorityClass") if "agent" in each["metadata"]["name"])
    assert agent["preemptionPolicy"] == "Never"
    daemon_set = render().one("DaemonSet")
    assert daemon_set["spec"]["template"]["spec"]["priorityClassName"] == agent["metadata"]["name"]


def test_plimsolls_own_namespaces_are_told_to_whoever_follows_policies():
    apart = render({"agent": {"namespace": "agents", "act": {"enabled": True}}})
    (agent,) = apart.one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert "--own-namespaces=plimsoll-system,agents" in agent["args"]
    (operator,) = apart.one("Deployment", "-operator")["spec"]["template"]["spec"]["containers"]
    assert {"name": "PLIMSOLL_AGENTS_NAMESPACE", "value": "agents"} in operator["env"]


@pytest.mark.parametrize("part", ["operator", "agent"])
def test_a_class_of_another_value_has_another_name_and_the_pods_ask_for_it(part: str):
    kind = "Deployment" if part == "operator" else "DaemonSet"
    names = set()
    for value in (1000000, 5, -5):
        rendered = render({"priorityClasses": {f"{part}Value": value}})
        (made,) = (each for each in rendered.of_kind("PriorityClass") if part in each["metadata"]["name"])
        assert made["value"] == value
        pod = rendered.one(kind, f"-{part}")["spec"]["template"]["spec"]
        assert pod["priorityClassName"] == made["metadata"]["name"]
        names.add(made["metadata"]["name"])
    assert len(names) == 3

"""A real cluster as the end-to-end tests see it: kubectl, root shells into its nodes, its images.

In: `cluster.json`, which `kind/up.sh` writes. Out: answers of the API and of the kernel. For VM nodes this
process enters the cluster's private network namespace, so that everything it starts is in there too.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.e2e.evidence import undone_by
from builders.e2e.network import enter_network
from builders.waiting import OutOfTimeError

Manifest = dict[str, Any]
REPOSITORY = Path(__file__).parents[3]
NONE = "none"  # of what kind/vm/node.sh puts over a kubelet's configuration
NODE_SHELLS = "plimsoll-e2e-node-shells"
KUBECTL_WAITED = "timed out waiting for the condition"
KUBECTL_UNAVAILABLE = "Error from server (ServiceUnavailable)"
COMMAND_SECONDS = 400  # a command that hangs fails; one on an emulated node may take minutes


class CommandError(AssertionError):
    """A command of the cluster failed; the message has its output."""


class CommandTimeoutError(CommandError, OutOfTimeError):
    """`kubectl wait` or `kubectl rollout status` waited in vain."""


class UnavailableError(CommandError):
    """Nobody was there to answer for now: the API server says so of itself, or of what it asks for us."""


def run(
    command: list[str],
    *,
    given: str = "",
    seconds: float = COMMAND_SECONDS,
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
) -> str:
    """Its standard output; fails with its standard error."""
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=environment,
        cwd=directory,
    )
    if done.returncode:
        said = f"{done.stdout.strip()}\n{done.stderr.strip()}".strip()
        kinds = {KUBECTL_WAITED: CommandTimeoutError, KUBECTL_UNAVAILABLE: UnavailableError}
        kind = next((each for words, each in kinds.items() if words in said), CommandError)
        raise kind(f"{' '.join(command)}: exit {done.returncode}: {said}")
    return done.stdout


@dataclass(frozen=True)
class Cluster:
    """What `kind/up.sh` brought up."""

    provider: str
    name: str
    kubeconfig: str
    kubectl: str
    run: str
    nodes: tuple[str, ...]
    images: Mapping[str, str]
    load_image: str
    network_namespace: str = ""
    slowness: float = 1.0  # how many times longer things take than on a node with a processor of its own
    tool: str = "docker"
    environment: dict[str, str] = field(default_factory=dict)
    node_shell_pods: set[str] = field(default_factory=set)

    def host_address(self) -> str:
        """Address at which pods reach what a test serves, "" where there is none: the nodes' gateway."""
        if self.network_namespace:
            return "10.77.0.1"
        if self.provider != "kind":
            return ""
        (network,) = json.loads(run([self.tool, "network", "inspect", "kind"]))
        subnets = network.get("subnets") or network["IPAM"]["Config"]  # podman's words, docker's words
        gateways = [each.get("gateway") or each.get("Gateway", "") for each in subnets]
        return next(each for each in gateways if "." in each)

    def kube(self, *arguments: str, given: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """Run kubectl as the cluster's administrator."""
        return run([self.kubectl, "--kubeconfig", self.kubeconfig, *arguments], given=given, seconds=seconds)

    def plain_kube(self, *arguments: str, given: str = "") -> str:
        """Run kubectl with nothing of the administrator's."""
        return run([self.kubectl, *arguments], given=given)

    def get(self, *arguments: str) -> Manifest:
        """One object, or a list, as the API has it."""
        return json.loads(self.kube("get", *arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[Manifest]:
        """Objects of a list."""
        return self.get(*arguments)["items"]

    def apply(self, *manifests: Manifest) -> None:
        """Create or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kube("apply", "-f", "-", given=json.dumps(listed))

    def kubelet_configuration(self, kube_node: str) -> Manifest:
        """What the kubelet of a node has been started with, as it says itself."""
        said = json.loads(self.kube("get", "--raw", f"/api/v1/nodes/{kube_node}/proxy/configz"))
        found: Manifest = said["kubeletconfig"]
        return found

    def kube_nodes_with(self, setting: Callable[[Manifest], object]) -> list[str]:
        """Nodes whose kubelets' configuration is such; those that take any pod come first."""
        found = [each for each in self.nodes if setting(self.kubelet_configuration(each))]
        return sorted(found, key=lambda each: bool(self.taints(each)))

    def kube_node_with(self, memory_manager: str) -> str:
        """A node whose kubelet has that memory manager: Static ties Guaranteed pods to NUMA nodes.

        Where only a node with taints has it, as kind's worker with swap, it is that one: see `standing_on`.
        """
        found = self.kube_nodes_with(lambda each: each["memoryManagerPolicy"] == memory_manager)
        if not found:
            raise CommandError(f"no node of {self.nodes} has the memory manager {memory_manager}")
        return found[0]

    def taints(self, kube_node: str) -> list[Manifest]:
        """Taints that a node has for good; those that Kubernetes gives for a condition are left out."""
        taints = self.get("node", kube_node)["spec"].get("taints", [])
        return [each for each in taints if not each["key"].startswith("node.kubernetes.io/")]

    def open_nodes(self) -> list[str]:
        """Nodes that take any pod."""
        return [each for each in self.nodes if not self.taints(each)]

    def standing_on(self, kube_node: str) -> Manifest:
        """What a pod's spec says to stand on that node, whatever taints it has."""
        tolerated = [{"key": each["key"], "operator": "Exists"} for each in self.taints(kube_node)]
        return {"nodeSelector": {"kubernetes.io/hostname": kube_node}, "tolerations": tolerated}

    def restart_api_server(self) -> None:
        """Stop the API server; it is started again (in kind by the kubelet, as it is a static pod)."""
        if self.provider == "vm":
            program = str(REPOSITORY / "kind/vm/control-plane.sh")
            run([program, "restart", "kube-apiserver"], environment=self.environment)
        elif self.provider == "kind":
            run([self.tool, "exec", f"{self.name}-control-plane", "pkill", "-x", "kube-apiserver"])
        else:
            raise CommandError(f"provider {self.provider}: its API server cannot be restarted from here")

    def restart_node(self, kube_node: str) -> None:
        """Kill a node's machine as a power cut does, and bring it back."""
        if self.provider == "kind":
            run([self.tool, "kill", kube_node])
            run([self.tool, "start", kube_node])
            return
        if self.provider != "vm":
            raise CommandError(f"provider {self.provider}: its nodes cannot be killed from here")
        program, number = str(REPOSITORY / "kind/vm/node.sh"), kube_node.removeprefix("node-")
        for action in ("down", "up", "wait"):
            run([program, action, number], environment=self.environment, seconds=400)

    @contextmanager
    def another_node(
        self, number: int, patch: str = NONE, configuration: str = NONE, **settings: str
    ) -> Iterator[str]:
        """A further VM node for the block, on a new disk, with the images of this checkout.

        Over its kubelet's configuration come a patch of kind/patches and then a file of kind/vm; `settings`
        are what kind/vm/node.sh reads from the environment.
        """
        if self.provider != "vm":
            raise CommandError(f"provider {self.provider}: a node cannot be added from here")
        program, name = str(REPOSITORY / "kind/vm/node.sh"), f"node-{number}"
        extra = configuration if configuration == NONE else str(REPOSITORY / "kind/vm" / configuration)
        environment = {**self.environment, "KUBELET_PATCH": patch, "KUBELET_EXTRA": extra, **settings}

        def away() -> None:
            run([program, "remove", str(number)], environment=environment)
            self.kube("delete", "node", name, "--ignore-not-found")
            on_it = ("--all-namespaces", f"--field-selector=spec.nodeName={name}")
            self.kube("delete", "pods", *on_it, "--force", "--grace-period=0", "--wait=false")

        with undone_by(away):
            # First, since a run that was broken off may have left one.
            for action in ("remove", "up", "wait"):
                run([program, action, str(number)], environment=environment, seconds=400)
            for line in Path(self.run, "images").read_text().splitlines():
                run([program, "load", str(number), line.split()[-1]], environment=environment)
            yield name

    def node_shell(self, kube_node: str, command: str) -> str:
        """Output of a command that root runs on the node itself, in the node's namespaces."""
        shells: dict[str, Callable[[], list[str]]] = {
            "vm": lambda: [
                str(REPOSITORY / "kind/vm/node.sh"),
                "sh",
                kube_node.removeprefix("node-"),
                command,
            ],
            "kind": lambda: [self.tool, "exec", kube_node, "sh", "-c", command],
            "kubeconfig": lambda: [
                *(self.kubectl, "--kubeconfig", self.kubeconfig, "exec", "-n", NODE_SHELLS),
                *(self._node_shell_pod(kube_node), "--", "chroot", "/host", "sh", "-c", command),
            ],
        }
        return run(shells[self.provider](), environment=self.environment)

    def _node_shell_pod(self, kube_node: str) -> str:
        """A pod with the node's own view of files and processes, made once a run: name of the pod."""
        name = f"shell-{kube_node}"
        if name not in self.node_shell_pods:
            self.apply(*node_shell_pod(name, kube_node, self.load_image))
            self.kube("wait", "-n", NODE_SHELLS, "--for=condition=Ready", f"pod/{name}", "--timeout=180s")
            self.node_shell_pods.add(name)
        return name

    def remove_node_shells(self) -> None:
        """Take away what `node_shell` has put on a cluster that is not ours."""
        self.kube("delete", "namespace", NODE_SHELLS, "--wait=false", "--ignore-not-found")


def node_shell_pod(name: str, kube_node: str, image: str) -> tuple[Manifest, Manifest]:
    """Its namespace and the pod: what `kubectl debug node --profile=sysadmin` makes, used many times."""
    namespace = {"name": NODE_SHELLS, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}
    container = {
        "name": "shell",
        "image": image,
        "command": ["chroot", "/host", "sleep", "86400"],
        "securityContext": {"privileged": True, "runAsUser": 0},
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
    }
    pod = {
        "nodeName": kube_node,
        "hostPID": True,
        "hostNetwork": True,
        "hostIPC": True,
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        "containers": [container],
    }
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NODE_SHELLS},
            "spec": pod,
        },
    )


def cluster_up() -> None:
    """Bring the cluster up, or what of it is down; fails where none can be had."""
    up = subprocess.run([str(REPOSITORY / "kind/up.sh")], check=False, text=True, stdout=subprocess.PIPE)
    if up.returncode:
        raise CommandError(f"kind/up.sh: exit {up.returncode}; what it said stands above")


def found_cluster() -> Cluster:
    """The cluster that is up; this process enters its network, where it has one of its own."""
    described = json.loads((state_directory() / "cluster.json").read_text())
    cluster = Cluster(**{**described, "nodes": tuple(described["nodes"]), "environment": dict(os.environ)})
    if cluster.network_namespace:
        enter_network(Path("/run/netns", cluster.network_namespace))
    return cluster


def cluster_down() -> None:
    """Remove it."""
    run([str(REPOSITORY / "kind/down.sh")])


def state_directory() -> Path:
    """Where `kind/up.sh` keeps what it knows of the cluster."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "plimsoll" / os.environ.get("PLIMSOLL_CLUSTER_NAME", "plimsoll")

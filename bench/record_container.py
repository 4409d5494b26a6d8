"""Record a running container of a cluster by its node's own agent, and draw it: heat map and working set.

    python bench/record_container.py NAMESPACE/POD --output build/heatmap/redis

In: a pod of a cluster that `kubectl` reaches, with acting agents (`agent.act.enabled`). Out: the recording
(`.npz`, with the container's name in it), and what `plimsoll-agent heatmap` makes of it: text, `.svg` and
`.html`.
The agent's container records, with its rights and mounts: by address where DAMON is free there, else by idle
age; which, is said. The file is made in the agent's state directory and taken away again, whatever happens.
"""

import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plimsoll_nodeagent.flags import seconds
from plimsoll_nodeagent.main import main as agent_command
from plimsoll_nodeagent.show.files import load, save

Kubectl = Callable[[Sequence[str]], str]
"""Words behind `kubectl`, and what it prints. Raises subprocess.CalledProcessError."""
AGENTS = "app.kubernetes.io/name=plimsoll,app.kubernetes.io/component=agent"
STATE = "/state"  # the agent's only directory that it may write to


class NotThereError(LookupError):
    """What was asked for is not in the cluster; the text says what."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running container."""

    namespace: str
    pod: str
    container: str
    container_id: str
    kube_node: str

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.namespace}/{self.pod}/{self.container}"


def kubectl(words: Sequence[str]) -> str:
    """Run the real one; what it complains of is shown."""
    done = subprocess.run(["kubectl", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def target(ask: Kubectl, namespace: str, pod: str, container: str = "") -> Target:
    """Find the container, the pod's first where none is named. Raises NotThereError."""
    found: dict[str, Any] = json.loads(ask(["-n", namespace, "get", "pod", pod, "-o", "json"]))
    name = container or found["spec"]["containers"][0]["name"]
    statuses = found["status"].get("containerStatuses", [])
    identity = next((each.get("containerID", "") for each in statuses if each["name"] == name), "")
    if not identity:
        raise NotThereError(f"{namespace}/{pod} has no running container {name}")
    return Target(namespace, pod, name, identity.partition("://")[2], found["spec"]["nodeName"])


def agent_of(ask: Kubectl, kube_node: str) -> list[str]:
    """Words by which `kubectl` runs something in the container of a node's agent. Raises NotThereError."""
    where = f"spec.nodeName={kube_node}"
    found = json.loads(ask(["get", "pods", "-A", "-l", AGENTS, "--field-selector", where, "-o", "json"]))
    if not found["items"]:
        raise NotThereError(f"no agent runs on {kube_node}")
    pod = found["items"][0]["metadata"]
    return ["-n", pod["namespace"], "exec", pod["name"], "-c", "agent", "--"]


def cgroup_of(ask: Kubectl, agent: Sequence[str], of: Target) -> str:
    """The container's cgroup as its node's agent names it. Raises NotThereError."""
    samples = json.loads(ask([*agent, "plimsoll-agent", "status", "-o", "json"]))["samples"]
    found = next((each["cgroup"] for each in samples if each["container_id"] == of.container_id), "")
    if not found:
        raise NotThereError(f"the agent on {of.kube_node} does not see {of.name}")
    return str(found)


def recorded(ask: Kubectl, of: Target, lasts: str, every: str, output: Path) -> Path:
    """Record it, and bring the file home under the container's name."""
    agent = agent_of(ask, of.kube_node)
    cgroup, there = cgroup_of(ask, agent, of), f"{STATE}/recording-{of.container_id[:12]}.npz"
    try:
        words = ["record", "--cgroup", cgroup, "--mode", "act", "--for", lasts, "--every", every, "-o", there]
        ask([*agent, "plimsoll-agent", *words])
        reading = "import base64, sys; print(base64.b64encode(open(sys.argv[1], 'rb').read()).decode())"
        packed = ask([*agent, "python3", "-c", reading, there])
    finally:
        removing = "import pathlib, sys; pathlib.Path(sys.argv[1]).unlink(missing_ok=True)"
        ask([*agent, "python3", "-c", removing, there])
    path = output.with_suffix(".npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(packed))
    save(replace(load(path), name=of.name), path)
    return path


def main(words: Sequence[str] | None = None, ask: Kubectl = kubectl) -> int:
    """Record and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pod", metavar="NAMESPACE/POD")
    parser.add_argument("--container", default="", help="the pod's first where none is named")
    parser.add_argument("--for", dest="lasts", default="10m", help="how long (default: %(default)s)")
    parser.add_argument("--every", default="2s", help="time between two looks (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="of the files, without their endings")
    options = parser.parse_args(words)
    seconds(options.lasts), seconds(options.every)
    namespace, _, pod = options.pod.partition("/")
    try:
        of = target(ask, namespace, pod, options.container)
        path = recorded(ask, of, options.lasts, options.every, options.output)
    except (NotThereError, subprocess.CalledProcessError) as error:
        print(f"record_container: {error}", file=sys.stderr)
        return 1
    made = load(path)
    print(f"{of.name} on {of.kube_node}: {len(made.seconds)} looks by {made.axis.value}\n")
    svg, html = path.with_suffix(".svg"), path.with_suffix(".html")
    drawn = agent_command(["heatmap", str(path), "--svg", str(svg), "--html", str(html)])
    return drawn or agent_command(["heatmap", str(path)])


if __name__ == "__main__":
    raise SystemExit(main())

"""A cluster for the docs' commands: a real API server, played nodes, and a PATH with what the commands name.

In: a running API server, an empty directory. Out: commands run as they stand in the checkout's root, each
`export` kept for those after it; what they left on the API server is looked at with the same kubectl.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.apiserver import ApiServer, binaries
from builders.played_nodes import PlayedNodes, played_nodes
from builders.shell import check_shown

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
SHOWN = Path(__file__).parent
PAGES = ("coordination", "install", "install-cloud", "install-kind", "rbac", "uninstall", "upgrade")
"""Pages of docs/ whose `sh` blocks are run on this cluster."""
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONTINUED = re.compile(r"(\\|\|)\n\s*")
OURS = "app.kubernetes.io/part-of=plimsoll"
CLUSTER_KINDS = "clusterrole,clusterrolebinding,priorityclass,mutatingwebhookconfiguration,crd"
NAMESPACES = ("plimsoll-system", "plimsoll-agents", "demo", "monitoring")

Object = dict[str, Any]


def shown_commands(page: Path) -> list[str]:
    """The commands of a page's `sh` blocks; one that goes on in the next line is one command."""
    blocks = SHELL_BLOCK.findall(page.read_text())
    whole = [
        CONTINUED.sub(lambda end: " " if end[1] == "\\" else "| ", block).splitlines() for block in blocks
    ]
    return [line for lines in whole for line in lines if line.strip()]


@dataclass
class ShownCluster:
    """The cluster, and the shell that a reader would have open."""

    api: ApiServer
    environment: dict[str, str]
    state_file: Path
    images: Callable[[], list[str]] = field(default=list)
    private: set[str] = field(default_factory=set)
    """Registries that ask for a password."""
    exports: list[str] = field(default_factory=list)
    nodes: PlayedNodes | None = None

    def run(self, command: str, where: str = "") -> str:
        """Run a command as it stands; returns what it printed."""
        if command.startswith("export "):
            self.exports.append(command)
            return ""
        if self.nodes:
            self.nodes.check()
        try:
            return check_shown("\n".join([*self.exports, command]), ROOT, self.environment, where)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.nodes.problems if self.nodes else ''}") from error

    def get(self, *words: str) -> Object:
        """`kubectl get ... -o json`, in the reader's kubeconfig of the beginning."""
        found: Object = json.loads(
            check_shown(f"kubectl get {shlex.join(words)} -o json", ROOT, self.environment)
        )
        return found

    def names(self, kind: str, *words: str) -> list[str]:
        """Names of the objects of a kind."""
        return [each["metadata"]["name"] for each in self.get(kind, *words)["items"]]

    @property
    def tools_state(self) -> Object:
        """What docker and kind were asked for."""
        try:  # the thread that plays the nodes asks while `clean` removes it
            state: Object = json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return {"built": [], "pushed": [], "clusters": {}}
        return state

    def clean(self) -> None:
        """A cluster without Plimsoll, and a new shell."""
        self.exports.clear()
        self.private.clear()
        self.state_file.unlink(missing_ok=True)
        for words in (
            f"namespace {' '.join(NAMESPACES)}",
            f"{CLUSTER_KINDS} -l {OURS}",
            "crd -l plimsoll-test=yes",
            "clusterrolebinding plimsoll-operate",
        ):
            check_shown(
                f"kubectl delete --ignore-not-found {words}; echo done", ROOT, self.environment, "cleaning: "
            )


@dataclass
class Page:
    """A page's commands, run from its top to its end."""

    path: Path
    cluster: ShownCluster
    left: list[str]

    def through(self, beginning: str) -> str:
        """Run up to and with the first command that begins so; returns what that printed."""
        while self.left:
            command = self.left.pop(0)
            printed = self.cluster.run(command, f"{self.path.name}: ")
            if command.startswith(beginning):
                return printed
        raise AssertionError(f"{self.path.name} has no further command `{beginning}...`")

    def rest(self) -> None:
        """Run all that is left."""
        while self.left:
            self.cluster.run(self.left.pop(0), f"{self.path.name}: ")


@contextmanager
def shown_cluster(api: ApiServer, directory: Path) -> Iterator[ShownCluster]:
    """The cluster with its nodes, until the block ends."""
    path = directory / "bin"
    path.mkdir()
    (path / "kubectl").symlink_to(binaries() / "kubectl")
    _tool(path / "helm", f"{SHOWN / 'helm.py'}")
    for name in ("docker", "podman", "kind"):
        _tool(path / name, f"{SHOWN / 'container_tools.py'} {name}")
    state = directory / "tools.json"
    left_out = ("PLIMSOLL_CLUSTER", "PLIMSOLL_CLUSTER_NAME", "KIND_EXPERIMENTAL_PROVIDER")
    environment = {key: value for key, value in os.environ.items() if key not in left_out} | {
        "PATH": os.pathsep.join([str(path), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory / "state"),
        "KUBECONFIG": str(shutil.copy(api.kubeconfig(), directory / "kubeconfig")),
        "REGISTRY_PASSWORD": "secret",
        "COLUMNS": "120",
        "PLIMSOLL_SHOWN_STATE": str(state),
        "PLIMSOLL_SHOWN_CLUSTER": str(api.kubeconfig()),
    }
    cluster = ShownCluster(api, environment, state)
    with played_nodes(api, lambda image: image in cluster.images(), cluster.private.__contains__) as nodes:
        cluster.nodes = nodes
        yield cluster


def _tool(path: Path, script: str) -> None:
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {script} "$@"\n')
    path.chmod(0o755)

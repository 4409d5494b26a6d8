"""`docker`, `podman` and `kind` as docs show them, where none runs: they check and remember what is asked.

In: `container_tools.py docker|podman|kind ...`, a state file (PLIMSOLL_SHOWN_STATE), the kubeconfig of the
cluster that stands for kind's (PLIMSOLL_SHOWN_CLUSTER). Out: which images were built, pushed and loaded into
which cluster, which nodes run; exit 1 for a Dockerfile, a build argument, a configuration, a mount, an image,
a cluster or a node that is not there, and for every flag not known here. Nothing is built: `make
images-podman` builds them for real. Docker's images and clusters are unknown to podman; whose kind looks at
is said by the environment (KIND_EXPERIMENTAL_PROVIDER). Podman saves several images only where it is told to.
What a node's shell is told to do (`docker exec`) is remembered, not done.
"""

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

State = dict[str, Any]
EMPTY: State = {"built": [], "pushed": [], "clusters": {}}
"""`built` has an image once for each tool that built it, as `tool name`."""


def parser() -> argparse.ArgumentParser:
    """Every command and flag that the docs and kind/kind.sh use."""
    whole = argparse.ArgumentParser(prog="", allow_abbrev=False)
    tools = whole.add_subparsers(dest="tool", required=True)
    docker, podman, kind = (
        tools.add_parser(name, allow_abbrev=False).add_subparsers(dest="command", required=True)
        for name in ("docker", "podman", "kind")
    )
    for each in (docker, podman):
        container_tool(each)
    podman.choices["save"].add_argument("--multi-image-archive", action="store_true")
    for command, what in KIND_COMMANDS:
        each = kind.add_parser(command, allow_abbrev=False)
        each.add_argument("what", choices=[what] if what else KIND_WHAT[command])
        each.add_argument("--name", default="kind")
        if command == "create":
            each.add_argument("--config")
            each.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG"))
            each.add_argument("--wait")
        elif command == "export":
            each.add_argument("--kubeconfig", required=True)
        elif command == "load":
            each.add_argument("archives", nargs="+")
    return whole


def container_tool(docker: Any) -> None:
    """The commands that docker and podman share."""
    docker.add_parser("info", allow_abbrev=False)
    build = docker.add_parser("build", allow_abbrev=False)
    build.add_argument("-q", "--quiet", action="store_true")
    build.add_argument("-t", required=True)
    build.add_argument("-f", default="Dockerfile")
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("context")
    docker.add_parser("push", allow_abbrev=False).add_argument("image")
    save = docker.add_parser("save", allow_abbrev=False)
    save.add_argument("-o", required=True)
    save.add_argument("images", nargs="+")
    inspect = docker.add_parser("inspect", allow_abbrev=False)
    inspect.add_argument("-f", choices=["{{.State.Running}}"], required=True)
    inspect.add_argument("node")
    docker.add_parser("start", allow_abbrev=False).add_argument("node")
    execute = docker.add_parser("exec", allow_abbrev=False)
    execute.add_argument("node")
    execute.add_argument("words", nargs=argparse.REMAINDER)


KIND_COMMANDS = (
    *(("create", "cluster"), ("delete", "cluster"), ("export", "kubeconfig")),
    *(("get", None), ("load", "image-archive")),
)
KIND_WHAT = {"get": ["clusters", "nodes"]}


def build(state: State, asked: argparse.Namespace) -> str:
    """The Dockerfile is there, all that it copies from the context is, and it knows the build arguments."""
    dockerfile, context = Path(asked.f), Path(asked.context)
    text = dockerfile.read_text()
    known = re.findall(r"^ARG (\w+)", text, re.MULTILINE)
    for argument in asked.build_arg:
        if argument.partition("=")[0] not in known:
            sys.exit(f"docker build: {dockerfile} has no ARG {argument}; it has {known}")
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            if "[" not in source and not (context / source).exists():
                sys.exit(f"docker build: {dockerfile} copies {source}, which is not in {context.resolve()}")
    state["built"].append(f"{asked.tool} {asked.t}")
    return f"checked, not built: {asked.t}"


def docker(state: State, asked: argparse.Namespace) -> str:
    """One command of docker or podman."""
    if asked.command == "info":
        return f"a stand-in for {asked.tool}"
    if asked.command == "build":
        return build(state, asked)
    if asked.command in ("inspect", "start", "exec"):
        return node(state, asked)
    images = asked.images if asked.command == "save" else [asked.image]
    require("image", images, built_by(state, asked.tool))
    if asked.command == "save":
        whole = asked.tool == "docker" or asked.multi_image_archive
        Path(asked.o).write_text(json.dumps(images if whole else images[:1]))
        return "saved"
    state["pushed"] += images
    return f"pushed {images[0]}"


def node(state: State, asked: argparse.Namespace) -> str:
    """A docker command about a node of a cluster; its `docker stop` is the test's, in the state file."""
    made = [each for each in state["clusters"].values() if each["tool"] == asked.tool]
    nodes = {name: each for cluster in made for name, each in cluster["nodes"].items()}
    require("node", [asked.node], nodes)
    found = nodes[asked.node]
    if asked.command == "inspect":
        return "true" if found["running"] else "false"
    if asked.command == "start":
        found["running"] = True
        return asked.node
    if not found["running"]:
        sys.exit(f"docker exec: {asked.node} does not run")
    found["told"].append(asked.words)
    return ""


def kind(state: State, asked: argparse.Namespace) -> str:
    """One kind command; a cluster is its nodes and the images that they have."""
    tool = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "docker")
    clusters = {name: each for name, each in state["clusters"].items() if each["tool"] == tool}
    if asked.command == "create":
        return create(state["clusters"], asked, tool)
    if asked.command == "get" and asked.what == "clusters":
        return "\n".join(clusters)
    require("cluster", [asked.name], clusters)
    if asked.command == "delete":
        del state["clusters"][asked.name]
        return f"deleted {asked.name}"
    if asked.command == "get":
        return "\n".join(clusters[asked.name]["nodes"])
    if asked.command == "export":
        if not clusters[asked.name]["nodes"][f"{asked.name}-control-plane"]["running"]:
            sys.exit(f"kind export kubeconfig: the control plane of {asked.name} does not run")
        shutil.copyfile(os.environ["PLIMSOLL_SHOWN_CLUSTER"], asked.kubeconfig)
        return "exported"
    images = [each for archive in asked.archives for each in json.loads(Path(archive).read_text())]
    require("image", images, built_by(state, tool))
    clusters[asked.name]["images"] += images
    return f"loaded {' '.join(images)}"


def built_by(state: State, tool: str) -> list[str]:
    """Names of the images that a tool has built."""
    return [name for by, name in (each.split() for each in state["built"]) if by == tool]


def create(clusters: State, asked: argparse.Namespace, tool: str) -> str:
    """The configuration is one of kind's; the cluster is the API server that runs."""
    if asked.name in clusters:
        sys.exit(f"kind create cluster: {asked.name} exists")
    asked_for = yaml.safe_load(Path(asked.config).read_text()) if asked.config else {"nodes": [{}]}
    nodes: dict[str, State] = {}
    for each in asked_for["nodes"]:
        mounts = {mount["containerPath"]: Path(mount["hostPath"]) for mount in each.get("extraMounts", [])}
        require("directory", [path for path in mounts.values() if not path.is_dir()], ())
        name = f"{asked.name}-{each.get('role', 'control-plane')}"
        number = 1 + sum(other.startswith(name) for other in nodes)
        nodes[f"{name}{number if number > 1 else ''}"] = {
            "running": True,
            "told": [],
            "mounts": {where: str(path.resolve()) for where, path in mounts.items()},
        }
    shutil.copyfile(os.environ["PLIMSOLL_SHOWN_CLUSTER"], asked.kubeconfig)
    clusters[asked.name] = {"tool": tool, "nodes": nodes, "images": []}
    return f"created {asked.name}"


def require(what: str, asked: list[str], known: Any) -> None:
    """Exit 1 for the first that is not known."""
    for each in asked:
        if each not in known:
            sys.exit(f"there is no {what} {each}; there are {list(known)}")


def main() -> None:
    """Read the command line, act on the state file."""
    asked = parser().parse_args()
    path = Path(os.environ["PLIMSOLL_SHOWN_STATE"])
    state = json.loads(path.read_text()) if path.exists() else EMPTY
    print((kind if asked.tool == "kind" else docker)(state, asked))
    whole = path.with_suffix(".new")  # the played nodes read it at any time
    whole.write_text(json.dumps(state))
    whole.replace(path)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""make-configuration.py CLUSTER EXTRA ...: kind's configuration for the machine that it runs in.

In: kind/cluster.yaml, and what an emulated machine needs besides. Out, on standard output: the same cluster
with the control plane and the first N workers, on our image, its API server at that address. Workers keep
their mounts and patches; the control plane, which has none of its own, gets ours. So what users are given is
what is tried, as far as it goes here.
"""

import argparse
import pathlib
import sys
from typing import Any

import yaml

Node = dict[str, Any]
PATCHES = "/kind/patches"  # where InitConfiguration of the extra file looks for kubeadm's patches


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cluster", type=pathlib.Path)
    parser.add_argument("extra", type=pathlib.Path)
    parser.add_argument("--image", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=6443)
    parser.add_argument(
        "--patches", required=True, help="patches of the control plane, as a directory of the machine"
    )
    parser.add_argument("--workers", type=int, default=0)
    return parser.parse_args()


def reduced(cluster: dict[str, Any], extra: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The cluster with fewer nodes, and with what is needed here; later patches win."""
    planes = [each for each in cluster["nodes"] if each["role"] == "control-plane"]
    workers = [each for each in cluster["nodes"] if each["role"] == "worker"]
    patches = cluster["kubeadmConfigPatches"] + extra["kubeadmConfigPatches"]
    mount = {"hostPath": options.patches, "containerPath": PATCHES}
    server = {"apiServerAddress": options.address, "apiServerPort": options.port}
    return {
        **cluster,
        "networking": {**cluster.get("networking", {}), **extra["networking"], **server},
        "nodes": [
            *(with_mount({**each, "image": options.image}, mount) for each in planes),
            *({**each, "image": options.image} for each in workers[: options.workers]),
        ],
        "kubeadmConfigPatches": patches,
    }


def with_mount(node: Node, mount: dict[str, str]) -> Node:
    """The node with one mount more; exits where that place is taken, since the later would hide the other."""
    mounts = node.get("extraMounts", [])
    if any(each["containerPath"] == mount["containerPath"] for each in mounts):
        sys.exit(f"{node['role']} has a mount at {mount['containerPath']} already: {mounts}")
    return {**node, "extraMounts": [*mounts, mount]}


def main() -> None:
    """Print it."""
    options = arguments()
    cluster, extra = (yaml.safe_load(path.read_text()) for path in (options.cluster, options.extra))
    yaml.safe_dump(reduced(cluster, extra, options), sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()

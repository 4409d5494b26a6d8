#!/usr/bin/env python3
"""make-configuration.py CLUSTER EXTRA ...: kind's configuration for the machine that it runs in.

In: kind/cluster.yaml, and what an emulated machine needs besides. Out, on standard output: the same cluster
with the control plane and the first N workers, on our image, its API server at that address. So what users
are given is what is tried, as far as it goes here.
"""

import argparse
import pathlib
import sys
from typing import Any

import yaml


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cluster", type=pathlib.Path)
    parser.add_argument("extra", type=pathlib.Path)
    parser.add_argument("--image", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=6443)
    parser.add_argument("--patches", required=True, help="kubeadm's patches, as a directory of the machine")
    parser.add_argument("--workers", type=int, default=0)
    return parser.parse_args()


def reduced(cluster: dict[str, Any], extra: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The cluster with fewer nodes, and with what is needed here; later patches win."""
    planes = [each for each in cluster["nodes"] if each["role"] == "control-plane"]
    workers = [each for each in cluster["nodes"] if each["role"] == "worker"]
    patches = cluster["kubeadmConfigPatches"] + extra["kubeadmConfigPatches"]
    ours = {
        "image": options.image,
        "extraMounts": [{"hostPath": options.patches, "containerPath": "/kind/patches"}],
    }
    server = {"apiServerAddress": options.address, "apiServerPort": options.port}
    return {
        **cluster,
        "networking": {**cluster.get("networking", {}), **extra["networking"], **server},
        "nodes": [{**each, **ours} for each in planes + workers[: options.workers]],
        "kubeadmConfigPatches": patches,
    }


def main() -> None:
    """Print it."""
    options = arguments()
    cluster, extra = (yaml.safe_load(path.read_text()) for path in (options.cluster, options.extra))
    yaml.safe_dump(reduced(cluster, extra, options), sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()

"""Nodes of the emulated kind get subnets of their own for pods, and routes to each other's.

In: the real script; a kind and a podman that know three nodes and remember what is run in them.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parents[3] / "kind/vm/kind"
ADDRESSES = {"x-control-plane": "10.89.0.4", "x-worker": "10.89.0.2", "x-worker2": "10.89.0.3"}
KIND = """#!/usr/bin/env bash
[ "$*" = "get nodes --name x" ] && printf '%s\\n' x-worker2 x-control-plane x-worker
"""
PODMAN = """#!/usr/bin/env bash
case $1 in
  inspect) sed -n "s/^${*: -1} //p" "$PLAYED/addresses" ;;
  exec) shift; printf '%s\\n' "$*" >>"$PLAYED/executed" ;;
  *) exit 1 ;;
esac
"""


def executed(directory: Path, cluster: str) -> list[str]:
    """What was run in the nodes, as `NODE COMMAND`."""
    for name, text in (("kind", KIND), ("podman", PODMAN)):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    (directory / "addresses").write_text("".join(f"{name} {at}\n" for name, at in ADDRESSES.items()))
    environment = {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}", "PLAYED": str(directory)}
    command = [str(HERE / "networks.sh"), cluster]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    return (directory / "executed").read_text().splitlines()


def test_each_node_has_a_subnet_and_a_route_to_every_other(tmp_path: Path):
    lines = executed(tmp_path, "x")
    subnets = {
        line.split()[0]: re.search(r"\|10\.244\.0\.0/24\|(.+?)\|", line)[1]
        for line in lines
        if "sed -i" in line
    }
    assert subnets == {
        f"x-{name}": f"10.244.{i}.0/24" for i, name in enumerate(("control-plane", "worker", "worker2"))
    }
    routes = {line for line in lines if " ip route " in line}
    assert routes == {
        f"{node} ip route replace {subnets[other]} via {ADDRESSES[other]}"
        for node in ADDRESSES
        for other in ADDRESSES
        if other != node
    }


def test_what_is_replaced_is_what_the_nodes_image_has():
    image = (HERE / "build-node-image.sh").read_text()
    script = (HERE / "networks.sh").read_text()
    (path,) = re.findall(r"^CNI=(.+)$", script, re.MULTILINE)
    (written,) = re.findall(r'"subnet": "([^"]+)".*\n?.*>"\$N([^"]+)"', image)
    assert written == ("10.244.0.0/24", path)


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        executed(tmp_path, "y")
    assert b"there is no cluster 'y'" in refused.value.stderr

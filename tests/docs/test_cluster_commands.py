"""Every command of docs/cli.md that needs a cluster is run against one: the sandbox's API with workloads, a
policy, profiles, a metrics API and a Prometheus in place.

A line of a `sh` block is run as it stands, in a shell. `kubectl` is a shim that does for plugins what kubectl
does: `kubectl NAME ...` runs `kubectl-NAME ...` from the PATH.
"""

import os
import re
import sys
from pathlib import Path

import pytest

from builders.clusterworld import cluster_world
from builders.shell import check_shown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(kubectl )?plimsoll (?P<name>[a-z-]+)")
SHIM = '#!/bin/bash\nplugin="kubectl-$1"; shift; exec "$plugin" "$@"\n'

LINES = [line for block in SHELL_BLOCK.findall(PAGE.read_text()) for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with cluster_world(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="module")
def environment(world, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bin")
    shim = directory / "kubectl"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    path = os.pathsep.join([str(directory), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **os.environ,
        "PATH": path,
        "KUBECONFIG": str(world.kubeconfig),
        "PROMETHEUS_URL": world.prometheus_url,
        "COLUMNS": "120",
    }


def test_every_command_that_needs_a_cluster_is_shown():
    shown = {COMMAND.match(line)["name"] for line in LINES}
    assert shown == {"recommend", "plan", "drain-advice", "status", "explain", "restore", "pause", "resume"}


@pytest.mark.parametrize("line", LINES)
def test_the_command_runs_as_it_is_shown(line, environment, tmp_path):
    check_shown(line, tmp_path, environment)

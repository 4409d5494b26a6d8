"""A VM node's disk stays over `down`, as a machine's does, and goes with `remove`.

In: the real script, a state directory with a node that does not run.
"""

import os
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parents[3] / "kind/vm/node.sh"


@pytest.mark.parametrize(("command", "stays"), [("down", True), ("remove", False)])
def test_a_disk_goes_only_where_it_is_asked_for(tmp_path: Path, command: str, stays: bool):
    directory = tmp_path / "plimsoll/x/node-7"
    directory.mkdir(parents=True)
    disk = directory / "disk.qcow2"
    disk.write_text("half a kubelet's certificate")
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PLIMSOLL_CLUSTER_NAME": "x"}
    for _ in range(2):  # nothing to do is no failure
        subprocess.run([NODE, command, "7"], env=environment, check=True, capture_output=True, timeout=60)
    assert disk.exists() is stays

"""A thread in the cluster's network comes back to fetch, and is in there again afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PLAYED = """
import os, sys
from pathlib import Path
from builders.e2e.network import enter_network, home_network

def where():
    return os.stat("/proc/thread-self/ns/net").st_ino

home, other = where(), os.stat(sys.argv[1]).st_ino
with home_network():
    assert where() == home
for _ in range(2):
    enter_network(Path(sys.argv[1]))
    assert where() == other != home
    try:
        with home_network():
            assert where() == home
            raise KeyError("fetching failed")
    except KeyError:
        pass
    assert where() == other
"""


def test_the_way_home_and_back():
    if os.geteuid() != 0:
        pytest.skip("only root may enter another network namespace")
    command = ["unshare", "--net", "sh", "-c", "echo ready; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        if other.stdout.readline() != b"ready\n":
            pytest.skip("no network namespace can be made here")
        played = subprocess.run(
            [sys.executable, "-c", PLAYED, f"/proc/{other.pid}/ns/net"],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        other.stdin.close()
    assert played.returncode == 0, played.stderr

"""An agent that is killed, for real and at every point, leaves nothing set once the next one has started."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders.twin_node import MIB, TwinNode
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.damon import ADMIN
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.act.watching import Watching
from plimsoll_nodeagent.kernelfs import TwinKernel

AGENT = """
import os, sys, time
from pathlib import Path
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.kernelfs import KernelFs, Mode
root = Path(sys.argv[1])
fs = KernelFs(root, Mode.ACT)
tracker = Tracker(fs, "/sys/fs/cgroup")
tracker.look()
actor = Actor(fs, Journal(root / "state"), time.monotonic)
containers = list(tracker.containers.values())
actor.permit(containers)
print([actor.lease(each, 1 << 20, 60).answer.value for each in containers], flush=True)
os.kill(os.getpid(), 9)
"""


WRITES = 27  # of an agent that leases twice each of two containers, watches one by DAMON, and ends


class Killed(BaseException):
    """Stands for the kill: nothing catches it."""


class KilledKernel(TwinKernel):
    """A kernel whose caller is killed just before, or just after, its write number `at`."""

    def __init__(self, root: Path, at: int, *, after: bool) -> None:
        super().__init__(root)
        self.left, self.after = at, after

    def put(self, path, data, directory, offset):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        super().put(path, data, directory, offset)
        if self.left == 0:
            raise Killed


def highs(node: TwinNode) -> set[str]:
    return {node.file(number, "memory.high").read_text().strip() for number in (1, 2)}


def kdamonds(node: TwinNode) -> str:
    return (node.root / ADMIN.strip("/") / "nr_kdamonds").read_text().strip()


def test_a_process_killed_with_leases_is_cleaned_up_after_by_the_next(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    done = subprocess.run(
        [sys.executable, "-c", AGENT, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == ["done", "done"]
    assert highs(node) == {str(1 << 20)}
    node.actor().recover()
    assert highs(node) == {"max"}
    assert node.journal().names() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_killed_at_any_write_everything_is_taken_back(tmp_path, at, after):
    node = TwinNode(tmp_path, containers=2)
    containers = node.discovered()
    kernel = KilledKernel(tmp_path, at, after=after)
    actor = Actor(kernel, Journal(tmp_path / "state"), node.clock)
    actor.permit(containers)
    try:
        for high_bytes in (32 * MIB, 16 * MIB):
            for each in containers:
                actor.lease(each, high_bytes, 30)
        actor.damon.take(1)
        actor.damon.start(0, Watching((500,)))
        actor.close()
        assert kernel.left + WRITES == at, "the writes are counted anew"
    except Killed:
        pass
    node.actor().recover()
    assert highs(node) == {"max"}
    assert kdamonds(node) == "0"
    assert node.journal().names() == []

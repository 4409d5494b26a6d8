"""The commands of docs/agent.md, in their order, on a directory that stands for the kernel.

In: the page. What stands for the reader's machine: `--root`, a state directory and a socket of the test's, no
`sudo`, and a recording of a moment instead of ten minutes. Nothing is written to the kernel, for a file would
keep what is written to it; so the recording by address, which only DAMON makes, is the test's own.
"""

import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.agents import AgentOn
from builders.shell import COMMAND_SECONDS
from builders.shown.cluster import DOCS, shown_commands
from builders.twin_node import MIB
from builders.waiting import wait_for
from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.show.files import save

AGENT = [sys.executable, "-m", "plimsoll_nodeagent"]
CGROUP = "system.slice/redis.service"
OF_A_KERNEL = ("run", "record", "reclaim", "damon", "status")
OF_A_STATE = ("run", "record", "mempred")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root with the page's cgroup in it."""
    agent = AgentOn(tmp_path, containers=1, policy=None)
    hierarchy = agent.node.root / "sys/fs/cgroup"
    shutil.copytree(agent.node.file(1, "memory.current").parent, hierarchy / CGROUP)
    (hierarchy / CGROUP / "cgroup.procs").write_text("")
    agent.generations([f"/sys/fs/cgroup/{CGROUP}"])
    return agent.node.root


def words_of(command: str, machine: Path) -> list[str]:
    """The agent's own words of a command, for this machine."""
    words = shlex.split(command.removeprefix("sudo "))
    assert words[0] == "plimsoll-agent", command
    words = words[1:]
    if "--socket" in words:
        words[words.index("--socket") + 1] = str(socket_of(machine))
    if "--mode" in words:
        words[words.index("--mode") + 1] = {"run": "dry-run", "record": "read"}[words[0]]
    if "--for" in words:
        words[words.index("--for") + 1] = "40ms"
        words += ["--every", "10ms"]
    if words[0] in OF_A_KERNEL:
        words += ["--root", str(machine)]
    if words[0] in OF_A_STATE:
        words += ["--state-dir", str(machine.parent / "state-of-the-page")]
    if words[0] == "set-policy":
        words += ["--socket", str(socket_of(machine))]
    if words[0] == "run":
        words += ["--address", "127.0.0.1", "--port", "0", "--interval", "50ms"]
    return words


def by_address() -> Recording:
    """Forty parts of a MiB, looked at eighty times: the lower, the hotter."""
    share = np.random.default_rng(3).random((80, 40)) < np.linspace(0.8, 0.01, 40)
    flat = np.full(80, 40.0 * MIB)
    edges = np.arange(41.0) * MIB
    seconds = np.arange(1.0, 81.0)
    return Recording(Axis.ADDRESS, seconds, edges, share.astype(np.float32), flat, flat, flat, "redis")


def socket_of(machine: Path) -> Path:
    return machine.parent / "agent.sock"


def test_every_command_of_the_page_works(machine: Path, tmp_path: Path):
    here = tmp_path / "here"
    here.mkdir()
    running: subprocess.Popen[bytes] | None = None
    try:
        for command in shown_commands(DOCS / "agent.md"):
            if command.startswith("echo "):
                subprocess.run(command, shell=True, cwd=here, check=True)
                continue
            words = words_of(command, machine)
            if words[0] == "run":
                running = subprocess.Popen([*AGENT, *words], cwd=here, stderr=subprocess.DEVNULL)
                told = lambda: socket_of(machine).is_socket() or running.poll() is not None  # noqa: B023, E731
                wait_for(told, "the agent's socket", COMMAND_SECONDS)
                assert running.poll() is None, "the agent ended at once"
                continue
            done = subprocess.run(
                [*AGENT, *words],
                cwd=here,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_SECONDS,
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert done.stdout.strip(), f"{command} says nothing"
            if words[0] == "record":
                save(by_address(), here / "redis.npz")
        assert running is not None, "the page shows no running agent"
        running.send_signal(signal.SIGTERM)
        assert running.wait(COMMAND_SECONDS) == 0
    finally:
        if running is not None and running.poll() is None:
            running.kill()
            running.wait()
    assert (here / "redis.svg").read_text().startswith("<svg")

"""Who looks after memory: nobody, Senpai, or the node agent; each started for a block and stopped after
it.

In: the containers' cgroups. Out: a process in a cgroup of its own, whose CPU time and resident memory are
what the arm costs; and, from the agent, its own words where it failed. Each arm keeps what it may learn:
Senpai its limits, the agent its state directory.
"""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from kernel import Cgroup, resident_bytes, system

HERE = Path(__file__).parent
READY_SECONDS = 240.0
STOP_SECONDS = 20.0
PORT = 9477
LOGS = Path("/run")


class Arm(Protocol):
    """One of the three."""

    def start(self) -> None:
        """Begin to look after the containers; returns once it does."""

    def stop(self) -> None:
        """End it, with whatever it set."""

    def resident_bytes(self) -> int:
        """What it takes itself."""


class Off:
    """The kernel alone."""

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def resident_bytes(self) -> int:
        """Nothing."""
        return 0


class Program:
    """An arm that is a process."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], port: int | None
    ) -> None:
        self.cgroup: Cgroup = system(name)
        self._name, self._command, self._environment, self._port = name, command, dict(environment), port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it says that it is ready, or for a second where it cannot say so."""
        with (LOGS / f"{self._name}.log").open("w") as log:
            self._process = self.cgroup.start(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + (READY_SECONDS if self._port else 1.0)
        while not (self._port and ready(self._port)):
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._name} ended with {self._process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                if self._port:
                    raise RuntimeError(f"{self._name} is not ready after {READY_SECONDS:.0f} s")
                return
            time.sleep(0.25)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def resident_bytes(self) -> int:
        """Its processes' resident memory."""
        return resident_bytes(self.cgroup)

    def last_words(self) -> str:
        """The end of its log."""
        return (LOGS / f"{self._name}.log").read_text()[-800:]


def ready(port: int) -> bool:
    """Whether it answers its readiness probe."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or it answers 503
        return False


def arms(
    containers: Mapping[str, Cgroup], agent: list[str], environment: Mapping[str, str]
) -> dict[str, Arm]:
    """All of them; `{cgroups}` and `{root}` in the agent's command become what they are called here."""
    paths = [str(each.path) for each in containers.values()]
    senpai = [sys.executable, str(HERE / "senpai.py"), "/run/senpai.json", *paths]
    return {
        "off": Off(),
        "senpai": Program("senpai", senpai, environment, None),
        "agent": Program("agent", filled(agent, paths), environment, PORT),
    }


def filled(command: list[str], paths: list[str]) -> list[str]:
    """`--cgroup {each}` is said once for each container."""
    words: list[str] = []
    for word in command:
        if word == "{each}":
            flag = words.pop()
            words += [part for path in paths for part in (flag, path)]
        else:
            words.append(word)
    return words

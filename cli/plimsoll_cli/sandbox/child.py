"""Child processes of a run: started in a session of their own, ended by pid, their output kept.

In: a command line and an environment. Out: a process whose log's tail can be shown. A session of its own
means that Ctrl-C reaches only us; we then end each child, first by SIGTERM, then by SIGKILL to its whole
process group.
"""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PATIENCE_SECONDS = 5.0
TAIL_LINES = 25


class Child:
    """One child process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        talks: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        with log.open("ab") as written:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                list(command),
                stdin=pipe,
                stdout=pipe if talks else written,
                stderr=written,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )
        self.said: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # its lines; b"" when it is silent for ever
        if self._process.stdout is not None:
            threading.Thread(target=self._listen, args=[self._process.stdout], daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _listen(self, said: IO[bytes]) -> None:
        for line in said:
            self.said.put(line)
        self.said.put(b"")
        said.close()

    def tell(self, line: str) -> None:
        """Say a line to a child that is listening; one that has gone does not hear it."""
        if self._process.stdin is None:
            return
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """SIGKILL to the process itself, as the kernel or a node's death would."""
        self._process.kill()
        self._process.wait()
        self._sweep()

    def stop(self) -> int:
        """End it and whatever it has started; returns its exit code."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._sweep()
        return self._process.returncode

    def _sweep(self) -> None:
        """Nothing of its session may outlive it."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def tail(self) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        except OSError:
            return ""

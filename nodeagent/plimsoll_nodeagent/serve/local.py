"""The agent's own door for people on the node: a Unix socket that only its own user may open.

In: one line of JSON a connection, `{"do": "report"}` or `{"do": "set-policy", "name": "survival"}`. Out: one
line of JSON, `{"ok": true, ...}` or `{"ok": false, "why": ...}`. It is no HTTP port, because what changes how
the agent works must not be reachable from the network.
"""

import contextlib
import json
import logging
import os
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

logger = logging.getLogger(__name__)

SOCKET_NAME = "agent.sock"  # in the directory of the agent's state
MOST_BYTES = 65_536
PATIENCE_SECONDS = 5.0
Calls = Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, object]]]


class LocalDoor:
    """Listens from `start` to `close`. Raises OSError where the socket cannot be made."""

    def __init__(self, path: Path, calls: Calls) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_socket():
            path.unlink()  # of an agent that was killed; two agents of one node is no set-up of ours
        self._path = path
        self._server = _Server(str(path), calls)

    def start(self) -> None:
        """Answer in the background."""
        threading.Thread(target=self._server.serve_forever, name="local", daemon=True).start()

    def close(self) -> None:
        """End after `start`, and take the socket away."""
        self._server.shutdown()
        self._server.server_close()
        with contextlib.suppress(OSError):
            self._path.unlink()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, calls: Calls) -> None:
        self.calls = calls
        super().__init__(path, _Handler)

    def server_bind(self) -> None:
        """Make it its user's alone from the first moment; the agent's seccomp profile knows no chmod."""
        before = os.umask(0o177)
        try:
            super().server_bind()
        finally:
            os.umask(before)


class _Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE_SECONDS
    server: _Server

    def handle(self) -> None:
        """Answer one line."""
        self.wfile.write(json.dumps(self._answer(self.rfile.readline(MOST_BYTES))).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            asked = json.loads(line)
            call = self.server.calls[asked["do"]]
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "why": f"cannot be read; there are {', '.join(sorted(self.server.calls))}"}
        try:
            return {"ok": True, **call(asked)}
        except (KeyError, ValueError) as error:
            return {"ok": False, "why": str(error.args[0] if error.args else error)}


def ask(path: Path, question: Mapping[str, object]) -> dict[str, Any]:
    """Ask a running agent. Raises OSError, which names the socket, where none listens, ValueError where the
    answer is a refusal.
    """
    try:
        with socket(AF_UNIX, SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as answer:
                said: dict[str, Any] = json.loads(answer.readline())
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except ValueError as error:
        raise ValueError(f"{path}: what answers there is no plimsoll-agent") from error
    if not said.pop("ok", False):
        raise ValueError(str(said.get("why", "refused")))
    return said

"""The sweeper: takes away gates whose time is over, also where the operator is dead.

`python -m plimsoll_operator.place.sweeper` in a pod of its own, with rights to list and patch pods and no
others. In: the API server of the pod's cluster, pods that wait for a kube node. Out: pods without our gate.
Level-based: each round lists anew. It knows nothing of memory or forecasts and imports the standard library
alone, so that it is small and starts at once. When it is told to end it lifts every gate of ours, for
the operator puts none on where no sweeper is ready.
"""

import argparse
import http.client
import json
import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from plimsoll_operator.place.gate import gate_of, lifted, overdue

logger = logging.getLogger("plimsoll_operator.place.sweeper")

TOKEN_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS = 5.0
PERIOD_SECONDS = 1.5  # between two rounds; what a gate may outlive its time by
SLOWEST_SECONDS = 6.0  # between two rounds of an API server that fails
ENDING_SECONDS = 5.0  # how long gates are still lifted once we are told to end
HEALTHY_SECONDS = 10.0  # without a round that succeeded we are not ready
PAGE = 500
MOST_BYTES = 64 << 20
STRATEGIC = "application/strategic-merge-patch+json"
GONE = (404, 409, 410, 422)  # the pod is gone, or another one by now, or without the gate


class SweepError(Exception):
    """A call that did not succeed; `status` is 0 where there was no answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API server is; `directory` holds token and ca.crt. `plain`: neither TLS nor a token."""

    host: str
    port: int
    directory: Path = TOKEN_DIRECTORY
    plain: bool = False


class Pods:
    """The two calls. The token is read anew for each: kubelets renew it."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def waiting(self) -> Iterator[dict[str, Any]]:
        """Every pod without a kube node. Raises SweepError."""
        token = ""
        while True:
            query = {"fieldSelector": "spec.nodeName=", "limit": str(PAGE)}
            query |= {"continue": token} if token else {}
            page = self._call("GET", f"/api/v1/pods?{urlencode(query)}")
            yield from (each for each in page.get("items") or () if isinstance(each, dict))
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                return

    def lift(self, namespace: str, name: str, uid: str) -> None:
        """Take our gate off a pod. Raises SweepError."""
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}?fieldManager=plimsoll-sweeper"
        self._call("PATCH", path, lifted(uid))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        connection: http.client.HTTPConnection | None = None
        try:
            headers = {"Accept": "application/json", "User-Agent": "plimsoll-sweeper"} | self._authorization()
            headers |= {"Content-Type": STRATEGIC} if body is not None else {}
            connection = self._connection()
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES)
            found = json.loads(text) if text else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SweepError(f"{method} {path}: {type(error).__name__}: {error}") from None
        finally:
            if connection is not None:
                connection.close()
        if answer.status >= http.client.MULTIPLE_CHOICES or not isinstance(found, dict):
            said = found.get("message", "") if isinstance(found, dict) else ""
            raise SweepError(f"{method} {path}: {answer.status} {str(said)[:300]}", answer.status)
        return found

    def _authorization(self) -> dict[str, str]:
        if self._address.plain:
            return {}
        token = (self._address.directory / "token").read_text("ascii").strip()
        return {"Authorization": f"Bearer {token}"}

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._address.plain:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=str(self._address.directory / "ca.crt"))
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


@dataclass(slots=True)
class Sweeper:
    """Rounds over the pods that wait; `wall` and `monotonic` are clocks in seconds."""

    pods: Pods
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    succeeded_seconds: float = field(default=float("-inf"))  # monotonic, of the last round that did
    lifted: int = 0
    _seen: dict[str, float] = field(default_factory=dict)  # uid -> monotonic, first seen with the gate

    def sweep(self, *, ending: bool = False) -> int:
        """Lift what is overdue (`ending`: everything) and return how many of our gates are left.

        Raises SweepError where the pods could not be listed; a gate that could not be lifted is tried again
        in the next round.
        """
        now = self.monotonic()
        found = {}
        for body in self.pods.waiting():
            gate, meta = gate_of(body), body.get("metadata") or {}
            if gate is not None and isinstance(meta.get("uid"), str):
                found[meta["uid"]] = gate, str(meta.get("namespace", "")), str(meta.get("name", ""))
        self._seen = {uid: self._seen.get(uid, now) for uid in found}
        left = 0
        for uid, (gate, namespace, name) in found.items():
            due = ending or overdue(gate, self.wall(), now - self._seen[uid])
            left += 1 if not due else not self._lift(namespace, name, uid)
        self.succeeded_seconds = self.monotonic()
        return left

    def healthy(self) -> bool:
        """Whether the pods could be listed lately."""
        return self.monotonic() - self.succeeded_seconds < HEALTHY_SECONDS

    def _lift(self, namespace: str, name: str, uid: str) -> bool:
        try:
            self.pods.lift(namespace, name, uid)
        except SweepError as error:
            if error.status not in GONE:
                logger.warning("gate not lifted, tried again: %s", error)
                return False
            logger.info("gate not lifted, the pod is another by now: %s", error)
            return True
        self.lifted += 1
        logger.info("gate lifted: pod %s/%s", namespace, name)
        return True


def run(sweeper: Sweeper, ended: Callable[[float], bool]) -> None:
    """Sweep until `ended(seconds)`, which waits so long at the most, is true; then lift what is left."""
    pause_seconds = 0.0
    while not ended(pause_seconds):
        try:
            sweeper.sweep()
            pause_seconds = PERIOD_SECONDS
        except SweepError as error:
            pause_seconds = min(max(2 * pause_seconds, PERIOD_SECONDS), SLOWEST_SECONDS)
            logger.warning("pods not listed, again in %.0f s: %s", pause_seconds, error)
        except Exception:
            pause_seconds = PERIOD_SECONDS
            logger.exception("a round failed")


def finish(sweeper: Sweeper, pause: Callable[[float], None] = time.sleep) -> None:
    """Lift every gate of ours for some seconds more: an operator may not know yet that we end."""
    until = sweeper.monotonic() + ENDING_SECONDS
    while sweeper.monotonic() < until:
        try:
            sweeper.sweep(ending=True)
        except SweepError as error:
            logger.warning("pods not listed while ending: %s", error)
        pause(0.5)


def serve_health(sweeper: Sweeper, port: int) -> ThreadingHTTPServer:
    """Answer /healthz in threads of their own: 200 while rounds succeed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            healthy = sweeper.healthy()
            text = f"{'ok' if healthy else 'no round succeeded lately'}; {sweeper.lifted} gates lifted\n"
            self.send_response(200 if healthy else 503)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Probes are not worth a line."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def address_of(environment: Mapping[str, str]) -> Address:
    """The API server of the cluster this pod is in. Raises SweepError outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port.isdecimal():
        raise SweepError("this is no pod: KUBERNETES_SERVICE_HOST and _PORT are not set")
    return Address(host, int(port))


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """The entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="plimsoll-sweeper", description="Lifts scheduling gates that are overdue.", allow_abbrev=False
    )
    parser.add_argument("--health-port", type=int, default=8082, help="port of /healthz; 0: none")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        sweeper = Sweeper(Pods(address_of(environment)))
    except SweepError as error:
        logger.critical("%s", error)
        return 1
    ending = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: ending.set())
    if options.health_port:
        serve_health(sweeper, options.health_port)
    run(sweeper, ending.wait)
    finish(sweeper)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A real kube-apiserver and its etcd as child processes on loopback, for contract tests and the bench.

In: the binaries `make apiserver` left in the cache, an empty directory. Out: a running API server with RBAC
on, a kubeconfig and an HTTP client per user, a log tail on failure. There is no controller manager,
scheduler or kubelet: whoever uses it writes pod status himself, which is what makes the tests exact.
Certificates come from the openssl command; users are named in a static token file.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

READY_SECONDS = 60.0
"""A cold start takes 4 s on two idle cores; builds beside it have made it 20 s."""

STOP_SECONDS = 5.0
"""An API server with open watches may take a minute to end by itself: after this it is killed."""

OPERATOR_USER = "system:serviceaccount:plimsoll-system:plimsoll-operator"
USERS = {
    "admin": ("admin-token", "admin", "system:masters"),
    "operator": ("operator-token", OPERATOR_USER, "system:serviceaccounts"),
    "nobody": ("nobody-token", "nobody", "nobody"),
}
"""Name used in tests -> bearer token, user name, group. `operator` may do only what RBAC grants it."""

MISSING = "kube-apiserver, etcd and kubectl are not all built: run `make apiserver` (Go 1.26 or newer, once)"
NO_OPENSSL = "the openssl command is not installed, and the API server's test certificates are made with it"


def binaries() -> Path:
    """The directory `make apiserver` builds into."""
    cache = os.environ.get("PLIMSOLL_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(cache) if cache else base / "plimsoll") / "bin"


def why_unavailable() -> str | None:
    """One sentence naming what is missing for a real API server, or None."""
    if not all(os.access(binaries() / name, os.X_OK) for name in ("kube-apiserver", "etcd", "kubectl")):
        return MISSING
    return None if shutil.which("openssl") else NO_OPENSSL


class StartError(RuntimeError):
    """A child ended or did not become ready; the message carries the end of its log."""


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Child:
    """One child process with its log; ends with us even when we are killed."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _sink: IO[bytes] | None = None

    def start(self) -> None:
        """Start it; the log is appended to, so that a restart keeps what was said before."""
        # setpriv is in util-linux; without it a SIGKILLed test run would leave the child behind.
        guard = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        self._sink = self.log.open("ab")
        self.process = subprocess.Popen(
            [*guard, *self.argv],
            stdin=subprocess.DEVNULL,
            stdout=self._sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        if self.process is None:
            raise StartError(f"{self.name} is not running")
        return self.process.pid

    def wait_until(self, ready, seconds: float = READY_SECONDS) -> None:
        """Poll `ready()` until it is true; raise with the log's tail when the child ends or time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process is None or self.process.poll() is not None:
                raise StartError(f"{self.name} ended before it was ready\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready after {seconds:.0f} s\n{self.tail()}")
            self._pause(0.05)

    def _pause(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def stop(self, *, kill: bool = False) -> None:
        """End it (SIGTERM, then SIGKILL; SIGKILL at once with `kill`) and reap it."""
        if self.process is not None:
            if kill:
                self.process.kill()
            else:
                self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def tail(self, lines: int = 25) -> str:
        """The last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])


@dataclass
class ApiServer:
    """A running pair of etcd and kube-apiserver; `directory` holds keys, logs, kubeconfigs, etcd's data."""

    directory: Path
    port: int
    etcd: Child
    server: Child
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Base address of the API."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """PEM of the authority that signed the server's certificate."""
        return self.directory / "ca.crt"

    def ssl_context(self) -> ssl.SSLContext:
        """A context that trusts this API server only."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def client(self, user: str = "admin") -> httpx.Client:
        """A blocking HTTP client that speaks as `user`; shared, closed when the server is stopped."""
        if user not in self._clients:
            headers = {"Authorization": f"Bearer {USERS[user][0]}"}
            self._clients[user] = httpx.Client(
                base_url=self.url, headers=headers, verify=self.ssl_context(), timeout=30
            )
        return self._clients[user]

    def kubeconfig(self, user: str = "admin") -> Path:
        """A kubeconfig file (JSON is YAML) whose only context speaks as `user`."""
        path = self.directory / f"{user}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)},
                }
            ],
            "users": [{"name": user, "user": {"token": USERS[user][0]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        }
        path.write_text(json.dumps(config))
        return path

    def is_ready(self) -> bool:
        """Whether /readyz answers ok, after the built-in roles and priority classes were written."""
        try:
            return self.client().get("/readyz").text == "ok"
        except httpx.TransportError:
            return False

    def stop_server(self, *, kill: bool = False) -> None:
        """Stop the API server alone; etcd keeps what it holds."""
        self._close_clients()
        self.server.stop(kill=kill)

    def start_server(self) -> None:
        """Start the API server on its old port and wait until it is ready."""
        self.server.start()
        self.server.wait_until(self.is_ready)

    def restart(self, *, kill: bool = False) -> None:
        """The API server goes away under its clients and comes back with the same data."""
        self.stop_server(kill=kill)
        self.start_server()

    def stop(self) -> None:
        """Stop both children, by their process ids."""
        self.stop_server()
        self.etcd.stop()

    def _close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def openssl(directory: Path, *arguments: str) -> None:
    """Run openssl in `directory`; its complaint becomes the error's text."""
    done = subprocess.run(
        ["openssl", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise StartError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def new_authority(directory: Path, name: str = "ca") -> None:
    """Write `<name>.crt` and `<name>.key`: an authority for one test run."""
    openssl(directory, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    usage = "keyUsage=critical,keyCertSign,cRLSign"
    subject = f"/CN=plimsoll-test-{name}"
    openssl(
        directory, "req", "-x509", "-new", "-key", f"{name}.key", "-subj", subject, "-days", "2",
        "-addext", usage, "-out", f"{name}.crt",
    )  # fmt: skip


def new_certificate(directory: Path, name: str, authority: str = "ca", hosts: Sequence[str] = ()) -> None:
    """Write `<name>.crt` and `<name>.key` for a server on 127.0.0.1 and `hosts`, signed by `authority`."""
    names = ",".join(["IP:127.0.0.1", "DNS:localhost", *(f"DNS:{host}" for host in hosts)])
    extensions = directory / f"{name}.ext"
    extensions.write_text(
        "keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\n"
        f"basicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\nsubjectAltName={names}\n"
    )
    openssl(directory, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl(directory, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
    openssl(
        directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt",
        "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2",
        "-extfile", extensions.name, "-out", f"{name}.crt",
    )  # fmt: skip


def _write_keys(directory: Path) -> None:
    new_authority(directory)
    new_certificate(directory, "server")
    openssl(directory, "genrsa", "-out", "sa.key", "2048")
    lines = [f'{token},{user},{user},"{group}"\n' for token, user, group in USERS.values()]
    (directory / "tokens.csv").write_text("".join(lines))


def _etcd(directory: Path) -> tuple[Child, int]:
    port, peer = free_port(), free_port()
    argv = [
        str(binaries() / "etcd"), "--data-dir", str(directory / "etcd"), "--log-level", "warn",
        "--listen-client-urls", f"http://127.0.0.1:{port}", "--advertise-client-urls", f"http://127.0.0.1:{port}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"default=http://127.0.0.1:{peer}",
        # Nothing here outlives the test: speed instead of durability. 4 GiB holds the bench's objects.
        "--unsafe-no-fsync=true", "--quota-backend-bytes=4294967296",
    ]  # fmt: skip
    return Child("etcd", argv, directory / "etcd.log"), port


def _kube_apiserver(directory: Path, etcd_port: int, extra: Sequence[str]) -> tuple[Child, int]:
    port = free_port()
    argv = [
        str(binaries() / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}",
        # The service `kubernetes` may not point at a loopback address; nothing here asks for it.
        "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
        f"--tls-cert-file={directory}/server.crt", f"--tls-private-key-file={directory}/server.key",
        f"--cert-dir={directory}", f"--token-auth-file={directory}/tokens.csv", "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={directory}/sa.key",
        f"--service-account-signing-key-file={directory}/sa.key",
        # No controller manager here creates the `default` service accounts that plugin wants in every pod.
        "--disable-admission-plugins=ServiceAccount", "--profiling=false", "--v=1", *extra,
    ]  # fmt: skip
    return Child("kube-apiserver", argv, directory / "kube-apiserver.log"), port


def start_apiserver(directory: Path, extra: Sequence[str] = ()) -> ApiServer:
    """Start etcd and kube-apiserver with state in `directory` (exists, empty); returns when /readyz is ok."""
    if reason := why_unavailable():
        raise StartError(reason)
    _write_keys(directory)
    etcd, etcd_port = _etcd(directory)
    server, port = _kube_apiserver(directory, etcd_port, extra)
    api = ApiServer(directory, port, etcd, server)
    try:
        etcd.start()
        etcd.wait_until(lambda: _etcd_healthy(etcd_port))
        api.start_server()
    except BaseException:
        api.stop()
        raise
    return api


def _etcd_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).json().get("health") == "true"
    except (httpx.TransportError, ValueError):
        return False


@contextmanager
def running_apiserver(directory: Path, extra: Sequence[str] = ()) -> Iterator[ApiServer]:
    """`start_apiserver`, stopped at the end whatever happens."""
    api = start_apiserver(directory, extra)
    try:
        yield api
    finally:
        api.stop()

"""Real Redis servers of a test's own: single, with replicas and Sentinel, as a Cluster; on loopback, or where
the test says.

In: an empty directory and settings. Out: running servers that end with us. The binaries are Debian's,
unpacked into the cache by kind/redis.sh (`make redis`), or those of the PATH. Tests that want one are
skipped with that sentence where there is none.
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import redis

from builders.apiserver import free_port
from builders.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
MISSING = "there is no redis-server: run `make redis` (apt-get), or install one"
ADMIN = "admin-of-the-test"
LOOPBACK = "127.0.0.1"


@cache
def binaries() -> Path | None:
    """The directory that has redis-server."""
    done = subprocess.run([ROOT / "kind" / "redis.sh"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Path(done.stdout.strip())
    found = shutil.which("redis-server")
    return Path(found).parent if found else None


@dataclass
class RedisServer:
    """One server: its port, its directory, and its process while it runs."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    sentinel: bool = False
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    tls: Path | None = None
    address: str = LOOPBACK

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        if self.tls:
            return f"rediss://{self.host}/0?ca_file={self.tls / 'tls.crt'}"
        return f"redis://{self.host}/0"

    def start(self) -> "RedisServer":
        """Start it and wait until it answers; what its directory holds it takes up again."""
        self.directory.mkdir(parents=True, exist_ok=True)
        binary = binaries()
        assert binary is not None, MISSING
        command: list[str] = [str(binary / ("redis-sentinel" if self.sentinel else "redis-server"))]
        command += [str(self._configuration())]
        log = (self.directory / "log").open("ab")
        # A server that outlives a killed test would hold its port: it dies with us.
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.directory, start_new_session=True
        )
        log.close()
        wait_for(self.answers, f"{self.host} to answer")
        return self

    def answers(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except redis.BusyLoadingError:
            return False
        except redis.ResponseError:
            return True
        except (redis.RedisError, OSError):
            return False

    def admin(self) -> redis.Redis:
        """A client with every right."""
        more = {"ssl": True, "ssl_ca_certs": str(self.tls / "tls.crt")} if self.tls else {}
        login = {} if self.sentinel else {"username": "admin", "password": ADMIN}
        return redis.Redis(host=self.address, port=self.port, socket_timeout=10, protocol=2, **login, **more)

    def tell(self, *words: object) -> object:
        """One command with every right."""
        with self.admin() as client:
            return client.execute_command(*words)

    def freeze(self) -> None:
        """It holds its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart_empty(self) -> None:
        """The same port, and no data."""
        self.kill()
        for path in self.directory.glob("*.rdb"):
            path.unlink()
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        self.start()

    def _configuration(self) -> Path:
        path = self.directory / "redis.conf"
        if path.exists() and self.sentinel:
            return path  # Sentinel keeps in it what it knows
        said = {"bind": self.address, "port": "0" if self.tls else str(self.port), "dir": str(self.directory)}
        if not self.sentinel:
            said |= {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": "0", "masteruser": "admin"}
            said |= {"masterauth": ADMIN, "user admin": f"on >{ADMIN} ~* &* +@all", "repl-timeout": "5"}
        if self.tls:
            said |= {"tls-port": str(self.port), "tls-auth-clients": "no"}
            said |= {"tls-cert-file": str(self.tls / "tls.crt"), "tls-key-file": str(self.tls / "tls.key")}
            said |= {"tls-ca-cert-file": str(self.tls / "tls.crt")}
        lines = [f"{name} {value}" for name, value in (said | self.settings).items()]
        path.write_text("\n".join(lines) + "\n")
        return path


@contextmanager
def redis_server(
    directory: Path, tls: Path | None = None, address: str = LOOPBACK, **settings: str
) -> Iterator[RedisServer]:
    """One server, until the block ends. `settings` are lines of redis.conf."""
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    server = RedisServer(directory, named, tls=tls, address=address)
    try:
        yield server.start()
    finally:
        server.kill()


@contextmanager
def redis_cluster(directory: Path, count: int = 3) -> Iterator[list[RedisServer]]:
    """Servers that share the 16384 slots."""
    with ExitStack() as stack:
        servers = []
        for number in range(count):
            settings = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
            settings["cluster-port"] = str(free_port())
            server = RedisServer(directory / str(number), settings)
            stack.callback(server.kill)
            servers.append(server.start())
        for number, server in enumerate(servers):
            first, last = 16384 * number // count, 16384 * (number + 1) // count - 1
            server.tell("CLUSTER", "ADDSLOTSRANGE", first, last)
            if number:
                other = servers[0]
                server.tell("CLUSTER", "MEET", "127.0.0.1", other.port, int(other.settings["cluster-port"]))
        for server in servers:
            wait_for(lambda server=server: _whole(server, count), "the Cluster to be whole")
        yield servers


def _whole(server: RedisServer, count: int) -> bool:
    said = server.tell("CLUSTER INFO")
    return said["cluster_state"] == "ok" and int(said["cluster_known_nodes"]) == count


@dataclass
class Sentinels:
    """A master with replicas, and one Sentinel that watches them."""

    servers: Sequence[RedisServer]
    sentinel: RedisServer
    name: str = "models"

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.sentinel.host}/{self.name}/0"

    def master(self) -> RedisServer:
        """Who is the master by Sentinel's word."""
        with self.sentinel.admin() as client:
            _, port = client.sentinel_get_master_addr_by_name(self.name)
        return next(each for each in self.servers if each.port == int(port))


@contextmanager
def redis_sentinel(directory: Path, replicas: int = 2, **settings: str) -> Iterator[Sentinels]:
    """A master, its replicas, and a Sentinel that gives up on a master after half a second."""
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    with ExitStack() as stack:
        servers = []
        for number in range(replicas + 1):
            more = {"replicaof": f"127.0.0.1 {servers[0].port}"} if number else {}
            server = RedisServer(directory / str(number), named | more)
            stack.callback(server.kill)
            servers.append(server.start())
        watch = {
            "sentinel monitor models": f"127.0.0.1 {servers[0].port} 1",
            "sentinel auth-user models": "admin",
            "sentinel auth-pass models": ADMIN,
            "sentinel down-after-milliseconds models": "500",
            "sentinel failover-timeout models": "3000",
            "sentinel parallel-syncs models": "2",
        }
        sentinel = RedisServer(directory / "sentinel", watch, sentinel=True)
        stack.callback(sentinel.kill)
        made = Sentinels(servers, sentinel.start())
        wait_for(lambda: _replicated(made, replicas), "the replicas")
        yield made


def _replicated(made: Sentinels, replicas: int) -> bool:
    with made.sentinel.admin() as client:
        known = client.sentinel_master(made.name)["num-slaves"]
    return (
        int(known) == replicas
        and int(made.servers[0].tell("INFO", "replication")["connected_slaves"]) == replicas
    )

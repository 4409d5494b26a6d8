"""A real redis-server for the release's memory, beside the control plane: TLS, and a user with few rights.

In: a cluster whose pods reach this machine. Out: a server that ends with the block, the Secrets and values by
which the chart's operator finds it, and what stands in it as its administrator sees it. It listens where the
tests' Prometheus does: on the cluster's bridge. Its user may do what docs/memory.md names, and nothing else.
"""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.certificates import pair_for
from builders.e2e.cluster import Manifest
from builders.redis_server import RedisServer, redis_server
from plimsoll.store.levels.shared import COMMANDS, CONNECTING
from plimsoll.store.record import Address

USER, PASSWORD_SECRET, CA_SECRET = "plimsoll", "plimsoll-e2e-redis", "plimsoll-e2e-redis-ca"
ANSWER_SECONDS = 5  # an emulated node takes longer for TLS than the default's half second


@dataclass(frozen=True)
class MemoryRedis:
    """The server, and who the operator is to it."""

    server: RedisServer
    directory: Path
    password: str

    def values(self) -> Manifest:
        """Of the chart: the fleet's memory, shared by this Redis."""
        return {
            "fleetMemory": {"enabled": True},
            "redis": {
                "url": f"rediss://{USER}@{self.server.host}/0?timeout={ANSWER_SECONDS}",
                "passwordSecret": {"name": PASSWORD_SECRET},
                "caSecret": {"name": CA_SECRET},
            },
        }

    def secrets(self, namespace: str) -> list[Manifest]:
        """What these values name."""
        held = {
            PASSWORD_SECRET: {"password": self.password.encode()},
            CA_SECRET: {"ca.crt": (self.directory / "tls.crt").read_bytes()},
        }
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
            }
            for name, data in held.items()
        ]

    def versions(self) -> dict[str, int]:
        """The version of every record, by the key that it stands at."""
        with self.server.admin() as client:
            keys = sorted(client.scan_iter("plimsoll:r:*", count=500))
            return {key.decode(): int(client.hget(key, "v") or 0) for key in keys}

    def holds(self, kind: str, key: str) -> bool:
        """Whether there is such a record."""
        return f"plimsoll:r:{Address(kind, key).hashed}" in self.versions()

    def users(self) -> set[str]:
        """Who has a connection, besides the administrator."""
        with self.server.admin() as client:
            return {each["user"] for each in client.client_list()} - {"admin"}


@contextmanager
def memory_redis(directory: Path, address: str) -> Iterator[MemoryRedis]:
    """One that listens at this address, until the block ends; what it holds goes when it is killed."""
    password = secrets.token_hex(16)
    rights = " ".join(f"+{each}" for each in (*COMMANDS, *CONNECTING))
    users = {
        "user default": "off",
        f"user {USER}": f"on >{password} resetkeys ~plimsoll:* resetchannels -@all {rights}",
    }
    pair = pair_for(directory / "tls", address)
    with redis_server(directory / "data", tls=pair, address=address, **users) as server:
        yield MemoryRedis(server, pair, password)

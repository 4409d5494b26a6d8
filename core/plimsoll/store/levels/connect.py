"""From an address to a client of redis-py that fails fast: half a second, one new connection, no more.

In: a `RedisAddress`. Out: a `Link`: the client, and the connection on which a key's writes go, so that WAIT
speaks of them. Waiting longer is the caller's decision (`breaker`), never the client's. Each new connection
reads a password in a file anew, and so finds one that was rotated.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from plimsoll.store.levels.address import RedisAddress


@dataclass(frozen=True, slots=True)
class Link:
    """A client for reading, and for each key the single server that takes its writes."""

    client: Any  # redis.Redis or RedisCluster: their stubs agree on nothing
    writer: Callable[[str], Any]
    renew: Callable[[], None]  # ask anew who is who, after a server said that it is not the one
    close: Callable[[], None]


class SharedLink:
    """The one link of an address, made when it is first asked for; threads may ask at once.

    Two that connected at once would leave one's connections open for ever.
    """

    def __init__(self, address: RedisAddress, connect: Callable[[RedisAddress], Link]) -> None:
        self._address = address
        self._connect = connect
        self._link: Link | None = None
        self._connecting = threading.Lock()

    def get(self) -> Link:
        """The link. Raises what connecting raises, and tries anew when next asked."""
        with self._connecting:
            if self._link is None:
                self._link = self._connect(self._address)
            return self._link

    def close(self) -> None:
        """Close the connections; a link that is asked for afterwards is a new one."""
        with self._connecting:
            link, self._link = self._link, None
        if link is not None:
            link.close()


@dataclass(frozen=True, slots=True)
class _Login(redis.CredentialProvider):
    """What a new connection shows."""

    address: RedisAddress

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """User and password, or the password alone. Raises redis.ConnectionError without its file."""
        try:
            secret = self.address.secret()
        except (OSError, UnicodeError) as error:
            raise redis.ConnectionError(f"the password's file cannot be read: {error}") from error
        return (self.address.user, secret) if self.address.user else (secret,)


def connected(address: RedisAddress) -> Link:
    """A link; only a Cluster's client sends something before the first command: it asks for the map."""
    if address.form == "cluster":
        return _cluster(address)
    if address.form == "sentinel":
        return _sentinel(address)
    (host, port), *_ = address.hosts
    return _single(redis.Redis(host=host, port=port, db=address.database, **_settings(address), **_retry()))


def _single(client: redis.Redis) -> Link:
    return Link(client, lambda _key: client, lambda: None, client.close)


def _sentinel(address: RedisAddress) -> Link:
    settings = _settings(address)
    asking = {key: value for key, value in settings.items() if key != "credential_provider"}
    # redis-py gives neither this class nor the next one types.
    sentinel = cast("Any", Sentinel)(
        list(address.hosts), sentinel_kwargs=asking | _retry(), **settings, **_retry()
    )
    client = sentinel.master_for(address.service, db=address.database)

    def close() -> None:
        client.close()
        for each in sentinel.sentinels:
            each.close()

    return Link(client, lambda _key: client, client.connection_pool.disconnect, close)


def _cluster(address: RedisAddress) -> Link:
    nodes = [cast("Any", ClusterNode)(host, port) for host, port in address.hosts]
    client = RedisCluster(startup_nodes=nodes, **_settings(address), retry=Retry(NoBackoff(), 1))

    def writer(key: str) -> redis.Redis:
        return client.get_redis_connection(cast("Any", client).get_node_from_key(key))

    return Link(client, writer, client.nodes_manager.initialize, client.close)


def _settings(address: RedisAddress) -> dict[str, Any]:
    made: dict[str, Any] = {
        "socket_timeout": address.timeout_seconds,
        "socket_connect_timeout": address.timeout_seconds,
        "socket_keepalive": True,
        "protocol": 2,
        "decode_responses": False,
        "driver_info": None,
    }
    if address.user or address.password or address.password_file:
        made["credential_provider"] = _Login(address)
    if address.tls:
        made |= {
            "ssl": True,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": address.ca_file or None,
            "ssl_certfile": address.cert_file or None,
            "ssl_keyfile": address.key_file or None,
        }
    return made


def _retry() -> dict[str, Any]:
    """A connection that the other side has closed is made anew once; a time-out is not repeated."""
    return {"retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))}

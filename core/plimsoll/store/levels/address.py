"""Where a Redis is: one URL for a single server, for Sentinel and for a Cluster, with TLS and users.

In: `redis://user:password@host:6379/0`, `redis+sentinel://host1,host2:26379/name/0`,
`redis+cluster://host1,host2:6379`; `rediss...` for TLS. Settings follow the `?`: `password_file`, `ca_file`,
`cert_file`, `key_file`, `replicas` (of which so many must have taken a write), `timeout` (seconds), `prefix`.
Out: a `RedisAddress` whose text never holds the password.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

SENTINEL_PORT, REDIS_PORT = 26379, 6379
DEFAULT_TIMEOUT_SECONDS = 0.5
DEFAULT_PREFIX = "plimsoll"
_SCHEMES = {"redis": "single", "redis+sentinel": "sentinel", "redis+cluster": "cluster"}
_SETTINGS = ("password_file", "ca_file", "cert_file", "key_file", "replicas", "timeout", "prefix")


class RedisAddressError(ValueError):
    """This is no address of a Redis; the message says what is wrong, without its password."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where it is and how one speaks to it."""

    form: str  # single, sentinel or cluster
    hosts: tuple[tuple[str, int], ...]
    service: str = ""  # Sentinel's name of the master
    database: int = 0
    user: str = ""
    password: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    replicas: int = 0  # that must have taken a write before it counts
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    prefix: str = DEFAULT_PREFIX

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        form = "" if self.form == "single" else f"+{self.form}"
        end = f"/{self.service}" if self.service else ""
        return f"redis{'s' if self.tls else ''}{form}://{hosts}{end}"

    __repr__ = __str__

    def secret(self) -> str:
        """The password, read anew from its file, so that a rotated one is found. Raises OSError."""
        return Path(self.password_file).read_text("utf-8").strip() if self.password_file else self.password


def parse_redis_address(url: str) -> RedisAddress:
    """The address in a URL. Raises `RedisAddressError`."""
    scheme, separator, rest = url.partition("://")
    tls = scheme.split("+")[0] == "rediss"
    form = _SCHEMES.get(scheme.replace("rediss", "redis", 1))
    if not separator or form is None:
        raise RedisAddressError(
            "a Redis address begins with redis://, redis+sentinel:// or redis+cluster:// (rediss for TLS)"
        )
    split = urlsplit(f"//{rest}")
    login, _, hosts = split.netloc.rpartition("@")
    user, _, password = login.partition(":")
    said = dict(parse_qsl(split.query))
    if unknown := sorted(set(said) - set(_SETTINGS)):
        raise RedisAddressError(
            f"a Redis address has no setting {unknown[0]!r}; there are {', '.join(_SETTINGS)}"
        )
    path = [each for each in split.path.split("/") if each]
    service = path.pop(0) if form == "sentinel" and path else ""
    if form == "sentinel" and not service:
        raise RedisAddressError("a Sentinel address ends in /name, the name of the master")
    try:
        return RedisAddress(
            form=form,
            hosts=_hosts(hosts, SENTINEL_PORT if form == "sentinel" else REDIS_PORT),
            service=service,
            database=int(path[0]) if path else 0,
            user=unquote(user),
            password=unquote(password),
            tls=tls,
            replicas=int(said.pop("replicas", 0)),
            timeout_seconds=float(said.pop("timeout", DEFAULT_TIMEOUT_SECONDS)),
            **said,
        )
    except ValueError as error:
        raise RedisAddressError(f"a Redis address cannot be read: {error}") from None


def _hosts(text: str, port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for each in text.split(","):
        host, colon, number = each.rpartition(":")
        found.append((host, int(number)) if colon else (each, port))
    if not all(host for host, _ in found):
        raise ValueError("a host is missing")
    return tuple(found)

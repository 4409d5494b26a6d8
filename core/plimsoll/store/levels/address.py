"""Where a Redis is: one URL for a single server, for Sentinel and for a Cluster, with TLS and users.

In: `redis://user:password@host:6379/0`, `redis+sentinel://host1,host2:26379/name/0`,
`redis+cluster://host1,host2:6379`; `rediss...` for TLS. Settings follow the `?`: `password_file`, `ca_file`,
`cert_file`, `key_file`, `replicas` (of which so many must have taken a write), `timeout` (seconds), `prefix`.
Out: a `RedisAddress` whose text never holds the password.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

SENTINEL_PORT, REDIS_PORT = 26379, 6379
DEFAULT_TIMEOUT_SECONDS = 0.5
DEFAULT_PREFIX = "plimsoll"
MOST_PORT, MOST_REPLICAS, MOST_DATABASE = 65_535, 100, 65_535
MOST_TIMEOUT_SECONDS, MOST_DIGITS = 3600.0, 9
_SCHEMES = {"redis": "single", "redis+sentinel": "sentinel", "redis+cluster": "cluster"}
_SETTINGS = ("password_file", "ca_file", "cert_file", "key_file", "replicas", "timeout", "prefix")
_PARTS = re.compile(r"([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?")
_HOST = re.compile(r"(?:(?P<name>[\w.-]+)|\[(?P<six>[0-9a-fA-F:.]+(?:%\w+)?)\])(?::(?P<port>[^:]*))?")


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
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
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
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise RedisAddressError("a Redis address ends after its settings; write # as %23")
    where, path, query = (each or "" for each in parts.groups())
    if "@" in path + query:
        raise RedisAddressError(
            "a Redis address has an @ behind its host: in a password, write / as %2F, ? as %3F"
        )
    login, _, hosts = where.rpartition("@")
    user, _, password = login.partition(":")
    found = _hosts(hosts, SENTINEL_PORT if form == "sentinel" else REDIS_PORT)
    service, database = _named(form, [each for each in path.split("/") if each])
    said = _settings(query)
    return RedisAddress(
        form=form,
        hosts=found,
        service=service,
        database=database,
        user=unquote(user),
        password=unquote(password),
        tls=tls,
        replicas=_whole("replicas", said.pop("replicas", "0"), 0, MOST_REPLICAS),
        timeout_seconds=_timeout(said.pop("timeout", "")),
        **said,
    )


def _named(form: str, path: list[str]) -> tuple[str, int]:
    """What Sentinel calls the master, and the number of the database."""
    service = path.pop(0) if form == "sentinel" and path else ""
    if form == "sentinel" and not service:
        raise RedisAddressError("a Sentinel address ends in /name, the name of the master")
    if len(path) > 1:
        raise RedisAddressError("a Redis address has one database and nothing behind it")
    return service, _whole("the database", path[0] if path else "0", 0, MOST_DATABASE)


def _settings(query: str) -> dict[str, str]:
    said = dict(parse_qsl(query))
    if unknown := sorted(set(said) - set(_SETTINGS)):
        raise RedisAddressError(
            f"a Redis address has no setting {unknown[0]!r}; there are {', '.join(_SETTINGS)}"
        )
    return said


def _hosts(text: str, port: int) -> tuple[tuple[str, int], ...]:
    """Hosts with their ports. What cannot be read is not repeated: it may be part of a password."""
    found = []
    for each in text.split(","):
        host = _HOST.fullmatch(each)
        if host is None:
            raise RedisAddressError(
                "a Redis address has no sound host: want host, host:port, [IPv6] or [IPv6]:port"
                " (and in a password, / as %2F, ? as %3F, # as %23)"
            )
        number = _whole("the port", host["port"], 1, MOST_PORT) if host["port"] else port
        found.append((host["name"] or host["six"], number))
    return tuple(found)


def _whole(what: str, text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS and least <= int(text) <= most:
        return int(text)
    raise RedisAddressError(
        f"a Redis address cannot be read: {what} is a whole number from {least} to {most}"
    )


def _timeout(text: str) -> float:
    try:
        seconds = float(text or DEFAULT_TIMEOUT_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_TIMEOUT_SECONDS:  # NaN is not either
        said = f"timeout is in seconds, more than 0 and at most {MOST_TIMEOUT_SECONDS:g}"
        raise RedisAddressError(f"a Redis address cannot be read: {said}")
    return seconds

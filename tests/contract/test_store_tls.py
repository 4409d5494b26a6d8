"""Redis over TLS: who is not whom the authority named is not spoken to, so no password reaches him."""

import asyncio
from pathlib import Path

import pytest

from builders.certificates import loopback_pair
from builders.redis_server import ADMIN, MISSING, binaries, redis_server
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.record import Address
from plimsoll_operator.serve.certificate import make_self_signed

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)


def level(host: str, authority: Path) -> SharedLevel:
    url = f"rediss://admin:{ADMIN}@{host}/0?timeout=10&ca_file={authority / 'tls.crt'}"
    return SharedLevel(parse_redis_address(url))


def pair(directory: Path, *names: str) -> Path:
    """A self-signed pair for these names."""
    directory.mkdir()
    asyncio.run(make_self_signed(directory, names))
    return directory


def refused(shared: SharedLevel) -> LevelError:
    with pytest.raises(LevelError) as refusal:
        shared.head(Address("incident", "x"))
    shared.close()
    assert ADMIN not in str(refusal.value)
    return refusal.value


def test_a_server_of_another_authority_is_not_spoken_to(tmp_path: Path):
    (tmp_path / "own").mkdir()
    own = loopback_pair(tmp_path / "own")
    other = pair(tmp_path / "other", "127.0.0.1", "localhost")
    with redis_server(tmp_path / "data", tls=own) as server:
        sound = level(server.host, own)
        assert sound.head(Address("incident", "x")) is None
        sound.close()
        failure = refused(level(server.host, other))
    assert failure.reason is Reason.DOWN
    assert "certificate" in str(failure).lower()


def test_a_server_of_another_name_is_not_spoken_to(tmp_path: Path):
    (tmp_path / "own").mkdir()
    own = loopback_pair(tmp_path / "own")
    with redis_server(tmp_path / "data", tls=own) as server:
        # The same address, under a name that its certificate does not have.
        failure = refused(level(server.host.replace("127.0.0.1", "127.1"), own))
    assert failure.reason is Reason.DOWN
    assert "certificate" in str(failure).lower()

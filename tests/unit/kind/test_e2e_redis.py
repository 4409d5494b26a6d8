"""The end-to-end tests' Redis: a memory is kept there by the chart's values and Secrets, and not without."""

import base64
from pathlib import Path

import pytest
import redis

from builders.e2e.redis import CA_SECRET, PASSWORD_SECRET, USER, memory_redis
from builders.redis_server import MISSING, binaries
from plimsoll.store.memory import open_memory

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
NOW = 1_700_000_000.0


def test_by_values_and_secrets_a_memory_is_shared_and_what_was_lost_is_there_again(tmp_path: Path):
    with memory_redis(tmp_path / "redis", "127.0.0.1") as made:
        files = {}
        for each in made.secrets("anywhere"):
            (text,) = each["data"].values()
            files[each["metadata"]["name"]] = tmp_path / each["metadata"]["name"]
            files[each["metadata"]["name"]].write_bytes(base64.b64decode(text))
        url = made.values()["redis"]["url"]
        url += f"&password_file={files[PASSWORD_SECRET]}&ca_file={files[CA_SECRET]}"
        memory = open_memory(str(tmp_path / "memory.db"), url)
        memory.store("incident", "here", {"text": "x"}, NOW)
        assert not memory.send(NOW).failure
        assert (made.holds("incident", "here"), made.holds("incident", "there")) == (True, False)
        assert made.users() == {USER}
        (version,) = made.versions().values()
        assert version >= 1

        made.server.restart_empty()
        assert made.versions() == {}
        for turn in range(1, 6):
            memory.send(NOW + 60.0 * turn)
        assert list(made.versions().values()) == [version]
        memory.close()


def test_nobody_enters_without_a_password(tmp_path: Path):
    with memory_redis(tmp_path / "redis", "127.0.0.1") as made:
        authority = str(made.directory / "tls.crt")
        stranger = redis.Redis(
            host="127.0.0.1", port=made.server.port, ssl=True, ssl_ca_certs=authority, protocol=2
        )
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()

"""Self-signed pairs, for loopback or other addresses, made by the same code that makes the webhook's."""

import asyncio
from pathlib import Path

from plimsoll_operator.serve.certificate import make_self_signed


def loopback_pair(directory: Path) -> Path:
    """Write tls.crt and tls.key for 127.0.0.1 into `directory`; for tests without an event loop."""
    return pair_for(directory, "127.0.0.1", "localhost")


def pair_for(directory: Path, *hosts: str) -> Path:
    """The same for these addresses and names."""
    asyncio.run(make_self_signed(directory, hosts))
    return directory

"""A self-signed pair for loopback, made by the same code that makes the webhook's."""

import asyncio
from pathlib import Path

from plimsoll_operator.serve.certificate import make_self_signed


def loopback_pair(directory: Path) -> Path:
    """Write tls.crt and tls.key for 127.0.0.1 into `directory`; for tests without an event loop."""
    asyncio.run(make_self_signed(directory, ["127.0.0.1", "localhost"]))
    return directory

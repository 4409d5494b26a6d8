"""Where the operator's logs go: standard error, one JSON object a line (`plimsoll.logs`)."""

import logging
import sys

from plimsoll.logs import JsonFormatter

_NOISY = ("httpx", "httpcore", "aiohttp.access", "kubernetes.client.rest")


def configure_logs(level: str = "info") -> None:
    """Send all logs of this process to standard error as JSON; libraries that log every request only warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)

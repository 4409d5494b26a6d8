"""Where the agent's logs go: standard error, one JSON object a line (`plimsoll.logs`)."""

import logging
import sys

from plimsoll.logs import JsonFormatter


def configure_logs(level: str = "info") -> None:
    """Send all logs of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())

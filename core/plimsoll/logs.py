"""Structured logs: a record as one JSON object on one line, with stable keys, the same from every process.

In: Python's logging records, of ours and of libraries. Out: `time` (RFC 3339, UTC), `level`, `logger`,
`message`, then whatever the call gave as `extra` (`workload`, `pod`, `cgroup`, `reason`, `limit_bytes`, ...),
then `exception`.
"""

import json
import logging
from datetime import UTC, datetime

# What every record has; all else came in by `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)

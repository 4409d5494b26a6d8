"""What the agent has set and not yet taken back, on disk before it is set: undone after a kill -9.

In: a directory of the agent's own (`--state-dir`; on a tmpfs of the node, for what is set in a kernel ends
with it too). Out: one small file for each thing that is set, removed once it is taken back. A record is
written, synced and renamed into place before the kernel is touched, so that there may be a record of what
was never done (undoing that does nothing), but nothing done without a record.
"""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MOST_RECORDS = 4096  # a node has at most some hundred containers
_SUFFIX = ".json"


class TakenError(Exception):
    """Another agent acts with this state directory."""


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """For the block no other process acts with this directory. Raises TakenError, and OSError.

    Who started beside a living agent would take what that one has set for a dead one's, and undo it. The
    kernel ends the lock with the process, however that ends.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TakenError(f"another agent acts with the state directory {directory}") from error
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that is set. `boot_id` tells it from one of before a reboot, which is void."""

    name: str
    kind: str
    boot_id: str
    subject: Mapping[str, str | int]
    """What identifies it: a cgroup's path and inode, a kdamond's slot."""
    before: str
    """What stood there before."""
    wrote: tuple[str, ...]
    """What we wrote: where something else stands by now, another has taken it over and it is left alone."""


class Journal:
    """Records in a directory; made if it is not there. Raises OSError where it cannot be written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, record: Record) -> None:
        """Keep a record; it is on disk when this returns. Raises OSError: then nothing may be set."""
        if len(self.names()) >= MOST_RECORDS and record.name not in self.names():
            raise OSError(f"the journal already holds {MOST_RECORDS} records")
        path = self._path(record.name)
        partial = path.with_suffix(".partial")
        with partial.open("w") as file:
            file.write(json.dumps(asdict(record)))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        self._sync()

    def drop(self, name: str) -> None:
        """Forget a record, once what it tells has been undone."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all records."""
        return sorted(each.stem for each in self._directory.glob(f"*{_SUFFIX}"))

    def records(self) -> list[Record]:
        """Return every record that can be read; a torn or foreign file is put aside and logged."""
        found = []
        for name in self.names():
            try:
                found.append(_record(json.loads(self._path(name).read_text())))
            except (OSError, ValueError, TypeError, KeyError):
                logger.warning("a record of the journal cannot be read", extra={"record": name})
                self._path(name).rename(self._path(name).with_suffix(".bad"))
        return found

    @classmethod
    def of_another(cls, directory: Path) -> list[Record]:
        """What another process has written down there, for who only looks; torn files are passed over."""
        found = []
        for path in sorted(directory.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                found.append(_record(json.loads(path.read_text())))
        return found

    def _path(self, name: str) -> Path:
        if "/" in name or name.startswith("."):
            raise ValueError(f"not a record's name: {name!r}")
        return self._directory / f"{name}{_SUFFIX}"

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _record(plain: dict[str, Any]) -> Record:
    return Record(**(plain | {"wrote": tuple(plain["wrote"])}))

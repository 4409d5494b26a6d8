"""The tables of level 2's file, and opening it: what is damaged is set aside, what is older is migrated.

In: a path. Out: a connection in WAL mode with foreign bytes kept away, and where a damaged file went.
"""

import sqlite3
from pathlib import Path

from plimsoll.store.levels.protocol import LevelError, Reason

FILE_VERSION = 1
BUSY_SECONDS = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS records (
  hash TEXT PRIMARY KEY, version INTEGER NOT NULL, digest TEXT NOT NULL, said TEXT NOT NULL,
  base INTEGER NOT NULL, state INTEGER NOT NULL, sent_seconds REAL NOT NULL,
  changed INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_digest ON records (digest);
CREATE INDEX IF NOT EXISTS records_by_state ON records (state, changed) WHERE state != 0;
CREATE INDEX IF NOT EXISTS records_by_change ON records (changed);
CREATE INDEX IF NOT EXISTS records_by_use ON records (used);
CREATE TABLE IF NOT EXISTS blobs (digest TEXT PRIMARY KEY, packed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def opened(path: Path | str) -> tuple[sqlite3.Connection, Path | None]:
    """The file, and the name that a damaged one was given. Raises `LevelError`."""
    try:
        return _connected(path), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) or str(path) == ":memory:":
            raise LevelError("file", Reason.DOWN, f"{path}: {error}") from error
        aside = _set_aside(Path(path))
        return _connected(path), aside


def _connected(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        _understood(path, version)
        db.executescript(_TABLES)
        db.execute(f"PRAGMA user_version = {FILE_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _understood(path: Path | str, version: int) -> None:
    if version > FILE_VERSION:
        said = f"{path} is of version {version}, newer than {FILE_VERSION}"
        raise LevelError("file", Reason.READ_ONLY, said)


def _set_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.replace(aside)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return aside

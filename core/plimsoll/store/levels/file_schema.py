"""The tables of level 2's file, and opening it: what is damaged is set aside, what is foreign is left.

In: a path, whether a damaged memory may be set aside. Out: a connection in WAL mode, and where a damaged file
went; what could still be read of it is in the new one. Ours is what has our `application_id` in its header
(SQLite's file format, offset 68), or, from before there was one, our three tables and no other. Anything else
is refused before a byte of it is changed.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from plimsoll.store.levels.protocol import LevelError, Reason

FILE_VERSION = 1
APPLICATION_ID = 0x506C696D  # "Plim", in the file's header
BUSY_SECONDS = 5.0
_MAGIC, _HEADER_BYTES, _ID_AT = b"SQLite format 3\0", 100, 68
_NAMES = {"records", "blobs", "meta"}
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

# What of each table is taken out of a damaged file, and where it goes.
_SALVAGE = (
    (
        """SELECT * FROM records WHERE typeof(hash) = 'text' AND typeof(version) = 'integer'
           AND typeof(digest) = 'text' AND typeof(said) = 'text' AND typeof(base) = 'integer'
           AND state IN (0, 1, 2) AND typeof(sent_seconds) = 'real' AND typeof(changed) = 'integer'
           AND typeof(used) = 'integer' ORDER BY hash""",
        "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    (
        "SELECT * FROM blobs WHERE typeof(digest) = 'text' AND typeof(packed) = 'blob' ORDER BY digest",
        "INSERT OR IGNORE INTO blobs VALUES (?, ?)",
    ),
    (
        "SELECT * FROM meta WHERE typeof(name) = 'text' AND typeof(value) = 'text' ORDER BY name",
        "INSERT OR IGNORE INTO meta VALUES (?, ?)",
    ),
)


def opened(path: Path | str, *, set_aside: bool = True) -> tuple[sqlite3.Connection, Path | None]:
    """The file, and the name that a damaged one was given. Raises `LevelError`.

    Without `set_aside` a damaged one stays where it is, and is an error.
    """
    if str(path) != ":memory:":
        _refuse_foreign(Path(path))
    try:
        return _connected(path, looked_through=set_aside), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) or str(path) == ":memory:":
            raise LevelError("file", Reason.DOWN, f"{path}: {error}") from error
        if not set_aside:
            said = f"{path} is damaged ({error}); it was left as it is"
            raise LevelError("file", Reason.DOWN, said) from error
        aside = _set_aside(Path(path))
        db = _connected(path)
        _salvage(db, aside)
        return db, aside


def _refuse_foreign(path: Path) -> None:
    """Raise where a file is there, is not empty, and is no memory of ours."""
    try:
        if not path.exists():
            return
        if not path.is_file():
            raise _foreign(path, "it is no regular file")
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise LevelError("file", Reason.DOWN, f"{path}: {error.strerror or error}") from error
    if not header or _id_of(header) == APPLICATION_ID:
        return
    if not header.startswith(_MAGIC):
        raise _foreign(path, "it is no SQLite file")
    _refuse_foreign_tables(path)


def _refuse_foreign_tables(path: Path) -> None:
    """Look into a file without our mark: from before there was one, just begun, or foreign."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=BUSY_SECONDS, uri=True)
        try:
            (mark,) = db.execute("PRAGMA application_id").fetchone()
            names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            columns = {row[1] for row in db.execute("PRAGMA table_info(records)")}
        finally:
            db.close()
    except sqlite3.Error as error:
        raise _foreign(path, f"it cannot be read: {error}") from error
    if mark == APPLICATION_ID or (not mark and not names):
        return
    if mark or names != _NAMES or "digest" not in columns:
        raise _foreign(path, "it is another program's SQLite file")


def _id_of(header: bytes) -> int:
    return int.from_bytes(header[_ID_AT : _ID_AT + 4], "big") if header.startswith(_MAGIC) else 0


def _foreign(path: Path, why: str) -> LevelError:
    return LevelError("file", Reason.DENIED, f"{path} is no memory of Plimsoll: {why}")


def _connected(path: Path | str, *, looked_through: bool = False) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _marked(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        _understood(path, version)
        if looked_through:
            _look_through(db)
        db.executescript(_TABLES)
        if version != FILE_VERSION:
            db.execute(f"PRAGMA user_version = {FILE_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _look_through(db: sqlite3.Connection) -> None:
    """Raise `DatabaseError` where pages are damaged: a sound header alone lets a file open."""
    (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)


def _salvage(db: sqlite3.Connection, aside: Path) -> None:
    """Copy what can still be read, each table from both its ends; what waited for Redis goes on waiting."""
    try:
        old = sqlite3.connect(f"{aside.absolute().as_uri()}?mode=ro", timeout=BUSY_SECONDS, uri=True)
    except sqlite3.Error:
        return
    db.execute("BEGIN IMMEDIATE")
    for found, kept in _SALVAGE:
        for order in ("", " DESC"):
            with suppress(sqlite3.DatabaseError):  # as far as it goes
                for row in old.execute(found + order):
                    db.execute(kept, row)
    db.execute("COMMIT")
    old.close()
    aside.with_name(f"{aside.name}-shm").unlink(missing_ok=True)


def _marked(db: sqlite3.Connection) -> None:
    """Say whose file it is before it gets a log, so that the mark is in the file itself from the start."""
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    if mark != APPLICATION_ID:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _understood(path: Path | str, version: int) -> None:
    if version > FILE_VERSION:
        said = f"{path} is of version {version}, newer than {FILE_VERSION}"
        raise LevelError("file", Reason.READ_ONLY, said)


def _set_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    log = path.with_name(f"{path.name}-wal")
    if log.exists():  # what it has may be all that can be saved
        log.replace(aside.with_name(f"{aside.name}-wal"))
    path.replace(aside)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside

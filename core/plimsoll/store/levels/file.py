"""Level 2: a SQLite file (WAL) that outlives the process, and the outbox of what Redis has not got yet.

In: entries. Out: the same after a restart or a kill. A write of ours stays `PENDING` until the shared level
has taken it, then `SENT` until it was read back from there (decision 0101). Bounded: what is clean goes
first, the longest unused before others; what is not yet read back never goes, and when all is such, a new
key is refused (`LevelError` full) while known keys may still change, until their contents take twice what a
file may hold. A file that is damaged is set aside under another name (or refused), and a new one begun with
what can still be read.
`secure_delete`: what was forgotten is overwritten.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from plimsoll.store.levels.file_schema import opened
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.levels.protocol import LevelError, Put, Reason
from plimsoll.store.record import Address, DamagedError, Entry, Record, RecordError

DEFAULT_BYTES = 256 << 20  # of packed contents
DEFAULT_RECORDS = 200_000
CHECKED_EVERY = 256  # new keys: to count is to look at every row
_MISSING = "its content is missing"


class State(IntEnum):
    """Where a record stands between this file and the shared level."""

    CLEAN = 0  # the shared level has it, or nothing is shared
    PENDING = 1  # not taken there yet
    SENT = 2  # taken, not read back yet


@dataclass(frozen=True, slots=True)
class Held:
    """A record as it lies here."""

    record: Record
    base: int  # the shared version that it was made from; 0: none
    state: State
    sent_seconds: float
    hashed: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a file may hold."""

    most_bytes: int = DEFAULT_BYTES
    most_records: int = DEFAULT_RECORDS


class FileLevel:
    """One file; ":memory:" for none. May be opened by several processes at once."""

    name = "file"

    def __init__(
        self, path: Path | str = ":memory:", bounds: Bounds | None = None, *, set_aside: bool = True
    ) -> None:
        self.path = path
        self._bounds = bounds or Bounds()
        self._lock = threading.RLock()
        self._used: dict[str, None] = {}
        # New keys and bytes that may come before room is looked at again.
        self._free_records, self._free_bytes = 0, 0
        self.evicted = 0
        self._db, self.set_aside = opened(path, set_aside=set_aside)

    # Reading

    def head(self, address: Address) -> Record | None:
        """The record or its tombstone."""
        held = self.held(address)
        return held.record if held else None

    def held(self, address: Address) -> Held | None:
        """The record with where it stands."""
        with self._reading() as db:
            row = db.execute(f"{_SELECT} WHERE hash = ?", (address.hashed,)).fetchone()
        return _held(row, address) if row else None

    def get(self, address: Address) -> Entry | None:
        """The entry; its use is noted with the next write."""
        with self._reading() as db:
            row = db.execute(f"{_SELECT} WHERE hash = ?", (address.hashed,)).fetchone()
            if row is None:
                return None
            record = _held(row, address).record
            self._used[address.hashed] = None
            return self._entry(db, record)

    def records(self) -> Iterator[Record]:
        """All records that can be read; `problems` names the others."""
        with self._reading() as db:
            rows = db.execute(f"{_SELECT} WHERE digest != ''").fetchall()
        return (each.record for each in _readable(rows))

    def in_state(self, state: State, most: int, before_seconds: float = float("inf")) -> list[Held]:
        """Records that stand so, the oldest first, tombstones too (their address is a hash then)."""
        query = f"{_SELECT} WHERE state = ? AND sent_seconds <= ? ORDER BY changed LIMIT ?"
        with self._reading() as db:
            rows = db.execute(query, (state, min(before_seconds, 1e15), most)).fetchall()
        return [*_readable(rows)]

    def counts(self) -> dict[str, int]:
        """Records, tombstones, contents and their bytes, and how many stand in which state."""
        with self._reading() as db:
            records, tombstones, pending, sent = db.execute(
                "SELECT sum(digest != ''), sum(digest = ''), sum(state = 1), sum(state = 2) FROM records"
            ).fetchone()
            blobs, size = db.execute("SELECT count(*), sum(length(packed)) FROM blobs").fetchone()
        values = (records, tombstones, pending, sent, blobs, size)
        names = ("records", "tombstones", "pending", "sent", "contents", "bytes")
        return {name: int(value or 0) for name, value in zip(names, values, strict=True)}

    # Writing

    def put(self, entry: Entry, expected_version: int | None) -> Put:
        """Compare and set of what is known elsewhere: it is clean here."""
        with self._writing() as db:
            row = db.execute(
                "SELECT version FROM records WHERE hash = ?", (entry.record.address.hashed,)
            ).fetchone()
            version = row[0] if row else 0
            if entry.record.version <= version or expected_version not in {None, version}:
                return Put(stored=False, version=version)
            self._write(db, entry, entry.record.version, State.CLEAN)
            return Put(stored=True, version=entry.record.version)

    def keep(self, entry: Entry, base: int, state: State = State.PENDING) -> None:
        """A write of ours, whatever is held: made from shared version `base`, not there yet."""
        with self._writing() as db:
            self._write(db, entry, base, state)

    def mark(self, address: Address, digest: str, state: State, base: int, now_seconds: float) -> bool:
        """A record of this digest now stands so; False where it has changed meanwhile."""
        with self._writing() as db:
            done = db.execute(
                "UPDATE records SET state = ?, base = ?, version = max(version, ?), sent_seconds = ?"
                " WHERE hash = ? AND digest = ?",
                (state, base, base, now_seconds, address.hashed, digest),
            )
            return done.rowcount > 0

    def clear_tombstone(self, hashed: str, version: int) -> None:
        """The shared level has it: a tombstone of this version, for the hash of an address."""
        with self._writing() as db:
            db.execute(
                "UPDATE records SET state = 0, base = ?, version = max(version, ?)"
                " WHERE hash = ? AND digest = ''",
                (version, version, hashed),
            )

    def suspect_all(self) -> int:
        """Everything clean is to be read back again: the shared level is not the one it was."""
        with self._writing() as db:
            return db.execute("UPDATE records SET state = 2, sent_seconds = 0 WHERE state = 0").rowcount

    def drop(self, address: Address) -> None:
        """Hold it no longer, without a tombstone."""
        with self._writing() as db:
            db.execute("DELETE FROM records WHERE hash = ?", (address.hashed,))
            _sweep(db, None)

    def sweep(self, digests: Collection[str] | None = None) -> int:
        """Remove contents that nothing refers to, and with given digests the bytes they left in the file."""
        with self._writing() as db:
            gone = _sweep(db, digests)
        if digests is not None:
            self._scrub()
        return gone

    def meta(self, name: str) -> str:
        """A word that is kept in the file; "" where it is not."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set_meta(self, name: str, value: str) -> None:
        """Keep a word."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # Looking after it

    def traces_of(self, addresses: Sequence[Address], digests: Collection[str]) -> int:
        """Rows, and places in the bytes of the file and its log, where names or packed contents stand."""
        with self._reading() as db:
            rows = [
                db.execute("SELECT count(*) FROM records WHERE hash = ? AND digest != ''", (each.hashed,))
                for each in addresses
            ]
            rows += [db.execute("SELECT count(*) FROM blobs WHERE digest = ?", (each,)) for each in digests]
            found = sum(int(each.fetchone()[0]) for each in rows)
        needles = [f'"key":"{each.key}"'.encode() for each in addresses] + [each.encode() for each in digests]
        return found + sum(data.count(needle) for data in self._raw() for needle in needles)

    def problems(self) -> list[str]:
        """What SQLite and the checksums say is wrong, in words."""
        with self._reading() as db:
            said = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
            found = [] if said == ["ok"] else said
            for row in db.execute(f"{_SELECT} WHERE digest != ''").fetchall():
                try:
                    self._entry(db, _held(row).record)
                except RecordError as error:
                    found.append(str(error))
        return found

    def remove_damaged(self) -> int:
        """Drop records whose content is missing or damaged; returns how many."""
        with self._writing() as db:
            bad = []
            for row in db.execute(f"{_SELECT} WHERE digest != ''").fetchall():
                try:
                    self._entry(db, _held(row).record)
                except RecordError:
                    bad.append((row[0],))
            db.executemany("DELETE FROM records WHERE hash = ?", bad)
            _sweep(db, None)
            return len(bad)

    def close(self) -> None:
        """Note what was used, and close."""
        with self._lock:
            try:
                with self._writing():
                    pass
            except LevelError:
                pass
            self._db.close()

    # Within

    def _entry(self, db: sqlite3.Connection, record: Record) -> Entry:
        if record.forgotten:
            return Entry(record, b"")
        row = db.execute("SELECT packed FROM blobs WHERE digest = ?", (record.digest,)).fetchone()
        if row is None:
            raise DamagedError(f"{record.address}: {_MISSING}")
        return Entry(record, unpacked(row[0]))

    def _write(self, db: sqlite3.Connection, entry: Entry, base: int, state: State) -> None:
        record = entry.record
        known = db.execute("SELECT digest FROM records WHERE hash = ?", (record.address.hashed,)).fetchone()
        content = b""
        if not record.forgotten and (not known or known[0] != record.digest):
            content = packed(entry.content)
        self._make_room(db, 0 if known else 1, len(content))
        if content:
            db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (record.digest, content))
        said = "" if record.forgotten else record.to_json()
        db.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, 0,"
            " (SELECT 1 + coalesce(max(changed), 0) FROM records),"
            " (SELECT 1 + coalesce(max(used), 0) FROM records))",
            (record.address.hashed, record.version, record.digest, said, base, state),
        )
        if known and known[0] != record.digest:
            _sweep(db, known)

    def _make_room(self, db: sqlite3.Connection, new_keys: int, new_bytes: int) -> None:
        self._free_records -= new_keys
        self._free_bytes -= new_bytes
        if self._free_records >= 0 and self._free_bytes >= 0:
            return
        bounds = self._bounds
        most_records, most_bytes = bounds.most_records - new_keys, bounds.most_bytes - new_bytes
        count, size = _extent(db)
        while count > most_records or size > most_bytes:
            gone = db.execute(_DELETE_UNUSED, (max(count // 50, 1),)).rowcount
            if not gone:
                break
            self.evicted += gone
            _sweep(db, None)
            count, size = _extent(db)
        if (
            new_keys and (count > most_records or size > most_bytes)
        ) or size > most_bytes + bounds.most_bytes:
            self._free_records = self._free_bytes = 0
            said = f"{count} records of {size >> 20} MiB, all waiting for the shared level"
            raise LevelError(self.name, Reason.FULL, said)
        # Another process may write the same file: half of what is left, and a little where that is nothing.
        self._free_records = max(0, min((most_records - count) // 2, CHECKED_EVERY))
        self._free_bytes = max((most_bytes - size) // 2, bounds.most_bytes >> 8)

    def _note_uses(self, db: sqlite3.Connection) -> None:
        for hashed in list(self._used):
            db.execute(
                "UPDATE records SET used = (SELECT 1 + max(used) FROM records) WHERE hash = ?", (hashed,)
            )
        self._used.clear()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise _said(self.path, error) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes of a block are one transaction: on disk once, or not at all."""
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._db.in_transaction:  # within `together`
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._note_uses(self._db)
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise _said(self.path, error) from error

    def _scrub(self) -> None:
        """Leave no byte of what was deleted: the log is written back and cut off, the file made anew."""
        with self._lock:
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise _said(self.path, error) from error

    def _raw(self) -> Iterator[bytes]:
        if str(self.path) == ":memory:":
            return
        for path in (Path(self.path), Path(f"{self.path}-wal")):
            if path.exists():
                yield path.read_bytes()


_DELETE_UNUSED = (
    "DELETE FROM records WHERE hash IN (SELECT hash FROM records WHERE state = 0 ORDER BY used LIMIT ?)"
)
_SELECT = "SELECT hash, version, digest, said, base, state, sent_seconds FROM records"
_Row = tuple[str, int, str, str, int, int, float]


def _held(row: _Row, address: Address | None = None) -> Held:
    hashed, version, digest, said, base, state, sent = row
    if said:
        record = Record.from_json(said, version, digest)
    else:
        record = Record(address or Address("forgotten", hashed), 0, version, "", 0)
    return Held(record, base, State(state), sent, hashed)


def _extent(db: sqlite3.Connection) -> tuple[int, int]:
    """Records, and bytes of packed contents."""
    (count,) = db.execute("SELECT count(*) FROM records").fetchone()
    (size,) = db.execute("SELECT coalesce(sum(length(packed)), 0) FROM blobs").fetchone()
    return int(count), int(size)


def _readable(rows: Sequence[_Row]) -> Iterator[Held]:
    """One that is unsound hides no other."""
    for row in rows:
        try:
            yield _held(row)
        except RecordError:
            continue


def _sweep(db: sqlite3.Connection, digests: Collection[str] | None) -> int:
    unused = "DELETE FROM blobs WHERE NOT EXISTS (SELECT 1 FROM records WHERE records.digest = blobs.digest)"
    if digests is None:
        return db.execute(unused).rowcount
    return sum(db.execute(f"{unused} AND digest = ?", (each,)).rowcount for each in digests)


def _said(path: Path | str, error: sqlite3.Error) -> LevelError:
    text = f"{path}: {error}"
    if not isinstance(error, sqlite3.OperationalError):
        return LevelError("file", Reason.DOWN, f"{path} is damaged ({error})")
    if "readonly" in text or "read-only" in text:
        return LevelError("file", Reason.READ_ONLY, text)
    if "full" in text:
        return LevelError("file", Reason.FULL, text)
    return LevelError("file", Reason.SLOW if "locked" in text else Reason.DOWN, text)

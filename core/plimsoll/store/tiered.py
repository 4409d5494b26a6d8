"""The levels as one store: read through, written behind, and whole without Redis.

In: addresses, contents, a `now`. Out: entries in the present schema. A read asks the process, then the
file; what was checked against Redis longer than `fresh_seconds` ago is compared by version first, and
fetched only where Redis has a newer one. A write is in the file when `store` returns; `send` brings it to
Redis, from a thread of the shell's own. A level that fails is left out until `Breaker` lets it be asked
again: reads go on with what is here (counted as `stale`), writes wait in the file. Nothing here starts a
thread or looks at a clock of its own.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from plimsoll.store.kinds import KINDS, Kinds, NewerSchemaError, kind_of
from plimsoll.store.levels.breaker import Breaker
from plimsoll.store.levels.file import FileLevel, State
from plimsoll.store.levels.process import ProcessLevel
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.measures import Measures
from plimsoll.store.record import (
    Address,
    Entry,
    Provenance,
    Record,
    RecordError,
    buried_at,
    entry_of,
    tombstone,
)

if TYPE_CHECKING:  # Redis' client is slow to import, and not there for who has no Redis
    from plimsoll.store.levels.shared import SharedLevel

T = TypeVar("T")
FRESH_SECONDS = 30.0
TAKES_NOTHING = (Reason.FULL, Reason.READ_ONLY, Reason.UNACKNOWLEDGED)
MOST_CHECKED = 100_000  # addresses whose last look at Redis is remembered


@dataclass(slots=True)
class TieredStore:
    """Process, file and, where there is one, Redis. `clock` gives seconds for latencies only."""

    file: FileLevel
    process: ProcessLevel = field(default_factory=ProcessLevel)
    shared: "SharedLevel | None" = None
    kinds: Kinds = field(default_factory=lambda: KINDS)
    fresh_seconds: float = FRESH_SECONDS
    clock: Callable[[], float] = lambda: 0.0
    measures: Measures = field(default_factory=Measures)
    breaker: Breaker = field(default_factory=Breaker)
    writes: Breaker = field(default_factory=Breaker)  # of a Redis that may be read, but takes nothing
    _checked: OrderedDict[Address, float] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # Reading

    def retrieve(self, address: Address, now_seconds: float) -> Entry | None:
        """The newest entry that can be had, in the present schema; None where there is none.

        Raises `LevelError` where the file fails; a Redis that fails is counted and passed over.
        """
        with self._lock:
            found = self._local(address)
            if self.shared is not None and not self._fresh(address, now_seconds):
                found = self._compared(address, found, now_seconds)
        return self._present(found)

    def records(self, kind: str | None = None) -> Iterator[Record]:
        """What the file knows of."""
        return (each for each in self.file.records() if kind is None or each.address.kind == kind)

    # Writing

    def store(
        self, address: Address, content: bytes, provenance: Provenance, schema: int | None = None
    ) -> Record:
        """Keep content here, to be sent; equal content is not written again.

        Raises `RecordError`, and `LevelError` full where nothing more can wait.
        """
        kind = kind_of(address.kind, self.kinds)
        with self._lock:
            held = self.file.held(address)
            if (
                held is not None
                and content
                and held.record.digest == entry_of(address, content, provenance).record.digest
            ):
                return held.record
            version = (held.record.version if held else 0) + 1
            entry = entry_of(address, content, provenance, schema=schema or kind.schema, version=version)
            self.timed("file", "put", lambda: self.file.keep(entry, held.base if held else 0, self._state()))
            self._hold(entry)
            self.measures.count("file", "stored")
            return entry.record

    def forget(self, address: Address) -> str:
        """Leave a tombstone here, to be sent; returns the digest of what was held, "" where nothing was."""
        with self._lock:
            held = self.file.held(address)
            version = buried_at(held.record.version if held else 0)
            self.file.keep(Entry(tombstone(address, version), b""), held.base if held else 0, self._state())
            self.process.drop(address)
            self._checked.pop(address, None)
            return held.record.digest if held else ""

    # For `sending`

    def ask(self, action: "Callable[[SharedLevel], T]", operation: str, now_seconds: float) -> T:
        """Ask Redis. Raises `LevelError`, having told the breaker."""
        if self.shared is None:
            raise ValueError("nothing is shared")
        shared = self.shared
        try:
            done = self.timed("redis", operation, lambda: action(shared))
        except LevelError as error:
            self.measures.count("redis", f"error-{error.reason.value}")
            shut = self.writes if error.reason in TAKES_NOTHING else self.breaker
            shut.failed(str(error), now_seconds)
            raise
        self.breaker.succeeded()
        if operation == "put":
            self.writes.succeeded()
        return done

    def adopt(
        self,
        entry: Entry,
        now_seconds: float,
        *,
        state: State = State.CLEAN,
        instead_of: str | None = None,
    ) -> bool:
        """What Redis has is what is here; with a digest only where that is still held. Returns whether."""
        with self._lock:
            if instead_of is not None:
                held = self.file.held(entry.record.address)
                if held is None or held.record.digest != instead_of:
                    return False
            self.file.keep(entry, entry.record.version, state)
            if entry.record.forgotten:
                self.process.drop(entry.record.address)
            else:
                self._hold(entry)
            self._note(entry.record.address, now_seconds)
            return True

    def timed(self, level: str, operation: str, action: Callable[[], T]) -> T:
        """Do it and write down how long it took."""
        begun = self.clock()
        try:
            return action()
        finally:
            self.measures.took(level, operation, self.clock() - begun)

    def close(self) -> None:
        """Close all levels; what waits in the file is sent by the next process."""
        self.process.close()
        self.file.close()
        if self.shared is not None:
            self.shared.close()

    # Within

    def _local(self, address: Address) -> Entry | None:
        found = self.timed("process", "get", lambda: self.process.get(address))
        self.measures.count("process", "hit" if found else "miss")
        if found is not None:
            return found
        try:
            found = self.timed("file", "get", lambda: self.file.get(address))
        except RecordError:
            self.measures.count("file", "damaged")
            self.file.drop(address)  # Redis may have it whole
            found = None
        known = found is not None and not found.record.forgotten
        self.measures.count("file", "hit" if known else "miss")
        if found is not None and known:
            self._hold(found)
        return found

    def _compared(self, address: Address, found: Entry | None, now_seconds: float) -> Entry | None:
        """What Redis has where that is newer; what is here where it is not, or Redis does not answer."""
        if not self.breaker.allows(now_seconds):
            self.measures.count("redis", "stale")
            return found
        try:
            newer = self._newer(address, found, now_seconds)
        except LevelError:
            self.measures.count("redis", "stale")
            return found
        except RecordError:
            self.measures.count("redis", "damaged")
            return found
        self._note(address, now_seconds)
        return newer or found

    def _newer(self, address: Address, found: Entry | None, now_seconds: float) -> Entry | None:
        head = self.ask(lambda shared: shared.head(address), "head", now_seconds)
        known = head is not None and not head.forgotten
        self.measures.count("redis", "hit" if known else "miss")
        held = self.file.held(address)
        if head is None or (
            held is not None and (held.state is not State.CLEAN or head.version <= held.base)
        ):
            return None  # what was changed here is joined with what is there when it is sent
        if found is not None and head.digest == found.record.digest:
            entry = Entry(head, found.content)
        else:
            entry = self.ask(lambda shared: shared.with_content(head), "get", now_seconds)
        self.adopt(entry, now_seconds)
        return entry

    def _present(self, found: Entry | None) -> Entry | None:
        if found is None or found.record.forgotten:
            return None
        try:
            return kind_of(found.record.address.kind, self.kinds).current(found)
        except NewerSchemaError:
            self.measures.count("file", "newer-schema")
        except (RecordError, ValueError):
            self.measures.count("file", "damaged")
        return None

    def _state(self) -> State:
        return State.CLEAN if self.shared is None else State.PENDING

    def _hold(self, entry: Entry) -> None:
        self.process.drop(entry.record.address)
        self.process.put(entry, None)

    def _fresh(self, address: Address, now_seconds: float) -> bool:
        checked = self._checked.get(address)
        return checked is not None and abs(now_seconds - checked) < self.fresh_seconds

    def _note(self, address: Address, now_seconds: float) -> None:
        self._checked[address] = now_seconds
        self._checked.move_to_end(address)
        while len(self._checked) > MOST_CHECKED:
            self._checked.popitem(last=False)

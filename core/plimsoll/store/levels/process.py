"""Level 1: entries in this process, at most so many bytes; what was not used for longest goes first.

In: entries. Out: the same objects, at the cost of a dictionary. Equal contents are held once. It promises
nothing: whatever is here is in level 2 as well.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence

from plimsoll.store.levels.protocol import Put
from plimsoll.store.record import Address, Entry, Record

DEFAULT_BYTES = 32 << 20
OVERHEAD_BYTES = 512  # what a record takes beside its content


class ProcessLevel:
    """Bounded by bytes; a single entry above the bound is not kept."""

    name = "process"

    def __init__(self, most_bytes: int = DEFAULT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._records: OrderedDict[Address, Record] = OrderedDict()
        self._contents: dict[str, bytes] = {}
        self._users: dict[str, int] = {}
        self._lock = threading.RLock()
        self.bytes_ = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._records)

    def head(self, address: Address) -> Record | None:
        """The record; a tombstone too."""
        with self._lock:
            return self._records.get(address)

    def get(self, address: Address) -> Entry | None:
        """The entry, which is used once more by that."""
        with self._lock:
            record = self._records.get(address)
            if record is None:
                return None
            self._records.move_to_end(address)
            return Entry(record, self._contents.get(record.digest, b""))

    def put(self, entry: Entry, expected_version: int | None) -> Put:
        """Compare and set."""
        with self._lock:
            address = entry.record.address
            held = self._records.get(address)
            version = held.version if held else 0
            if entry.record.version <= version or expected_version not in {None, version}:
                return Put(stored=False, version=version)
            self.drop(address)
            self._records[address] = entry.record
            self._take(entry)
            self._make_room()
            return Put(stored=True, version=entry.record.version)

    def drop(self, address: Address) -> None:
        """Hold it no longer, tombstone or not."""
        with self._lock:
            record = self._records.pop(address, None)
            if record is None:
                return
            self.bytes_ -= OVERHEAD_BYTES
            if record.forgotten:
                return
            self._users[record.digest] -= 1
            if not self._users[record.digest]:
                del self._users[record.digest]
                self.bytes_ -= len(self._contents.pop(record.digest))

    def records(self) -> Iterator[Record]:
        """What is held now."""
        with self._lock:
            return iter([each for each in self._records.values() if not each.forgotten])

    def sweep(self, digests: Collection[str] | None = None) -> int:  # noqa: ARG002  (the protocol's)
        """Nothing is ever left behind here."""
        return 0

    def traces_of(self, addresses: Sequence[Address], digests: Collection[str]) -> int:
        """Records and contents of these that are held."""
        with self._lock:
            named = sum(1 for each in addresses if not getattr(self._records.get(each), "forgotten", True))
            return named + sum(1 for each in digests if each in self._contents)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._records.clear()
            self._contents.clear()
            self._users.clear()
            self.bytes_ = 0

    def _take(self, entry: Entry) -> None:
        self.bytes_ += OVERHEAD_BYTES
        if entry.record.forgotten:
            return
        digest = entry.record.digest
        if digest not in self._contents:
            self._contents[digest] = entry.content
            self.bytes_ += len(entry.content)
        self._users[digest] = self._users.get(digest, 0) + 1

    def _make_room(self) -> None:
        while self.bytes_ > self._most_bytes and self._records:
            self.drop(next(iter(self._records)))
            self.evicted += 1

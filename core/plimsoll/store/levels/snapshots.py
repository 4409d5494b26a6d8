"""Snapshots: everything the memory holds, in a directory or an object store, numbered and checksummed.

In: a URL that fsspec understands, entries. Out: `000007/` with `records.jsonl` or `records.parquet`, and a
`manifest.json` written last, which makes a snapshot whole: what has none was interrupted, and is passed
over. Contents are packed, each once. What is read is held against the manifest's checksum and then against
each record's own.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec  # type: ignore[import-untyped]

from plimsoll.store.levels import snapshot_forms
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.record import Address, DamagedError, Entry, Record

FORMAT = 1
KEPT = 7
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One whole snapshot."""

    number: int
    made_seconds: float
    form: str  # json or parquet
    records: int
    contents: int
    sha256: str


class Snapshots:
    """A directory of them."""

    name = "snapshots"

    def __init__(self, url: str, form: str = "json") -> None:
        if form not in snapshot_forms.FORMS:
            raise ValueError(f"snapshots are json or parquet, not {form!r}")
        self.url = url
        self._form = form
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise LevelError(self.name, Reason.DOWN, f"{url}: {error}") from error

    def write(self, entries: Iterable[Entry], made_seconds: float, kept: int = KEPT) -> Snapshot:
        """The next snapshot; the oldest beyond `kept` go."""
        records: list[Record] = []
        contents: dict[str, bytes] = {}
        for each in entries:
            records.append(each.record)
            contents.setdefault(each.record.digest, packed(each.content))
        numbers = self._done(self._numbers)
        made = self._written(max(numbers, default=0) + 1, records, contents, made_seconds)
        for old in sorted(numbers)[: max(len(numbers) + 1 - kept, 0)]:
            self._done(lambda old=old: self._files.rm(self._path(old), recursive=True))  # type: ignore[misc]
        return made

    def all(self) -> list[Snapshot]:
        """Whole ones, newest first; what has no sound manifest is left out."""
        found = []
        for number in sorted(self._done(self._numbers), reverse=True):
            try:
                found.append(self._manifest(number))
            except DamagedError:
                continue
        return found

    def read(self, number: int | None = None) -> Iterator[Entry]:
        """Entries of a snapshot, or of the newest. Raises `DamagedError`, and `LevelError` for none."""
        whole = self.all()
        chosen = next((each for each in whole if number in {None, each.number}), None)
        if chosen is None:
            what = "no whole snapshot" if number is None else f"no whole snapshot {number}"
            raise LevelError(self.name, Reason.DOWN, f"{self.url}: {what}")
        data = self._done(lambda: self._files.cat_file(self._data(chosen)))
        if hashlib.sha256(data).hexdigest() != chosen.sha256:
            raise DamagedError(f"snapshot {chosen.number} of {self.url}: the checksum does not hold")
        records, contents = snapshot_forms.FORMS[chosen.form].read(data)
        for each in records:
            if each.digest not in contents:
                raise DamagedError(f"snapshot {chosen.number}: the content of {each.address} is missing")
            yield Entry(each, unpacked(contents[each.digest]))

    def erase(self, addresses: Collection[Address]) -> int:
        """Write every snapshot that has these anew without them; returns how many records went."""
        gone = 0
        for snapshot in self.all():
            entries = [*self.read(snapshot.number)]
            left = [each for each in entries if each.record.address not in addresses]
            if len(left) == len(entries):
                continue
            contents = {each.record.digest: packed(each.content) for each in left}
            records = [each.record for each in left]
            self._written(snapshot.number, records, contents, snapshot.made_seconds, snapshot.form)
            gone += len(entries) - len(left)
        return gone

    def traces_of(self, addresses: Sequence[Address], digests: Collection[str]) -> int:
        """Records and contents of these in snapshots, and their digests in the bytes of all files."""
        found = 0
        for snapshot in self.all():
            held = [each.record for each in self.read(snapshot.number)]
            found += sum(each.address in addresses or each.digest in digests for each in held)
        for number in self._done(self._numbers):
            for path in self._done(lambda n=number: self._files.find(self._path(n))):  # type: ignore[misc]
                data = self._done(lambda p=path: self._files.cat_file(p))  # type: ignore[misc]
                found += sum(data.count(each.encode()) for each in digests)
        return found

    # Within

    def _written(
        self,
        number: int,
        records: Sequence[Record],
        contents: dict[str, bytes],
        made_seconds: float,
        form: str | None = None,
    ) -> Snapshot:
        form = form or self._form
        data = snapshot_forms.FORMS[form].write(records, contents)
        digest = hashlib.sha256(data).hexdigest()
        made = Snapshot(number, made_seconds, form, len(records), len(contents), digest)
        manifest = {"format": FORMAT, **{name: getattr(made, name) for name in Snapshot.__slots__}}

        def write() -> None:
            self._files.makedirs(self._path(number), exist_ok=True)
            if self._files.exists(f"{self._path(number)}/{MANIFEST}"):
                self._files.rm_file(f"{self._path(number)}/{MANIFEST}")
            self._files.pipe_file(self._data(made), data)
            self._files.pipe_file(f"{self._path(number)}/{MANIFEST}", json.dumps(manifest).encode())

        self._done(write)
        return made

    def _manifest(self, number: int) -> Snapshot:
        try:
            said = json.loads(self._done(lambda: self._files.cat_file(f"{self._path(number)}/{MANIFEST}")))
            if said.pop("format") != FORMAT or said["form"] not in snapshot_forms.FORMS:
                raise DamagedError(f"snapshot {number}: of an unknown format")
            return Snapshot(**said)
        except (LevelError, ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"snapshot {number} has no sound manifest: {error}") from error

    def _numbers(self) -> list[int]:
        if not self._files.exists(self._root):
            return []
        names = [
            str(each).rstrip("/").rpartition("/")[2] for each in self._files.ls(self._root, detail=False)
        ]
        return [int(each) for each in names if each.isdecimal()]

    def _path(self, number: int) -> str:
        return f"{self._root}/{number:06d}"

    def _data(self, snapshot: Snapshot) -> str:
        return f"{self._path(snapshot.number)}/records.{snapshot_forms.FORMS[snapshot.form].ending}"

    def _done(self, action: Callable[[], Any]) -> Any:  # noqa: ANN401  (fsspec's)
        try:
            return action()
        except OSError as error:
            reason = Reason.DENIED if isinstance(error, PermissionError) else Reason.DOWN
            raise LevelError(self.name, reason, f"{self.url}: {error}") from error

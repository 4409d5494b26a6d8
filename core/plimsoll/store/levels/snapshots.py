"""Snapshots: everything the memory holds, in a directory or an object store, numbered and checksummed.

In: a URL that fsspec understands, entries. Out: `000007/` with `records.jsonl` or `records.parquet`, and a
`manifest.json` written last, which makes a snapshot whole: what has none was interrupted, and is passed
over; neither it nor a snapshot of nothing counts among those that are kept. Contents are packed, each once.
What is read is held against the manifest's checksum and then against each record's own.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plimsoll.store.levels import snapshot_forms
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.record import MOST_SECONDS, Address, DamagedError, Entry, Record

FORMAT = 1
KEPT = 7
MANIFEST = "manifest.json"
_NUMBERED = re.compile(r"[0-9]{6}|[1-9][0-9]{6,11}")


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
        import fsspec  # type: ignore[import-untyped]  # noqa: PLC0415 - only who keeps snapshots needs it

        self.url = url
        self._form = form
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise LevelError(self.name, Reason.DOWN, f"{url}: {error}") from error

    def write(self, entries: Iterable[Entry], made_seconds: float, kept: int = KEPT) -> Snapshot:
        """The next snapshot. What is older than the newest `kept` that are whole and hold something goes."""
        records: list[Record] = []
        contents: dict[str, bytes] = {}
        for each in entries:
            records.append(each.record)
            contents.setdefault(each.record.digest, packed(each.content))
        numbers = self._done(self._numbers)
        useful = [each.number for each in self.all() if each.records]
        made = self._written(max(numbers, default=0) + 1, records, contents, made_seconds)
        useful = [made.number, *useful] if made.records else useful
        if len(useful) >= kept:
            for old in (each for each in numbers if each < useful[kept - 1]):
                self._done(lambda old=old: self._files.rm(self._path(old), recursive=True))  # type: ignore[misc]
        return made

    def exists(self) -> bool:
        """True where there is such a directory, or anything under such a prefix."""
        return bool(self._done(lambda: self._files.exists(self._root)))

    def all(self) -> list[Snapshot]:
        """Whole ones, newest first; what has no sound manifest is left out."""
        return self._looked()[0]

    def unsound(self) -> dict[int, str]:
        """The others by number: why they are not whole."""
        return self._looked()[1]

    def read(self, number: int | None = None) -> Iterator[Entry]:
        """Entries of a snapshot, or of the newest. Raises `DamagedError`, and `LevelError` for none."""
        whole = self.all()
        chosen = next((each for each in whole if number in {None, each.number}), None)
        if chosen is None:
            what = "no whole snapshot" if number is None else f"no whole snapshot {number}"
            raise LevelError(self.name, Reason.DOWN, f"{self.url}: {what}")
        data = self._done(lambda: self._held(chosen))
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
        """Records and contents of these in snapshots, and their digests in the bytes of all files.

        Raises `LevelError` where there is no such directory, `DamagedError` where one cannot be looked into:
        that nothing was found there would prove nothing.
        """
        if not self.exists():
            raise LevelError(self.name, Reason.DOWN, f"{self.url}: there is no such directory")
        for number, why in self.unsound().items():
            if self._done(lambda n=number: self._files.find(self._path(n))):  # type: ignore[misc]
                raise DamagedError(f"{why}; what it holds is not known, remove it")
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

    def _looked(self) -> tuple[list[Snapshot], dict[int, str]]:
        """Whole ones, newest first, and what is wrong with the others."""
        whole, unsound = [], {}
        for number in sorted(self._done(self._numbers), reverse=True):
            try:
                whole.append(self._manifest(number))
            except DamagedError as error:
                unsound[number] = str(error)
        return whole, unsound

    def _held(self, snapshot: Snapshot) -> bytes:
        path = self._data(snapshot)
        try:
            return bytes(self._files.cat_file(path))
        except FileNotFoundError as error:
            name = path.rpartition("/")[2]
            raise DamagedError(f"snapshot {snapshot.number} of {self.url}: its {name} is missing") from error

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
        aside = f"{self._data(made)}.part"
        manifest = {"format": FORMAT, **{name: getattr(made, name) for name in Snapshot.__slots__}}

        def write() -> None:
            self._files.makedirs(self._path(number), exist_ok=True)
            self._files.pipe_file(aside, data)  # a full disk leaves what was there before as it was
            if self._files.exists(f"{self._path(number)}/{MANIFEST}"):
                self._files.rm_file(f"{self._path(number)}/{MANIFEST}")
            self._files.mv(aside, self._data(made))
            self._files.pipe_file(f"{self._path(number)}/{MANIFEST}", json.dumps(manifest).encode())

        self._done(write)
        return made

    def _manifest(self, number: int) -> Snapshot:
        path = f"{self._path(number)}/{MANIFEST}"
        try:
            said = json.loads(self._done(lambda: self._files.cat_file(path)))
            if said.pop("format") != FORMAT or said["form"] not in snapshot_forms.FORMS:
                raise DamagedError("it is of an unknown format")
            found = Snapshot(**said)
            _checked(found, number)
        except (LevelError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError(f"snapshot {number} of {self.url} has no sound {MANIFEST}: {error}") from error
        return found

    def _numbers(self) -> list[int]:
        if not self._files.exists(self._root):
            return []
        names = [
            str(each).rstrip("/").rpartition("/")[2] for each in self._files.ls(self._root, detail=False)
        ]
        return [int(each) for each in names if _NUMBERED.fullmatch(each)]

    def _path(self, number: int) -> str:
        return f"{self._root}/{number:06d}"

    def _data(self, snapshot: Snapshot) -> str:
        return f"{self._path(snapshot.number)}/records.{snapshot_forms.FORMS[snapshot.form].ending}"

    def _done(self, action: Callable[[], Any]) -> Any:  # noqa: ANN401  (fsspec's)
        try:
            return action()
        except OSError as error:
            reason = Reason.DENIED if isinstance(error, PermissionError) else Reason.DOWN
            where = getattr(error, "filename", None) or self.url
            raise LevelError(self.name, reason, f"{where}: {error.strerror or error}") from error


def _checked(said: Snapshot, number: int) -> None:
    """Raise where a manifest's values are none."""
    counts: tuple[Any, ...] = (said.number, said.records, said.contents)  # JSON's, of any type
    if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in counts):
        raise DamagedError("number, records and contents are whole numbers")
    if said.number != number:
        raise DamagedError(f"it is of snapshot {said.number}")
    made: Any = said.made_seconds
    if isinstance(made, bool) or not isinstance(made, (int, float)) or not 0 <= made <= MOST_SECONDS:
        raise DamagedError("made_seconds are seconds")
    checksum: Any = said.sha256
    if not isinstance(checksum, str):
        raise DamagedError("sha256 is a text")

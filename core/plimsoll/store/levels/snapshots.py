"""Snapshots: everything the memory holds, in a directory or an object store, numbered and checksummed.

In: a URL that fsspec understands, entries. Out: `000007/` with `records.jsonl` or `records.parquet`, and a
`manifest.json` written last, which makes a snapshot whole: what has none was interrupted, and is passed
over; neither it nor a snapshot of nothing counts among those that are kept. Contents are packed, each once.
What is read is held against the manifest's checksum and then against each record's own. What is erased goes
in one step: a file with what stays is written beside the old one under a name of its own, the manifest is
put in the place of the old one and names it, and only then the old file goes. Whoever is killed in between
leaves a whole snapshot, with or without what was to go, and perhaps a file that no manifest names: proofs
fail as long as it is there, and the next erasing or writing removes it.
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
MANIFEST, PART = "manifest.json", ".part"
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
    data: str = ""  # name of the file of records; "": `records` with the ending of its form


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
        numbers, whole = self._done(self._numbers), self.all()
        self._remove_unnamed(whole)
        useful = [each.number for each in whole if each.records]
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
        gone, whole = 0, self.all()
        self._remove_unnamed(whole)
        for snapshot in whole:
            entries = [*self.read(snapshot.number)]
            left = [each for each in entries if each.record.address not in addresses]
            if len(left) == len(entries):
                continue
            contents = {each.record.digest: packed(each.content) for each in left}
            records = [each.record for each in left]
            self._written(snapshot.number, records, contents, snapshot.made_seconds, snapshot)
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
        found, whole = 0, self.all()
        for path in self._unnamed(whole):
            raise DamagedError(f"{path} is of no snapshot: forget again, which removes it")
        for snapshot in whole:
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
        before: Snapshot | None = None,
    ) -> Snapshot:
        """Write a snapshot; `before` is the one in whose place it is put."""
        form = self._form if before is None else before.form
        data = snapshot_forms.FORMS[form].write(records, contents)
        digest = hashlib.sha256(data).hexdigest()
        name = "" if before is None else f"records-{digest[:16]}.{snapshot_forms.FORMS[form].ending}"
        made = Snapshot(number, made_seconds, form, len(records), len(contents), digest, name)
        said = {name: getattr(made, name) for name in Snapshot.__slots__ if name != "data" or made.data}
        manifest = json.dumps({"format": FORMAT, **said}).encode()

        def write() -> None:
            self._files.makedirs(self._path(number), exist_ok=True)
            self._files.pipe_file(
                self._data(made), data
            )  # a full disk leaves what was there before as it was
            self._put(f"{self._path(number)}/{MANIFEST}", manifest)
            if before is not None:
                self._files.rm_file(self._data(before))

        self._done(write)
        return made

    def _put(self, path: str, data: bytes) -> None:
        """In the place of what is there, in one step: a rename, or an object store's whole object."""
        self._files.pipe_file(f"{path}{PART}", data)
        self._files.mv(f"{path}{PART}", path)

    def _unnamed(self, whole: Iterable[Snapshot]) -> list[str]:
        """Files in whole snapshots that no manifest names: an erasing was killed when its last step was due,
        or before it was put in force.
        """
        found = []
        for each in whole:
            named = {MANIFEST, self._data(each).rpartition("/")[2]}
            paths = self._done(lambda n=each.number: self._files.find(self._path(n)))  # type: ignore[misc]
            found += [path for path in paths if path.rpartition("/")[2] not in named]
        return found

    def _remove_unnamed(self, whole: Iterable[Snapshot]) -> None:
        for path in self._unnamed(whole):
            self._done(lambda p=path: self._files.rm_file(p))  # type: ignore[misc]

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
        name = snapshot.data or f"records.{snapshot_forms.FORMS[snapshot.form].ending}"
        return f"{self._path(snapshot.number)}/{name}"

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
    data: Any = said.data
    if not isinstance(data, str) or "/" in data or data in {"..", MANIFEST}:
        raise DamagedError("data is the name of a file beside it")

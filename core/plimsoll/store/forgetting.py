"""Forgetting with a proof: gone from every level and from the snapshots, and looked for afterwards.

In: a pattern of names, a store, its snapshots. Out: for each level in how many places something of it stood
before and stands now. Contents that another record has as well stay, and are not counted. A level that does
not answer is named: then nothing is proven, the tombstone waits in the file, and asking again finishes it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.record import Address, Record, RecordError
from plimsoll.store.sending import bury
from plimsoll.store.tiered import TieredStore


@dataclass(frozen=True, slots=True)
class Gone:
    """What one level had and has."""

    level: str
    before: int
    after: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was forgotten, and what is left of it."""

    addresses: tuple[Address, ...]
    levels: tuple[Gone, ...]

    @property
    def proven(self) -> bool:
        """True where every level was looked at and nothing was found."""
        return all(not each.after and not each.problem for each in self.levels)


def matching(pattern: str, records: Collection[Record]) -> list[Address]:
    """Addresses whose key, or `kind key`, is like a pattern with `*` and `?`."""
    found = {each.address for each in records}
    return sorted(each for each in found if fnmatchcase(each.key, pattern) or fnmatchcase(str(each), pattern))


def forget(store: TieredStore, snapshots: Snapshots | None, pattern: str, now_seconds: float) -> Proof:
    """Forget all that is like a pattern, everywhere."""
    known, unreadable, problems = _everything(store, snapshots, now_seconds)
    addresses = matching(pattern, known)
    kept = {each.digest for each in known if each.address not in set(addresses)}
    digests = {each.digest for each in known if each.address in set(addresses)} - kept
    looks = _looks(store, snapshots, now_seconds)
    before = {name: _looked(look, addresses, digests) for name, look in looks.items()}
    for address in addresses:
        store.forget(address)
        _bury(store, address, now_seconds, problems)
    _sweep(store, snapshots, addresses, digests, now_seconds, problems)
    if left := unreadable - {each.hashed for each in addresses}:
        problems.setdefault("redis", f"{len(left)} records cannot be read, and may be of these: repair them")
    after = {name: _looked(look, addresses, digests) for name, look in looks.items()}
    levels = [
        Gone(name, before[name][0], after[name][0], problems.get(name) or after[name][1]) for name in looks
    ]
    return Proof(tuple(addresses), tuple(levels))


Look = Callable[[Sequence[Address], Collection[str]], int]


def _looks(store: TieredStore, snapshots: Snapshots | None, now_seconds: float) -> dict[str, Look]:
    looks: dict[str, Look] = {"process": store.process.traces_of, "file": store.file.traces_of}
    if store.shared is not None:
        looks["redis"] = lambda addresses, digests: store.ask(
            lambda shared: shared.traces_of(addresses, digests), "traces", now_seconds
        )
    if snapshots is not None:
        looks["snapshots"] = snapshots.traces_of
    return looks


def _looked(look: Look, addresses: Sequence[Address], digests: Collection[str]) -> tuple[int, str]:
    try:
        return look(addresses, digests), ""
    except (LevelError, RecordError) as error:
        return 0, str(error)


def _everything(
    store: TieredStore, snapshots: Snapshots | None, now_seconds: float
) -> tuple[list[Record], set[str], dict[str, str]]:
    """Every record that a level knows, hashes of what Redis cannot tell, which level does not answer."""
    known = [*store.file.records(), *store.process.records()]
    unreadable: set[str] = set()
    problems: dict[str, str] = {}
    if store.shared is not None:
        try:
            survey = store.ask(lambda shared: shared.survey(), "records", now_seconds)
            known += survey.records
            unreadable |= set(survey.unreadable)
        except (LevelError, RecordError) as error:
            problems["redis"] = str(error)
    if snapshots is not None:
        try:
            known += [entry.record for each in snapshots.all() for entry in snapshots.read(each.number)]
        except (LevelError, RecordError) as error:
            problems["snapshots"] = str(error)
    return known, unreadable, problems


def _bury(store: TieredStore, address: Address, now_seconds: float, problems: dict[str, str]) -> None:
    """Tell Redis at once; where it does not answer the tombstone waits in the file like any other write."""
    held = store.file.held(address)
    if store.shared is None or held is None or "redis" in problems:
        return
    try:
        bury(store, address.hashed, held.record.version, now_seconds)
    except (LevelError, RecordError) as error:
        problems["redis"] = str(error)


def _sweep(
    store: TieredStore,
    snapshots: Snapshots | None,
    addresses: Sequence[Address],
    digests: Collection[str],
    now_seconds: float,
    problems: dict[str, str],
) -> None:
    store.file.sweep(digests)
    try:
        if store.shared is not None and "redis" not in problems:
            store.ask(lambda shared: shared.sweep(digests), "sweep", now_seconds)
    except (LevelError, RecordError) as error:
        problems["redis"] = str(error)
    try:
        if snapshots is not None:
            snapshots.erase(addresses)
    except (LevelError, RecordError) as error:
        problems["snapshots"] = str(error)

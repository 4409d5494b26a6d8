"""Looking after the store: what is wrong with it, and putting right what can be.

In: a store, its snapshots, a `now`. Out: findings in words. What is damaged in the file is dropped and read
again from Redis; what is damaged or missing in Redis is sent again from the file, or removed where it cannot
be read and is nowhere else; older schemas are migrated; contents nobody refers to are swept. Nothing that can
be read is ever removed here.
"""

from collections.abc import Collection
from dataclasses import dataclass

from plimsoll.store.kinds import NewerSchemaError, kind_of
from plimsoll.store.levels.file import State
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.record import DamagedError, Record, RecordError
from plimsoll.store.tiered import TieredStore


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    level: str
    what: str
    repairable: bool


def check(store: TieredStore, snapshots: Snapshots | None, now_seconds: float) -> list[Finding]:
    """Everything that is wrong; empty where nothing is."""
    found = [Finding("file", each, repairable=True) for each in store.file.problems()]
    if store.file.set_aside is not None:
        found.append(
            Finding("file", f"was damaged and set aside as {store.file.set_aside}", repairable=False)
        )
    found += _forms(store)
    found += _shared(store, now_seconds)
    if snapshots is not None:
        found += _snapshots(snapshots)
    return found


def repair(store: TieredStore, now_seconds: float) -> int:
    """Put right what can be; returns how many things were. Raises `LevelError`."""
    done = store.file.remove_damaged()
    store.process.close()
    for record in [*store.file.records()]:
        done += _migrated(store, record)
    if store.shared is None:
        return done
    survey = store.ask(lambda shared: shared.survey(), "records", now_seconds)
    done += _replaced(store, survey.unreadable, now_seconds)
    for record in survey.records:
        if _whole(store, record, now_seconds):
            continue
        held = store.file.held(record.address)
        if held is not None and not held.record.forgotten:
            base = record.version if held.record.digest != record.digest else record.version - 1
            store.file.mark(record.address, held.record.digest, State.PENDING, max(base, 0), now_seconds)
            done += 1
    return done + store.ask(lambda shared: shared.sweep(), "sweep", now_seconds)


def _replaced(store: TieredStore, unreadable: Collection[str], now_seconds: float) -> int:
    """Send again what the file has of records that cannot be read in Redis; the others are removed there."""
    mine = {each.address.hashed: each for each in store.file.records()} if unreadable else {}
    done = 0
    for hashed in unreadable:
        if (record := mine.get(hashed)) is not None:
            store.file.mark(record.address, record.digest, State.PENDING, 0, now_seconds)
            done += 1
        else:
            remove = store.ask(lambda shared, h=hashed: shared.remove_unreadable(h), "put", now_seconds)  # type: ignore[misc]
            done += remove
    return done


def _forms(store: TieredStore) -> list[Finding]:
    found = []
    for record in store.file.records():
        try:
            kind = kind_of(record.address.kind, store.kinds)
        except RecordError as error:
            found.append(Finding("file", f"{record.address}: {error}", repairable=False))
            continue
        if record.schema != kind.schema:
            what = f"{record.address} is of schema {record.schema}, the present one is {kind.schema}"
            found.append(Finding("file", what, repairable=record.schema < kind.schema))
    return found


def _migrated(store: TieredStore, record: Record) -> bool:
    """Write a record of an older schema in the present one."""
    try:
        kind = kind_of(record.address.kind, store.kinds)
        entry = store.file.get(record.address)
        if entry is None or record.schema >= kind.schema:
            return False
        present = kind.current(entry)
    except (NewerSchemaError, RecordError, ValueError):
        return False
    store.store(record.address, present.content, record.provenance, present.record.schema)
    return True


def _shared(store: TieredStore, now_seconds: float) -> list[Finding]:
    if store.shared is None:
        return []
    try:
        survey = store.ask(lambda shared: shared.survey(), "records", now_seconds)
        records = survey.records
        damaged = [each for each in records if not _whole(store, each, now_seconds)]
        contents = store.ask(lambda shared: shared.content_count(), "contents", now_seconds)
    except LevelError as error:
        return [Finding("redis", str(error), repairable=False)]
    except RecordError as error:
        return [Finding("redis", str(error), repairable=True)]
    known_here = {each.address.hashed for each in store.file.records()} if survey.unreadable else set()
    found = [
        Finding("redis", f"{why}; it {_where(in_file=hashed in known_here)}", repairable=True)
        for hashed, why in survey.unreadable.items()
    ]
    for each in damaged:
        here = store.file.head(each.address)
        known = here is not None and not here.forgotten
        what = f"the content of {each.address} is missing or damaged; it {_where(in_file=known)}"
        found.append(Finding("redis", what, known))
    unused = contents - len({each.digest for each in records})
    if unused > 0:
        found.append(Finding("redis", f"{unused} contents that no record refers to", repairable=True))
    return found


def _where(*, in_file: bool) -> str:
    return "is in the file" if in_file else "is nowhere else that this process knows"


def _whole(store: TieredStore, record: Record, now_seconds: float) -> bool:
    try:
        store.ask(lambda shared: shared.with_content(record), "get", now_seconds)
    except DamagedError:
        return False
    return True


def _snapshots(snapshots: Snapshots) -> list[Finding]:
    found: list[Finding] = []
    try:
        if not snapshots.exists():
            said = f"{snapshots.url}: there is no such directory"
            return [Finding("snapshots", said, repairable=False)]
        found += [Finding("snapshots", why, repairable=False) for why in snapshots.unsound().values()]
        for each in snapshots.all():
            try:
                for _ in snapshots.read(each.number):
                    pass
            except RecordError as error:
                found.append(Finding("snapshots", str(error), repairable=False))
    except LevelError as error:
        found.append(Finding("snapshots", str(error), repairable=False))
    return found

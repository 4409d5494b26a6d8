"""What was written here goes to Redis, and counts as there when it was read back.

In: a store with its file of waiting records, a `now`. Out: counts. One round: is it still the Redis it was
(`epoch`; if not, all is to be read back); what was sent longer than `SETTLE_SECONDS` ago is read back, and
sent again where it is missing (a fail-over may lose what was acknowledged); what waits is sent, each by
compare-and-set. A conflict is joined with what is there by the kind's merge and tried again. What was
forgotten wins over what was written from an older version. A Redis that fails ends the round; a record that
cannot be read there is written anew, and whatever else is wrong with one record holds up no other: it is
tried again later, behind those that have not had their turn.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from plimsoll.store.kinds import kind_of, merged
from plimsoll.store.levels.file import Held, State
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.record import Address, DamagedError, Entry, RecordError, buried_at
from plimsoll.store.tiered import TieredStore

SETTLE_SECONDS = 30.0  # a fail-over is over within so long
SENT_AT_ONCE = 512
ATTEMPTS = 8  # writers in each other's way; each attempt joins what came meanwhile
EPOCH = "shared-epoch"
_COUNTED = ("taken", "joined", "confirmed", "again", "buried", "unsound")


Mark = tuple[Address, str, State, int]  # whose, of which digest, how it stands now, at which shared version


@dataclass(slots=True)
class Sent:
    """What one round has done, in records."""

    taken: int = 0
    joined: int = 0  # of those taken, joined with another's writing
    confirmed: int = 0  # read back
    again: int = 0  # were missing when they were read back, and wait once more
    buried: int = 0  # forgotten there, or here and told there
    unsound: int = 0  # cannot be joined, and what is there stands; or cannot be sent
    waiting: int = 0  # after the round
    failure: str = ""  # why the round ended early
    more: bool = False  # there may be more to do now
    marks: list[Mark] = field(default_factory=list, repr=False)  # to be written down when the round ends


def send(store: TieredStore, now_seconds: float, settle_seconds: float = SETTLE_SECONDS) -> Sent:
    """One round. Raises nothing of Redis' own; `LevelError` where the file fails."""
    done = Sent()
    if store.shared is None:
        return done
    settled_seconds = max(0.0, now_seconds - settle_seconds)  # what was never tried is of time 0
    if shut := next((each for each in (store.breaker, store.writes) if not each.allows(now_seconds)), None):
        done.failure = shut.why
    else:
        try:
            _epoch(store, now_seconds)
            for state, step in ((State.SENT, _read_back), (State.PENDING, _send)):
                due = store.file.in_state(state, SENT_AT_ONCE, settled_seconds)
                for held in due:
                    _one(step, store, held, now_seconds, done)
                done.more |= len(due) == SENT_AT_ONCE
        except LevelError as error:
            if error.level != "redis":
                raise
            done.failure = str(error)
        finally:
            # Together: the disk is waited for once a round. A round that is killed before is done again.
            with store.file.together():
                for address, digest, state, version in done.marks:
                    store.file.mark(address, digest, state, version, now_seconds)
    counts = store.file.counts()
    done.waiting = counts["pending"] + counts["sent"]
    for name in _COUNTED:
        store.measures.count("redis", name, getattr(done, name))
    return done


def send_while(store: TieredStore, now_seconds: float, goes_on: Callable[[], bool]) -> Sent:
    """Rounds, one at least, while there is more to do and `goes_on` says so; the sum of what they did."""
    done = send(store, now_seconds)
    while done.more and not done.failure and goes_on():
        last = send(store, now_seconds)
        for name in _COUNTED:
            setattr(last, name, getattr(last, name) + getattr(done, name))
        done = last
    return done


def _one(
    step: Callable[[TieredStore, Held, float, Sent], None],
    store: TieredStore,
    held: Held,
    now_seconds: float,
    done: Sent,
) -> None:
    """One record's step; what is wrong with it is its own affair."""
    try:
        step(store, held, now_seconds, done)
    except RecordError:
        done.unsound += 1
        done.marks.append((held.record.address, held.record.digest, held.state, held.base))


def _mine(store: TieredStore, held: Held) -> Entry | None:
    """What is to be sent, as it is here; None where it changed meanwhile, or is damaged."""
    try:
        mine = store.file.get(held.record.address)
    except RecordError:
        store.measures.count("file", "damaged")
        store.file.drop(held.record.address)  # nothing of it can be sent, by nobody
        return None
    return None if mine is None or mine.record.digest != held.record.digest else mine


def _epoch(store: TieredStore, now_seconds: float) -> None:
    epoch = store.ask(lambda shared: shared.epoch(), "epoch", now_seconds)
    if epoch and epoch != store.file.meta(EPOCH):
        store.file.suspect_all()
        store.file.set_meta(EPOCH, epoch)


def _read_back(store: TieredStore, held: Held, now_seconds: float, done: Sent) -> None:
    """Confirm that nothing of a record is missing there, or let it wait again."""
    if held.record.forgotten:
        _bury(store, held, now_seconds, done)
        return
    mine = _mine(store, held)
    if mine is None:
        return
    theirs = _theirs(store, mine, now_seconds)
    if theirs is not None and theirs.record.forgotten and theirs.record.version >= held.base:
        store.adopt(theirs, now_seconds, instead_of=held.record.digest)  # after mine was sent
        done.buried += 1
        return
    if theirs is not None and _has(store, mine, theirs):
        done.marks.append((mine.record.address, held.record.digest, State.CLEAN, theirs.record.version))
        done.confirmed += 1
        return
    base = 0 if theirs is None else held.base
    store.file.mark(mine.record.address, held.record.digest, State.PENDING, base, 0.0)
    done.again += 1


def _theirs(store: TieredStore, mine: Entry, now_seconds: float) -> Entry | None:
    """What Redis holds, whole; None where it is missing or damaged."""
    address = mine.record.address
    try:
        head = store.ask(lambda shared: shared.head(address), "head", now_seconds)
        if head is None:
            return None
        if head.digest == mine.record.digest:
            there = store.ask(lambda shared: shared.has_content(head.digest), "head", now_seconds)
            return Entry(head, mine.content) if there else None
        return store.ask(lambda shared: shared.with_content(head), "get", now_seconds)
    except DamagedError:
        return None


def _has(store: TieredStore, mine: Entry, theirs: Entry) -> bool:
    """True where joining mine to theirs changes nothing; a tombstone from before mine holds nothing of it."""
    if theirs.record.forgotten:
        return False
    if theirs.record.digest == mine.record.digest:
        return True
    try:
        return merged(mine, theirs, store.kinds).record.digest == theirs.record.digest
    except (RecordError, ValueError):
        return False


def _send(store: TieredStore, held: Held, now_seconds: float, done: Sent) -> None:
    if held.record.forgotten:
        _bury(store, held, now_seconds, done)
        return
    mine = _mine(store, held)
    if mine is None:
        return  # it comes with the next round
    entry, expected = mine, held.base
    for _ in range(ATTEMPTS):
        version = max(entry.record.version, expected + 1)
        offered = Entry(entry.record.at(version), entry.content)
        put = store.ask(lambda shared, e=offered, v=expected: shared.put(e, v), "put", now_seconds)  # type: ignore[misc]
        if put.stored:
            _taken(store, held, offered, now_seconds, done)
            done.taken += 1
            done.joined += entry is not mine
            return
        theirs = _conflict(store, mine, now_seconds)
        if theirs is None:
            expected = put.version  # the version is there, the content is not: ours takes its place
            continue
        if theirs.record.forgotten and theirs.record.version > held.base:
            store.adopt(theirs, now_seconds)
            done.buried += 1
            return
        joined = _joined(store, mine, theirs, done)
        if joined is None or joined.record.digest == theirs.record.digest:
            _settled(store, held, theirs, now_seconds)
            done.taken += joined is not None
            return
        entry, expected = joined, theirs.record.version
    # Others are faster each time: it waits for the next round.


def _conflict(store: TieredStore, mine: Entry, now_seconds: float) -> Entry | None:
    address = mine.record.address
    try:
        return store.ask(lambda shared: shared.get(address), "get", now_seconds)
    except DamagedError:
        return None


def _joined(store: TieredStore, mine: Entry, theirs: Entry, done: Sent) -> Entry | None:
    """Both as one; None where mine cannot be joined, and theirs where theirs cannot be read."""
    kind = kind_of(mine.record.address.kind, store.kinds)
    if theirs.record.forgotten:
        return Entry(mine.record.at(theirs.record.version + 1), mine.content)
    try:
        return merged(mine, theirs, store.kinds)
    except (RecordError, ValueError):
        done.unsound += 1
        return None if theirs.record.schema > kind.schema else mine


def _taken(store: TieredStore, held: Held, sent: Entry, now_seconds: float, done: Sent) -> None:
    """It is there: read back later. What changed here meanwhile goes on waiting."""
    address, version = sent.record.address, sent.record.version
    if sent.record.digest == held.record.digest:
        done.marks.append((address, held.record.digest, State.SENT, version))
        return
    if store.adopt(sent, now_seconds, state=State.SENT, instead_of=held.record.digest):
        store.file.mark(address, sent.record.digest, State.SENT, version, now_seconds)


def _settled(store: TieredStore, held: Held, theirs: Entry, now_seconds: float) -> None:
    """What is there holds all of ours: an answer that was lost ends here, and is acknowledged anew."""
    address, digest = theirs.record.address, theirs.record.digest
    store.ask(lambda shared: shared.fence(address), "put", now_seconds)
    if store.adopt(theirs, now_seconds, state=State.SENT, instead_of=held.record.digest):
        store.file.mark(address, digest, State.SENT, theirs.record.version, now_seconds)


def _bury(store: TieredStore, held: Held, now_seconds: float, done: Sent) -> None:
    bury(store, held.hashed, held.record.version, now_seconds)
    done.buried += 1


def bury(store: TieredStore, hashed: str, version: int, now_seconds: float) -> None:
    """Tell Redis that what has an address of this hash is forgotten; the mark in the file is settled then.

    What was written by somebody who had not heard of it is forgotten as well, whatever its version. Raises
    `LevelError`, and leaves the mark waiting.
    """
    for _ in range(ATTEMPTS):
        put = store.ask(lambda shared, v=version: shared.bury(hashed, v), "put", now_seconds)  # type: ignore[misc]
        if put.stored or (put.forgotten and put.version >= version):
            store.file.clear_tombstone(hashed, put.version)
            return
        version = buried_at(put.version)
    raise LevelError("redis", Reason.SLOW, "others write faster than what is forgotten can be told")

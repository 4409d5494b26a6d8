"""Patterns of what is remembered, learned a part at a time: once an hour, by whoever leads, by nobody twice.

In: a memory, a `now`, how many histories one step may take. Out: records of kind `pattern`, and one record
(`control patterns`) that says how far the pass of this hour is and when the last one ended. It lies in the
memory like all else, so that a process that was killed, or another leader of the same memory, goes on where
the last one stopped. Looked at are histories that were written since their pattern was; of those a pattern
is only written where it says something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.outlook import describe, outlooks
from plimsoll.store.record import Address

if TYPE_CHECKING:
    from plimsoll.store.memory import Memory

PASS = Address("control", "patterns")
EVERY_SECONDS = 3600.0  # from the begin of a pass to that of the next
FUTURE_SECONDS = 900.0  # another leader's clock may be ahead by so much; further off, its word is passed over
AT_ONCE = 200  # histories of one step: 0.3 s of a thread of its own (decision 0362)
MOST_WHY = 200  # characters of a reason that are kept


@dataclass(frozen=True, slots=True)
class Pass:
    """How far an hour's pass is. Counts are of this pass, the moments seconds."""

    begun_seconds: float
    after: str = ""  # the last key that is done, in their order
    ended_seconds: float | None = None  # None: it is under way
    looked: int = 0  # histories
    changed: int = 0  # patterns that are new or say something else
    failed: int = 0  # histories of which no pattern could be made
    why: str = ""  # the last of those failures
    start: str = ""  # it begins with the key after this one, and ends with it: where the one before broke off

    def left_of(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that this pass has not come to yet, in its order."""
        ordered = sorted(keys, key=self._place)
        return [key for key in ordered if not self.after or self._place(key) > self._place(self.after)]

    def _place(self, key: str) -> tuple[bool, str]:
        return key <= self.start, key

    def current(self, now_seconds: float) -> bool:
        """Whether it is the pass of this hour, whoever began it."""
        return -FUTURE_SECONDS <= now_seconds - self.begun_seconds < EVERY_SECONDS


@dataclass(frozen=True, slots=True)
class Step:
    """What one step has done. `left`: keys that are still to come in this pass."""

    of: Pass | None  # None: learning is off, or there is nothing to learn from
    looked: int = 0
    changed: int = 0
    failed: int = 0
    left: Sequence[str] = ()


def last_pass(memory: "Memory", now_seconds: float) -> Pass | None:
    """The pass that the memory knows of; None where there never was one, or its word cannot be read.

    Another process may have written it into the same file: what this one holds of it is not asked.
    """
    memory.tiers.process.drop(PASS)
    return _read(memory.retrieve(PASS.kind, PASS.key, now_seconds))


def learn_some(memory: "Memory", now_seconds: float, before: Step | None = None, most: int = AT_ONCE) -> Step:
    """One step of this hour's pass; nothing where that is over, or learning is off. Raises `LevelError`.

    `before`: the last step of the same process, which knows what is left without looking at every record.
    """
    if not memory.learning(now_seconds):
        return Step(None)
    known = last_pass(memory, now_seconds)
    if known is None or not known.current(now_seconds):
        # A pass that did not come to its end within the hour is not begun at the beginning again: the same
        # histories would never be learned.
        broken_off = known is not None and known.ended_seconds is None
        known = Pass(now_seconds, start=known.after if known is not None and broken_off else "")
    elif known.ended_seconds is not None:
        return Step(known)
    if before is not None and before.of == known:
        waiting = before.left
    else:
        waiting = known.left_of(due(memory))
        if not waiting and not known.looked and not any(True for _ in memory.tiers.records("history")):
            return Step(None)  # an hour that begins empty is not over
    mine, left = waiting[:most], waiting[most:]
    changed, failed, why = learn_these(memory, mine, now_seconds)
    done = replace(
        known,
        after=mine[-1] if mine else known.after,
        ended_seconds=None if left else now_seconds,
        looked=known.looked + len(mine),
        changed=known.changed + changed,
        failed=known.failed + failed,
        why=why or known.why,
    )
    memory.store(PASS.kind, PASS.key, asdict(done), now_seconds)
    return Step(done, len(mine), changed, failed, left)


def due(memory: "Memory") -> list[str]:
    """Keys of histories that are newer than their pattern, or have none; in order."""
    made: dict[str, dict[str, float]] = {"history": {}, "pattern": {}}
    for record in memory.tiers.records():
        if record.address.kind in made:
            made[record.address.kind][record.address.key] = record.provenance.made_seconds
    patterns = made["pattern"]
    return sorted(key for key, moment in made["history"].items() if not patterns.get(key, -1.0) >= moment)


def learn_these(memory: "Memory", keys: Sequence[str], now_seconds: float) -> tuple[int, int, str]:
    """Make patterns of these histories; returns how many changed, how many failed, and why the last did.

    Together first, which is many times faster; one by one where that fails, so that one history keeps no
    other from being learned. Raises `LevelError`: then the file is at fault, and not a history.
    """
    histories = memory.histories(keys)
    damaged = [key for key in keys if key not in histories and _is_held(memory, key)]
    why = f"{damaged[-1]}: it cannot be read" if damaged else ""
    try:
        return _learned(memory, histories, now_seconds), len(damaged), why
    except LevelError:
        raise
    except Exception:  # noqa: BLE001 -- which of them it was is told below
        changed, failed = 0, len(damaged)
    for key, document in histories.items():
        try:
            changed += _learned(memory, {key: document}, now_seconds)
        except LevelError:
            raise
        except Exception as error:  # noqa: BLE001 -- told in `why`, by whoever asked
            failed, why = failed + 1, f"{key}: {type(error).__name__}: {error}"[:MOST_WHY]
    return changed, failed, why


def _is_held(memory: "Memory", key: str) -> bool:
    head = memory.tiers.file.head(Address("history", key))
    return head is not None and not head.forgotten


def _learned(memory: "Memory", histories: Mapping[str, Mapping[str, Any]], now_seconds: float) -> int:
    """Write a pattern for each; returns how many were new or changed."""
    changed, seen = 0, outlooks(histories, now_seconds)
    with memory.tiers.file.together():
        for each in seen:
            before = memory.tiers.file.head(Address("pattern", each.key))
            history = memory.tiers.file.head(Address("history", each.key))
            if history is None or history.forgotten:
                continue  # forgotten while it was looked at: nothing of it is to come back
            pattern = {"text": describe(each), "shape": each.shape, "peak_bytes": each.peak_bytes}
            names = history.provenance.kube_nodes
            after = memory.store(
                "pattern", each.key, pattern, now_seconds, kube_nodes=names, samples=each.hours
            )
            changed += before is None or before.digest != after.digest
    return changed


def _read(said: Mapping[str, Any] | None) -> Pass | None:
    try:
        return None if said is None else Pass(**said)
    except TypeError:
        return None  # of a newer program: its hour is passed over rather than guessed

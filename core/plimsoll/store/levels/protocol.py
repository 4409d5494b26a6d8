"""What every level can do, and how one says that it cannot.

In: addresses and entries. Out: records, entries, whether a write was taken. A level either does what it was
asked, or raises `LevelError` with one of six reasons: callers decide by the reason, never by the text. The
same contract suite runs against every level (tests/contract/test_store_levels.py).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from plimsoll.store.record import Address, Entry, Record


class Reason(StrEnum):
    """Why a level does not do what it was asked."""

    DOWN = "down"  # nobody answers
    SLOW = "slow"  # no answer in time; it may have been done
    FULL = "full"  # no room
    READ_ONLY = "read-only"  # this one does not take writes (a replica, a write-protected file)
    DENIED = "denied"  # wrong password, or a right is missing
    UNACKNOWLEDGED = "unacknowledged"  # taken, but not by as many replicas as were asked for


class LevelError(Exception):
    """A level did not do what it was asked; the message names it."""

    def __init__(self, level: str, reason: Reason, detail: str) -> None:
        super().__init__(f"{level}: {reason.value}: {detail}")
        self.level = level
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Put:
    """What came of a write: whether it was taken, the version that is held now, whether that is forgotten."""

    stored: bool
    version: int
    forgotten: bool = False


class Level(Protocol):
    """One level of the store. All methods may raise `LevelError`; reads raise `DamagedError` for what is."""

    @property
    def name(self) -> str:
        """Its word in metrics and messages."""
        ...

    def head(self, address: Address) -> Record | None:
        """The record, or a tombstone, without content; None where there is neither."""
        ...

    def get(self, address: Address) -> Entry | None:
        """Record and content; a tombstone has none."""
        ...

    def put(self, entry: Entry, expected_version: int | None) -> Put:
        """Compare and set: taken where the version held is `expected_version` (0: nothing is held).

        The entry's own version must be greater. With None it is taken where it is greater than what is held.
        """
        ...

    def records(self) -> Iterator[Record]:
        """All records, tombstones left out, in no order; what changes meanwhile may be seen or not."""
        ...

    def sweep(self, digests: Collection[str] | None = None) -> int:
        """Remove contents (of these digests, or all) that no record refers to; returns how many went."""
        ...

    def traces_of(self, addresses: Sequence[Address], digests: Collection[str]) -> int:
        """In how many places names or contents of these are still found: 0 proves that they are gone."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...

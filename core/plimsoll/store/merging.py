"""How two copies of a record that went separate ways become one again, by kind.

In: two entries of one address. Out: the content of both together. Every merge here is commutative (up to
equal bytes), associative and idempotent, so it does not matter who merges first, or how often: tests draw
cases for each.
"""

from collections.abc import Callable

from plimsoll.store import contributions
from plimsoll.store.content import decode, encode
from plimsoll.store.record import Entry, Provenance

Content = tuple[bytes, Provenance]
Merge = Callable[[Entry, Entry], Content]


def newest(mine: Entry, other: Entry) -> Content:
    """The one that was made later; of two of one moment the one from more samples."""
    return _of(max(mine, other, key=_age))


def richest(mine: Entry, other: Entry) -> Content:
    """The one from more samples; of equally many the later one."""
    return _of(max(mine, other, key=lambda each: (each.record.provenance.samples, *_age(each))))


def of_nodes(mine: Entry, other: Entry) -> Content:
    """Of every kube node the newest it has said."""
    ours, theirs = (contributions.read(decode(each.content)) for each in (mine, other))
    both = contributions.joined(ours, theirs, str(mine.record.address))
    content = encode(contributions.document(both))
    return content, mine.record.provenance.joined(other.record.provenance)


def released(mine: Entry, other: Entry) -> Content:
    """The release of the later generation; of two of one generation that which makes the fewer promises."""

    def order(each: Entry) -> tuple[int, bool, str]:
        said = decode(each.content)
        return int(said["generation"]), said.get("candidate") is None, each.record.digest

    return _of(max(mine, other, key=order))


def _of(chosen: Entry) -> Content:
    """One of the two with what is known of it: joined, it would win over a third by what it did not bring."""
    return chosen.content, chosen.record.provenance


def _age(each: Entry) -> tuple[float, int, str]:
    said = each.record.provenance
    return said.made_seconds, said.samples, each.record.digest

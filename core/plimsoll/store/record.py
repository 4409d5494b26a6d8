"""What the store keeps: a record a (kind, key), and its content by the SHA-256 of it.

In: content as bytes, who learned it and from how many samples. Out: frozen `Record`s with a version that only
grows, and `Entry`s (record and content), whose checksum is looked at wherever one is read. A record without a
digest is a tombstone: something was forgotten, and writes based on what was before it come too late.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

MOST_CONTENT_BYTES = (
    4 << 20
)  # a record that would be larger is refused: the largest model we keep has 100 KiB
MOST_KEY_CHARACTERS = 512
MOST_NODES = 64  # names of kube nodes that a provenance lists; further ones are counted only
MOST_COUNT = 2**53  # of versions and samples: beyond it Redis' Lua, which counts in doubles, is not exact
FORGET_STEP = 1 << 20  # versions by which a tombstone is above what was known: see `buried_at`
MOST_SECONDS = 253_402_300_799  # the end of the year 9999
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")


class RecordError(ValueError):
    """This is no sound record; the message says what is wrong with it."""


class DamagedError(RecordError):
    """What was read is not what was written: its checksum does not hold."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """What a record is called: a kind of model, and whose it is (a workload, an image, a class)."""

    kind: str
    key: str

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise RecordError(f"kind {self.kind!r}: want lower case letters, digits and hyphens, at most 40")
        if not 0 < len(self.key) <= MOST_KEY_CHARACTERS or not self.key.isprintable():
            raise RecordError(
                f"key {self.key[:40]!r} of kind {self.kind}: want 1 to 512 printable characters"
            )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def hashed(self) -> str:
        """128 bits of a hash of both: what stands in Redis' keys, so that a tombstone keeps no name."""
        return hashlib.sha256(f"{self.kind}\0{self.key}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where content comes from."""

    kube_nodes: tuple[str, ...] = ()  # sorted, at most `MOST_NODES`
    kube_node_count: int = 0
    samples: int = 0
    made_seconds: float = 0.0

    @classmethod
    def of(cls, kube_nodes: "frozenset[str] | set[str]", samples: int, made_seconds: float) -> "Provenance":
        """From all names; the first of them in order are listed."""
        names = sorted(kube_nodes)
        return cls(tuple(names[:MOST_NODES]), len(names), samples, made_seconds)

    def joined(self, other: "Provenance") -> "Provenance":
        """Of content merged of two; the larger count of samples, since both may have seen the same."""
        names = {*self.kube_nodes, *other.kube_nodes}
        listed = tuple(sorted(names)[:MOST_NODES])
        count = max(len(names), self.kube_node_count, other.kube_node_count)
        made = max(self.made_seconds, other.made_seconds)
        return Provenance(listed, count, max(self.samples, other.samples), made)


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of an entry without its content."""

    address: Address
    schema: int  # version of the content's form
    version: int  # of this record, 1 and up; 0 is no record
    digest: str  # SHA-256 of the content, "" for a tombstone
    size_bytes: int
    provenance: Provenance = Provenance()

    @property
    def forgotten(self) -> bool:
        """True for a tombstone."""
        return not self.digest

    def at(self, version: int) -> "Record":
        """The same as another version."""
        return replace(self, version=version)

    def to_json(self) -> str:
        """Canonical text of everything but version and digest, which stores keep beside it."""
        said = self.provenance
        return json.dumps(
            {
                "kind": self.address.kind,
                "key": self.address.key,
                "schema": self.schema,
                "size": self.size_bytes,
                "nodes": said.kube_nodes,
                "node_count": said.kube_node_count,
                "samples": said.samples,
                "made": said.made_seconds,
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str, version: int, digest: str) -> "Record":
        """Read what `to_json` wrote; raises `RecordError`."""
        try:
            return _read(json.loads(text), version, digest)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(f"a record cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its content."""

    record: Record
    content: bytes

    def __post_init__(self) -> None:
        if self.record.forgotten:
            if self.content:
                raise RecordError(f"{self.record.address}: a tombstone has no content")
        elif digest_of(self.content) != self.record.digest:
            raise DamagedError(
                f"{self.record.address}: the checksum of version {self.record.version} does not hold"
            )


def digest_of(content: bytes) -> str:
    """The content's address."""
    return hashlib.sha256(content).hexdigest()


def entry_of(
    address: Address, content: bytes, provenance: Provenance, *, schema: int = 1, version: int = 1
) -> Entry:
    """A new entry. Raises `RecordError` where the content is too large."""
    if not 0 < len(content) <= MOST_CONTENT_BYTES:
        raise RecordError(f"{address}: {len(content)} bytes of content, want 1 to {MOST_CONTENT_BYTES}")
    record = Record(address, schema, version, digest_of(content), len(content), provenance)
    return Entry(record, content)


def tombstone(address: Address, version: int) -> Record:
    """What is left of a record that was forgotten at this version."""
    return Record(address, 0, version, "", 0)


def buried_at(version: int) -> int:
    """The version of a tombstone, where that one was known.

    Further up than any that somebody has written meanwhile who had not heard of it: a tombstone of the same
    version as a record would be told from it by nobody, and the one or the other would be taken for known.
    """
    return min(version + FORGET_STEP, MOST_COUNT - 1)


def _read(said: Mapping[str, Any], version: int, digest: str) -> Record:
    if not isinstance(said["nodes"], list):
        raise RecordError("nodes: want a list of names")
    nodes = tuple(str(each) for each in said["nodes"])[:MOST_NODES]
    count, samples = (_count(name, said[name]) for name in ("node_count", "samples"))
    provenance = Provenance(nodes, count, samples, _moment(said["made"]))
    address = Address(said["kind"], said["key"])
    schema, size = (_count(name, said[name]) for name in ("schema", "size"))
    return Record(address, schema, _count("version", version, 1), str(digest), size, provenance)


def _count(name: str, value: object, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecordError(f"{name}: want a number")
    if not least <= value <= MOST_COUNT or value != int(value):  # NaN is not within either
        raise RecordError(f"{name}: want a whole number from {least} to {MOST_COUNT}")
    return int(value)


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_SECONDS:
        raise RecordError(f"made: want seconds from 0 to {MOST_SECONDS}")
    return float(value)

"""The kinds of records: the form their content has now, how copies merge, how older forms are read.

In: a kind's name. Out: its `Kind`. A record of an older schema is migrated step by step when it is read, and
written back by `plimsoll memory check --repair`; one of a newer schema is left as it is and not used, for an
older program must not guess (one version of skew between operator and agents is ordinary).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plimsoll.store import merging
from plimsoll.store.content import decode, encode
from plimsoll.store.merging import Merge
from plimsoll.store.record import Entry, RecordError, entry_of

Migration = Callable[[dict[str, Any]], dict[str, Any]]


class NewerSchemaError(RecordError):
    """A record of a form that this program does not know yet."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of records."""

    what: str  # for people
    merge: Merge = merging.newest
    schema: int = 1
    migrations: Mapping[int, Migration] = field(default_factory=dict)  # from this schema to the next

    def current(self, entry: Entry) -> Entry:
        """The entry in the present form. Raises `NewerSchemaError` and `ContentError`."""
        held = entry.record.schema
        if held == self.schema:
            return entry
        if held > self.schema:
            raise NewerSchemaError(
                f"{entry.record.address} is of schema {held}; this program knows {self.schema} and older ones"
            )
        said = decode(entry.content)
        for step in range(held, self.schema):
            if step not in self.migrations:
                raise RecordError(f"{entry.record.address}: nothing migrates schema {step} to {step + 1}")
            said = self.migrations[step](said)
        record = entry.record
        return entry_of(
            record.address, encode(said), record.provenance, schema=self.schema, version=record.version
        )


Kinds = Mapping[str, Kind]


def _forgotten(_: dict[str, Any]) -> dict[str, Any]:
    """No node's word is left of a form whose numbers were learned wrongly."""
    return {"contributions": []}


KINDS: Kinds = {
    "history": Kind("usage history of a container (a checkpoint): its OOM kills and calibration, too"),
    "relatives": Kind("what containers of an image did from hour to hour"),
    # 1: hazards had learned reclaim as returns
    "pages": Kind("return hazards of idle pages by image", merging.of_nodes, 2, {1: _forgotten}),
    "reuse": Kind("tables of the reuse predictor by image", merging.of_nodes),
    "pressure": Kind("mixes of the pressure nets by image", merging.of_nodes),
    "release": Kind("shared models in use and on trial", merging.released),
    "pattern": Kind("learned patterns of usage", merging.richest),
    "incident": Kind("what went wrong, and what was done"),
    "placement": Kind("how well was foretold what kube nodes use, as the leader's judge keeps it"),
    "control": Kind("switches of the memory itself"),
}


def kind_of(name: str, kinds: Kinds = KINDS) -> Kind:
    """The kind of that name. Raises `RecordError`."""
    try:
        return kinds[name]
    except KeyError:
        raise RecordError(f"unknown kind {name!r}; known: {', '.join(sorted(kinds))}") from None


def merged(mine: Entry, other: Entry, kinds: Kinds = KINDS) -> Entry:
    """Both entries of one address as one, in the present form. Version is that of `other`, plus one."""
    kind = kind_of(mine.record.address.kind, kinds)
    ours, theirs = kind.current(mine), kind.current(other)
    content, provenance = kind.merge(ours, theirs)
    version = other.record.version + 1
    return entry_of(mine.record.address, content, provenance, schema=kind.schema, version=version)

"""Entries and stores for tests: small, and different by name."""

import numpy as np

from plimsoll.store.content import encode
from plimsoll.store.contributions import Contribution, document
from plimsoll.store.kinds import KINDS
from plimsoll.store.record import Address, Entry, Provenance, entry_of

NOW = 1_700_000_000.0


def address(key: str = "demo/Deployment/web:app", kind: str = "history") -> Address:
    return Address(kind, key)


def entry(
    key: str = "demo/Deployment/web:app",
    content: bytes = b"",
    *,
    kind: str = "history",
    version: int = 1,
    schema: int = 1,
    made_seconds: float = NOW,
    samples: int = 10,
    kube_nodes: tuple[str, ...] = ("worker-1",),
) -> Entry:
    """An entry; its content is made from its key where none is given."""
    provenance = Provenance.of(set(kube_nodes), samples, made_seconds)
    data = content or encode({"of": key})
    return entry_of(Address(kind, key), data, provenance, schema=schema, version=version)


def said_by(*names: str, sequence: int = 1, samples: int = 10, value: float = 1.0) -> dict[str, Contribution]:
    """Contributions of these kube nodes, all of one vector."""
    return {name: Contribution(sequence, samples, NOW, np.full(4, value)) for name in names}


def node_entry(key: str, contributions: dict[str, Contribution], version: int = 1) -> Entry:
    """An entry of a kind that nodes add to."""
    provenance = Provenance.of(set(contributions), len(contributions), NOW)
    content, schema = encode(document(contributions)), KINDS["pages"].schema
    return entry_of(Address("pages", key), content, provenance, schema=schema, version=version)

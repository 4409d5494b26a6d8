"""Records: names, checksums, provenance; documents as bytes that are the same everywhere."""

import dataclasses
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from builders.store import NOW, entry
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.record import (
    MOST_CONTENT_BYTES,
    Address,
    DamagedError,
    Entry,
    Provenance,
    Record,
    RecordError,
    entry_of,
    tombstone,
)


@pytest.mark.parametrize(
    ("kind", "key"), [("", "x"), ("A", "x"), ("a/b", "x"), ("oom", ""), ("oom", "x" * 513), ("oom", "a\nb")]
)
def test_names_that_are_none_are_refused(kind, key):
    with pytest.raises(RecordError):
        Address(kind, key)


def test_a_hash_tells_kind_and_key_apart():
    assert Address("a", "bc").hashed != Address("ab", "c").hashed
    assert len(Address("a", "b").hashed) == 32


def test_altered_content_is_refused():
    given = entry(content=b"sound")
    with pytest.raises(DamagedError, match="checksum"):
        Entry(given.record, b"Sound")
    with pytest.raises(RecordError, match="tombstone"):
        Entry(tombstone(given.record.address, 2), b"left over")


@pytest.mark.parametrize("size", [0, MOST_CONTENT_BYTES + 1])
def test_content_of_no_or_too_much_size_is_refused(size):
    with pytest.raises(RecordError, match="bytes of content"):
        entry_of(Address("oom", "x"), b"x" * size, Provenance())


def test_a_record_survives_its_text():
    record = entry(kube_nodes=("b", "a"), samples=7).record
    assert Record.from_json(record.to_json(), record.version, record.digest) == record
    with pytest.raises(RecordError, match="cannot be read"):
        Record.from_json('{"kind": "oom"}', 1, "")


def test_provenance_counts_more_nodes_than_it_lists():
    said = Provenance.of({f"n{number:03d}" for number in range(100)}, 5, NOW)
    assert (len(said.kube_nodes), said.kube_node_count) == (64, 100)
    both = said.joined(Provenance.of({"other"}, 9, NOW - 1))
    assert (both.kube_node_count, both.samples, both.made_seconds) == (100, 9, NOW)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "i2", "i1", "u1", "?"])
def test_documents_come_back_as_they_were(dtype):
    given = {
        "b": [1, 2.5, None, True, "ä"],
        "a": {"x": np.arange(6).reshape(2, 3).astype(dtype), "y": np.zeros(0)},
    }
    back = decode(encode(given))
    assert back["b"] == given["b"]
    np.testing.assert_array_equal(back["a"]["x"], given["a"]["x"])
    assert back["a"]["x"].dtype == given["a"]["x"].dtype
    assert back["a"]["y"].shape == (0,)


def test_equal_documents_are_equal_bytes():
    one = encode({"a": 1, "b": np.arange(3.0)})
    assert one == encode({"b": np.arange(3.0).astype(">f8"), "a": 1})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1: 2}, {"$array": 1}, np.array(["x"]), b"raw"]
)
def test_what_has_no_one_form_is_refused(value):
    with pytest.raises(ContentError):
        encode({"x": value})


@pytest.mark.parametrize("cut", [0, 3, 7, 12, 40, -1])
def test_truncated_documents_are_refused(cut):
    with pytest.raises(ContentError):
        decode(encode({"x": np.arange(16.0)})[:cut])


def test_no_byte_can_be_altered_without_notice():
    """A digest over the whole; and what is read without one never gets beyond `ContentError`."""
    data = bytearray(encode({"name": "web", "x": np.arange(4.0)}))
    for place in range(len(data)):
        damaged = bytes(data[:place]) + bytes([data[place] ^ 0xFF]) + bytes(data[place + 1 :])
        try:
            decode(damaged)
        except ContentError:
            continue
        assert damaged[8:] != bytes(data[8:])


class Runs:
    """What a pickle of it does to whoever reads it."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("where", ["alone", "as a document", "as numbers"])
def test_what_would_run_code_is_refused_and_not_run(tmp_path, where):
    mark = tmp_path / "it ran"
    made = pickle.dumps(Runs(mark))
    head = json.dumps({"x": {"$array": ["|O", [1], 0]}}).encode()
    given = {
        "alone": made,
        "as a document": b"PLM1" + struct.pack("<I", len(made)) + made,
        "as numbers": b"PLM1" + struct.pack("<I", len(head)) + head + made,
    }
    with pytest.raises(ContentError):
        decode(given[where])
    assert not mark.exists()
    pickle.loads(made)
    assert mark.exists()


def test_packing_is_the_same_each_time_and_refuses_bombs():
    content = encode({"x": np.zeros(10_000)})
    assert packed(content) == packed(content)
    assert len(packed(content)) < len(content) / 100
    assert unpacked(packed(content)) == content
    with pytest.raises(DamagedError, match="claims"):
        unpacked(packed(b"\0" * (MOST_CONTENT_BYTES + 1)))
    for damaged in (b"", b"no frame", packed(content)[:-3]):
        with pytest.raises(DamagedError):
            unpacked(damaged)


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry().record.version = 2

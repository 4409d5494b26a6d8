"""The two forms of a snapshot's file: lines of JSON, and Parquet (which needs pyarrow).

In: records and packed contents. Out: bytes; and back. JSON is for people and for images without pyarrow,
Parquet for tools that look at many snapshots at once. The last line of JSON counts what is before it, as
Parquet's footer does: what was cut off at the end of a line is seen to be cut off (`closed`). Snapshots from
before there was such a line have their checksum in a manifest, and are read as they are.
"""

import base64
import binascii
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plimsoll.store.record import DamagedError, Record

Contents = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Form:
    """How one form is written and read, and how its files end."""

    ending: str
    write: Callable[[Sequence[Record], Mapping[str, bytes]], bytes]
    read: Callable[[bytes], tuple[list[Record], Contents]]
    closed: Callable[[bytes], bool]  # its end is there


def _json(records: Sequence[Record], contents: Mapping[str, bytes]) -> bytes:
    lines: list[dict[str, Any]] = []
    for digest, data in sorted(contents.items()):
        lines.append({"digest": digest, "packed": base64.b64encode(data).decode()})
    for each in records:
        said = json.loads(each.to_json())
        lines.append({"record": said, "version": each.version, "digest": each.digest})
    lines.append({"end": {"records": len(records), "contents": len(contents)}})
    return "".join(f"{json.dumps(each, separators=(',', ':'))}\n" for each in lines).encode()


def _from_json(data: bytes) -> tuple[list[Record], Contents]:
    records: list[Record] = []
    contents: Contents = {}
    end: object = None
    at = 0
    try:
        for line in data.decode().splitlines():
            at += 1
            said = json.loads(line)
            if end is not None:
                raise DamagedError("lines follow on its end")
            if "end" in said:
                end = said["end"]
            elif "record" in said:
                records.append(Record.from_json(json.dumps(said["record"]), said["version"], said["digest"]))
            else:
                contents[str(said["digest"])] = base64.b64decode(said["packed"], validate=True)
    except KeyError as error:
        raise DamagedError(f"a snapshot's line {at} has no {error}") from error
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise DamagedError(f"a snapshot's line {at} cannot be read: {error}") from error
    if end not in (None, {"records": len(records), "contents": len(contents)}):
        raise DamagedError(f"lines are missing: its end counts {end}, there are {len(records)} records")
    return records, contents


def _json_closed(data: bytes) -> bool:
    return data.rstrip().rpartition(b"\n")[2].startswith(b'{"end":')


def _parquet(records: Sequence[Record], contents: Mapping[str, bytes]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415  (the operator's image has none, and writes JSON)
    import pyarrow.parquet as pq  # noqa: PLC0415

    # Each content once: with the first record that has it.
    left = dict(contents)
    held = [left.pop(each.digest, None) for each in records]
    table = pa.table(
        {
            "kind": [each.address.kind for each in records],
            "key": [each.address.key for each in records],
            "schema": [each.schema for each in records],
            "version": [each.version for each in records],
            "samples": [each.provenance.samples for each in records],
            "made_seconds": [each.provenance.made_seconds for each in records],
            "digest": [each.digest for each in records],
            "said": [each.to_json() for each in records],
            "packed": pa.array(held, pa.binary()),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _from_parquet(data: bytes) -> tuple[list[Record], Contents]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        columns = pq.read_table(io.BytesIO(data), columns=["said", "version", "digest", "packed"]).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"a snapshot's Parquet cannot be read: {error}") from error
    rows = [*zip(columns["said"], columns["version"], columns["digest"], strict=True)]
    records = [Record.from_json(said, version, digest) for said, version, digest in rows]
    held = zip(columns["digest"], columns["packed"], strict=True)
    return records, {digest: data for digest, data in held if data is not None}


FORMS: dict[str, Form] = {
    "json": Form("jsonl", _json, _from_json, _json_closed),
    "parquet": Form("parquet", _parquet, _from_parquet, lambda _data: True),
}

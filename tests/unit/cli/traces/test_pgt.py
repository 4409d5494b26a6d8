"""`.pgt` files: what is written is read back, and a broken file is told by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.pagetraces import mixed_trace, page_trace, write_pages
from plimsoll_cli.traces.parquet import TraceError
from plimsoll_cli.traces.pgt import read_pages

REFERENCE = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2), st.integers(0, 2**32 - 1))


@settings(max_examples=50, deadline=None)
@given(st.lists(REFERENCE, max_size=30))
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, references: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("pgt") / "trace.pgt"
    columns = list(zip(*references, strict=True)) or [(), (), ()]
    trace = page_trace(*columns)
    write_pages(path, trace)
    read = read_pages(path)
    for name in ("page", "kind", "gap"):
        np.testing.assert_array_equal(getattr(read, name), getattr(trace, name))


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none\.pgt: cannot be read"):
        read_pages(tmp_path / "none.pgt")


def broken(path: Path, change: str) -> Path:
    """A sound file with one thing wrong."""
    write_pages(path, mixed_trace(1, 500))
    data = path.read_bytes()
    size = int.from_bytes(data[4:8], "little")
    header, parts = json.loads(data[8 : 8 + size]), data[8 + size :]
    if change == "magic":
        data = b"PAR1" + data[4:]
    elif change == "cut":
        data = data[:-10]
    elif change == "cut in the header":
        data = data[:20]
    elif change == "flipped":
        data = data[: 8 + size] + bytes(8) + data[16 + size :]
    else:
        header = json.loads(change) if change.startswith(("{", "[")) else {**header, "n": int(change)}
        packed = json.dumps(header).encode()
        data = data[:4] + len(packed).to_bytes(4, "little") + packed + parts
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("magic", "not a .pgt file: it begins with b'PAR1'"),
        ("cut", "cut off"),
        ("cut in the header", "cut off within its header"),
        ("flipped", "part `page` does not unpack"),
        ("501", "part `page` holds 2000 bytes, 2004 are due"),
        ("499", "part `page` holds more than 1996 bytes, 1996 are due"),
        ("-1", "does not hold a count"),
        ("99999999999", "more than the"),
        ('{"n": 3}', "not JSON with `n` and `lens`"),
        ('{"n": 3, "lens": [1, 2]}', "three lengths"),
        ('{"n": true, "lens": [1, 2, 3]}', "does not hold a count"),
        ("[]", "not JSON with `n` and `lens`"),
    ],
)
def test_a_broken_file_is_told_by_name(tmp_path: Path, change: str, message: str) -> None:
    path = broken(tmp_path / "broken.pgt", change)
    with pytest.raises(TraceError) as failure:
        read_pages(path)
    assert str(failure.value).startswith(str(path))
    assert message in str(failure.value)

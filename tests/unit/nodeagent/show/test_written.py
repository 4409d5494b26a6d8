"""What may be replaced: what our own writers begin, told from what anybody else has written."""

from pathlib import Path

import numpy as np
import pytest

from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.show.report import html
from plimsoll_nodeagent.show.svg import svg
from plimsoll_nodeagent.show.written import Holds, held, refusal

FLAT = np.full(3, 1e6)
RECORDING = Recording(
    Axis.ADDRESS,
    np.arange(1.0, 4.0),
    np.arange(6) * 4096.0,
    np.ones((3, 5), np.float32),
    FLAT,
    FLAT,
    FLAT,
    "app",
)
FOREIGN = [
    b"my notes",
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>Mine</title></svg>',
    b"<!doctype html><title>Mine</title>",
    b'{"seed": 7}',
    b"SQLite format 3\0 and so on",
    b"PGT1 and so on",
]


@pytest.mark.parametrize(("draw", "holds"), [(svg, Holds.PICTURE), (html, Holds.PAGE)])
def test_a_drawing_replaces_an_earlier_one_an_empty_file_and_nothing_else(tmp_path: Path, draw, holds):
    path = tmp_path / "a"
    assert refusal(path, holds) is None
    for content in (b"", draw(RECORDING).encode()):
        path.write_bytes(content)
        assert refusal(path, holds) is None
    assert held(path) is holds
    for content in FOREIGN:
        path.write_bytes(content)
        assert f"{path}: holds " in (refusal(path, holds) or "")


def test_what_is_read_is_not_replaced_by_any_name(tmp_path: Path):
    path, link = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"")
    link.hardlink_to(path)
    assert refusal(link, Holds.PAGE, [path]) == f"{link}: is what is read; name another file to write"

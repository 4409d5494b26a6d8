import math
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace

import numpy as np
import pytest

from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.show.files import RecordingError, load, save
from plimsoll_nodeagent.show.report import figures, html, terminal
from plimsoll_nodeagent.show.scale import byte_ticks, bytes_text, colours, pooled, second_ticks, seconds_text
from plimsoll_nodeagent.show.svg import png, svg

MIB = float(1 << 20)


def recording(
    axis: Axis = Axis.ADDRESS, epochs: int = 50, parts: int = 20, limit: float = 64 * MIB
) -> Recording:
    rng = np.random.default_rng(5)
    heat = (rng.random((epochs, parts)) < np.linspace(0.9, 0.0, parts)).astype(np.float32)
    edges = np.arange(parts + 1) * MIB
    if axis is Axis.IDLE_AGE:
        heat, edges = heat * np.float32(MIB), np.arange(parts + 1) * 15.0
    flat = np.full(epochs, 20 * MIB)
    seconds = np.arange(1, epochs + 1) * 2.0
    return Recording(
        axis, seconds, edges, heat, flat, np.full(epochs, limit), flat * 0.1, name="redis & <co>"
    )


@pytest.mark.parametrize("axis", list(Axis))
@pytest.mark.parametrize("limit", [64 * MIB, 24 * MIB, 1e15, math.inf, math.nan])
def test_the_picture_is_svg_that_stands_alone(axis: Axis, limit: float):
    text = svg(recording(axis, limit=limit))
    root = ET.fromstring(text)
    words = " ".join(each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text"))
    for wanted in (
        "redis & <co>",
        "time since the start",
        "MiB",
        "working set",
        "usage (resident)",
        "idle for",
    ):
        assert wanted in words
    assert ("limit" in words) is True
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|NaN|nan|inf", re.sub(r'base64,[^"]*', "", text))
    assert len(text) < 400_000


def test_its_heat_map_is_the_recording():
    made = recording(epochs=3, parts=2)
    (data, *_) = re.findall(r"base64,([^\"]+)", svg(made))
    import base64

    raw = base64.b64decode(data)
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">2I", raw[16:24])
    assert (width, height) == (3, 2)
    rows = np.frombuffer(zlib.decompress(raw[41 : raw.index(b"IEND") - 8]), np.uint8).reshape(2, 1 + 3 * 3)
    low_addresses_are_below = rows[1, 1:].reshape(3, 3)
    assert np.array_equal(low_addresses_are_below, colours(made.heat[:, 0]))


def test_the_page_holds_picture_and_figures_and_loads_nothing():
    page = html(recording())
    assert page.count("<svg") == 1
    assert "<table>" in page
    assert not re.search(r"<script|<link|src=|@import", page)
    assert "redis &amp; &lt;co&gt;" in page


def test_in_a_terminal_it_is_as_wide_as_asked_with_and_without_colour():
    plain = terminal(recording(epochs=500), colour=False, columns=60)
    assert max(map(len, plain.splitlines()[1:21])) <= 60
    assert "working set, mean and highest" in plain
    coloured = terminal(recording(), colour=True)
    assert "\x1b[38;2;" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).count("▀") > 100


def test_figures_say_unknown_and_no_limit_in_words():
    told = dict(figures(recording(limit=math.inf)))
    assert told["limit"] == "no limit"
    assert dict(figures(recording(limit=math.nan)))["limit"] == "unknown"
    assert told["usage, mean and highest"] == "20 MiB, 20 MiB"


@pytest.mark.parametrize("reclaimed", [None, np.arange(50) * 4096.0])
def test_a_recording_survives_its_file(tmp_path, reclaimed):
    made = replace(recording(Axis.IDLE_AGE), reclaimed_bytes=reclaimed)
    save(made, tmp_path / "a.npz")
    back = load(tmp_path / "a.npz")
    assert (back.axis, back.name) == (made.axis, made.name)
    for name in ("seconds", "edges", "heat", "usage_bytes", "limit_bytes", "swap_bytes", "reclaimed_bytes"):
        assert np.array_equal(getattr(back, name), getattr(made, name))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"text"])
def test_what_is_no_recording_is_refused_by_name(tmp_path, content: bytes):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.npz"):
        load(path)
    with pytest.raises(RecordingError, match="none"):
        load(tmp_path / "none.npz")


def test_a_file_of_another_version_or_with_pickles_is_refused(tmp_path):
    save(recording(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as found:
        arrays = dict(found)
    np.savez(tmp_path / "b.npz", **(arrays | {"version": np.array(99)}))
    with pytest.raises(RecordingError, match="version 99"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **(arrays | {"heat": np.array([object()])}), allow_pickle=True)
    with pytest.raises(RecordingError):
        load(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1536, "1.5 KiB"),
        (1 << 30, "1 GiB"),
        (5e13, "45.5 TiB"),
        (math.nan, "unknown"),
    ],
)
def test_bytes_are_told_in_binary_units(value: float, text: str):
    assert bytes_text(value) == text


def test_ticks_are_round_and_within():
    assert second_ticks(0, 447) == [0, 120, 240, 360]
    assert [seconds_text(each) for each in (5, 120, 7200)] == ["5 s", "2 min", "2 h"]
    for most in (1.0, 3e6, 8e9):
        ticks = byte_ticks(most)
        assert 2 <= len(ticks) <= 6
        assert ticks[-1] <= most


def test_colours_grow_lighter_all_the_way():
    light = colours(np.linspace(0, 1, 50)).astype(float) @ [0.21, 0.72, 0.07]
    assert np.all(np.diff(light) > 0)
    assert colours(np.array([np.nan])).tolist() == colours(np.array([0.0])).tolist()


def test_pooling_keeps_the_hottest():
    heat = np.zeros((1000, 7), np.float32)
    heat[501, 3] = 1.0
    small = pooled(heat, 100, 7)
    assert small.shape == (100, 7)
    assert small.max() == 1.0


def test_png_of_one_pixel():
    assert zlib.decompress(png(np.array([[[1, 2, 3]]], np.uint8))[41:-16]) == b"\0\1\2\3"
